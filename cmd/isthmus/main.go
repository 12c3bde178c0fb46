// Command isthmus is one logical Kafka-compatible cluster stretched over cloud accounts:
// produce-only agents in one, fetch-only agents in another, a bucket between them.
//
// Exit codes: 0 done; 1 it failed, or a check found a fault; 2 the command line or the
// configuration is wrong; 130 a second interrupt cut a graceful stop short.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := interruptible(context.Background())
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// interruptible is done at the first interrupt; the second one ends the process at once, for
// a person who has waited long enough.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		temporary.removeAll()
		os.Exit(130)
	}()
	return ctx, cancel
}

// unlessInterrupted returns err, why a server could not start, unless it was interrupted while it
// waited for others: that is what was asked for, and no failure.
func unlessInterrupted(ctx context.Context, err error, log *slog.Logger) error {
	if ctx.Err() == nil {
		return err
	}
	log.Info("stopped before it had started", "waited_for", err)
	return nil
}

// run executes one command line and turns its error into words and an exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "isthmus: %v\n", err)
	var ended exitError
	if errors.As(err, &ended) {
		return ended.code
	}
	var wrong usageError
	if errors.As(err, &wrong) {
		return 2
	}
	return 1
}

// exitError ends the process with a code of the command's own.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

// usageError is a fault of the command line or the configuration, not of the world.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }
