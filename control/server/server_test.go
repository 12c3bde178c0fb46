package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// bed is a control node that is started, stopped and started again, and clients of it.
type bed struct {
	t        testing.TB
	config   Config
	deps     Deps
	node     *Node
	listener atomic.Pointer[bufconn.Listener]
}

func newBed(t testing.TB) *bed {
	b := &bed{t: t, config: Default()}
	b.config.BucketURL = "mem://"
	b.config.Raft.Dir = t.TempDir()
	b.config.Raft.ElectionTimeout = 10 * time.Millisecond
	b.config.Tick = 10 * time.Millisecond
	b.deps = Deps{Store: memstore.New(nil), Logger: quiet()}
	t.Cleanup(func() { b.stop() })
	return b
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (b *bed) start() {
	b.t.Helper()
	l := bufconn.Listen(1 << 20)
	b.deps.Listener, b.deps.Registerer = l, prometheus.NewRegistry()
	n, err := Start(b.t.Context(), b.config, b.deps)
	if err != nil {
		b.t.Fatal(err)
	}
	b.node = n
	b.listener.Store(l)
	if err := n.WaitReady(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) stop() {
	if b.node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.node.Stop(ctx); err != nil {
		b.t.Errorf("stop: %v", err)
	}
	b.node = nil
}

// dial returns a client that finds the node again after a restart.
func (b *bed) dial() *client.Client {
	b.t.Helper()
	c := client.Default()
	c.Addrs = []string{"node:1"}
	c.BackoffMin, c.BackoffMax = time.Millisecond, 10*time.Millisecond
	cl, err := client.Dial(c, quiet(), prometheus.NewRegistry(), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return b.listener.Load().DialContext(ctx)
	}))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { cl.Close() })
	return cl
}

// agent is a logged-in client.
type agent struct {
	*client.Client
	grant client.Grant
}

func (b *bed) agent(name string, roles ...string) *agent {
	b.t.Helper()
	a := &agent{Client: b.dial()}
	a.login(b.t, name, roles...)
	return a
}

func (a *agent) login(t testing.TB, name string, roles ...string) {
	t.Helper()
	var err error
	a.grant, err = a.Login(t.Context(), client.LoginRequest{
		Agent: name, Group: "g-" + name, Roles: roles, KafkaAddress: name + ":9092", GossipAddress: name + ":7946",
	})
	if err != nil {
		t.Fatal(err)
	}
}

// topic creates a topic on first use.
func (a *agent) topic(t testing.TB, name string) topic.Topic {
	t.Helper()
	found, err := a.Topics(t.Context(), topic.Query{Names: []string{name}, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if found[0].Code != 0 || found[0].Topic.ID.IsZero() {
		t.Fatalf("topic %s: %+v", name, found[0])
	}
	return found[0].Topic
}

// commit is a segment of one row of records in one partition.
func (a *agent) commit(sequence uint64, p topic.Partition, records uint32) *segment.Commit {
	return &segment.Commit{
		Session: a.grant.Session, Share: "default", Sequence: sequence, After: sequence - 1,
		Nonce: segment.Nonce{byte(sequence), byte(sequence >> 8), byte(sequence >> 16), 1},
		Manifest: segment.Manifest{Size: 4096, Rows: []segment.Row{{
			Partition: p, Position: 128, Length: 1000, Records: records, MaxTimestamp: 1, Producer: segment.Producer{ID: segment.NoProducer},
		}}},
	}
}

// send commits on a stream and returns the answer.
func send(t *testing.T, s *client.CommitStream, c *segment.Commit) segment.Reply {
	t.Helper()
	if err := s.Send(c); err != nil {
		t.Fatal(err)
	}
	r, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (a *agent) commits(t testing.TB) *client.CommitStream {
	t.Helper()
	s, err := a.Commits(t.Context(), a.grant.Session)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestPlaceAndPlan(t *testing.T) {
	b := newBed(t)
	b.start()
	p := b.agent("producer", control.RoleProduce)
	f := b.agent("fetcher", control.RoleFetch)
	part := topic.Partition{Topic: p.topic(t, "events").ID}
	s := p.commits(t)
	for i, base := range []topic.Offset{0, 3, 6} {
		r := send(t, s, p.commit(uint64(i+1), part, 3))
		if r.Outcome != segment.Answered || len(r.Answers) != 1 || r.Answers[0].Verdict != segment.Placed || r.Answers[0].Offset != base {
			t.Fatalf("commit %d: %+v", i+1, r)
		}
	}
	plans, err := f.Plan(t.Context(), []segment.PlanQuery{
		{Partition: part, Offset: 4, MaxBytes: 1 << 20}, {Partition: part, Offset: 9}, {Partition: topic.Partition{Index: 7}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if l := plans[0].Locations; len(l) != 2 || l[0].Base != 3 || l[1].End() != 9 || l[0].Object.Group != "g-producer" ||
		l[0].Object.Share != "default" || l[0].Object.ID != (segment.ID{Incarnation: 1, Session: p.grant.Session, Sequence: 2}) || l[0].Size != 4096 {
		t.Errorf("plan from 4: %+v", plans[0])
	}
	if plans[1].Code != 0 || plans[1].HighWatermark != 9 || len(plans[1].Locations) != 0 {
		t.Errorf("plan from the end: %+v", plans[1])
	}
	if plans[2].Code != codeUnknownTopicID {
		t.Errorf("plan of nothing: %+v", plans[2])
	}
	found, err := f.ListOffsets(t.Context(), []segment.OffsetQuery{
		{Partition: part, Timestamp: -1}, {Partition: part, Timestamp: -2}, {Partition: part, Timestamp: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	if found[0].Offset != 9 || found[1].Offset != 0 || found[2].In == nil || found[2].Offset != 0 {
		t.Errorf("offsets: %+v", found)
	}
}

// TestRepeatedCommitAfterRestart: the control plane goes away between a commit and its answer; sent
// again on a new stream, to a node that has read its log from disk, it gets the first answer (I2).
func TestRepeatedCommitAfterRestart(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		t.Run(fmt.Sprintf("snapshot=%v", snapshot), func(t *testing.T) {
			b := newBed(t)
			b.start()
			p := b.agent("producer", control.RoleProduce)
			part := topic.Partition{Topic: p.topic(t, "events").ID}
			s := p.commits(t)
			first := send(t, s, p.commit(1, part, 3))
			send(t, s, p.commit(2, part, 4))
			if snapshot {
				if err := b.node.Snapshot(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			b.stop()
			if _, err := s.Recv(); err == nil {
				t.Fatal("a stream outlives its node")
			}
			b.start()
			s = p.commits(t)
			again := send(t, s, p.commit(1, part, 3))
			if fmt.Sprint(again.Answers) != fmt.Sprint(first.Answers) || again.Last != 2 {
				t.Errorf("first %+v, again %+v", first, again)
			}
			if r := send(t, s, p.commit(3, part, 1)); r.Answers[0].Offset != 7 {
				t.Errorf("the next commit: %+v", r)
			}
		})
	}
}

func TestCommitsArePipelinedAndAnsweredInOrder(t *testing.T) {
	b := newBed(t)
	b.start()
	p := b.agent("producer", control.RoleProduce)
	part := topic.Partition{Topic: p.topic(t, "events").ID}
	s := p.commits(t)
	const n = 500
	sent := make(chan error, 1)
	go func() {
		for i := range uint64(n) {
			if err := s.Send(p.commit(i+1, part, 2)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := range uint64(n) {
		r, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if r.Sequence != i+1 || r.Outcome != segment.Answered || r.Answers[0].Offset != topic.Offset(2*i) {
			t.Fatalf("answer %d: %+v", i+1, r)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

func TestStreamServesOneSession(t *testing.T) {
	b := newBed(t)
	b.start()
	p := b.agent("producer", control.RoleProduce)
	part := topic.Partition{Topic: p.topic(t, "events").ID}
	s := p.commits(t)
	send(t, s, p.commit(1, part, 1))
	other := p.commit(2, part, 1)
	other.Session++
	if err := s.Send(other); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err == nil || !strings.Contains(err.Error(), "on a stream of session") {
		t.Errorf("answered %v", err)
	}
}

func TestEndSessionIsFinal(t *testing.T) {
	b := newBed(t)
	b.start()
	p := b.agent("producer", control.RoleProduce)
	part := topic.Partition{Topic: p.topic(t, "events").ID}
	s := p.commits(t)
	first := send(t, s, p.commit(1, part, 1))
	if err := p.EndSession(t.Context(), p.grant.Session); err != nil {
		t.Fatal(err)
	}
	if r := send(t, s, p.commit(2, part, 1)); r.Outcome != segment.SessionEnded {
		t.Errorf("a commit after the end: %+v", r)
	}
	if r := send(t, s, p.commit(1, part, 1)); fmt.Sprint(r.Answers) != fmt.Sprint(first.Answers) {
		t.Errorf("a repeated commit after the end: %+v", r)
	}
	if beat, err := p.Heartbeat(t.Context(), p.grant.Session, 0); err != nil || !beat.Ended {
		t.Errorf("heartbeat of an ended session: %+v %v", beat, err)
	}
	if beat, err := p.Heartbeat(t.Context(), 1<<40, 0); err != nil || !beat.Ended {
		t.Errorf("heartbeat of an unknown session: %+v %v", beat, err)
	}
}

func TestRolesAreHeld(t *testing.T) {
	b := newBed(t)
	b.start()
	f := b.agent("fetcher", control.RoleFetch)
	p := b.agent("producer", control.RoleProduce)
	part := topic.Partition{Topic: p.topic(t, "events").ID}
	if r := send(t, f.commits(t), f.commit(1, part, 1)); r.Outcome != segment.Unauthorized {
		t.Errorf("a fetch agent commits: %+v", r)
	}
	if plans, err := p.Plan(t.Context(), []segment.PlanQuery{{Partition: part}}); !errors.Is(err, client.ErrDenied) {
		t.Errorf("a produce agent plans: %+v %v", plans, err)
	}
}

func TestLoginTellsTheGroup(t *testing.T) {
	b := newBed(t)
	b.start()
	one := b.agent("one", control.RoleProduce)
	two := &agent{Client: b.dial()}
	var err error
	two.grant, err = two.Login(t.Context(), client.LoginRequest{Agent: "two", Group: "g-one", Roles: []string{control.RoleFetch}, GossipAddress: "two:7946"})
	if err != nil {
		t.Fatal(err)
	}
	if string(one.grant.GossipKey) != string(two.grant.GossipKey) || len(one.grant.GossipKey) != 32 {
		t.Error("agents of one group have different gossip keys")
	}
	if string(one.grant.GossipKey) == string(b.agent("other", control.RoleFetch).grant.GossipKey) {
		t.Error("two groups share a gossip key")
	}
	if !strings.Contains(fmt.Sprint(two.grant.Seeds), "one:7946") || one.grant.NodeID == two.grant.NodeID {
		t.Errorf("grants %+v and %+v", one.grant, two.grant)
	}
	if g := one.grant; g.Cluster != "main" || g.ClusterID != b.node.Identity().ClusterID || g.Incarnation != 1 ||
		g.Lease != 12*time.Second || g.Heartbeat != 2*time.Second || len(g.Shares) != 1 || g.Shares[0].Name != "default" || g.Shares[0].Bucket != "mem://" {
		t.Errorf("grant %+v", g)
	}
	eventually(t, "a heartbeat tells both seeds", func() bool {
		beat, err := one.Heartbeat(t.Context(), one.grant.Session, 0)
		return err == nil && fmt.Sprint(beat.Seeds) == "[one:7946 two:7946]"
	})
	s, err := one.Status(t.Context())
	if err != nil || s.Leader != "1" || len(s.Agents) != 3 || s.Agents[0].Agent != "one" || s.Cluster != "main" {
		t.Errorf("status %+v %v", s, err)
	}
}

func TestTopics(t *testing.T) {
	b := newBed(t)
	b.config.DefaultPartitions = 3
	b.start()
	a := b.agent("a", control.RoleProduce)
	got := a.topic(t, "events")
	if got.Partitions != 3 || got.Share != "default" {
		t.Errorf("created %+v", got)
	}
	if again := a.topic(t, "events"); again.ID != got.ID {
		t.Error("created twice")
	}
	found, err := a.Topics(t.Context(), topic.Query{
		Names: []string{"absent", "events", "bad name", "events"}, IDs: []topic.ID{got.ID, {9}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var codes []int16
	for _, f := range found {
		codes = append(codes, f.Code)
	}
	if fmt.Sprint(codes) != "[3 0 3 0 0 100]" {
		t.Errorf("codes %v", codes)
	}
	if found, err = a.Topics(t.Context(), topic.Query{Names: []string{"bad name"}, Create: true}); err != nil || found[0].Code != 17 {
		t.Errorf("a bad name: %+v %v", found, err)
	}
	all, err := a.Topics(t.Context(), topic.Query{All: true})
	if err != nil || len(all) != 2 || !all[0].Topic.Internal || all[1].Topic.Name != "events" {
		t.Errorf("all: %+v %v", all, err)
	}
}

func TestAutoCreationCanBeOff(t *testing.T) {
	b := newBed(t)
	b.config.AutoCreate = false
	b.start()
	found, err := b.agent("a").Topics(t.Context(), topic.Query{Names: []string{"events"}, Create: true})
	if err != nil || found[0].Code != codeUnknownTopic {
		t.Errorf("%+v %v", found, err)
	}
}

// eventually waits for what a background loop brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		if ok() {
			return
		}
		<-tick.C
	}
	t.Fatal("not in time: " + what)
}
