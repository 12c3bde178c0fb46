package produce

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isthmusdata/isthmus/internal/record/recordtest"
)

// TestRoom: all of it for one share, a quarter for each of several, and always room for one request.
func TestRoom(t *testing.T) {
	r := room{most: 100, shares: map[string]int64{}}
	claims := func(share string, bytes int64) []claim { return []claim{{share, bytes}} }
	step := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	step("more than there is, alone", r.fits(claims("a", 200)), true)
	r.take(claims("a", 90))
	step("all of it, for one share", r.fits(claims("a", 10)), true)
	step("more than all of it", r.fits(claims("a", 11)), false)
	step("another share", r.fits(claims("b", 10)), true)
	r.take(claims("b", 10))
	r.give(claims("a", 66))
	step("a quarter, now that there are two", r.fits(claims("a", 1)), true)
	r.take(claims("a", 1))
	step("more than a quarter", r.fits(claims("a", 1)), false)
	step("of another share", r.fits(claims("b", 15)), true)
	step("of both, one of which has its part", r.fits([]claim{{"b", 1}, {"a", 1}}), false)
	r.give(claims("a", 25))
	step("a large one, when nothing of its share is held", r.fits(claims("a", 80)), true)
	if r.held != 10 || r.shares["a"] != 0 || r.shares["b"] != 10 {
		t.Errorf("held: %+v", r)
	}
}

// TestAShareThatHangsLeavesRoom: clients of a share whose store hangs fill what it may hold, and wait. Those of another share do not
// notice.
func TestAShareThatHangsLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Memory, c.FlushBytes = 8<<20, 512<<10 })
		defer r.stop()
		hangs := &bucket{objects: make(map[string][]byte), took: time.Hour}
		calm := aTopic("calm", 4)
		calm.Share = "calm"
		r.topics.known["calm"] = calm
		r.runner.deps.Uploader = func(_ context.Context, share string) (Uploader, error) {
			if share == "calm" {
				return r.bucket, nil
			}
			return hangs, nil
		}
		if p := partitions(t, <-r.serve(request(-1, part{"calm", 0, batchOf(1)}))); p[0].ErrorCode != 0 {
			t.Fatalf("%+v", p[0])
		}
		large := frame(recordtest.Batch(recordtest.Options{Size: 900_000, Time: time.Now().UnixMilli()}))
		for range 20 {
			go r.serve(request(-1, part{"events", 0, large}))
		}
		time.Sleep(time.Second)
		for range 5 {
			began := time.Now()
			if p := partitions(t, <-r.serve(request(-1, part{"calm", 0, large}))); p[0].ErrorCode != 0 || time.Since(began) > time.Second {
				t.Errorf("after %v: %+v", time.Since(began), p[0])
			}
		}
	})
}
