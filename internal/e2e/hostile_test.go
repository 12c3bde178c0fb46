//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
	"github.com/isthmusdata/isthmus/internal/units"
)

const (
	hostileMemory = 512 * units.MiB // of each agent
	hostileSpan   = 12 * time.Second
	honestRate    = 12_000 // records of 1 KiB a second, written and read
)

// TestHostileCrowd measures what honest clients get of one agent of each role without, and then with, a crowd
// that does everything at once that a client should not do. What they wrote is read whole and in order, memory stays within
// its bounds, and when the crowd is gone nothing of it is left. The part that honest clients keep is printed, and
// asserted only not to be nothing: the crowd works on the same processors.
//
// ISTHMUS_HOSTILE=each plays the attacks one by one besides, and the name of one plays that alone: make hostile.
func TestHostileCrowd(t *testing.T) {
	c := startAgents(t, "file://"+filepath.Join(t.TempDir(), "bucket"), 1, "--memory", hostileMemory.String(), "--cache", "64MiB")
	createTopics(t, mustDialDirect(t, c.prod[0].kafka), hostilePartitions, hostileWide)
	h := &hostile{T: t, cluster: c, agents: []*agent{c.prod[0], c.analytics[0]}}
	before := h.held()
	calm := h.honest("nobody", nil)
	all := slices.Sorted(maps.Keys(attacks))
	switch each := os.Getenv("ISTHMUS_HOSTILE"); each {
	case "":
	case "each":
		for _, name := range all {
			h.honest(name, []string{name})
		}
	default:
		all = strings.Split(each, "+")
	}
	crowded := h.honest("all at once", all)
	h.table(calm)
	if kept := crowded.ConsumedMBPerSecond / calm.ConsumedMBPerSecond; kept < 0.02 {
		t.Errorf("honest clients keep %.0f %% of their throughput", 100*kept)
	}
	h.gone(before)
}

// hostile is a cluster under attack and what was seen.
type hostile struct {
	*testing.T
	*cluster
	agents []*agent
	rows   []hostileRow
}

type hostileRow struct {
	crowd  string
	honest bench.Result
	peak   []int64
	did    string
}

// honest runs the honest clients, while a crowd attacks if there are attacks, and checks that nothing of theirs is lost.
func (h *hostile) honest(name string, attacks []string) bench.Result {
	h.Helper()
	stop := h.crowd(attacks)
	config := bench.Default()
	config.Brokers, config.ConsumeBrokers = bootstrap(h.prod), bootstrap(h.analytics)
	config.Topic = fmt.Sprintf("honest-%d", len(h.rows))
	config.Partitions, config.Clients, config.Rate, config.RecordSize = 12, 2, honestRate, units.KiB
	config.Warmup, config.For = 3*time.Second, hostileSpan
	// The crowd leaves with the last record sent: that all of them are read is a matter of what was stored.
	end := sync.OnceValue(stop)
	leaves := time.AfterFunc(config.Warmup+config.For, func() { end() })
	defer leaves.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), hostileSpan+patience)
	defer cancel()
	result, err := bench.EndToEnd(ctx, config, slog.New(slog.DiscardHandler), nil)
	did := end()
	if err != nil {
		h.Fatalf("honest clients beside %s: %v", name, err)
	}
	if !result.Sound() {
		h.Errorf("beside %s: acknowledged %d, lost %d, duplicated %d, reordered %d, errors %d (%s)", name,
			result.Acked, result.Lost, result.Duplicated, result.Reordered, result.Errors, result.FirstError)
	}
	row := hostileRow{crowd: name, honest: result, did: did}
	for _, a := range h.agents {
		peak := a.memory("VmHWM")
		row.peak = append(row.peak, peak)
		if peak > 3*int64(hostileMemory) {
			h.Errorf("beside %s: an agent with --memory %v took %s", name, hostileMemory, mib(peak))
		}
	}
	h.rows = append(h.rows, row)
	h.Logf("%s: %.1f MB/s written, %.1f read; acknowledged p99 %.0f ms, end to end p99 %.0f ms; %s", name, result.ProducedMBPerSecond, result.ConsumedMBPerSecond,
		result.Produce.P99, result.EndToEnd.P99, strings.ReplaceAll(strings.TrimSpace(did), "\n", "; "))
	return result
}

// crowd starts the hostile clients in a process of their own; end stops them and returns what they say they have done.
func (h *hostile) crowd(names []string) (end func() string) {
	h.Helper()
	if len(names) == 0 {
		return func() string { return "" }
	}
	cmd := exec.Command("nice", "-n", "19", os.Args[0])
	cmd.Env = append(os.Environ(), crowdVariable+"="+strings.Join(append([]string{h.agents[0].kafka, h.agents[1].kafka}, names...), ";"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	stop, err := cmd.StdinPipe()
	if err != nil {
		h.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() }) // if the test has not come to its end
	return func() string {
		stop.Close()
		if err := cmd.Wait(); err != nil {
			h.Fatalf("the crowd: %v\n%s", err, tail(out.String(), 30))
		}
		return out.String()
	}
}

func (h *hostile) table(calm bench.Result) {
	var b strings.Builder
	fmt.Fprintf(&b, "| %-28s | %8s | %8s | %5s | %9s | %9s | %13s | %11s |\n", "crowd", "written", "read", "kept", "ack p99", "read p99", "produce peak", "fetch peak")
	for _, r := range h.rows {
		fmt.Fprintf(&b, "| %-28s | %4.1f MB/s | %4.1f MB/s | %3.0f %% | %6.0f ms | %6.0f ms | %13s | %11s |\n", r.crowd, r.honest.ProducedMBPerSecond, r.honest.ConsumedMBPerSecond,
			100*r.honest.ConsumedMBPerSecond/calm.ConsumedMBPerSecond, r.honest.Produce.P99, r.honest.EndToEnd.P99, mib(r.peak[0]), mib(r.peak[1]))
	}
	h.Logf("agents with --memory %v\n%s", hostileMemory, b.String())
}

// holdings is what a process holds that it must give back.
type holdings struct{ goroutines, connections, files float64 }

func (h *hostile) held() (all []holdings) {
	for _, a := range h.agents {
		all = append(all, holdings{
			goroutines:  metric(h.T, a.http, "go_goroutines"),
			connections: metric(h.T, a.http, "isthmus_wire_connections"),
			files:       metric(h.T, a.http, "process_open_fds"),
		})
	}
	return all
}

// gone waits until the agents hold about what they held before anybody came.
func (h *hostile) gone(before []holdings) {
	h.Cleanup(func() {
		if !h.Failed() {
			return
		}
		for i, a := range h.agents {
			response, err := http.Get("http://" + a.http + "/debug/pprof/goroutine?debug=1")
			if err != nil {
				h.Logf("goroutines of agent %d: %v", i, err)
				continue
			}
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			h.Logf("goroutines of agent %d (%v):\n%s", i, err, text[:min(len(text), 8000)])
		}
	})
	const slack = 60 // of goroutines and files: peers, streams and uploads that come and go
	eventually(h.T, "connections and goroutines of the crowd are gone", func() error {
		for i, now := range h.held() {
			was := before[i]
			if now.connections > was.connections || now.goroutines > was.goroutines+slack || now.files > was.files+slack {
				return fmt.Errorf("agent %d held %+v, and holds %+v", i, was, now)
			}
		}
		return nil
	})
}
