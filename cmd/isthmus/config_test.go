package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/internal/units"
)

// options is a command with one option of every kind, run with the given arguments and file.
func options(t *testing.T, yaml string, args ...string) (interval time.Duration, size units.Bytes, printed string, err error) {
	t.Helper()
	interval, size = 200*time.Millisecond, 4*units.MiB
	var seeds []string
	cmd := &cobra.Command{Use: "x", SilenceErrors: true, SilenceUsage: true, RunE: configured(func(*cobra.Command) error { return nil })}
	cmd.Flags().DurationVar(&interval, "flush-interval", interval, "")
	cmd.Flags().Var(&size, "flush-bytes", "")
	cmd.Flags().StringSliceVar(&seeds, "control", nil, "")
	addConfigFlags(cmd)
	if yaml != "" {
		path := filepath.Join(t.TempDir(), "isthmus.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs(args)
	err = cmd.Execute()
	return interval, size, out.String(), err
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	file := "flush-interval: 100ms\nflush-bytes: 2MiB\ncontrol: [a:1, b:2]\n"
	if interval, size, _, err := options(t, ""); err != nil || interval != 200*time.Millisecond || size != 4*units.MiB {
		t.Errorf("defaults: %v %v %v", interval, size, err)
	}
	if interval, size, _, err := options(t, file); err != nil || interval != 100*time.Millisecond || size != 2*units.MiB {
		t.Errorf("file: %v %v %v", interval, size, err)
	}
	t.Setenv("ISTHMUS_FLUSH_INTERVAL", "50ms")
	if interval, _, _, err := options(t, file); err != nil || interval != 50*time.Millisecond {
		t.Errorf("environment: %v %v", interval, err)
	}
	if interval, _, _, err := options(t, file, "--flush-interval", "25ms"); err != nil || interval != 25*time.Millisecond {
		t.Errorf("flag: %v %v", interval, err)
	}
}

func TestPrintConfigSaysWhereFrom(t *testing.T) {
	t.Setenv("ISTHMUS_FLUSH_INTERVAL", "50ms")
	_, _, printed, err := options(t, "control: [a:1, b:2]\n", "--flush-bytes", "8MiB", "--print-config")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"flush-interval: 50ms", "# environment ISTHMUS_FLUSH_INTERVAL", "flush-bytes: 8MiB", "# flag", "control: [a:1, b:2]", "# file ",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("printed configuration lacks %q:\n%s", want, printed)
		}
	}
	if _, _, again, err := options(t, printed, "--print-config"); err != nil || !strings.Contains(again, "flush-bytes: 8MiB") {
		t.Errorf("printed configuration does not read back: %v\n%s", err, again)
	}
}

func TestEveryFaultOfTheFileIsNamedAtOnce(t *testing.T) {
	_, _, _, err := options(t, "flush-intervall: 100ms\nflush_bytes: 1MiB\nsharks: 3\n")
	if err == nil {
		t.Fatal("unknown keys were accepted")
	}
	for _, want := range []string{
		`unknown key "flush-intervall": did you mean "flush-interval"?`, `unknown key "flush_bytes": did you mean "flush-bytes"?`, `unknown key "sharks"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	t.Setenv("ISTHMUS_FLUSH_INTERVAL", "fast")
	t.Setenv("ISTHMUS_FLUSH_BYTES", "many")
	_, _, _, err = options(t, "")
	if err == nil || !strings.Contains(err.Error(), "ISTHMUS_FLUSH_INTERVAL") || !strings.Contains(err.Error(), "ISTHMUS_FLUSH_BYTES") {
		t.Errorf("two bad variables: %v", err)
	}
}
