package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/sched"
)

// TestCrew: tasks run one at a time in virtual time; one seed gives one order, and seeds give several.
func TestCrew(t *testing.T) {
	play := func(seed uint64) string {
		w := &World{rng: rand.New(rand.NewPCG(seed, 0)), seen: map[string]int{}}
		c := newCrew(w)
		var said []string
		say := func(format string, args ...any) {
			said = append(said, fmt.Sprintf("%s@%s", fmt.Sprintf(format, args...), w.now))
		}
		tokens := make(chan struct{}, 2)
		tokens <- struct{}{}
		c.do(func() {
			for i := range 3 {
				c.Go(func() {
					got := c.Wait(context.Background(), sched.Never, nil, tokens)
					say("%d has %d", i, got)
					sched.Sleep(context.Background(), c, time.Second)
					tokens <- struct{}{}
				})
			}
			c.Go(func() {
				ctx, cancel := c.Timeout(c.ctx, 10*time.Second)
				defer cancel()
				inner, end := context.WithCancel(ctx)
				defer end()
				say("late %d", c.Wait(inner, c.Now()+4*time.Second))
				say("over %d %v %v", c.Wait(inner, sched.Never), ctx.Err(), inner.Err())
			})
			c.Go(func() { say("killed %d", c.Wait(context.Background(), sched.Never)) })
		})
		for w.step() {
		}
		if len(c.tasks) != 1 {
			t.Errorf("%d tasks are left", len(c.tasks))
		}
		c.kill()
		return strings.Join(said, " ")
	}
	orders := map[string]bool{}
	for seed := range uint64(20) {
		got := play(seed)
		if again := play(seed); again != got {
			t.Errorf("seed %d: %s, then %s", seed, got, again)
		}
		orders[got] = true
		for _, want := range []string{"0 has 1@", "1 has 1@", "2 has 1@", "late -1@4s", "over -2 context deadline exceeded context canceled@10s", "killed -2@10s"} {
			if !strings.Contains(got, want) {
				t.Errorf("seed %d: %s lacks %s", seed, got, want)
			}
		}
	}
	if len(orders) < 3 {
		t.Errorf("%d orders in 20 seeds", len(orders))
	}
}
