package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/authority"
	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// bearing is a token as a client sends it with every call.
type bearing string

func (b bearing) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearing) RequireTransportSecurity() bool { return false }

// dialAs returns a client that was let in as the claims say. How one is let in is another test's matter.
func (b *bed) dialAs(claims authority.Claims) *client.Client {
	b.t.Helper()
	var hash []byte
	b.node.Peek(func(st *control.State) {
		if bound, ok := st.Binding(claims.Binding); ok {
			hash = matchHash(bound)
		}
	})
	claims.Match = hash
	token, _, err := b.node.service.authority.Sign(claims)
	if err != nil {
		b.t.Fatal(err)
	}
	c := client.Default()
	c.Addrs, c.Patience = []string{"node:1"}, 20*time.Second
	c.BackoffMin, c.BackoffMax = time.Millisecond, 10*time.Millisecond
	cl, err := client.Dial(c, quiet(), prometheus.NewRegistry(), grpc.WithPerRPCCredentials(bearing(token)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return b.listener.Load().DialContext(ctx) }))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { cl.Close() })
	return cl
}

// operator is let in by the binding me.
func (b *bed) operator() *client.Client {
	return b.dialAs(authority.Claims{Method: "mtls", Identity: "me", Binding: "me", Admin: true})
}

// member is a logged-in agent of a group, which was let in by the binding that has the group's name.
func (b *bed) member(name, group string, roles ...string) *agent {
	b.t.Helper()
	a := &agent{Client: b.dialAs(authority.Claims{Method: "mtls", Identity: group + "'s", Binding: group, Group: group, Agent: name, Roles: roles})}
	var err error
	a.grant, err = a.Login(b.t.Context(), client.LoginRequest{Agent: name, Group: group, Roles: roles, KafkaAddress: name + ":9092", GossipAddress: name + ":7946"})
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// walled is a cluster with bindings: prod writes to both shares, analytics reads the topic events of one.
type walled struct {
	*bed
	op      *client.Client
	topics  map[string]topic.Topic
	prod    *agent
	reading *agent
}

func newWalled(t *testing.T) *walled {
	w := &walled{bed: newBed(t), topics: map[string]topic.Topic{}}
	w.start()
	ctx, open := t.Context(), w.dial()
	uri := func(name string) client.Match { return client.Match{Method: "mtls", URI: "spiffe://test/" + name} }
	must(t, open.PutShare(ctx, client.Share{Name: "secret", Bucket: "mem://secret", Region: "r", Roles: []client.ShareRole{
		{Group: "prod", Role: "produce", ARN: "arn:aws:iam::111111111111:role/p", ExternalID: "x"}, {Group: "analytics", Role: "fetch", ARN: "arn:aws:iam::111111111111:role/a"},
	}}))
	var refused *client.Refused
	if err := open.PutBinding(ctx, client.Binding{Name: "prod", Match: uri("prod"), Group: "prod", Roles: []string{"produce"}}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "admin") {
		t.Fatalf("a first binding without admin: %v", err)
	}
	must(t,
		open.PutBinding(ctx, client.Binding{Name: "me", Match: uri("me"), Admin: true}))
	if _, err := open.Walls(ctx); !errors.Is(err, client.ErrDenied) || !strings.Contains(err.Error(), "log in") {
		t.Fatalf("without a token, after the first binding: %v", err)
	}
	w.op = w.operator()
	must(t,
		w.op.PutBinding(ctx, client.Binding{Name: "prod", Match: uri("prod"), Group: "prod", Roles: []string{"produce"}, IDPrefixes: []string{"prod-"}}),
		w.op.PutBinding(ctx, client.Binding{Name: "analytics", Match: uri("analytics"), Group: "analytics", Roles: []string{"fetch"}, IDPrefixes: []string{"analytics-"}}),
		w.op.PutGrant(ctx, client.AccessGrant{Name: "p1", Group: "prod", Share: "default", Access: "produce", Topic: "e", Prefix: true, Create: true}),
		w.op.PutGrant(ctx, client.AccessGrant{Name: "p2", Group: "prod", Share: "secret", Access: "produce", Topic: "hid", Prefix: true, Create: true}),
		w.op.PutGrant(ctx, client.AccessGrant{Name: "a1", Group: "analytics", Share: "default", Access: "fetch", Topic: "events"}),
	)
	w.prod = w.member("p1", "prod", control.RoleProduce)
	w.reading = w.member("a1", "analytics", control.RoleFetch)
	for _, name := range []string{"events", "extra", "hidden"} {
		w.topics[name] = w.prod.topic(t, name)
	}
	return w
}

// at is partition 0 of a topic.
func (w *walled) at(name string) topic.Partition { return topic.Partition{Topic: w.topics[name].ID} }

// in is a commit of one record in a share.
func (w *walled) in(share string, sequence uint64, name string) *segment.Commit {
	c := w.prod.commit(sequence, w.at(name), 1)
	c.Share = share
	return c
}

func TestI6TopicsWithoutAGrantDoNotExist(t *testing.T) {
	w := newWalled(t)
	if w.topics["hidden"].Share != "secret" || w.topics["events"].Share != "default" {
		t.Fatalf("created in shares %q and %q, want those of the grants", w.topics["hidden"].Share, w.topics["events"].Share)
	}
	shown := func(a *client.Client, q topic.Query) string {
		t.Helper()
		found, err := a.Topics(t.Context(), q)
		must(t, err)
		var out []string
		for _, f := range found {
			if f.Topic.Internal {
				continue
			}
			out = append(out, fmt.Sprintf("%s:%d", f.Topic.Name, f.Code))
			if f.Code != 0 && (f.Topic.Share != "" || f.Topic.Partitions != 0) {
				t.Errorf("of %+v more is said than it may know", f.Topic)
			}
		}
		return strings.Join(out, " ")
	}
	all, byName := topic.Query{All: true}, topic.Query{Names: []string{"events", "extra", "hidden", "nowhere"}, Create: true}
	byID := topic.Query{IDs: []topic.ID{w.topics["events"].ID, w.topics["extra"].ID, {9}}}
	for _, row := range []struct {
		who              *client.Client
		all, named, byID string
	}{
		{w.reading.Client, "events:0", "events:0 extra:3 hidden:3 nowhere:3", "events:0 :29 :100"},
		{w.prod.Client, "events:0 extra:0 hidden:0", "events:0 extra:0 hidden:0 nowhere:3", "events:0 extra:0 :100"},
		{w.op, "events:0 extra:0 hidden:0", "events:0 extra:0 hidden:0 nowhere:0", "events:0 extra:0 :100"},
	} {
		if got := shown(row.who, all); got != row.all {
			t.Errorf("all: %s, want %s", got, row.all)
		}
		if got := shown(row.who, byID); got != row.byID {
			t.Errorf("by id: %s, want %s", got, row.byID)
		}
		if got := shown(row.who, byName); got != row.named {
			t.Errorf("by name: %s, want %s", got, row.named)
		}
	}
}

func TestI6ReadsNeedAGrant(t *testing.T) {
	w := newWalled(t)
	s := w.prod.commits(t)
	for _, c := range []*segment.Commit{w.in("default", 1, "events"), w.in("default", 2, "extra"), w.in("secret", 1, "hidden")} {
		if r := send(t, s, c); r.Outcome != segment.Answered || r.Answers[0].Verdict != segment.Placed {
			t.Fatalf("%s/%d: %+v", c.Share, c.Sequence, r)
		}
	}
	parts := []topic.Partition{w.at("events"), w.at("extra"), w.at("hidden"), {Topic: topic.ID{9}}}
	var queries []segment.PlanQuery
	var offsets []segment.OffsetQuery
	for _, p := range parts {
		queries = append(queries, segment.PlanQuery{Partition: p, MaxBytes: 1 << 20})
		offsets = append(offsets, segment.OffsetQuery{Partition: p, Timestamp: segment.TimestampLatest})
	}
	plans, err := w.reading.Plan(t.Context(), queries)
	must(t, err)
	for i, want := range []int16{0, 29, 29, 100} {
		if p := plans[i]; p.Code != want || (want != 0) != (len(p.Locations) == 0) || want != 0 && p.HighWatermark > 0 {
			t.Errorf("plan %d: %+v, want code %d", i, p, want)
		}
	}
	found, err := w.reading.ListOffsets(t.Context(), offsets)
	must(t, err)
	for i, want := range []int16{0, 29, 29, 100} {
		if f := found[i]; f.Code != want || want != 0 && f.Offset != topic.NoOffset {
			t.Errorf("offset %d: %+v, want code %d", i, f, want)
		}
	}
	if _, err := w.prod.Plan(t.Context(), queries); !errors.Is(err, client.ErrDenied) {
		t.Errorf("a producer plans: %v", err)
	}
	if found, err := w.prod.ListOffsets(t.Context(), offsets[:3]); err != nil || found[2].Code != 0 || found[2].Offset != 1 {
		t.Errorf("a producer asks for the end of what it writes: %+v, %v", found, err)
	}
}

// TestI6NothingIsDoneInAnothersSession tries every call that names a session with one that is another agent's.
func TestI6NothingIsDoneInAnothersSession(t *testing.T) {
	w := newWalled(t)
	other := w.member("a2", "analytics", control.RoleFetch)
	w.member("p2", "prod", control.RoleProduce)
	thief := w.dialAs(authority.Claims{Method: "mtls", Identity: "prod's", Binding: "prod", Group: "prod", Agent: "p2", Roles: []string{control.RoleProduce}})
	ctx := t.Context()
	for what, try := range map[string]func() error{
		"heartbeat": func() error { _, err := thief.Heartbeat(ctx, w.prod.grant.Session, 0); return err },
		"end":       func() error { return thief.EndSession(ctx, w.prod.grant.Session) },
		"commit": func() error {
			s, err := thief.Commits(ctx, w.prod.grant.Session)
			if err != nil {
				return err
			}
			defer s.Close()
			must(t, s.Send(w.in("default", 1, "events")))
			_, err = s.Recv()
			return err
		},
		"log in as another agent": func() error {
			_, err := thief.Login(ctx, client.LoginRequest{Agent: "p1", Group: "prod", Roles: []string{"produce"}})
			return err
		},
		"log in as of another group": func() error {
			_, err := thief.Login(ctx, client.LoginRequest{Agent: "p2", Group: "analytics", Roles: []string{"produce"}})
			return err
		},
		"log in with another role": func() error {
			_, err := thief.Login(ctx, client.LoginRequest{Agent: "p2", Group: "prod", Roles: []string{"produce", "fetch"}})
			return err
		},
		"plan in a session of the own group": func() error {
			stolen := w.stealing(other.grant.Session)
			_, err := stolen.Plan(ctx, []segment.PlanQuery{{Partition: w.at("events")}})
			return err
		},
		"watch in a session of the own group": func() error { _, err := w.stealing(other.grant.Session).Watch(ctx); return err },
		"call in a session of the own group": func() error {
			_, err := w.stealing(other.grant.Session).Call(ctx, client.TunnelCall{Key: 16})
			return err
		},
		"topics in a session of the own group": func() error {
			_, err := w.stealing(other.grant.Session).Topics(ctx, topic.Query{All: true})
			return err
		},
		"a fetching agent commits":  func() error { _, err := w.reading.Commits(ctx, w.reading.grant.Session); return err },
		"a producing agent watches": func() error { _, err := w.prod.Watch(ctx); return err },
		"an agent reads the walls":  func() error { _, err := w.prod.Walls(ctx); return err },
		"an agent reads the audit":  func() error { _, _, err := w.prod.Audit(ctx, client.AuditQuery{}); return err },
		"an agent reads the meter":  func() error { _, err := w.prod.Meter(ctx, time.Hour); return err },
		"an agent grants": func() error {
			return w.prod.PutGrant(ctx, client.AccessGrant{Name: "x", Group: "prod", Share: "secret", Access: "fetch"})
		},
		"an agent confirms the clock": func() error { _, err := w.prod.ConfirmClock(ctx); return err },
	} {
		if err := try(); !errors.Is(err, client.ErrDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if beat, err := w.prod.Heartbeat(ctx, w.prod.grant.Session, 0); err != nil || beat.Ended {
		t.Errorf("the session that was tried: %+v, %v", beat, err)
	}
	if err := w.op.EndSession(ctx, w.prod.grant.Session); err != nil {
		t.Errorf("an operator ends a session: %v", err)
	}
	if beat, err := w.prod.Heartbeat(ctx, w.prod.grant.Session, 0); err != nil || !beat.Ended {
		t.Errorf("the session that an operator ended: %+v, %v", beat, err)
	}
	status, err := w.reading.Status(ctx)
	must(t, err)
	if len(status.Agents) != 2 || status.Topics != 0 || slices.ContainsFunc(status.Agents, func(a client.Agent) bool { return a.Group != "analytics" }) {
		t.Errorf("an agent is told %+v", status)
	}
}

// stealing is agent a1 of analytics, which names a session that it was not given.
func (w *walled) stealing(session uint64) *client.Client {
	w.t.Helper()
	c := w.dialAs(authority.Claims{Method: "mtls", Identity: "analytics's", Binding: "analytics", Group: "analytics", Agent: "a1", Roles: []string{control.RoleFetch}})
	c.UseSession(session)
	return c
}

// TestI6AWatchEndsWithItsGrant: what is taken away is said to be removed at once, the rest goes on; with the binding
// the stream ends.
func TestI6AWatchEndsWithItsGrant(t *testing.T) {
	w := newWalled(t)
	ctx := t.Context()
	must(t, w.op.PutGrant(ctx, client.AccessGrant{Name: "a2", Group: "analytics", Share: "default", Access: "fetch", Topic: "extra"}))
	watch, err := w.reading.Watch(ctx)
	must(t, err)
	must(t, watch.Add([]topic.Partition{w.at("events"), w.at("extra"), w.at("hidden")}))
	heard := func() segment.Event {
		t.Helper()
		events, err := watch.Recv()
		must(t, err)
		if len(events) != 1 {
			t.Fatalf("%d events at once", len(events))
		}
		return events[0]
	}
	removed := map[topic.Partition]bool{}
	for range 3 {
		events, err := watch.Recv()
		must(t, err)
		for _, e := range events {
			removed[e.Partition] = e.Removed
		}
		if len(removed) == 3 {
			break
		}
	}
	if removed[w.at("events")] || removed[w.at("extra")] || !removed[w.at("hidden")] {
		t.Fatalf("added: %v", removed)
	}
	s := w.prod.commits(t)
	send(t, s, w.in("default", 1, "events"))
	if e := heard(); e.Partition != w.at("events") || e.HighWatermark != 1 {
		t.Fatalf("heard %+v", e)
	}
	must(t, w.op.RemoveGrant(ctx, "a1"))
	if e := heard(); e.Partition != w.at("events") || !e.Removed {
		t.Fatalf("after the grant was removed: %+v", e)
	}
	send(t, s, w.in("default", 2, "events"))
	send(t, s, w.in("default", 3, "extra"))
	if e := heard(); e.Partition != w.at("extra") || e.HighWatermark != 1 {
		t.Fatalf("heard %+v", e)
	}
	if plans, err := w.reading.Plan(ctx, []segment.PlanQuery{{Partition: w.at("events")}}); err != nil || plans[0].Code != 29 {
		t.Errorf("plan: %+v, %v", plans, err)
	}
	// The grant of extra runs out, with nobody doing anything.
	must(t, w.op.PutGrant(ctx, client.AccessGrant{Name: "a2", Group: "analytics", Share: "default", Access: "fetch", Topic: "extra", Until: time.Now().Add(time.Second)}))
	if e := heard(); e.Partition != w.at("extra") || !e.Removed {
		t.Fatalf("after the grant ran out: %+v", e)
	}
	must(t, w.op.PutGrant(ctx, client.AccessGrant{Name: "a1", Group: "analytics", Share: "default", Access: "fetch"}))
	must(t, watch.Add([]topic.Partition{w.at("extra")}))
	if e := heard(); e.Partition != w.at("extra") || e.Removed || e.HighWatermark != 1 {
		t.Fatalf("granted again: %+v", e)
	}
	must(t, w.op.RemoveBinding(ctx, "analytics"))
	for {
		if _, err = watch.Recv(); err != nil {
			break
		}
	}
	if !errors.Is(err, client.ErrDenied) && !errors.Is(err, client.ErrSessionEnded) {
		t.Errorf("after the binding was removed: %v", err)
	}
	if _, err := w.reading.Plan(ctx, []segment.PlanQuery{{Partition: w.at("extra")}}); !errors.Is(err, client.ErrDenied) {
		t.Errorf("plan after the binding was removed: %v", err)
	}
}

// TestI6CommitsEndWithTheirGrant: a row without a grant is refused alone, a share without one is refused, other shares go on,
// and with the binding the stream ends.
func TestI6CommitsEndWithTheirGrant(t *testing.T) {
	w := newWalled(t)
	ctx := t.Context()
	s := w.prod.commits(t)
	placed := func(c *segment.Commit) {
		t.Helper()
		if r := send(t, s, c); r.Outcome != segment.Answered || r.Answers[0].Verdict != segment.Placed {
			t.Fatalf("%s/%d: %+v", c.Share, c.Sequence, r)
		}
	}
	placed(w.in("default", 1, "events"))
	must(t, w.op.PutGrant(ctx, client.AccessGrant{Name: "p1", Group: "prod", Share: "default", Access: "produce", Topic: "extra"}))
	if r := send(t, s, w.in("default", 2, "events")); r.Outcome != segment.Answered || r.Answers[0].Verdict != segment.Refused || r.Answers[0].Code != 29 {
		t.Fatalf("a topic that is not granted any more: %+v", r)
	}
	placed(w.in("default", 3, "extra"))
	must(t, w.op.RemoveGrant(ctx, "p2"))
	if r := send(t, s, w.in("secret", 1, "hidden")); r.Outcome == segment.Answered && r.Answers[0].Verdict != segment.Refused {
		t.Fatalf("a share that is not granted any more: %+v", r)
	}
	placed(w.in("default", 4, "extra"))
	must(t, w.op.RemoveBinding(ctx, "prod"))
	var err error
	for err == nil {
		_, err = s.Recv()
	}
	if !errors.Is(err, client.ErrDenied) || !strings.Contains(err.Error(), "not logged in") { // it may come back by another
		t.Errorf("the stream ended with %v", err)
	}
	if _, err := w.prod.Commits(ctx, w.prod.grant.Session); !errors.Is(err, client.ErrDenied) {
		t.Errorf("another stream: %v", err)
	}
}

// TestHeartbeatsTellTheWalls: an agent learns of shares, of their roles for its own group, and that something has changed.
func TestHeartbeatsTellTheWalls(t *testing.T) {
	w := newWalled(t)
	ctx := t.Context()
	beat := func(a *agent) client.Beat {
		t.Helper()
		b, err := a.Heartbeat(ctx, a.grant.Session, 0)
		must(t, err)
		return b
	}
	said := func(shares []client.Share) string {
		var out []string
		for _, s := range shares {
			out = append(out, fmt.Sprintf("%s at %s %s %v", s.Name, s.Bucket, s.Region, s.Roles))
		}
		return strings.Join(out, ", ")
	}
	const both = "default at mem://  [], secret at mem://secret r [{prod produce arn:aws:iam::111111111111:role/p x}]"
	if got := said(w.prod.grant.Shares); got != both {
		t.Errorf("login tells %s", got)
	}
	first := beat(w.prod)
	if got := said(first.Shares); got != both {
		t.Errorf("heartbeat tells %s", got)
	}
	if got := said(beat(w.reading).Shares); got != "default at mem://  []" {
		t.Errorf("heartbeat tells a reader %s", got)
	}
	must(t,
		w.op.PutGroup(ctx, client.AgentGroup{Name: "prod", Quota: client.Quota{BytesIn: 5}}),
		w.op.RemoveGrant(ctx, "p2"))
	second := beat(w.prod)
	if second.Walls <= first.Walls || said(second.Shares) != "default at mem://  []" || second.Quota.BytesIn != 5 {
		t.Errorf("first %+v, then %+v", first, second)
	}
	w.member("p2", "prod", control.RoleProduce)
	if third := beat(w.prod); third.Agents != 2 || third.Walls != second.Walls {
		t.Errorf("then %+v", third)
	}
}
