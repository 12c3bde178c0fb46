package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestClockIsMovedByAFile moves a process's wall clock there and back while it runs.
func TestClockIsMovedByAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offset")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	if wall, err := testClock(log); wall != nil || err != nil {
		t.Fatalf("without %s: %v, %v", testClockEnv, wall != nil, err)
	}
	t.Setenv(testClockEnv, path)
	if _, err := testClock(log); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is not there: %v", err)
	}
	write("soon")
	if _, err := testClock(log); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that holds no number: %v", err)
	}
	write("3600000\n")
	wall, err := testClock(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, moved := range []struct {
		text string
		want time.Duration
	}{{"3600000\n", time.Hour}, {"-3600000", -time.Hour}, {"0", 0}} {
		write(moved.text)
		if ahead := time.Until(wall()).Round(time.Hour); ahead != moved.want {
			t.Errorf("the clock stands %v from the machine's, want %v", ahead, moved.want)
		}
	}
	write("-3600000")
	wall()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if ahead := time.Until(wall()).Round(time.Hour); ahead != -time.Hour {
		t.Errorf("without its file the clock stands %v from the machine's", ahead)
	}
}
