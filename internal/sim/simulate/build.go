package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/isthmusdata/isthmus/internal/sim"
)

// build makes the program with the mutants in it and lets it play. It returns whether all was well.
func build(args []string) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "simulate-")
	if err != nil {
		return false, fmt.Errorf("make a folder for the build: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root, err := repository()
	if err != nil {
		return false, err
	}
	overlay, err := sim.Overlay(root, dir, sim.Mutants())
	if err != nil {
		return false, err
	}
	program := filepath.Join(dir, "simulate")
	if err := run(root, "go", "build", "-overlay", overlay, "-o", program, "./internal/sim/simulate"); err != nil {
		return false, fmt.Errorf("build the simulation with its mutants: %w", err)
	}
	err = run(root, program, append([]string{"-play"}, args...)...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, nil // it has said why
	}
	return err == nil, err
}

// repository is the root of the module that this is run in.
func repository() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("ask go for the module: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if file == "" || file == os.DevNull {
		return "", errors.New("run it in the repository: go run ./internal/sim/simulate")
	}
	return filepath.Dir(file), nil
}

func run(dir, program string, args ...string) error {
	c := exec.Command(program, args...)
	c.Dir, c.Stdout, c.Stderr = dir, os.Stdout, os.Stderr
	return c.Run()
}
