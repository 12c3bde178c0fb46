//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
	"github.com/isthmusdata/isthmus/internal/units"
)

// underLoad lets idempotent producers and a verifying reader run while faults happen: nothing
// that was acknowledged may be lost, duplicated or reordered, and all that was sent is acknowledged in
// the end. The load outlasts the faults by however long it needs to.
func underLoad(t *testing.T, c *cluster, span time.Duration, faults func(), changes ...func(*bench.Config)) {
	t.Helper()
	config := bench.Default()
	config.Brokers, config.ConsumeBrokers = bootstrap(c.prod), bootstrap(c.analytics)
	config.Partitions, config.Clients = 6, 2
	config.Rate, config.RecordSize = 1000, 512*units.Byte
	config.Warmup, config.For = time.Second, span
	for _, change := range changes {
		change(&config)
	}
	type outcome struct {
		result bench.Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := bench.EndToEnd(context.Background(), config, slog.New(slog.DiscardHandler), nil)
		done <- outcome{result, err}
	}()
	faults()
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	r := got.result
	t.Logf("acknowledged %d, lost %d, duplicated %d, reordered %d, errors %d; produce p99 %.0f ms, end to end p99 %.0f ms",
		r.Acked, r.Lost, r.Duplicated, r.Reordered, r.Errors, r.Produce.P99, r.EndToEnd.P99)
	if !r.Sound() {
		t.Errorf("acknowledged %d: lost %d, duplicated %d, reordered %d, errors %d (%s)", r.Acked, r.Lost, r.Duplicated, r.Reordered, r.Errors, r.FirstError)
	}
	if r.Acked == 0 {
		t.Error("nothing was acknowledged")
	}
}

// pause lets load run between two faults; nothing depends on how long.
func pause() { time.Sleep(4 * time.Second) }

// says waits until a process has written text into its log, times times.
func (p *process) says(text string, times int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s says %q", p.name, text), func() error {
		log, err := os.ReadFile(p.log)
		if err != nil {
			return err
		}
		if n := strings.Count(string(log), text); n < times {
			return fmt.Errorf("%d of %d times yet", n, times)
		}
		return nil
	})
}
