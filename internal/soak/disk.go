package soak

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// diskSize is room enough for the control plane's log and snapshots of a long soak.
const diskSize = "size=512m"

// disk is a small file system for the control plane's data, which can be filled up.
type disk struct{ dir string }

func mountDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the disk of the control plane: %w", err)
	}
	if err := unix.Mount("isthmus-soak", dir, "tmpfs", 0, diskSize); err != nil {
		return nil, fmt.Errorf("mount the disk of the control plane at %s: %w (a disk that can be full takes root's rights: run the soak as root)", dir, err)
	}
	return &disk{dir}, nil
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill takes all the room that is left.
func (d *disk) fill() error {
	file, err := os.Create(d.ballast())
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer file.Close()
	_, err = io.Copy(file, zeros{})
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("fill the disk of %s: no end was found: %w", d.dir, err)
	}
	return nil
}

// empty gives the room back.
func (d *disk) empty() error {
	if err := os.Remove(d.ballast()); err != nil {
		return fmt.Errorf("make room on the disk: %w", err)
	}
	return nil
}

func (d *disk) unmount() error {
	if err := unix.Unmount(d.dir, 0); err != nil {
		return fmt.Errorf("unmount the disk of the control plane at %s: %w", d.dir, err)
	}
	return nil
}

// zeros reads as no end of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
