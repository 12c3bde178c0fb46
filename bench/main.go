package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{Use: "bench", Short: "Measure isthmus beside Apache Kafka", SilenceUsage: true}
	root.AddCommand(newRun(), newTable(), newCompare(), newThrottle(), newS3())
	if err := root.ExecuteContext(ctx); err != nil {
		os.Exit(1)
	}
}

// runOptions are the flags of run.
type runOptions struct {
	pattern, binary, dir, out, page, profiles string
	short, kafka                              bool
	rounds                                    int
}

func newRun() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{Use: "run", Short: "Run cases and write their results", Args: cobra.NoArgs}
	f := cmd.Flags()
	f.StringVar(&o.pattern, "run", "", "only cases whose name matches this regular expression")
	f.StringVar(&o.binary, "binary", "./isthmus", "the isthmus program")
	f.StringVar(&o.dir, "dir", "/dev/shm", "a folder on a tmpfs, for the data of all systems")
	f.StringVar(&o.out, "out", "bench/results", "folder of results; nothing is written when empty")
	f.StringVar(&o.page, "page", "", "a page of documentation to write the tables into")
	f.StringVar(&o.profiles, "profiles", "", "folder for CPU profiles of each process under each load")
	f.BoolVar(&o.short, "short", false, "one round, seconds a case: that it runs, not how fast")
	f.BoolVar(&o.kafka, "kafka", true, "run Apache Kafka, too")
	f.IntVar(&o.rounds, "rounds", 3, "samples of each case and system; their median counts")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) }
	return cmd
}

func newTable() *cobra.Command {
	return &cobra.Command{Use: "table FILE", Short: "Print a result as a table", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		r, err := readResult(args[0])
		if err != nil {
			return err
		}
		return r.Print(os.Stdout)
	}}
}

// newEnv makes the folders of a run. The caller closes it.
func newEnv(o runOptions) (*Env, error) {
	dir, err := os.MkdirTemp(o.dir, "isthmus-bench-")
	if err != nil {
		return nil, err
	}
	logs, err := os.MkdirTemp("", "isthmus-bench-logs-")
	if err != nil {
		return nil, err
	}
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return nil, err
	}
	return &Env{Binary: o.binary, Dir: dir, Logs: logs, Profiles: o.profiles, Short: o.short, Out: os.Stderr, kafka: map[System]*Kafka{},
		log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}, nil
}

func run(ctx context.Context, o runOptions) (err error) {
	pattern, err := regexp.Compile(o.pattern)
	if err != nil {
		return fmt.Errorf("--run: %w", err)
	}
	if o.short {
		o.rounds = 1
	}
	e, err := newEnv(o)
	if err != nil {
		return err
	}
	defer e.Close()
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
	}
	result, err := newResult(ctx)
	if err != nil {
		return err
	}
	var chosen []Case
	for _, c := range cases() {
		if pattern.MatchString(c.Name) {
			chosen = append(chosen, c)
		}
	}
	var failed []error
	for i, c := range chosen {
		if err := e.runCase(ctx, o, c, result); err != nil {
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		e.release(chosen[i+1:])
	}
	if err := result.Print(os.Stdout); err != nil {
		return err
	}
	if o.out != "" {
		all, err := result.Write(o.out)
		if err != nil {
			return err
		}
		if o.page != "" {
			if err := all.WritePage(o.page); err != nil {
				return err
			}
		}
	}
	return errors.Join(failed...)
}

// runCase samples a case on its systems in turn, round by round. One that fails does not keep the others from being sampled.
func (e *Env) runCase(ctx context.Context, o runOptions, c Case, result *Result) error {
	var failed []error
	for round := 1; round <= o.rounds && (round == 1 || !once(c.Name)); round++ {
		for _, s := range c.Systems {
			if s != Isthmus && !o.kafka {
				continue
			}
			e.round = round
			sample, err := c.Run(ctx, e, s)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				err = fmt.Errorf("%s on %s, round %d: %w (logs: %s)", c.Name, s, round, err, e.Logs)
				fmt.Fprintln(e.Out, "FAILED", err)
				failed = append(failed, err)
				continue
			}
			sample.Case, sample.System, sample.Round = c.Name, s, round
			result.Samples = append(result.Samples, sample)
			fmt.Fprintf(e.Out, "%s %-18s %-9s %d  %7.1f MB/s  %7.1f MB/CPU-s  p50/p99 %.0f/%.0f  %.0f/%.0f ms  %.0f MB\n", time.Now().Format(time.TimeOnly), c.Name, s, round,
				sample.MBPerSecond, sample.MBPerCPUSecond, sample.ProduceP50Ms, sample.ProduceP99Ms, sample.EndToEndP50Ms, sample.EndToEndP99Ms, sample.ResidentMB)
		}
	}
	return errors.Join(failed...)
}
