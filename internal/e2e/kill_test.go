//go:build e2e

package e2e

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
	"github.com/isthmusdata/isthmus/internal/units"
)

// TestKillUnderLoad kills agents of both groups with -9 while idempotent producers and a
// verifying reader run, lets them return, and then kills the control plane: nothing that was
// acknowledged is lost, duplicated or reordered.
func TestKillUnderLoad(t *testing.T) {
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	config := bench.Default()
	config.Brokers, config.ConsumeBrokers = bootstrap(c.prod), bootstrap(c.analytics)
	config.Partitions, config.Clients = 6, 2
	config.Rate, config.RecordSize = 1000, 512*units.Byte
	config.Warmup, config.For = time.Second, 45*time.Second

	type outcome struct {
		result bench.Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := bench.EndToEnd(context.Background(), config, slog.New(slog.DiscardHandler), nil)
		done <- outcome{result, err}
	}()
	pause := func() { time.Sleep(4 * time.Second) } // lets load run between two faults; nothing depends on it
	for _, victim := range []*process{c.prod[0].process, c.analytics[0].process, c.prod[1].process, c.analytics[1].process, c.control} {
		pause()
		victim.kill()
		pause()
		victim.start()
	}
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
