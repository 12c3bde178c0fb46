package client

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// TestUsageIsSaidUntilItIsHeard: what was served meanwhile is added to what could not be said, and what was heard is not
// said again; a session that has ended heard nothing.
func TestUsageIsSaidUntilItIsHeard(t *testing.T) {
	s := &script{}
	id := topic.ID{15: 1}
	m := NewMembership(serveWith(t, func(c *Config) { c.Patience = 300 * time.Millisecond }, nil, s), LoginRequest{Agent: "a", Group: "g"}, Hooks{
		Granted: func(Grant) {}, Ended: func(uint64) {}, Seeds: func([]string) {},
		Served: func() []Usage { return []Usage{{id, 100, 1}, {topic.ID{15: 2}, 1, 1}} },
	}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err := m.Report(t.Context()); err != nil || len(s.fetched) != 0 {
		t.Errorf("without a session: %v, said %v", err, s.fetched)
	}
	g, err := m.Grant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		away, ended bool
		want        int64 // bytes of the first topic that are said
	}{{false, false, 100}, {true, false, 100}, {true, false, 200}, {false, true, 300}, {false, false, 400}, {false, false, 100}} {
		s.away.Store(c.away)
		s.mu.Lock()
		s.beats, s.fetched = []*controlpb.HeartbeatResponse{{Ended: c.ended}}, nil
		s.mu.Unlock()
		if _, err := m.beat(t.Context(), g, false); (err != nil) != c.away {
			t.Errorf("beat %d: %v", i, err)
		}
		s.mu.Lock()
		said := s.fetched
		s.mu.Unlock()
		if c.away && len(said) == 0 {
			continue // the client has not got as far as the server
		}
		bytes := int64(0)
		for _, u := range said {
			if topic.ID(u.GetTopicId()) == id {
				bytes = u.GetBytes()
			}
		}
		if len(said) != 2 || bytes != c.want {
			t.Errorf("beat %d said %v; wanted %d bytes", i, said, c.want)
		}
	}
}
