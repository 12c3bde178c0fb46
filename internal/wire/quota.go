package wire

import (
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/quota"
)

// quotas bound what all clients of a listener do together. Who overdraws is answered, told how long to wait
// (throttle_time_ms), and not read meanwhile (KIP-219): an honest client waits by itself, another has to.
type quotas struct {
	in, out, requests quota.Bucket
	connections       atomic.Int64 // 0: no bound but the configured one
}

// SetQuota changes what the clients may do from now on. Connections that are open stay.
func (s *Server) SetQuota(l quota.Limits) {
	now := time.Now()
	s.quotas.in.Set(now, l.BytesIn)
	s.quotas.out.Set(now, l.BytesOut)
	s.quotas.requests.Set(now, l.Requests)
	s.quotas.connections.Store(l.Connections)
	for kind, bound := range map[string]int64{
		quotaBytesIn: l.BytesIn, quotaBytesOut: l.BytesOut, quotaRequests: l.Requests, quotaConnections: l.Connections,
	} {
		s.metrics.quota.WithLabelValues(kind).Set(float64(bound))
	}
}

// Kinds of quota, as metrics name them.
const (
	quotaBytesIn     = "bytes_in"
	quotaBytesOut    = "bytes_out"
	quotaRequests    = "requests"
	quotaConnections = "connections"
)

// crowded says whether one connection more is too many by the quota.
func (q *quotas) crowded(open int) bool {
	most := q.connections.Load()
	return most > 0 && int64(open) >= most
}

// took counts a request that was read.
func (c *Conn) took(now time.Time, key int16, bytes int) {
	c.wait(now, quotaRequests, c.server.quotas.requests.Take(now, 1))
	if key == keyProduce {
		c.wait(now, quotaBytesIn, c.server.quotas.in.Take(now, int64(bytes)))
	}
}

// gives counts an answer before it is written, and says for how long the client is to send nothing.
func (c *Conn) gives(now time.Time, key int16, bytes int) time.Duration {
	if key == keyFetch {
		c.wait(now, quotaBytesOut, c.server.quotas.out.Take(now, int64(bytes)))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.muted.Sub(now)
}

// wait keeps the connection from being read for so long.
func (c *Conn) wait(now time.Time, kind string, d time.Duration) {
	if d <= 0 {
		return
	}
	c.mu.Lock()
	until := now.Add(d)
	longer := until.Sub(maxTime(c.muted, now))
	if longer > 0 {
		c.muted = until
	}
	c.mu.Unlock()
	if longer > 0 {
		c.server.metrics.throttled.WithLabelValues(kind).Add(longer.Seconds())
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// awaitQuota returns when the connection may be read. An answer that is written meanwhile may prolong it.
func (c *Conn) awaitQuota() error {
	for {
		c.mu.Lock()
		left := time.Until(c.muted)
		c.mu.Unlock()
		if left <= 0 {
			return nil
		}
		over := time.NewTimer(left)
		select {
		case <-over.C:
		case <-c.server.draining:
			over.Stop()
			return errDraining
		case <-c.ctx.Done():
			over.Stop()
			return c.ctx.Err()
		}
	}
}

// Allowance is how many bytes of records an answer may hold by the quota, a first batch aside; 0: none at all, for
// what others were answered is not paid for yet. Without a quota it is as many as there are.
func (r *Request) Allowance() int64 {
	if r.Conn == nil {
		return noBound
	}
	return r.Conn.server.quotas.out.Left(time.Now())
}

const noBound = 1<<63 - 1

// millis is a throttle time as it is written: none is not rounded to none.
func millis(d time.Duration) int32 {
	if d <= 0 {
		return 0
	}
	return int32((d + time.Millisecond - 1) / time.Millisecond)
}

// setThrottle tells the client in its answer, where the answer has a place for it.
func setThrottle(body kmsg.Response, d time.Duration) bool {
	t, ok := body.(kmsg.SetThrottleResponse)
	if ok {
		t.SetThrottle(millis(d))
	}
	return ok
}
