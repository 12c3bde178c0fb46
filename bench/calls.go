package main

import (
	"context"
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
	"github.com/isthmusdata/isthmus/internal/cost"
)

func callsCases() []Case {
	only := []System{Isthmus}
	return []Case{
		{"calls-default", "requests to the bucket for 40 MB/s in and out, defaults, latency of S3 Standard", only, calls(40)},
		{"calls-economy", "the same, segments of 250 ms or 8 MiB", only, calls(40, "--flush-interval", "250ms", "--flush-bytes", "8MiB")},
		{"calls-low", "the same at 1 MB/s, defaults: segments are as small as the interval makes them", only, calls(1)},
	}
}

// calls counts every request of every process to the bucket, hedges and failures included, and prices them at
// the list prices of us-east-1.
func calls(mb float64, flags ...string) func(context.Context, *Env, System) (Sample, error) {
	return func(ctx context.Context, e *Env, s System) (Sample, error) {
		t, err := e.Target(ctx, s, Options{Query: standard, Agent: flags})
		if err != nil {
			return Sample{}, err
		}
		defer t.Close(ctx, e)
		before, err := t.cluster.requests(ctx)
		if err != nil {
			return Sample{}, err
		}
		c := t.Aim(large())
		c.Clients, c.Rate = 4, mb*1e6/float64(c.RecordSize)
		c.Warmup, c.For = 0, e.pick(15*time.Second, 3*time.Second) // all that was written is counted, and all that was asked
		sample, err := sound(bench.EndToEnd(ctx, c, e.log, nil))
		if err != nil {
			return Sample{}, err
		}
		after, err := t.cluster.requests(ctx)
		if err != nil {
			return Sample{}, err
		}
		gib := sample.ProducedMB * 1e6 / (1 << 30)
		cents, err := priced(after.less(before))
		if err != nil {
			return Sample{}, err
		}
		r := after.less(before)
		sample.Puts, sample.Gets = r.puts/gib, r.gets/gib
		sample.CentsPerGiB = cents / gib
		sample.Extra = map[string]float64{"lists": r.lists}
		return sample, nil
	}
}

// bucketRequests are what all processes of a cluster asked of the bucket. HEAD is priced, and counted, as GET.
type bucketRequests struct{ puts, gets, lists float64 }

func (r bucketRequests) less(b bucketRequests) bucketRequests {
	return bucketRequests{r.puts - b.puts, r.gets - b.gets, r.lists - b.lists}
}

func (c *Cluster) requests(ctx context.Context) (bucketRequests, error) {
	sums := Counters{}
	for _, p := range c.Processes() {
		if err := p.read(ctx, sums); err != nil {
			return bucketRequests{}, fmt.Errorf("read the metrics of %s: %w", p.name, err)
		}
	}
	op := func(name string) float64 { return sums.Sum("isthmus_objstore_requests_total", `op="`+name+`"`) }
	return bucketRequests{puts: op("put") + op("multipart"), gets: op("get") + op("head"), lists: op("list")}, nil
}

// priced is what requests cost in cents.
func priced(r bucketRequests) (float64, error) {
	p, err := cost.DefaultPrices()
	if err != nil {
		return 0, err
	}
	each := p.Regions["us-east-1"].S3
	return (r.puts*each.Put + r.gets*each.Get + r.lists*each.List) / 1000 * 100, nil
}
