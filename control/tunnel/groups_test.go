package tunnel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// member is a consumer as a client library runs it: it joins, assigns if it
// leads, syncs, heartbeats, and joins again when it is told to.
type member struct {
	f          *fixture
	group      string
	id         string
	instance   string
	generation int32
	assignment string
}

func (m *member) join(ctx context.Context) (*kmsg.JoinGroupResponse, error) {
	for {
		resp, err := m.f.ask(ctx, request(m.f, kmsg.NewPtrJoinGroupRequest(), func(r *kmsg.JoinGroupRequest) {
			r.Group, r.MemberID, r.InstanceID = m.group, m.id, optional(m.instance)
			r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = 10000, 10000, "consumer"
			r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription("orders")}}
		}))
		if err != nil {
			return nil, err
		}
		join := resp.(*kmsg.JoinGroupResponse)
		if join.ErrorCode == kerr.MemberIDRequired.Code || join.ErrorCode == kerr.UnknownMemberID.Code {
			m.id = join.MemberID
			if join.ErrorCode == kerr.UnknownMemberID.Code {
				m.id = ""
			}
			continue
		}
		m.id, m.generation = join.MemberID, join.Generation
		return join, kerr.ErrorForCode(join.ErrorCode)
	}
}

// settle joins and syncs until it has an assignment.
func (m *member) settle(ctx context.Context) error {
	for {
		join, err := m.join(ctx)
		if err != nil {
			return err
		}
		resp, err := m.f.ask(ctx, request(m.f, kmsg.NewPtrSyncGroupRequest(), func(r *kmsg.SyncGroupRequest) {
			r.Group, r.MemberID, r.InstanceID, r.Generation = m.group, m.id, optional(m.instance), m.generation
			r.ProtocolType, r.Protocol = join.ProtocolType, join.Protocol
			for i, o := range join.Members {
				r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{
					MemberID: o.MemberID, MemberAssignment: fmt.Appendf(nil, "%d/%d of %d", i, len(join.Members), m.generation),
				})
			}
		}))
		if err != nil {
			return err
		}
		sync := resp.(*kmsg.SyncGroupResponse)
		switch err := kerr.ErrorForCode(sync.ErrorCode); {
		case err == nil:
			m.assignment = string(sync.MemberAssignment)
			return nil
		case !errors.Is(err, kerr.RebalanceInProgress) && !errors.Is(err, kerr.UnknownMemberID) && !errors.Is(err, kerr.IllegalGeneration):
			return err
		}
	}
}

func (m *member) heartbeat(t *testing.T) int16 {
	return get[*kmsg.HeartbeatResponse](t, m.f, request(m.f, kmsg.NewPtrHeartbeatRequest(), func(r *kmsg.HeartbeatRequest) {
		r.Group, r.MemberID, r.InstanceID, r.Generation = m.group, m.id, optional(m.instance), m.generation
	})).ErrorCode
}

func (m *member) commit(t *testing.T, offset int64) int16 {
	return m.f.commit(t, m.group, m.id, m.generation, 0, offset)
}

func (f *fixture) commit(t *testing.T, group, id string, generation, partition int32, offset int64) int16 {
	t.Helper()
	return get[*kmsg.OffsetCommitResponse](t, f, commitRequest(f, group, id, generation, partition, offset)).Topics[0].Partitions[0].ErrorCode
}

func commitRequest(f *fixture, group, id string, generation, partition int32, offset int64) kmsg.Request {
	return request(f, kmsg.NewPtrOffsetCommitRequest(), func(r *kmsg.OffsetCommitRequest) {
		r.Group, r.MemberID, r.Generation = group, id, generation
		r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "orders", Partitions: []kmsg.OffsetCommitRequestTopicPartition{
			{Partition: partition, Offset: offset, LeaderEpoch: 3, Metadata: kmsg.StringPtr(fmt.Sprintf("at %d", offset))},
		}}}
	})
}

func (f *fixture) committed(t *testing.T, group string, partition int32) kmsg.OffsetFetchResponseGroupTopicPartition {
	t.Helper()
	resp := get[*kmsg.OffsetFetchResponse](t, f, request(f, kmsg.NewPtrOffsetFetchRequest(), func(r *kmsg.OffsetFetchRequest) {
		r.RequireStable = true
		r.Groups = []kmsg.OffsetFetchRequestGroup{{Group: group, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "orders", Partitions: []int32{partition}}}}}
	}))
	if resp.Groups[0].ErrorCode != 0 {
		t.Fatalf("fetch offsets of %s: %d", group, resp.Groups[0].ErrorCode)
	}
	return resp.Groups[0].Topics[0].Partitions[0]
}

func (f *fixture) describeGroup(t *testing.T, group string) kmsg.DescribeGroupsResponseGroup {
	t.Helper()
	return get[*kmsg.DescribeGroupsResponse](t, f, request(f, kmsg.NewPtrDescribeGroupsRequest(), func(r *kmsg.DescribeGroupsRequest) {
		r.Groups = []string{group}
	})).Groups[0]
}

func (f *fixture) deleteGroup(t *testing.T, group string) int16 {
	t.Helper()
	return get[*kmsg.DeleteGroupsResponse](t, f, request(f, kmsg.NewPtrDeleteGroupsRequest(), func(r *kmsg.DeleteGroupsRequest) {
		r.Groups = []string{group}
	})).Groups[0].ErrorCode
}

func subscription(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics = topics
	return m.AppendTo(nil)
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, test func(t *testing.T, f *fixture)) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.topic(t, "orders", 3)
		test(t, f)
	})
}

// TestSimpleCommits: consumers with assigned partitions and tools commit without
// being members.
func TestSimpleCommits(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		if got := f.committed(t, "tool", 0); got.Offset != -1 || got.ErrorCode != 0 || got.LeaderEpoch != -1 {
			t.Errorf("unknown group: %+v", got)
		}
		if code := f.commit(t, "tool", "", -1, 0, 7); code != 0 {
			t.Fatal(code)
		}
		if code := f.commit(t, "tool", "", -1, 0, 5); code != 0 {
			t.Fatal(code)
		}
		if got := f.committed(t, "tool", 0); got.Offset != 5 || got.LeaderEpoch != 3 || text(got.Metadata) != "at 5" {
			t.Errorf("the last write wins: %+v", got)
		}
		for _, tc := range []struct {
			generation, partition int32
			offset                int64
			code                  int16
		}{{1, 0, 1, codeGroupNotFound}, {-1, 3, 1, codeUnknownTopicOrPartition}, {-1, -1, 1, codeUnknownTopicOrPartition}} {
			if code := f.commit(t, "tool", "m", tc.generation, tc.partition, tc.offset); code != tc.code {
				t.Errorf("%+v: code %d", tc, code)
			}
		}
		if d := f.describeGroup(t, "tool"); d.State != "Empty" || d.ErrorCode != 0 {
			t.Errorf("simple group: %+v", d)
		}
		if d := f.describeGroup(t, "nobody"); d.State != "Dead" || d.ErrorCode != codeGroupNotFound {
			t.Errorf("unknown group: %+v", d)
		}
		list := get[*kmsg.ListGroupsResponse](t, f, request(f, kmsg.NewPtrListGroupsRequest(), func(*kmsg.ListGroupsRequest) {}))
		if len(list.Groups) != 1 || list.Groups[0].Group != "tool" || list.Groups[0].GroupState != "Empty" || list.Groups[0].GroupType != "classic" {
			t.Errorf("list: %+v", list.Groups)
		}
		if code := f.deleteGroup(t, "tool"); code != 0 {
			t.Errorf("delete: %d", code)
		}
		if code := f.deleteGroup(t, "tool"); code != codeGroupNotFound {
			t.Errorf("delete again: %d", code)
		}
		if got := f.committed(t, "tool", 0); got.Offset != -1 {
			t.Errorf("offsets outlive their group: %+v", got)
		}
	})
}

// TestNegativeOffsetsAreKept: -2 is how kafkajs resets a group to the earliest record. To refuse it made its admin client wait
// for ever.
func TestNegativeOffsetsAreKept(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		for _, offset := range []int64{7, -2, -1, math.MinInt64, -2} {
			if code := f.commit(t, "tool", "", -1, 0, offset); code != 0 {
				t.Errorf("commit of %d: code %d", offset, code)
			}
			if got := f.committed(t, "tool", 0); got.Offset != offset || got.ErrorCode != 0 {
				t.Errorf("committed %d: %+v", offset, got)
			}
		}
	})
}

func TestOffsetMetadata(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		for metadata, want := range map[string]int16{
			strings.Repeat("x", 4096): 0, strings.Repeat("x", 4097): codeOffsetMetadataTooLarge, "\xff": codeInvalidRequest,
		} {
			req := commitRequest(f, "g", "", -1, 0, 1).(*kmsg.OffsetCommitRequest)
			req.Topics[0].Partitions[0].Metadata = &metadata
			if code := get[*kmsg.OffsetCommitResponse](t, f, req).Topics[0].Partitions[0].ErrorCode; code != want {
				t.Errorf("%d bytes: code %d, want %d", len(metadata), code, want)
			}
		}
		for group, want := range map[string]int16{strings.Repeat("g", 1025): codeInvalidGroup, "\xff": codeInvalidGroup} {
			if code := f.commit(t, group, "", -1, 0, 1); code != want {
				t.Errorf("group of %d bytes: %d", len(group), code)
			}
		}
	})
}

// TestFetchAll: null topics ask for everything, in the older and the newer shape.
func TestFetchAll(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.topic(t, "other", 1)
		for p := range int32(3) {
			if code := f.commit(t, "g", "", -1, p, int64(p)); code != 0 {
				t.Fatal(code)
			}
		}
		for v := int16(0); v <= 9; v++ {
			req := kmsg.NewPtrOffsetFetchRequest()
			req.SetVersion(v)
			req.Group, req.Groups = "g", []kmsg.OffsetFetchRequestGroup{{Group: "g"}, {Group: "unknown"}}
			if v < 2 {
				req.Topics = []kmsg.OffsetFetchRequestTopic{}
			}
			resp := get[*kmsg.OffsetFetchResponse](t, f, req)
			n := 0
			for _, rt := range resp.Topics {
				n += len(rt.Partitions)
			}
			for _, g := range resp.Groups {
				for _, rt := range g.Topics {
					n += len(rt.Partitions)
				}
			}
			if want := map[bool]int{true: 0, false: 3}[v < 2]; n != want {
				t.Errorf("version %d: %d offsets, want %d", v, n, want)
			}
		}
	})
}

// TestGroup runs a group through its life: members gather, one goes silent, one
// leaves, and commits of the wrong generation are refused.
func TestGroup(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		a, b := &member{f: f, group: "g"}, &member{f: f, group: "g"}
		settleAll(t, a)
		joined := make(chan error)
		go func() { joined <- b.settle(t.Context()) }()
		synctest.Wait()
		if code := a.heartbeat(t); code != kerr.RebalanceInProgress.Code {
			t.Fatalf("a is told %d", code)
		}
		settleAll(t, a)
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
		if a.generation != b.generation || a.assignment == b.assignment {
			t.Errorf("a has %q, b has %q", a.assignment, b.assignment)
		}
		d := f.describeGroup(t, "g")
		if d.State != "Stable" || d.Protocol != "range" || len(d.Members) != 2 || d.Members[0].ClientID != "client" {
			t.Errorf("described: %+v", d)
		}
		if code := b.commit(t, 4); code != 0 {
			t.Errorf("b commits: %d", code)
		}
		if code := f.commit(t, "g", "", -1, 0, 9); code != kerr.UnknownMemberID.Code {
			t.Errorf("a stranger commits: %d", code)
		}
		if code := f.deleteGroup(t, "g"); code != codeNonEmptyGroup {
			t.Errorf("delete: %d", code)
		}
		deleted := get[*kmsg.OffsetDeleteResponse](t, f, request(f, kmsg.NewPtrOffsetDeleteRequest(), func(r *kmsg.OffsetDeleteRequest) {
			r.Group = "g"
			r.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "orders", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 7}}}}
		}))
		if p := deleted.Topics[0].Partitions; p[0].ErrorCode != codeGroupSubscribed || p[1].ErrorCode != codeUnknownTopicOrPartition {
			t.Errorf("delete offsets of a subscribed topic: %+v", p)
		}
		// a goes on, b goes silent.
		for range 4 {
			time.Sleep(3 * time.Second)
			if code := a.heartbeat(t); code != 0 {
				break
			}
		}
		settleAll(t, a)
		if code := b.commit(t, 5); code != kerr.UnknownMemberID.Code {
			t.Errorf("b commits after its session: %d", code)
		}
		if got := f.committed(t, "g", 0); got.Offset != 4 {
			t.Errorf("committed: %+v", got)
		}
		left := get[*kmsg.LeaveGroupResponse](t, f, request(f, kmsg.NewPtrLeaveGroupRequest(), func(r *kmsg.LeaveGroupRequest) {
			r.Group, r.Members = "g", []kmsg.LeaveGroupRequestMember{{MemberID: a.id}, {MemberID: "nobody"}}
		}))
		if left.Members[0].ErrorCode != 0 || left.Members[1].ErrorCode != kerr.UnknownMemberID.Code {
			t.Errorf("leave: %+v", left.Members)
		}
		synctest.Wait()
		deleted = get[*kmsg.OffsetDeleteResponse](t, f, request(f, kmsg.NewPtrOffsetDeleteRequest(), func(r *kmsg.OffsetDeleteRequest) {
			r.Group = "g"
			r.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "orders", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
		}))
		if deleted.ErrorCode != 0 || deleted.Topics[0].Partitions[0].ErrorCode != 0 || f.committed(t, "g", 0).Offset != -1 {
			t.Errorf("delete offsets of an empty group: %+v", deleted)
		}
		if code := f.deleteGroup(t, "g"); code != 0 {
			t.Errorf("delete: %d", code)
		}
	})
}

// settleAll lets members settle, and join again as often as the others make
// them, until nobody has for two seconds.
func settleAll(t *testing.T, ms ...*member) {
	t.Helper()
	var wg sync.WaitGroup
	for _, m := range ms {
		wg.Go(func() {
			for quiet := 0; quiet < 20; quiet++ {
				if quiet == 0 || len(ms) > 1 && m.heartbeat(t) != 0 {
					if err := m.settle(t.Context()); err != nil {
						t.Errorf("settle: %v", err)
						return
					}
					quiet = 0
				}
				if len(ms) > 1 {
					time.Sleep(100 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
}

// TestElection: the next leader of the control plane finds the group as its
// members know it, and what waited is told to ask again.
func TestElection(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		a, b := &member{f: f, group: "g"}, &member{f: f, group: "g", instance: "i"}
		settleAll(t, a, b)
		if err := f.Elected(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		if a.heartbeat(t) != 0 || b.heartbeat(t) != 0 {
			t.Fatal("an election by itself puts members out")
		}
		waits := make(chan error)
		leader := a
		if strings.HasPrefix(f.describeGroup(t, "g").Members[0].MemberID, "i-") {
			leader = b
		}
		go func() {
			_, err := leader.join(t.Context())
			waits <- err
		}()
		synctest.Wait()
		if err := f.Elected(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-waits; !errors.Is(err, ErrAway) {
			t.Errorf("the parked JoinGroup ends with %v", err)
		}
		settleAll(t, a, b)
		if a.heartbeat(t) != 0 || b.heartbeat(t) != 0 {
			t.Error("the group is not stable")
		}
	})
}

// TestCallerGoesAway: a member whose caller is gone is waited for no longer than
// others would be.
func TestCallerGoesAway(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		a, b := &member{f: f, group: "g"}, &member{f: f, group: "g"}
		settleAll(t, a)
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- b.settle(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		tm, err := f.serving()
		if err != nil {
			t.Fatal(err)
		}
		if n := tm.desk.Waiting(); n != 0 {
			t.Fatalf("%d requests are still parked", n)
		}
		began := time.Now()
		settleAll(t, a)
		if waited := time.Since(began); waited > 11*time.Second {
			t.Errorf("a waited %s", waited)
		}
	})
}

// TestOrder: what was accepted first is applied first, also when the log is slow:
// a commit of a generation never lands after the next one's assignment.
func TestOrder(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		a := &member{f: f, group: "g"}
		settleAll(t, a)
		var seen []string
		gate := make(chan struct{})
		f.m.set(func() {
			f.m.gate = gate
			f.m.seen = func(c *controlpb.Command) {
				for _, o := range c.GetCommitOffsets().GetOffsets() {
					seen = append(seen, fmt.Sprint(o.GetOffset()))
				}
				if g := c.GetSyncGroup(); g != nil {
					seen = append(seen, fmt.Sprint("generation ", g.GetGeneration()))
				}
			}
		})
		var wg sync.WaitGroup
		for offset := range int64(3) {
			wg.Go(func() { a.commitQuietly(t, offset) })
			synctest.Wait()
		}
		wg.Go(func() {
			if err := a.settle(t.Context()); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(gate)
		wg.Wait()
		if got := strings.Join(seen, " "); got != "0 1 2 generation 2" {
			t.Errorf("applied: %s", got)
		}
	})
}

func (m *member) commitQuietly(t *testing.T, offset int64) {
	resp, err := m.f.ask(t.Context(), commitRequest(m.f, m.group, m.id, m.generation, 0, offset))
	if err != nil {
		t.Error(err)
		return
	}
	if code := resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Errorf("commit %d: code %d", offset, code)
	}
}

// TestLogFails: what cannot be stored is not answered as if it were.
func TestLogFails(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		a := &member{f: f, group: "g"}
		settleAll(t, a)
		join, err := a.join(t.Context())
		if err != nil || join.ErrorCode != 0 {
			t.Fatal(join, err)
		}
		gate := make(chan struct{})
		f.m.set(func() { f.m.gate = gate })
		waits := make(chan error)
		go func() { waits <- a.settle(t.Context()) }()
		synctest.Wait()
		f.m.set(func() { f.m.gate, f.m.fail = nil, errLost })
		close(gate)
		synctest.Wait()
		f.m.set(func() { f.m.fail = nil })
		if err := <-waits; err != nil && !errors.Is(err, kerr.CoordinatorNotAvailable) {
			t.Errorf("the assignment that was not stored: %v", err)
		}
		settleAll(t, a)
	})
}

// TestManyMembers: members come and go at random, and in the end all of them
// share one generation. It is what consumers under concurrent rebalances do.
// TestCommitMeetsAnEndingTerm: a commit whose topics cannot be read is answered with why, so that it is sent
// again to the next leader.
func TestCommitMeetsAnEndingTerm(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		req := commitRequest(f, "g", "", -1, 0, 7)
		f.m.set(func() { f.m.fail = errLost })
		if resp, err := f.ask(t.Context(), req); !errors.Is(err, errLost) {
			t.Errorf("answered %v, %v", resp, err)
		}
		f.m.set(func() { f.m.fail = nil })
		if code := f.commit(t, "g", "", -1, 0, 7); code != 0 {
			t.Errorf("afterwards: code %d", code)
		}
	})
}

func TestManyMembers(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		var members []*member
		start := time.Now()
		for range 20 {
			members = append(members, &member{f: f, group: "g"})
		}
		var wg sync.WaitGroup
		for i, m := range members {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 700 * time.Millisecond)
				for round := range 40 {
					if err := m.settle(t.Context()); err != nil {
						t.Errorf("member %d, round %d: %v", i, round, err)
						return
					}
					for m.heartbeat(t) == 0 {
						time.Sleep(500 * time.Millisecond)
						if time.Since(start) > 60*time.Second {
							return
						}
					}
				}
				t.Errorf("member %d has no peace", i)
			})
		}
		wg.Wait()
		seen := map[string]bool{}
		for _, m := range members {
			if m.generation != members[0].generation || seen[m.assignment] {
				t.Errorf("member %s is in generation %d with %q", m.id, m.generation, m.assignment)
			}
			seen[m.assignment] = true
		}
	})
}

// TestSweep: a group that nobody finished to join is dropped after a while.
func TestSweep(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		get[*kmsg.JoinGroupResponse](t, f, request(f, kmsg.NewPtrJoinGroupRequest(), func(r *kmsg.JoinGroupRequest) {
			r.Group, r.SessionTimeoutMillis, r.ProtocolType = "visited", 10000, "consumer"
			r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		}))
		a := &member{f: f, group: "kept"}
		settleAll(t, a)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if d := f.describeGroup(t, "visited"); d.State != "Dead" {
			t.Errorf("visited is %s", d.State)
		}
		if d := f.describeGroup(t, "kept"); d.State != "Empty" {
			t.Errorf("kept is %s", d.State)
		}
	})
}
