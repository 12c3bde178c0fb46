//go:build e2e && linux

package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// diskVariable names the folder to mount on, in the process that has mounts of its own.
const diskVariable = "ISTHMUS_FILESTORE_DISK"

// TestRealDisks runs TestDisksInside in a process with a user and mounts of its own, so that small and read-only
// disks need no rights here.
func TestRealDisks(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDisksInside$", "-test.v")
	cmd.Env = append(os.Environ(), diskVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestDisksInside/read-only") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestDisksInside(t *testing.T) {
	dir := os.Getenv(diskVariable)
	if dir == "" {
		return // TestRealDisks runs it where it can mount
	}
	if err := syscall.Mount("isthmus", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("mount a disk of 1 MiB: %v", err)
	}
	s := open(t, filepath.Join(dir, "bucket"))
	var stored []string
	t.Run("full", func(t *testing.T) {
		body := [][]byte{make([]byte, 150<<10)}
		for i := range 20 {
			key := fmt.Sprintf("a/%d", i)
			err := s.PutNew(context.Background(), key, body, objstore.Sum(body))
			if err != nil {
				mustSay(t, err, objstore.ErrUnavailable, "no space left on device", "make room on the disk of "+dir)
				if _, err := s.Head(context.Background(), key); !errors.Is(err, objstore.ErrNotFound) {
					t.Errorf("%s was refused and is there: %v", key, err)
				}
				break
			}
			stored = append(stored, key)
		}
		if len(stored) == 0 || len(stored) == 20 {
			t.Fatalf("%d of 20 objects fit", len(stored))
		}
		if left := temporaries(t, filepath.Join(dir, "bucket")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		if err := s.Delete(context.Background(), stored[0]); err != nil {
			t.Fatal(err)
		}
		if err := s.PutNew(context.Background(), "a/again", body, objstore.Sum(body)); err != nil {
			t.Errorf("put after room was made: %v", err)
		}
	})
	if err := syscall.Mount("isthmus", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatalf("remount read-only: %v", err)
	}
	t.Run("read-only", func(t *testing.T) {
		mustSay(t, put(t, s, "b", "x"), objstore.ErrDenied, "read-only file system", "try: mount "+dir)
		mustSay(t, s.Delete(context.Background(), stored[1]), objstore.ErrDenied, "read-only")
		if _, err := s.GetRange(context.Background(), stored[1], 0, -1); err != nil {
			t.Errorf("get: %v", err)
		}
		fresh := open(t, filepath.Join(dir, "other"))
		mustSay(t, put(t, fresh, "b", "x"), objstore.ErrDenied, "read-only")
	})
}
