package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestASecondInterruptLeavesNoFolder plays a program that never comes to the end of its graceful stop.
func TestASecondInterruptLeavesNoFolder(t *testing.T) {
	const child = "ISTHMUS_TEST_STUBBORN"
	if os.Getenv(child) != "" {
		ctx, _ := interruptible(t.Context())
		dir, err := temporary.make("isthmus-test-")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Println(dir)
		<-ctx.Done()
		fmt.Println("stopping")
		select {}
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
	lines := bufio.NewScanner(out)
	lines.Scan()
	dir := lines.Text()
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
		t.Fatalf("it said %q: %v", dir, err)
	}
	for _, want := range []string{"stopping", ""} {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if lines.Scan(); lines.Text() != want {
			t.Fatalf("it said %q, want %q", lines.Text(), want)
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).ExitStatus() != 130 {
		t.Errorf("it ended with %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
}
