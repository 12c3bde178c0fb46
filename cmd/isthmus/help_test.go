package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestEveryCommandShowsAnExample(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if !strings.Contains(cmd.Example, "isthmus") {
			t.Errorf("%s --help has no example", cmd.CommandPath())
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(newRoot())
}

// Whoever copies an example gets what it says: the command exists, and so do its flags.
func TestExamplesAreCommandLines(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			_, words, ok := strings.Cut(strings.ReplaceAll(line, "'", ""), "isthmus ")
			named, rest, err := newRoot().Find(strings.Fields(words))
			if err != nil || !ok {
				t.Errorf("%s --help: %q: %v", cmd.CommandPath(), line, err)
				continue
			}
			if err := named.ParseFlags(rest); err != nil && !errors.Is(err, pflag.ErrHelp) {
				t.Errorf("%s --help: %q: %v", cmd.CommandPath(), line, err)
			} else if err := named.ValidateArgs(named.Flags().Args()); err != nil {
				t.Errorf("%s --help: %q: %v", cmd.CommandPath(), line, err)
			}
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(newRoot())
}
