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

// builder makes the programs that play.
type builder struct {
	root string // of the repository
	dir  string // of what is built
}

// build makes the program with the mutants in it and lets it play. It returns whether all was well.
func build(o options, args []string) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "simulate-")
	if err != nil {
		return false, fmt.Errorf("make a folder for the build: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root, err := repository()
	if err != nil {
		return false, err
	}
	b := &builder{root: root, dir: dir}
	overlay, err := sim.Overlay(root, dir, sim.Mutants())
	if err != nil {
		return false, err
	}
	program := filepath.Join(dir, "simulate")
	if err := b.run(os.Stdout, "go", "build", "-overlay", overlay, "-o", program, "./internal/sim/simulate"); err != nil {
		return false, fmt.Errorf("build the simulation with its mutants: %w", err)
	}
	args = append([]string{"-play"}, args...)
	if seeds := min(o.seeds, coverSeeds); o.coverage && o.mutants && o.mutant == "" {
		digest, err := b.coverage(seeds, o.first)
		if err != nil {
			return false, err
		}
		args = append(args, "-same", digest)
	}
	err = b.run(os.Stdout, program, args...)
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

// run lets a program run in the repository.
func (b *builder) run(out *os.File, program string, args ...string) error {
	c := exec.Command(program, args...)
	c.Dir, c.Stderr = b.root, os.Stderr
	if out != nil {
		c.Stdout = out
	}
	return c.Run()
}
