package main

import (
	"fmt"
	"os"
	"sync"
)

// temporary are the folders that this process must not leave behind, even when a second interrupt ends it in the
// middle of a graceful stop.
var temporary folders

type folders struct {
	mu   sync.Mutex
	made map[string]bool
}

// make makes a folder in the system's place for such.
func (f *folders) make(pattern string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		return "", err
	}
	if f.made == nil {
		f.made = map[string]bool{}
	}
	f.made[dir] = true
	return dir, nil
}

func (f *folders) remove(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.made, dir)
	return os.RemoveAll(dir)
}

// removeAttempts: what still runs may write into a folder while it is being removed.
const removeAttempts = 10

// removeAll removes every folder that is left. It keeps the lock: the process ends next, and nothing may
// be made any more.
func (f *folders) removeAll() {
	f.mu.Lock()
	for dir := range f.made {
		err := os.RemoveAll(dir)
		for i := 1; err != nil && i < removeAttempts; i++ {
			err = os.RemoveAll(dir)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "isthmus: %v\n", err)
		}
	}
}
