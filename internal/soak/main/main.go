// Command main of package soak runs one soak and prints its report. make soak calls it.
//
// Exit codes: 0 sound; 1 something was lost, duplicated, reordered, leaked or did not come back, or the
// soak could not be run; 2 the command line is wrong.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/isthmusdata/isthmus/internal/soak"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	config := soak.Default()
	config.Seed = rand.Uint64N(1_000_000)
	f := flag.NewFlagSet("soak", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&config.Binary, "binary", "./isthmus", "the program")
	f.StringVar(&config.Dir, "dir", "", "folder of logs, data and the report; default: a new one")
	f.DurationVar(&config.For, "for", config.For, "time of load; from ten minutes on, every kind of fault happens")
	f.Uint64Var(&config.Seed, "seed", config.Seed, "decides faults, order and victims; default: drawn")
	f.Float64Var(&config.Rate, "rate", config.Rate, "records a second")
	only := f.String("only", "", "kinds of faults, separated by commas: "+strings.Join(soak.Kinds(), ", "))
	output := f.String("output", "table", "how to print the report: table or json")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if *output != "table" && *output != "json" || f.NArg() > 0 {
		fmt.Fprintf(stderr, "soak: -output is table or json, and nothing else is asked for\n")
		return 2
	}
	if *only != "" {
		config.Only = strings.Split(*only, ",")
	}
	config.Progress = stderr
	report, err := execute(ctx, config)
	if report != nil {
		if perr := show(stdout, report, *output); err == nil {
			err = perr
		}
	}
	if err == nil && !report.Sound() {
		err = errors.New("the soak found faults")
	}
	if err != nil {
		fmt.Fprintf(stderr, "soak: %v\n", err)
		return 1
	}
	return 0
}

// execute runs the soak and leaves its report beside the logs.
func execute(ctx context.Context, c soak.Config) (*soak.Report, error) {
	if err := c.FromEnv(); err != nil {
		return nil, err
	}
	if c.Dir == "" {
		dir, err := os.MkdirTemp("", "isthmus-soak-")
		if err != nil {
			return nil, fmt.Errorf("make a folder for the soak: %w", err)
		}
		c.Dir = dir
	}
	fmt.Fprintf(c.Progress, "soak: seed %d, %v of load, logs in %s\n", c.Seed, c.For, c.Dir)
	report, err := soak.Run(ctx, c)
	if report == nil {
		return nil, err
	}
	text, jerr := json.MarshalIndent(report, "", "  ")
	if jerr == nil {
		jerr = os.WriteFile(filepath.Join(c.Dir, "report.json"), text, 0o600)
	}
	return report, errors.Join(err, jerr)
}

func show(w io.Writer, report *soak.Report, output string) error {
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	return report.Print(w)
}
