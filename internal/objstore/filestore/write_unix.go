//go:build linux || darwin

package filestore

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxVector is the most buffers one writev takes (IOV_MAX of Linux and macOS).
const maxVector = 1024

// writeAll writes gathered buffers one after the other without copying them together. The caller's
// slice of slices is left as it is.
func writeAll(f *os.File, body [][]byte) error {
	vector := make([][]byte, 0, min(len(body), maxVector))
	for len(body) > 0 || len(vector) > 0 {
		for len(body) > 0 && len(vector) < maxVector {
			if len(body[0]) > 0 {
				vector = append(vector, body[0])
			}
			body = body[1:]
		}
		if len(vector) == 0 {
			return nil
		}
		n, err := writeVector(f, vector)
		if err != nil {
			return err
		}
		vector = advance(vector, n)
	}
	return nil
}

func writeVector(f *os.File, vector [][]byte) (int, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int
	var failed error
	err = conn.Write(func(fd uintptr) bool {
		n, failed = unix.Writev(int(fd), vector)
		for errors.Is(failed, unix.EINTR) {
			n, failed = unix.Writev(int(fd), vector)
		}
		return !errors.Is(failed, unix.EAGAIN)
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, os.NewSyscallError("writev", failed)
	case n <= 0:
		return 0, io.ErrShortWrite
	}
	return n, nil
}

// advance drops the first n bytes.
func advance(vector [][]byte, n int) [][]byte {
	done := 0
	for done < len(vector) && n >= len(vector[done]) {
		n -= len(vector[done])
		done++
	}
	rest := append(vector[:0], vector[done:]...)
	if n > 0 {
		rest[0] = rest[0][n:]
	}
	return rest
}
