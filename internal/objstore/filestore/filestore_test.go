package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) objstore.Store { return open(t, filepath.Join(t.TempDir(), "bucket")) })
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, key, body string) error {
	t.Helper()
	buffers := [][]byte{[]byte(body)}
	return s.PutNew(t.Context(), key, buffers, objstore.Sum(buffers))
}

// mustSay checks an error's class and that it names what a person must know.
func mustSay(t *testing.T, err, class error, words ...string) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Fatalf("got error %v, want %v", err, class)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func temporaries(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, tempFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestFolderIsMadeAtFirstPut: opening and reading make nothing, the first put makes the folder, but not its parent.
func TestFolderIsMadeAtFirstPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bucket")
	s := open(t, dir)
	_, err := s.GetRange(t.Context(), "a", 0, -1)
	mustSay(t, err, objstore.ErrNotFound)
	if page, more, err := s.List(t.Context(), "", "", 10); err != nil || more || len(page) != 0 {
		t.Errorf("list: %v, %v, %v", page, more, err)
	}
	if isFolder(dir) {
		t.Error("reading made the folder")
	}
	if err := put(t, s, "a", "x"); err != nil {
		t.Fatal(err)
	}

	orphan := open(t, filepath.Join(t.TempDir(), "no", "bucket"))
	mustSay(t, put(t, orphan, "a", "x"), objstore.ErrNoBucket, filepath.Join("no", "bucket"), "try: mkdir -p")
	_, err = orphan.Head(t.Context(), "a")
	mustSay(t, err, objstore.ErrNoBucket, "try: mkdir -p")
	_, _, err = orphan.List(t.Context(), "", "", 10)
	mustSay(t, err, objstore.ErrNoBucket)
	_, err = orphan.Clock(t.Context())
	mustSay(t, err, objstore.ErrNoBucket)
	mustSay(t, orphan.Delete(t.Context(), "a"), objstore.ErrNoBucket)
}

// TestVanishedFolderIsNotMadeAgain: a disk that was unmounted must not be taken for an empty bucket.
func TestVanishedFolderIsNotMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bucket")
	s := open(t, dir)
	if err := put(t, s, "a", "x"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	mustSay(t, put(t, s, "b", "x"), objstore.ErrNoBucket, dir, "mount its disk again")
	_, err := s.GetRange(t.Context(), "a", 0, -1)
	mustSay(t, err, objstore.ErrNoBucket)
	if isFolder(dir) {
		t.Error("the folder was made again")
	}
}

func TestFileInPlaceOfFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path)
	mustSay(t, err, objstore.ErrInvalid, path, "not a folder", "try:")
	_, err = Open(filepath.Join(path, "below"))
	mustSay(t, err, objstore.ErrInvalid, path)
}

func TestObjectAndFolderOfOneName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bucket")
	s := open(t, dir)
	if err := put(t, s, "a/b", "x"); err != nil {
		t.Fatal(err)
	}
	mustSay(t, put(t, s, "a", "x"), objstore.ErrInvalid, "below")
	mustSay(t, put(t, s, "a/b/c", "x"), objstore.ErrInvalid, "try:")
	mustSay(t, put(t, s, "a/b/c/d", "x"), objstore.ErrInvalid)
	if left := temporaries(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestBrokenDisk breaks each step of a put: the error says what is wrong with which path, no
// object appears unless it may have, and no temporary file stays.
func TestBrokenDisk(t *testing.T) {
	pathError := func(errno syscall.Errno) error { return &fs.PathError{Op: "x", Path: "p", Err: errno} }
	cases := []struct {
		name  string
		crack func(*disk)
		class error
		words []string
		there bool
	}{
		{"full", func(d *disk) { d.write = func(*os.File, [][]byte) error { return pathError(syscall.ENOSPC) } },
			objstore.ErrUnavailable, []string{"no space left", "try: make room on the disk of"}, false},
		{"over quota", func(d *disk) { d.write = func(*os.File, [][]byte) error { return pathError(syscall.EDQUOT) } },
			objstore.ErrUnavailable, []string{"quota", "try: make room"}, false},
		{"full at sync", func(d *disk) { d.syncFile = func(*os.File) error { return pathError(syscall.ENOSPC) } },
			objstore.ErrUnavailable, []string{"no space left"}, false},
		{"read-only", func(d *disk) { d.write = func(*os.File, [][]byte) error { return pathError(syscall.EROFS) } },
			objstore.ErrDenied, []string{"read-only", "try: mount", "writable"}, false},
		{"not allowed", func(d *disk) { d.link = func(string, string) error { return pathError(syscall.EACCES) } },
			objstore.ErrDenied, []string{"permission denied", "try: let user"}, false},
		{"no hard links", func(d *disk) { d.link = func(string, string) error { return pathError(syscall.EPERM) } },
			objstore.ErrDenied, []string{"hard links"}, false},
		{"bad disk", func(d *disk) { d.syncFile = func(*os.File) error { return pathError(syscall.EIO) } },
			objstore.ErrUnavailable, nil, false},
		{"bad disk after the link", func(d *disk) {
			folders := d.syncFolder
			d.syncFolder = func(path string) error {
				if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 && !entries[0].IsDir() {
					return pathError(syscall.EIO)
				}
				return folders(path)
			}
		}, objstore.ErrUnknownOutcome, []string{"just stored", "try:"}, true},
		{"answer of a link lost", func(d *disk) {
			link := d.link
			d.link = func(from, to string) error { return errors.Join(link(from, to), pathError(syscall.EEXIST)) }
		}, nil, nil, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "bucket")
			s := open(t, dir)
			c.crack(&s.disk)
			err := put(t, s, "a/b/c", "body")
			if c.class == nil && err != nil {
				t.Fatal(err)
			}
			if c.class != nil {
				mustSay(t, err, c.class, append(c.words, dir)...)
			}
			if left := temporaries(t, dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			_, err = open(t, dir).Head(t.Context(), "a/b/c")
			if there := err == nil; there != c.there {
				t.Errorf("object there: %v, want %v (%v)", there, c.there, err)
			}
		})
	}
}

// TestRemovedFolderIsMadeAgain: somebody tidied an empty folder that the store remembers.
func TestRemovedFolderIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bucket")
	s := open(t, dir)
	if err := put(t, s, "a/b/c", "x"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := put(t, s, "a/b/d", "x"); err != nil {
		t.Fatal(err)
	}
}

// TestSweep: what a dead process left is not listed, and goes when it is old.
func TestSweep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bucket")
	if err := os.MkdirAll(filepath.Join(dir, tempFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 25 * time.Hour, "young": 23 * time.Hour} {
		path := filepath.Join(dir, tempFolder, name)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	if err := put(t, s, "a", "x"); err != nil {
		t.Fatal(err)
	}
	if left := temporaries(t, dir); len(left) != 1 || left[0] != "young" {
		t.Errorf("after the sweep: %v, want young", left)
	}
	page, _, err := s.List(t.Context(), "", "", 10)
	if err != nil || len(page) != 1 || page[0].Key != "a" {
		t.Errorf("list: %v, %v", page, err)
	}
}

func TestWrongChecksumIsRefused(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "bucket"))
	mustSay(t, s.PutNew(t.Context(), "k", [][]byte{[]byte("x")}, 1), objstore.ErrInvalid, "checksum")
}

// TestWriteAllSurvivesShortWrites walks a vector by every possible count of bytes.
func TestAdvance(t *testing.T) {
	for first := range 10 {
		vector := [][]byte{[]byte("abc"), []byte("d"), []byte("efghi")}
		rest := advance(vector, first)
		got := ""
		for _, b := range rest {
			if len(b) == 0 {
				t.Errorf("after %d bytes: an empty buffer stays", first)
			}
			got += string(b)
		}
		if want := "abcdefghi"[first:]; got != want {
			t.Errorf("after %d bytes: %q, want %q", first, got, want)
		}
	}
}

// TestListOfALargeFolder reads a folder in several passes, for a level holds a page of names only.
func TestListOfALargeFolder(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("k%03d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("k%03d-empty", i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	page, more, err := s.List(t.Context(), "k", "k009", 290)
	if err != nil || more || len(page) != 290 || page[0].Key != "k010" || page[289].Key != "k299" {
		t.Errorf("got %d objects, more %v, %v", len(page), more, err)
	}
	page, more, err = s.List(t.Context(), "k", "", 10)
	if err != nil || !more || len(page) != 10 || page[9].Key != "k009" {
		t.Errorf("got %v, more %v, %v", page, more, err)
	}
}
