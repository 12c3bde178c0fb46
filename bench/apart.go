package main

import (
	"context"
	"errors"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
)

// historians is how many readers of history stand beside the tail.
const historians = 8

func apartCases() []Case {
	return []Case{
		{"apart", "8 MB/s of tail beside 8 readers of 2 GB of history at full speed, at latency=s3-standard", []System{Isthmus}, apart("latency=s3-standard")},
		{"apart-file", "the same without latency", []System{Isthmus}, apart("")},
	}
}

// apart measures a tail alone, and then beside readers of history at the same agent. Those keep none of what they
// read, so that the agent, not they, is what is slow; they run on the same processors as all the rest.
//
// The sample is that of the tail beside them; Extra has what the tail was alone, the ratio, and how much they read.
func apart(query string) func(context.Context, *Env, System) (Sample, error) {
	return func(ctx context.Context, e *Env, s System) (Sample, error) {
		t, err := e.Target(ctx, s, Options{Query: query})
		if err != nil {
			return Sample{}, err
		}
		defer t.Close(ctx, e)
		history := t.Aim(large())
		history.Topic, history.ServerPIDs, history.Warmup, history.For = "history", nil, 0, patience
		enough := newEnough(int64(e.megabytes(2000, 100) * 1e6 / float64(history.RecordSize)))
		history.Watch, history.Until = enough, enough.come
		if _, err := sound(bench.Produce(ctx, history, e.log, nil)); err != nil {
			return Sample{}, err
		}
		tail := func(topic string) (Sample, error) {
			c := t.Aim(large())
			c.Topic, c.Partitions, c.Clients, c.Rate = topic, 12, 2, 8e6/float64(c.RecordSize)
			c.Warmup, c.For = e.Warmup(), e.pick(20*time.Second, 3*time.Second)
			return sound(bench.EndToEnd(ctx, c, e.log, nil))
		}
		alone, err := tail("alone")
		if err != nil {
			return Sample{}, err
		}
		read, stop, err := readHistory(ctx, t.Consume, history.Topic, historians)
		if err != nil {
			return Sample{}, err
		}
		before, began := read.Load(), time.Now()
		beside, err := tail("beside")
		rate := float64(read.Load()-before) / 1e6 / time.Since(began).Seconds()
		if err = errors.Join(err, stop()); err != nil {
			return Sample{}, err
		}
		if rate == 0 {
			return Sample{}, errors.New("no history was read beside the tail")
		}
		beside.Extra = map[string]float64{
			"alone_e2e_p50_ms": alone.EndToEndP50Ms, "alone_e2e_p99_ms": alone.EndToEndP99Ms,
			"p99_ratio": beside.EndToEndP99Ms / alone.EndToEndP99Ms, "history_mb_per_second": rate,
		}
		return beside, nil
	}
}

// megabytes are how many a case writes.
func (e *Env) megabytes(full, short float64) float64 {
	if e.Short {
		return short
	}
	return full
}
