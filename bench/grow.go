package main

import (
	"context"
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
)

// growRate and growFanout are the load on clusters of every size: MB a second in, and how often all of it is read.
const (
	growRate   = 30
	growFanout = 2
)

func growCases() []Case {
	var all []Case
	for _, size := range [][2]int{{1, 1}, {2, 2}, {3, 3}, {4, 4}, {1, 4}} {
		all = append(all, Case{
			fmt.Sprintf("grow-%d-%d", size[0], size[1]),
			fmt.Sprintf("%d MB/s in, %d MB/s out, %d agents that produce and %d that fetch, at latency=s3-standard", growRate, growRate*growFanout, size[0], size[1]),
			[]System{Isthmus}, grow(size[0], size[1]),
		})
	}
	return all
}

// grow loads a cluster at a rate, and then, for a moment, as much as it takes: that is Extra's most_mb_per_second, in and out.
//
// What agents asked of the bucket is counted at the rate: Extra's gets_per_object leaves hedges out, and says how often the zone
// reads what is written, however many agents and consumers there are; peer_reads_per_get is how many chunks agents had of
// each other for each.
func grow(produce, fetch int) func(context.Context, *Env, System) (Sample, error) {
	return func(ctx context.Context, e *Env, s System) (Sample, error) {
		t, err := e.Target(ctx, s, Options{Query: "latency=s3-standard", Produce: produce, Fetch: fetch})
		if err != nil {
			return Sample{}, err
		}
		defer t.Close(ctx, e)
		c := t.Aim(large())
		c.Clients, c.Fanout = 4, growFanout
		c.Warmup, c.For = e.Warmup(), e.pick(10*time.Second, 2*time.Second)
		steady := c
		steady.Rate = growRate * 1e6 / float64(c.RecordSize)
		before, err := t.cluster.asked(ctx)
		if err != nil {
			return Sample{}, err
		}
		sample, err := sound(bench.EndToEnd(ctx, steady, e.log, nil))
		if err != nil {
			return Sample{}, err
		}
		after, err := t.cluster.asked(ctx)
		if err != nil {
			return Sample{}, err
		}
		d := after.less(before)
		sample.Puts, sample.Gets = d.puts, d.gets
		sample.Extra = map[string]float64{"gets_per_object": (d.gets - d.hedges) / d.stored, "peer_reads_per_get": d.peers / d.gets}
		c.Topic, c.Warmup, c.For = "full", e.pick(2*time.Second, time.Second), e.pick(6*time.Second, 2*time.Second)
		full, err := sound(bench.EndToEnd(ctx, c, e.log, nil))
		if err != nil {
			return Sample{}, err
		}
		sample.Extra["most_mb_per_second"] = full.MBPerSecond
		return sample, nil
	}
}

// asked is what agents have asked of the bucket and of each other.
type asked struct{ puts, stored, gets, hedges, peers float64 }

func (a asked) less(b asked) asked {
	return asked{a.puts - b.puts, a.stored - b.stored, a.gets - b.gets, a.hedges - b.hedges, a.peers - b.peers}
}

func (c *Cluster) asked(ctx context.Context) (asked, error) {
	p, err := counters(ctx, c.producers)
	if err != nil {
		return asked{}, err
	}
	f, err := counters(ctx, c.fetchers)
	if err != nil {
		return asked{}, err
	}
	return asked{
		puts: p.Sum("isthmus_produce_puts_total"), stored: p.Sum("isthmus_produce_segments_total", `result="stored"`),
		gets: f.Sum("isthmus_fetch_gets_total"), hedges: f.Sum("isthmus_fetch_get_hedges_total"), peers: f.Sum("isthmus_fetch_peer_reads_total"),
	}, nil
}
