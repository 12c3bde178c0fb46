package filestore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// PutNew implements objstore.Putter: temporary file, sync, link, sync of the folder. Until the link
// nothing has happened; after it the object is there, and a failure leaves the outcome unknown.
func (s *Store) PutNew(ctx context.Context, key string, body [][]byte, crc32c uint32) error {
	if err := objstore.Check(ctx, "put", key); err != nil {
		return err
	}
	if err := objstore.Invalid("put", key, objstore.CheckSum(objstore.Sum(body), crc32c)); err != nil {
		return err
	}
	if _, err := os.Lstat(s.path(key)); err == nil {
		return s.taken("put", key) // saves the writing; the link is what decides
	}
	t, err := s.newTemp("put")
	if err != nil {
		return err
	}
	defer t.discard()
	if err := t.write(body); err != nil {
		return err
	}
	if err := objstore.Ended(ctx, "put", key); err != nil {
		return err
	}
	return t.publish("put", key)
}

// temp is an object that has no name yet.
type temp struct {
	store *Store
	op    string
	file  *os.File // nil once closed
	path  string
}

func (s *Store) newTemp(op string) (*temp, error) {
	if err := s.prepare(op); err != nil {
		return nil, err
	}
	var nonce [12]byte
	rand.Read(nonce[:]) // never fails
	path := filepath.Join(s.root, tempFolder, fmt.Sprintf("%d-%s", os.Getpid(), hex.EncodeToString(nonce[:])))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.noBucket(op)
	}
	if err != nil {
		return nil, classify(op, path, s.root, err)
	}
	return &temp{store: s, op: op, file: f, path: path}, nil
}

func (t *temp) write(body [][]byte) error {
	if err := t.store.disk.write(t.file, body); err != nil {
		return classify(t.op, t.path, t.store.root, err)
	}
	return nil
}

// publish syncs the file and gives it its name.
func (t *temp) publish(op, key string) error {
	s, target := t.store, t.store.path(key)
	if err := s.disk.syncFile(t.file); err != nil {
		return classify(op, t.path, s.root, err)
	}
	err := t.file.Close()
	t.file = nil
	if err != nil {
		return classify(op, t.path, s.root, err)
	}
	if err := t.link(op, key); err != nil {
		return err
	}
	if err := s.disk.syncFolder(filepath.Dir(target)); err != nil {
		return &objstore.Error{Op: op, Name: target, Class: objstore.ErrUnknownOutcome,
			Cause: fmt.Errorf("sync the folder of an object just stored: %w", err), Try: "look at the health of the disk"}
	}
	return nil
}

// link gives the file the object's name, or finds that the name is taken.
func (t *temp) link(op, key string) error {
	s, target := t.store, t.store.path(key)
	if err := s.makeFolders(op, filepath.Dir(target)); err != nil {
		return err
	}
	err := s.disk.link(t.path, target)
	if errors.Is(err, fs.ErrNotExist) { // somebody removed an empty folder that we remember
		s.forgetFolders()
		if err := s.makeFolders(op, filepath.Dir(target)); err != nil {
			return err
		}
		err = s.disk.link(t.path, target)
	}
	switch {
	case err == nil, sameFile(t.path, target): // a network file system may lose the answer of a link and repeat it
		return nil
	case errors.Is(err, fs.ErrExist):
		return s.taken(op, key)
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS):
		return &objstore.Error{Op: op, Name: target, Class: objstore.ErrDenied, Cause: err,
			Try: "name a folder on a file system that has hard links"}
	}
	return classify(op, target, s.root, err)
}

func sameFile(a, b string) bool {
	left, leftErr := os.Lstat(a)
	right, rightErr := os.Lstat(b)
	return leftErr == nil && rightErr == nil && os.SameFile(left, right)
}

// discard removes the temporary name, whether or not the object has got one of its own. What
// cannot be removed is left to the sweep.
func (t *temp) discard() {
	if t.file != nil {
		t.file.Close()
		t.file = nil
	}
	_ = os.Remove(t.path)
}

// taken is the error of a name that an object, or a folder of objects, has.
func (s *Store) taken(op, key string) error {
	if isFolder(s.path(key)) {
		return objstore.Invalid(op, key, errors.New("objects are stored below this key, and a folder holds no bytes"))
	}
	return &objstore.Error{Op: op, Name: key, Class: objstore.ErrExists}
}

// makeFolders makes the folders from the root down to dir, and syncs the name of each one that
// this process uses for the first time: another process may have made it and not synced it yet.
func (s *Store) makeFolders(op, dir string) error {
	inside := strings.TrimPrefix(strings.TrimPrefix(dir, s.root), string(filepath.Separator))
	if inside == "" || s.isSynced(dir) {
		return nil
	}
	parent := s.root
	for name := range strings.SplitSeq(inside, string(filepath.Separator)) {
		folder := filepath.Join(parent, name)
		if !s.isSynced(folder) {
			if err := os.Mkdir(folder, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
				return classify(op, folder, s.root, err)
			}
			if err := s.disk.syncFolder(parent); err != nil {
				return classify(op, parent, s.root, err)
			}
			s.setSynced(folder)
		}
		parent = folder
	}
	return nil
}

func (s *Store) isSynced(folder string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synced[folder]
}

func (s *Store) forgetFolders() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.synced)
}

func (s *Store) setSynced(folder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.synced) >= maxSynced {
		clear(s.synced)
	}
	s.synced[folder] = true
}
