package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/authority"
	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/internal/meter"
)

// metering is an agent whose sums the test sets.
type metering struct {
	*client.Membership

	mu     sync.Mutex
	totals []meter.Total
}

func (w *walled) metering(name, group string, roles ...string) *metering {
	w.t.Helper()
	a := &metering{}
	c := w.dialAs(authority.Claims{Method: "mtls", Identity: group + "'s", Binding: group, Group: group, Agent: name, Roles: roles})
	a.Membership = client.NewMembership(c, client.LoginRequest{Agent: name, Group: group, Roles: roles, KafkaAddress: name + ":9092", GossipAddress: name + ":7946"}, client.Hooks{
		Granted: func(client.Grant) {}, Ended: func(uint64) {}, Seeds: func([]string) {},
		Metered: func() []meter.Total {
			a.mu.Lock()
			defer a.mu.Unlock()
			return slices.Clone(a.totals)
		},
	}, slog.New(slog.DiscardHandler))
	_, err := a.Grant(w.t.Context())
	must(w.t, err)
	return a
}

// did sets what was done for the share default since the agent started, and tells it.
func (a *metering) did(t *testing.T, share string, puts, bytes int64) {
	t.Helper()
	total := meter.Total{Share: share}
	total.Counts[meter.Requests(meter.Put, meter.OK)], total.Counts[meter.PutBytes] = puts, bytes
	a.mu.Lock()
	a.totals = append(slices.DeleteFunc(a.totals, func(o meter.Total) bool { return o.Share == share }), total)
	a.mu.Unlock()
	must(t, a.Report(t.Context()))
}

// metered are the sums of a span, as an operator reads them.
func (w *walled) metered(span time.Duration) string {
	w.t.Helper()
	m, err := w.op.Meter(w.t.Context(), span)
	must(w.t, err)
	var all []string
	for _, r := range m.Rows {
		all = append(all, fmt.Sprintf("%s/%s %d puts %dB", r.Group, r.Share, r.Counts.Calls(meter.Put), r.Counts[meter.PutBytes]))
	}
	return strings.Join(all, ", ")
}

// TestWhatAgentsDidOutlivesTheLeader: it is told with heartbeats and written down once in an interval and when a node stops; what is told again
// counts once, a lost leader's last minute is told to the next, and shares of others are not believed.
func TestWhatAgentsDidOutlivesTheLeader(t *testing.T) {
	w := newWalled(t)
	a := w.metering("m1", "prod", control.RoleProduce)
	if got := w.metered(time.Hour); got != "" {
		t.Fatalf("before anything was done: %s", got)
	}
	a.did(t, "default", 3, 300)
	a.did(t, "secret", 1, 100)
	a.did(t, "nowhere", 1, 100)
	b := w.metering("m2", "analytics", control.RoleFetch)
	b.did(t, "secret", 7, 700) // it has nothing to do with it
	b.did(t, "default", 2, 0)
	w.bed.stop()
	w.start()
	w.op = w.operator()
	want := "analytics/default 2 puts 0B, prod/default 3 puts 300B, prod/secret 1 puts 100B"
	for _, span := range []time.Duration{time.Hour, 30 * 24 * time.Hour} {
		if got := w.metered(span); got != want {
			t.Errorf("%v after a restart: %s, wanted %s", span, got, want)
		}
	}
	w.bed.stop()
	w.config.MeterInterval = 20 * time.Millisecond
	w.start()
	w.op = w.operator()
	a = w.metering("m3", "prod", control.RoleProduce)
	a.did(t, "default", 5, 50)
	a.did(t, "default", 6, 60)
	eventually(t, "what was done is written down while the node runs", func() bool {
		return strings.Contains(w.metered(time.Hour), "prod/default 9 puts 360B")
	})
	if _, err := w.op.Meter(t.Context(), 0); err == nil || errors.Is(err, client.ErrUnavailable) {
		t.Errorf("of no time: %v", err)
	}
}

// TestALeaderThatFailsIsToldAgain: what it heard and had not written down is told to the next one, though nothing was done since.
func TestALeaderThatFailsIsToldAgain(t *testing.T) {
	w := newWalled(t)
	a := w.metering("m1", "prod", control.RoleProduce)
	a.did(t, "default", 3, 300)
	why := errors.New("the disk is on fire")
	w.node.raft.Fail(why)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.node.Stop(ctx); !errors.Is(err, why) {
		t.Fatalf("stopped with %v", err)
	}
	w.config.MeterInterval = 20 * time.Millisecond
	w.start()
	w.op = w.operator()
	if got := w.metered(time.Hour); got != "" {
		t.Fatalf("a node that failed has written down %s", got)
	}
	for range 2 {
		must(t, a.Report(t.Context()))
		eventually(t, "the next leader has it, once", func() bool { return w.metered(time.Hour) == "prod/default 3 puts 300B" })
	}
}

// TestWhatIsToldAgainIsNotWrittenAgain: the last word is repeated for two minutes, and an idle cluster writes nothing for that.
func TestWhatIsToldAgainIsNotWrittenAgain(t *testing.T) {
	w := newWalled(t)
	a := w.metering("m1", "prod", control.RoleProduce)
	s := w.node.service
	news := func() (n int) {
		s.node.Peek(func(st *control.State) { n = len(s.meters.commands(st.Metered)) })
		return n
	}
	a.did(t, "default", 3, 300)
	must(t, s.writeMeters(t.Context()))
	for range 3 {
		must(t, a.Report(t.Context()))
		if n := news(); n != 0 {
			t.Fatalf("%d commands of what the state has", n)
		}
	}
	a.did(t, "default", 3, 301)
	if n := news(); n != 1 {
		t.Errorf("%d commands of something new", n)
	}
}
