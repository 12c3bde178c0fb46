package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestConsumerGroupsShareResumeAndAreLookedAfter runs Kafka's classic groups at a fetch-only group
// of agents, whose members may ask either agent.
func TestConsumerGroupsShareResumeAndAreLookedAfter(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	t.Run("members share a topic, and who stays takes over from who leaves", func(t *testing.T) { l.in(t).shareAndTakeOver() })
	t.Run("a consumer resumes where its group committed", func(t *testing.T) { l.in(t).resume() })
	t.Run("a static member returns without a rebalance and fences its former life", func(t *testing.T) { l.in(t).staticMember() })
	t.Run("a member out of step is told so", func(t *testing.T) { l.in(t).outOfStep() })
	t.Run("an unknown group has committed nothing, which is no error", func(t *testing.T) { l.in(t).nothingCommitted() })
	t.Run("groups are listed, described and deleted", func(t *testing.T) { l.in(t).listedAndDeleted() })
	t.Run("isthmus consumer-group tells lag in records and seconds", func(t *testing.T) { l.in(t).lag() })
	t.Run("isthmus consumer-group reset moves a group that has no members", func(t *testing.T) { l.in(t).reset() })
}

// member is a consumer that polls until it is told to leave.
type member struct {
	client *kgo.Client
	mu     sync.Mutex
	got    map[string]int // times a value was read
	done   chan struct{}
}

func (l *lands) joins(group, topic string) *member {
	l.t.Helper()
	m := &member{got: map[string]int{}, done: make(chan struct{})}
	m.client = l.client("analytics", kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.HeartbeatInterval(100*time.Millisecond), kgo.FetchMaxWait(200*time.Millisecond))
	go func() {
		defer close(m.done)
		for {
			fetches := m.client.PollFetches(l.ctx)
			if fetches.IsClientClosed() || l.ctx.Err() != nil {
				return
			}
			m.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) { m.got[string(r.Value)]++ })
			m.mu.Unlock()
		}
	}()
	return m
}

func (m *member) has(value string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.got[value] > 0
}

func (m *member) leaves() {
	m.client.Close()
	<-m.done
}

func (l *lands) shareAndTakeOver() {
	const partitions = 4
	l.create("shared", partitions)
	producer := l.client("prod", kgo.RecordPartitioner(kgo.ManualPartitioner()))
	round := func(name string) (all []string) {
		var records []*kgo.Record
		for p := range int32(partitions) {
			value := fmt.Sprintf("%s/%d", name, p)
			records, all = append(records, &kgo.Record{Topic: "shared", Partition: p, Value: []byte(value)}), append(all, value)
		}
		l.produce(producer, records...)
		return all
	}
	first, second := l.joins("sharers", "shared"), l.joins("sharers", "shared")
	n := 0
	eventually(l.t, "both members read some partitions of one round", func() bool {
		n++
		all := round(fmt.Sprint("together-", n))
		eventually(l.t, "the round is read", func() bool {
			return !slices.ContainsFunc(all, func(v string) bool { return !first.has(v) && !second.has(v) })
		})
		return slices.ContainsFunc(all, first.has) && slices.ContainsFunc(all, second.has)
	})
	first.leaves()
	all := round("alone")
	eventually(l.t, "who stays reads everything", func() bool {
		return !slices.ContainsFunc(all, func(v string) bool { return !second.has(v) })
	})
	second.leaves()
}

func (l *lands) resume() {
	l.create("story", 1)
	all := numbered("line", 20)
	l.produce(l.client("prod"), texts("story", all...)...)
	for i := range 4 {
		reader := l.client("analytics", kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("story"), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		records := l.poll(reader, 5)
		if got := values(records); !slices.Equal(got, all[5*i:5*i+5]) {
			l.t.Errorf("reader %d begins with %v", i, got)
		}
		if err := reader.CommitRecords(l.ctx, records...); err != nil {
			l.t.Fatalf("commit: %v", err)
		}
		reader.Close()
	}
}

// seat is a member of a consumer group, as one speaks for it by hand.
type seat struct {
	group, member string
	instance      *string
	generation    int32
}

// join brings a member into its group, drawing a member id first where it has none.
func (c *caller) join(s *seat) (code int16) {
	c.t.Helper()
	request := kmsg.NewPtrJoinGroupRequest()
	request.Group, request.MemberID, request.InstanceID = s.group, s.member, s.instance
	request.SessionTimeoutMillis, request.RebalanceTimeoutMillis, request.ProtocolType = 60_000, 60_000, "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", []byte("metadata")
	request.Protocols = append(request.Protocols, p)
	answer := call[*kmsg.JoinGroupResponse](c, 7, request)
	if answer.ErrorCode == kerr.MemberIDRequired.Code && s.member == "" {
		s.member = answer.MemberID
		return c.join(s)
	}
	s.member, s.generation = answer.MemberID, answer.Generation
	return answer.ErrorCode
}

// sync hands the assignment in that the member, as the leader, has made for itself.
func (c *caller) sync(s *seat) (code int16) {
	c.t.Helper()
	request := kmsg.NewPtrSyncGroupRequest()
	request.Group, request.MemberID, request.InstanceID, request.Generation = s.group, s.member, s.instance, s.generation
	request.ProtocolType, request.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = s.member, []byte("assignment")
	request.GroupAssignment = append(request.GroupAssignment, a)
	answer := call[*kmsg.SyncGroupResponse](c, 5, request)
	if answer.ErrorCode == 0 && string(answer.MemberAssignment) != "assignment" {
		c.t.Errorf("the assignment came back as %q", answer.MemberAssignment)
	}
	return answer.ErrorCode
}

func (c *caller) heartbeat(s *seat) (code int16) {
	c.t.Helper()
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.MemberID, request.InstanceID, request.Generation = s.group, s.member, s.instance, s.generation
	return call[*kmsg.HeartbeatResponse](c, 4, request).ErrorCode
}

// seated is a member that has joined and has its assignment.
func (c *caller) seated(group string, instance *string) *seat {
	c.t.Helper()
	s := &seat{group: group, instance: instance}
	if code := c.join(s); code != 0 {
		c.t.Fatalf("join group %s: code %d", group, code)
	}
	if code := c.sync(s); code != 0 {
		c.t.Fatalf("sync group %s: code %d", group, code)
	}
	return s
}

func (l *lands) staticMember() {
	c := l.dial("analytics-1")
	before := c.seated("statues", kmsg.StringPtr("statue-1"))
	after := &seat{group: "statues", instance: before.instance}
	other := l.dial("analytics-2") // it returns by way of another agent
	if code := other.join(after); code != 0 {
		l.t.Fatalf("return: code %d", code)
	}
	if after.generation != before.generation || after.member == before.member {
		l.t.Errorf("it returned as %s in generation %d, was %s in %d: want a new member id and the same generation", after.member, after.generation, before.member, before.generation)
	}
	if code := other.sync(after); code != 0 {
		l.t.Errorf("sync after the return: code %d", code)
	}
	if code := c.heartbeat(before); code != kerr.FencedInstanceID.Code {
		l.t.Errorf("heartbeat of the former life: code %d, want 82", code)
	}
	if code := other.heartbeat(after); code != 0 {
		l.t.Errorf("heartbeat of the new life: code %d", code)
	}
}

func (l *lands) outOfStep() {
	l.create("steps", 1)
	c := l.dial("analytics-1")
	s := c.seated("dancers", nil)
	for _, q := range []struct {
		who  seat
		code int16
	}{
		{*s, 0},
		{seat{group: "dancers", member: s.member, generation: s.generation + 1}, kerr.IllegalGeneration.Code},
		{seat{group: "dancers", member: "stranger", generation: s.generation}, kerr.UnknownMemberID.Code},
		{seat{group: "no-dancers", member: s.member, generation: s.generation}, kerr.UnknownMemberID.Code},
	} {
		if code := c.heartbeat(&q.who); code != q.code {
			l.t.Errorf("heartbeat of %+v: code %d, want %d", q.who, code, q.code)
		}
	}
	if code := commitOffset(c, "dancers", "steps", 1, ""); code != kerr.UnknownMemberID.Code {
		l.t.Errorf("a commit without membership into a group with members: code %d, want 25", code)
	}
	hasty := kmsg.NewPtrJoinGroupRequest()
	hasty.Group, hasty.SessionTimeoutMillis, hasty.ProtocolType = "hasty", 1, "consumer"
	hasty.Protocols = append(hasty.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range"})
	if code := call[*kmsg.JoinGroupResponse](c, 3, hasty).ErrorCode; code != kerr.InvalidSessionTimeout.Code {
		l.t.Errorf("a session timeout of 1 ms: code %d, want 26", code)
	}
	strange := kmsg.NewPtrJoinGroupRequest()
	strange.Group, strange.SessionTimeoutMillis, strange.ProtocolType = "dancers", 10_000, "connect"
	strange.Protocols = append(strange.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range"})
	if code := call[*kmsg.JoinGroupResponse](c, 3, strange).ErrorCode; code != kerr.InconsistentGroupProtocol.Code {
		l.t.Errorf("another protocol type: code %d, want 23", code)
	}
	unnamed := &seat{}
	if code := c.join(unnamed); code != kerr.InvalidGroupID.Code {
		l.t.Errorf("a group without a name: code %d, want 24", code)
	}
	if code := commitOffset(c, "verbose", "steps", 1, strings.Repeat("x", 5000)); code != kerr.OffsetMetadataTooLarge.Code {
		l.t.Errorf("5000 bytes of metadata: code %d, want 12", code)
	}
}

func (l *lands) nothingCommitted() {
	l.create("unread", 1)
	for _, name := range []string{"analytics-1", "prod-1"} {
		if offset, _ := committedOffset(l.dial(name), "nobody", "unread"); offset != -1 {
			l.t.Errorf("%s: an unknown group has committed %d", name, offset)
		}
		request := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.Topics = "nobody", nil // all of them
		request.Groups = append(request.Groups, g)
		if got := call[*kmsg.OffsetFetchResponse](l.dial(name), 8, request).Groups[0]; got.ErrorCode != 0 || len(got.Topics) != 0 {
			l.t.Errorf("%s: all offsets of an unknown group: code %d, %d topics", name, got.ErrorCode, len(got.Topics))
		}
	}
}

func (l *lands) listedAndDeleted() {
	l.create("listed", 1)
	c := l.dial("analytics-1")
	s := c.seated("with-members", nil)
	commitOffset(c, "only-offsets", "listed", 3, "")
	admin := l.admin("analytics")
	listed, err := admin.ListGroups(l.ctx)
	if err != nil || listed["with-members"].State != "Stable" || listed["only-offsets"].State != "Empty" {
		l.t.Errorf("list: %v, %q and %q, want Stable and Empty", err, listed["with-members"].State, listed["only-offsets"].State)
	}
	described, err := admin.DescribeGroups(l.ctx, "with-members", "only-offsets", "nobody")
	if err != nil {
		l.t.Fatalf("describe: %v", err)
	}
	if g := described["with-members"]; g.Err != nil || g.State != "Stable" || len(g.Members) != 1 || g.Members[0].ClientID != "cluster-test" || g.Members[0].ClientHost == "" {
		l.t.Errorf("describe a group with a member: %+v", g)
	}
	if g := described["nobody"]; g.State != "Dead" && !errors.Is(g.Err, kerr.GroupIDNotFound) {
		l.t.Errorf("describe an unknown group: %q, %v", g.State, g.Err)
	}
	deleted, err := admin.DeleteGroups(l.ctx, "with-members", "only-offsets", "nobody")
	if err != nil {
		l.t.Fatalf("delete: %v", err)
	}
	for group, want := range map[string]error{"with-members": kerr.NonEmptyGroup, "only-offsets": nil, "nobody": kerr.GroupIDNotFound} {
		if err := deleted[group].Err; !errors.Is(err, want) {
			l.t.Errorf("delete %s: %v, want %v", group, err, want)
		}
	}
	if offset, _ := committedOffset(c, "only-offsets", "listed"); offset != -1 {
		l.t.Errorf("the deleted group still has offset %d", offset)
	}
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = "with-members"
	leave.Members = append(leave.Members, kmsg.LeaveGroupRequestMember{MemberID: s.member})
	if answer := call[*kmsg.LeaveGroupResponse](c, 4, leave); answer.ErrorCode != 0 || answer.Members[0].ErrorCode != 0 {
		l.t.Errorf("leave: codes %d and %d", answer.ErrorCode, answer.Members[0].ErrorCode)
	}
	if deleted, err := admin.DeleteGroup(l.ctx, "with-members"); err != nil || deleted.Err != nil {
		l.t.Errorf("delete a group whose member has left: %v, %v", err, deleted.Err)
	}
}

// groupDescription is what isthmus consumer-group describe --output json prints.
type groupDescription struct {
	Group      string
	State      string
	Members    []map[string]string
	Partitions []struct {
		Topic      string
		Partition  int32
		Committed  int64
		LogEnd     int64   `json:"log_end"`
		Lag        int64   `json:"lag_records"`
		LagSeconds float64 `json:"lag_seconds"`
	}
}

func (l *lands) describeGroup(group string) (d groupDescription) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(l.operate("consumer-group", "describe", group, "--output", "json")), &d); err != nil {
		l.t.Fatalf("describe group %s: %v", group, err)
	}
	return d
}

func (l *lands) lag() {
	l.create("late", 1)
	old := texts("late", numbered("old", 10)...)
	for _, r := range old {
		r.Timestamp = time.Now().Add(-time.Hour)
	}
	l.produce(l.client("prod"), old...)
	commitOffset(l.dial("prod-1"), "latecomers", "late", 4, "")
	d := l.describeGroup("latecomers")
	if d.State != "Empty" || len(d.Partitions) != 1 {
		l.t.Fatalf("described: %+v", d)
	}
	if p := d.Partitions[0]; p.Topic != "late" || p.Committed != 4 || p.LogEnd != 10 || p.Lag != 6 || p.LagSeconds < 3600 {
		l.t.Errorf("4 of 10 records of an hour ago are read: %+v", p)
	}
	commitOffset(l.dial("prod-1"), "latecomers", "late", 10, "")
	if p := l.describeGroup("latecomers").Partitions[0]; p.Lag != 0 || p.LagSeconds != 0 {
		l.t.Errorf("everything is read: %+v", p)
	}
	table := l.operate("consumer-group", "describe", "latecomers")
	for _, want := range []string{"latecomers", "LAG SECONDS", "late"} {
		if !strings.Contains(table, want) {
			l.t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	if list := l.operate("consumer-group", "list"); !strings.Contains(list, "latecomers") {
		l.t.Errorf("the list lacks the group:\n%s", list)
	}
	refusal(l.t, 1, []string{"consumer-group", "describe", "nobody", "--control", l.controlAddr()}, `"nobody"`, "consumer-group list")
}

func (l *lands) reset() {
	l.create("rewound", 2)
	noon := time.Date(2024, 11, 24, 12, 0, 0, 0, time.UTC)
	producer := l.client("prod", kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range 6 { // one batch each, so that every offset by time is exact
		l.produce(producer, &kgo.Record{Topic: "rewound", Value: []byte("x"), Timestamp: noon.Add(time.Duration(i) * time.Minute)})
	}
	committed := func() map[int32]int64 {
		offsets, err := l.admin("analytics").FetchOffsets(l.ctx, "rewinders")
		if err != nil {
			l.t.Fatal(err)
		}
		at := map[int32]int64{}
		offsets.Each(func(o kadm.OffsetResponse) { at[o.Partition] = o.At })
		return at
	}
	for _, q := range []struct {
		to   string
		want [2]int64
	}{{"latest", [2]int64{6, 0}}, {"earliest", [2]int64{0, 0}}, {"4", [2]int64{4, 0}}, {"99", [2]int64{6, 0}}, {"2024-11-24T12:02:30Z", [2]int64{3, 0}}, {"2030-01-01T00:00:00Z", [2]int64{6, 0}}} {
		l.operate("consumer-group", "reset", "rewinders", "--topic", "rewound", "--to", q.to)
		if got := committed(); got[0] != q.want[0] || got[1] != q.want[1] {
			l.t.Errorf("reset to %s: committed are %v, want %v", q.to, got, q.want)
		}
	}
	control := []string{"--control", l.controlAddr()}
	refusal(l.t, 2, append([]string{"consumer-group", "reset", "rewinders", "--topic", "rewound", "--to", "yesterday"}, control...), "yesterday", "2026-11-24T12:00:00Z")
	refusal(l.t, 2, append([]string{"consumer-group", "reset", "rewinders"}, control...), "--topic", "--to")
	l.dial("analytics-1").seated("rewinders", nil)
	refusal(l.t, 1, append([]string{"consumer-group", "reset", "rewinders", "--topic", "rewound", "--to", "earliest"}, control...), "has members", "stop its consumers")
}
