package filestore

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// disk is what a put asks of the file system, so that a test can break each step.
type disk struct {
	write      func(f *os.File, body [][]byte) error
	syncFile   func(f *os.File) error
	link       func(from, to string) error
	syncFolder func(path string) error
}

func realDisk() disk {
	return disk{write: writeAll, syncFile: (*os.File).Sync, link: os.Link, syncFolder: syncFolder}
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func isNotFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// classify turns an error of the file system, on path inside the store at root, into one of objstore's.
// Nothing had happened yet.
func classify(op, path, root string, err error) error {
	e := &objstore.Error{Op: op, Name: path, Class: objstore.ErrUnavailable, Cause: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Try = "make room on the disk of " + root
	case errors.Is(err, syscall.EROFS):
		e.Class, e.Try = objstore.ErrDenied, "mount "+root+" writable, or name another folder"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		e.Class, e.Try = objstore.ErrDenied, "let user "+strconv.Itoa(os.Getuid())+" read and write in "+root
	case errors.Is(err, syscall.ENOTDIR):
		e.Class, e.Try = objstore.ErrInvalid, "name a key that does not lead through an object"
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EILSEQ), errors.Is(err, syscall.EINVAL):
		e.Class, e.Try = objstore.ErrInvalid, "name a folder with a shorter or plainer path"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		e.Try = "raise the limit of open files (ulimit -n)"
	}
	return e
}
