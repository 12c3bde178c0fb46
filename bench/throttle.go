package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/isthmusdata/isthmus/internal/bench"
)

// throttled is a load on two shares, one of which has a bucket that throttles for a while.
type throttled struct {
	rate                  float64 // MB a second into each share
	writes, reads         int     // requests a second that the bucket lets through while it throttles
	before, limited, then time.Duration
}

// throttling lets two of five uploads a second through.
func (e *Env) throttling() throttled {
	const s = time.Second
	return throttled{rate: 12, writes: 2, reads: 3, before: e.pick(15*s, 3*s), limited: e.pick(30*s, 5*s), then: e.pick(25*s, 5*s)}
}

func throttleCases() []Case {
	return []Case{{"throttle", "12 MB/s to each of two shares, one of which is let 2 of 5 PUT a second for 30 s", []System{Isthmus},
		func(ctx context.Context, e *Env, _ System) (Sample, error) {
			c := e.throttling()
			r, err := c.run(ctx, e)
			if err != nil {
				return Sample{}, err
			}
			return Sample{Seconds: c.time().Seconds(), Extra: map[string]float64{
				"puts_limitedeach_let_through": r.PutsForEach, "gets_limitedeach_let_through": r.GetsForEach, "seconds_to_recover": float64(r.RecoverySeconds),
				"other_share_e2e_p99_before_ms": r.CalmEndToEnd.Before, "other_share_e2e_p99_limitedms": r.CalmEndToEnd.During,
				"throttled_share_e2e_p99_before_ms": r.ShortEndToEnd.Before, "throttled_share_e2e_p99_limitedms": r.ShortEndToEnd.During,
			}}, nil
		}}}
}

func (c *throttled) time() time.Duration { return c.before + c.limited + c.then }

// Moment is one second of a throttled run.
type Moment struct {
	Second  int  `json:"second"`
	Limited bool `json:"limited"` // the bucket throttles
	Short   Flow `json:"short"`   // the share whose bucket it is
	Calm    Flow `json:"calm"`    // the other
	// Requests to the bucket that throttles, and of them those that it refused.
	Puts       float64 `json:"puts"`
	PutRefused float64 `json:"puts_refused"`
	Gets       float64 `json:"gets"`
	GetRefused float64 `json:"gets_refused"`
}

// Throttled is what a run saw.
type Throttled struct {
	Writes          int      `json:"writes_a_second"`
	Reads           int      `json:"reads_a_second"`
	PutsForEach     float64  `json:"puts_limitedeach_let_through"` // while the bucket throttled
	GetsForEach     float64  `json:"gets_limitedeach_let_through"`
	RecoverySeconds int      `json:"seconds_to_recover"` // from then until every second's p99 was good
	ShortProduce    Span     `json:"throttled_share_produce_p99_ms"`
	ShortEndToEnd   Span     `json:"throttled_share_e2e_p99_ms"`
	CalmProduce     Span     `json:"other_share_produce_p99_ms"`
	CalmEndToEnd    Span     `json:"other_share_e2e_p99_ms"`
	Moments         []Moment `json:"moments"`
}

// Span is a figure before, while and after the bucket throttled: the median of its seconds.
type Span struct {
	Before float64 `json:"before"`
	During float64 `json:"during"`
	After  float64 `json:"after"`
}

// run fails when anything was lost, duplicated, reordered or refused to a client.
func (c *throttled) run(ctx context.Context, e *Env) (Throttled, error) {
	const storage = "latency=s3-standard"
	topics := map[string]string{"short": "short", "calm": "default"} // with their shares
	cluster, err := e.StartIsthmus(ctx, Options{Query: storage, Prepare: func(ctx context.Context, cluster *Cluster) error {
		bucket := fmt.Sprintf("file://%s?%s&throttle=%d:%d:%v:%v", filepath.Join(cluster.dir, "short"), storage, c.writes, c.reads, c.before, c.limited)
		commands := [][]string{{"share", "create", "short", "--bucket", bucket}}
		for topic, share := range topics {
			commands = append(commands, []string{"grant", "create", "--group", "prod", "--access", "produce", "--share", share},
				[]string{"grant", "create", "--group", "analytics", "--access", "fetch", "--share", share},
				[]string{"topic", "create", topic, "--partitions", "6", "--share", share})
		}
		for _, args := range commands {
			if err := cluster.operate(ctx, args...); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return Throttled{}, err
	}
	defer cluster.Stop()
	load := large()
	load.Brokers, load.ConsumeBrokers = cluster.ProduceAddresses(), cluster.FetchAddresses()
	load.Partitions, load.Clients, load.Warmup, load.For = 6, 2, 0, c.time()
	load.Rate = c.rate * 1e6 / float64(load.RecordSize)
	lines := map[string]*timeline{}
	var loads errgroup.Group
	for topic := range topics {
		mine, line := load, newTimeline(int(load.RecordSize))
		mine.Topic, mine.Watch, lines[topic] = topic, line, line
		loads.Go(func() error {
			_, err := sound(bench.EndToEnd(ctx, mine, e.log, nil))
			return err
		})
	}
	counts, err := everySecond(ctx, cluster, int(load.For/time.Second))
	if err = errors.Join(err, loads.Wait()); err != nil {
		return Throttled{}, err
	}
	return c.sum(counts, lines), nil
}

// requests are those to the bucket that throttles, since the agents began.
type requests struct{ puts, putRefused, gets, getRefused float64 }

// everySecond reads the agents' counters at the beginning of each second, and at the end of the last.
func everySecond(ctx context.Context, c *Cluster, n int) ([]requests, error) {
	const metric, share, refused = "isthmus_meter_s3_requests_total", `share="short"`, `result="throttled"`
	all := make([]requests, 0, n+1)
	start := time.Now()
	for i := range n + 1 {
		if err := until(ctx, start.Add(time.Duration(i)*time.Second)); err != nil {
			return nil, err
		}
		p, err := counters(ctx, c.producers)
		if err != nil {
			return nil, err
		}
		f, err := counters(ctx, c.fetchers)
		if err != nil {
			return nil, err
		}
		all = append(all, requests{
			puts: p.Sum(metric, share, `op="put"`), putRefused: p.Sum(metric, share, `op="put"`, refused),
			gets: f.Sum(metric, share, `op="get"`), getRefused: f.Sum(metric, share, `op="get"`, refused),
		})
	}
	return all, nil
}

func until(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sum makes moments of counts and flows, and figures of them.
func (c *throttled) sum(counts []requests, lines map[string]*timeline) Throttled {
	n := len(counts) - 1
	short, calm := lines["short"].flows(n), lines["calm"].flows(n)
	r := Throttled{Writes: c.writes, Reads: c.reads, Moments: make([]Moment, n)}
	from, to := int(c.before/time.Second), int((c.before+c.limited)/time.Second)
	var during requests
	for i := range n {
		a, b := counts[i], counts[i+1]
		m := Moment{
			Second: i, Limited: i >= from && i < to, Short: short[i], Calm: calm[i],
			Puts: b.puts - a.puts, PutRefused: b.putRefused - a.putRefused, Gets: b.gets - a.gets, GetRefused: b.getRefused - a.getRefused,
		}
		if r.Moments[i] = m; m.Limited {
			during.puts += m.Puts
			during.putRefused += m.PutRefused
			during.gets += m.Gets
			during.getRefused += m.GetRefused
		}
	}
	r.PutsForEach, r.GetsForEach = forEach(during.puts, during.putRefused), forEach(during.gets, during.getRefused)
	span := func(figure func(*Moment) float64) Span {
		// The first seconds are those of connections, the last is not whole.
		return Span{median(r.Moments[min(3, from-1):from], figure), median(r.Moments[from:to], figure), median(r.Moments[to:n-1], figure)}
	}
	r.ShortProduce = span(func(m *Moment) float64 { return m.Short.ProduceP99 })
	r.ShortEndToEnd = span(func(m *Moment) float64 { return m.Short.EndToEndP99 })
	r.CalmProduce = span(func(m *Moment) float64 { return m.Calm.ProduceP99 })
	r.CalmEndToEnd = span(func(m *Moment) float64 { return m.Calm.EndToEndP99 })
	r.RecoverySeconds = recovery(r.Moments[to:n-1], 1.5*r.ShortEndToEnd.Before)
	return r
}

// forEach is how many requests were sent for each that was let through; 0 when none was.
func forEach(sent, refused float64) float64 {
	if sent <= refused {
		return 0
	}
	return sent / (sent - refused)
}

// recovery is how many seconds passed until every later one was as good as it is asked for.
func recovery(after []Moment, good float64) int {
	for i := len(after); i > 0; i-- {
		if after[i-1].Short.EndToEndP99 > good {
			return i
		}
	}
	return 0
}

func median(moments []Moment, figure func(*Moment) float64) float64 {
	if len(moments) == 0 {
		return 0
	}
	all := make([]float64, len(moments))
	for i := range moments {
		all[i] = figure(&moments[i])
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func newThrottle() *cobra.Command {
	var o runOptions
	var folder string
	cmd := &cobra.Command{Use: "throttle", Short: "Show what becomes of a share whose bucket throttles, and of another, as a plot", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&o.binary, "binary", "./isthmus", "the isthmus program")
	cmd.Flags().StringVar(&o.dir, "dir", "/dev/shm", "a folder on a tmpfs, for the buckets")
	cmd.Flags().StringVar(&folder, "out", "docs/architecture/data", "folder of throttle.svg and throttle.json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		e, err := newEnv(o)
		if err != nil {
			return err
		}
		defer e.Close()
		c := e.throttling()
		r, err := c.run(cmd.Context(), e)
		if err != nil {
			return err
		}
		return errors.Join(r.print(cmd.OutOrStdout()), r.keep(folder))
	}
	return cmd
}

// keep writes the plot and its data.
func (t *Throttled) keep(folder string) error {
	svg, err := t.plot()
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(t, "", " ")
	if err != nil {
		return fmt.Errorf("write the data of the plot: %w", err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("keep the plot: %w", err)
	}
	return errors.Join(os.WriteFile(filepath.Join(folder, "throttle.svg"), svg, 0o644),
		os.WriteFile(filepath.Join(folder, "throttle.json"), append(data, '\n'), 0o644))
}

func (t *Throttled) print(w io.Writer) error {
	fmt.Fprintf(w, "%d PUT and %d GET a second are let through; sent for each: PUT %.2f, GET %.2f; well again after %d s\n\n",
		t.Writes, t.Reads, t.PutsForEach, t.GetsForEach, t.RecoverySeconds)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "p99 of a second, median, ms\tbefore\tduring\tafter")
	for _, row := range []struct {
		name string
		at   Span
	}{
		{"throttled share, produce", t.ShortProduce}, {"throttled share, end to end", t.ShortEndToEnd},
		{"other share, produce", t.CalmProduce}, {"other share, end to end", t.CalmEndToEnd},
	} {
		fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%.0f\n", row.name, row.at.Before, row.at.During, row.at.After)
	}
	return table.Flush()
}
