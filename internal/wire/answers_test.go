package wire

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

// TestAnswersThatNobodyReads lets clients ask for large answers, many at once, and read none: what is encoded for them
// stays bounded, they are cut once it is more than may be, and who reads is answered meanwhile.
func TestAnswersThatNobodyReads(t *testing.T) {
	const large = 1 << 20
	for _, c := range []struct {
		name    string
		hostile int
		cut     time.Duration // when their connections end, about
	}{
		{"few", 10, Default().WriteTimeout},
		{"more than may be", 100, Default().StallTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := wiretest.NewPipes()
				var served atomic.Int64
				r := newRig(t, Default(), p, API{Key: int16(kmsg.DescribeCluster), Handler: Serial(func(context.Context, *Request) (kmsg.Response, error) {
					served.Add(1)
					resp := kmsg.NewPtrDescribeClusterResponse()
					resp.ClusterID = strings.Repeat("c", large)
					return resp, nil
				})}, heartbeats(Serial(func(_ context.Context, r *Request) (kmsg.Response, error) { return beatAnswer(r), nil })))
				ask := request(kmsg.NewPtrDescribeClusterRequest(), 0, 1)
				start := time.Now()
				ended := make(chan time.Duration, c.hostile)
				for range c.hostile {
					conn := p.Dial()
					for range 20 {
						mustSend(t, conn, ask)
					}
					go func() {
						time.Sleep(c.cut + 2*Default().StallTimeout) // virtual
						_, _ = io.Copy(io.Discard, conn)             // what had been written before the cut
						ended <- time.Since(start)
					}()
				}
				synctest.Wait()
				if got := served.Load(); got != int64(c.hostile) {
					t.Errorf("%d answers were made for %d clients that take none", got, c.hostile)
				}
				honest := p.Dial()
				mustSend(t, honest, beat(3))
				if id, _, err := answer(honest); err != nil || id != 3 || time.Since(start) != 0 {
					t.Errorf("the honest client: answer to %d after %s, %v", id, time.Since(start), err)
				}
				for range c.hostile {
					<-ended
				}
				if got := testutil.ToFloat64(r.metrics.refused.WithLabelValues("slow_reader")); got != float64(c.hostile) && c.hostile < 65 || got < float64(c.hostile-64) {
					t.Errorf("%v of %d were cut", got, c.hostile)
				}
			})
		})
	}
}

// TestPipelinedAnswers: a client that reads gets all it asked for, however many it asks at once.
func TestPipelinedAnswers(t *testing.T) {
	r := newRig(t, Default(), nil, heartbeats(Serial(func(_ context.Context, r *Request) (kmsg.Response, error) { return beatAnswer(r), nil })))
	c := r.dial()
	go func() {
		for i := range int32(5000) {
			if _, err := c.Write(beat(i)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for i := range int32(5000) {
		if id, _, err := answer(c); err != nil || id != i {
			t.Fatalf("answer %d: %d, %v", i, id, err)
		}
	}
	r.Server.Close()
	if r.debts.bytes != 0 || r.budget.used.Load() != 0 {
		t.Errorf("%d bytes are owed, %d are charged", r.debts.bytes, r.budget.used.Load())
	}
}

// TestAwaitedAnswers: a peer that takes nothing is given up soon when others wait for what its answer holds.
func TestAwaitedAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		var awaited atomic.Bool
		done, ended := make(chan struct{}), make(chan struct{})
		r := newRig(t, Default(), p, heartbeats(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
			r.Conn.AtEnd(func() { close(ended) })
			reply(Reply{Gathered: net.Buffers{make([]byte, 1000)}, Awaited: awaited.Load, Done: func() { close(done) }})
		})))
		mustSend(t, p.Dial(), beat(1))
		start := time.Now()
		time.Sleep(10 * time.Second) // virtual: nobody waits, so nothing happens
		awaited.Store(true)
		<-done
		<-ended
		if took := time.Since(start); took > 10*time.Second+2*r.cfg.StallTimeout {
			t.Errorf("given up after %s", took)
		}
	})
}
