package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

const (
	tempFolder = ".tmp"
	tempAge    = 24 * time.Hour // older temporary files belong to nobody
)

// Store is a bucket in a folder.
type Store struct {
	root string // absolute
	disk disk

	mu     sync.Mutex
	ready  bool            // the folder and its .tmp were there
	synced map[string]bool // folders whose own name is durable, at most maxSynced
}

// maxSynced bounds what a store remembers of folders; past it, it forgets all and syncs again.
const maxSynced = 1 << 16

// Open makes a store of a folder, which need not be there yet. It fails when the path can
// never be one.
func Open(dir string) (*Store, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, &objstore.Error{Op: "open", Name: dir, Class: objstore.ErrInvalid, Cause: err}
	}
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, classify("open", root, root, err)
	case !info.IsDir():
		return nil, &objstore.Error{Op: "open", Name: root, Class: objstore.ErrInvalid,
			Cause: errors.New("not a folder"), Try: "name a folder, or one that is still to be made"}
	}
	return &Store{root: root, disk: realDisk(), synced: map[string]bool{}}, nil
}

// path is where an object stands. The key has passed CheckKey.
func (s *Store) path(key string) string { return filepath.Join(s.root, filepath.FromSlash(key)) }

// prepare makes the folder before the first write, and sweeps what earlier processes left.
func (s *Store) prepare(op string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready {
		return nil
	}
	switch err := os.Mkdir(s.root, 0o777); {
	case err == nil:
		if err := s.disk.syncFolder(filepath.Dir(s.root)); err != nil {
			return classify(op, s.root, s.root, err)
		}
	case errors.Is(err, fs.ErrNotExist):
		return s.noBucket(op)
	case !errors.Is(err, fs.ErrExist) && !isFolder(s.root): // a read-only parent is no fault when the folder is there
		return classify(op, s.root, s.root, err)
	}
	temp := filepath.Join(s.root, tempFolder)
	if err := os.Mkdir(temp, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return classify(op, temp, s.root, err)
	}
	sweep(temp, time.Now().Add(-tempAge))
	s.ready = true
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// sweep removes temporary files of processes that died. One that cannot be removed takes up room
// and does no harm; the next process tries again, so failures end nothing here.
func sweep(temp string, before time.Time) {
	folder, err := os.Open(temp)
	if err != nil {
		return
	}
	defer folder.Close()
	for {
		entries, err := folder.ReadDir(256)
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
				_ = os.Remove(filepath.Join(temp, e.Name()))
			}
		}
		if err != nil {
			return
		}
	}
}

// noBucket is the error when the folder, or its parent, is not there.
func (s *Store) noBucket(op string) error {
	parent := filepath.Dir(s.root)
	if isFolder(parent) {
		return &objstore.Error{Op: op, Name: s.root, Class: objstore.ErrNoBucket,
			Cause: errors.New("the folder has gone since it was first used"), Try: "mount its disk again, then restart"}
	}
	return &objstore.Error{Op: op, Name: s.root, Class: objstore.ErrNoBucket,
		Cause: fmt.Errorf("its parent %s is not there", parent), Try: "mkdir -p " + parent}
}

// missing explains a name that is not there: an object that does not exist, or the folder itself.
func (s *Store) missing(op, key string) error {
	s.mu.Lock()
	seen := s.ready
	s.mu.Unlock()
	if !isFolder(s.root) && (seen || !isFolder(filepath.Dir(s.root))) {
		return s.noBucket(op)
	}
	return &objstore.Error{Op: op, Name: key, Class: objstore.ErrNotFound}
}

// GetRange implements objstore.Getter.
func (s *Store) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	if err := objstore.Check(ctx, "get", key); err != nil {
		return nil, err
	}
	if err := objstore.Invalid("get", key, objstore.CheckRange(position, length)); err != nil {
		return nil, err
	}
	f, info, err := s.open("get", key)
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading: closing cannot lose anything
	n, err := objstore.ClipRange(position, length, info.Size())
	if err != nil {
		return nil, objstore.Invalid("get", key, err)
	}
	b := objstore.Room(ctx, n)
	if _, err := f.ReadAt(b, position); err != nil && !(errors.Is(err, io.EOF) && n == 0) {
		return nil, classify("get", s.path(key), s.root, fmt.Errorf("read %d bytes at %d: %w", n, position, err))
	}
	return b, nil
}

// open opens the file of an object.
func (s *Store) open(op, key string) (*os.File, fs.FileInfo, error) {
	f, err := os.Open(s.path(key))
	if err != nil {
		return nil, nil, s.explain(op, key, err)
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		return f, info, nil
	}
	f.Close() // opened for reading: closing cannot lose anything
	if err != nil {
		return nil, nil, classify(op, s.path(key), s.root, err)
	}
	return nil, nil, &objstore.Error{Op: op, Name: key, Class: objstore.ErrNotFound}
}

// explain classifies an error of looking a name up. A name that leads through an object is not there.
func (s *Store) explain(op, key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || isNotFolder(err) {
		return s.missing(op, key)
	}
	return classify(op, s.path(key), s.root, err)
}

// Head implements objstore.Store.
func (s *Store) Head(ctx context.Context, key string) (objstore.Info, error) {
	if err := objstore.Check(ctx, "head", key); err != nil {
		return objstore.Info{}, err
	}
	info, err := os.Lstat(s.path(key))
	if err != nil {
		return objstore.Info{}, s.explain("head", key, err)
	}
	if !info.Mode().IsRegular() {
		return objstore.Info{}, &objstore.Error{Op: "head", Name: key, Class: objstore.ErrNotFound}
	}
	return objstore.Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := objstore.Check(ctx, "delete", key); err != nil {
		return err
	}
	if isFolder(s.path(key)) {
		return nil // no object has this name
	}
	if err := os.Remove(s.path(key)); err != nil {
		if err = s.explain("delete", key, err); !errors.Is(err, objstore.ErrNotFound) {
			return err
		}
	}
	return nil
}

// Clock implements objstore.Clocked: the modification time of a file just written, which is
// the file server's time where the folder is on one.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	if err := objstore.Ended(ctx, "clock", s.root); err != nil {
		return time.Time{}, err
	}
	t, err := s.newTemp("clock")
	if err != nil {
		return time.Time{}, err
	}
	defer t.discard()
	if err := t.write([][]byte{[]byte("clock")}); err != nil {
		return time.Time{}, err
	}
	info, err := os.Stat(t.path)
	if err != nil {
		return time.Time{}, classify("clock", t.path, s.root, err)
	}
	return info.ModTime(), nil
}

// Close implements objstore.Store; every request closes what it opens.
func (s *Store) Close() error { return nil }

// String names the store for logs.
func (s *Store) String() string { return "file://" + filepath.ToSlash(strings.TrimSuffix(s.root, "/")) }
