package broker

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// agentsOfGroup starts agents that know each other, each behind its listener.
func agentsOfGroup(t *testing.T, control *fakeControl, count int32) (agents []*agent, listeners []net.Listener) {
	t.Helper()
	var members []Member
	for i := range count {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port, err := strconv.Atoi(ln.Addr().String()[len("127.0.0.1:"):])
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, ln)
		members = append(members, Member{NodeID: i + 1, Host: "127.0.0.1", Port: int32(port), Zone: "z", Roles: []string{RoleFetch}})
	}
	for i, ln := range listeners {
		agents = append(agents, newAgent(t, Default(), control, &fakeGroup{self: int32(i + 1), members: members}, ln))
	}
	return agents, listeners
}

// TestFranz runs a real client against two agents of a group: it steps ApiVersions down, finds both,
// creates a topic at one and sees it at the other, asks for offsets, and deletes.
func TestFranz(t *testing.T) {
	control := newFakeControl("orders")
	agents, listeners := agentsOfGroup(t, control, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	connect := func(ln net.Listener) *kadm.Client {
		c, err := kgo.NewClient(kgo.SeedBrokers(ln.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return kadm.NewClient(c)
	}
	a, b := connect(listeners[0]), connect(listeners[1])

	versions, err := a.ApiVersions(ctx)
	if err != nil || len(versions) != 2 {
		t.Fatalf("versions of %d brokers, %v", len(versions), err)
	}
	for _, v := range versions {
		if lowest, ok := v.KeyMinVersion(0); v.Err != nil || !ok || lowest != 0 {
			t.Errorf("versions of broker %d: %v, Produce from %d", v.NodeID, v.Err, lowest)
		}
	}
	if _, err := a.CreateTopic(ctx, 3, 1, nil, "views"); err != nil {
		t.Fatal(err)
	}
	topics, err := b.ListTopics(ctx)
	if err != nil || !topics.Has("orders") || len(topics["views"].Partitions) != 3 {
		t.Fatalf("topics at the other agent: %v, %v", topics.Names(), err)
	}
	if got := topics["views"].ID; got != kadm.TopicID(idOf("views", 0)) {
		t.Errorf("id %s", got)
	}
	internal, err := b.ListTopicsWithInternal(ctx)
	if err != nil || !internal.Has("__consumer_offsets") {
		t.Errorf("internal topics: %v, %v", internal.Names(), err)
	}
	meta, err := a.BrokerMetadata(ctx)
	if err != nil || len(meta.Brokers) != 2 || meta.Cluster != "isthmus-test" || *meta.Brokers[0].Rack != "z" {
		t.Errorf("metadata: %+v, %v", meta, err)
	}
	control.mu.Lock()
	control.offset[topic.Partition{Topic: idOf("orders", 0), Index: 1}] = segment.OffsetFound{Offset: 12}
	control.mu.Unlock()
	ends, err := a.ListEndOffsets(ctx, "orders")
	if end, ok := ends.Lookup("orders", 1); err != nil || !ok || end.Err != nil || end.Offset != 12 || end.LeaderEpoch != 3 {
		t.Errorf("end: %+v, %v", end, err)
	}
	if _, err := b.DeleteTopic(ctx, "orders"); err != nil {
		t.Error(err)
	}
	fresh := connect(listeners[0]) // the others answer from their own memory for a while
	if topics, err := fresh.ListTopics(ctx, "orders"); err != nil || topics["orders"].Err == nil {
		t.Errorf("after its deletion: %+v, %v", topics, err)
	}
	if groups, err := a.ListGroups(ctx); err != nil || len(groups) != 0 {
		t.Errorf("groups: %v, %v", groups, err)
	}
	for _, agent := range agents {
		if _, err := agent.deps.Topics.ask(ctx, topic.Query{All: true}); err != nil {
			t.Fatal(err)
		}
	}
	// With the control plane away the client still sees what is known, and no topic denied.
	control.setAway(true)
	if topics, err := fresh.ListTopics(ctx); err != nil || !topics.Has("views") {
		t.Errorf("away: %v, %v", topics.Names(), err)
	}
}
