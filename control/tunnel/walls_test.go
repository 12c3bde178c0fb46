package tunnel

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// walled is a cluster with two shares: production writes to both, analytics reads the topics events and paid-… of one.
type walled struct {
	*fixture
	t   *testing.T
	ids map[string][16]byte
}

// The callers of these tests.
var (
	operator   = control.Caller{Identity: "me", Binding: "me", Admin: true}
	production = control.Caller{Identity: "p", Binding: "prod", Group: "prod", Agent: "p1", Roles: []string{control.RoleProduce}}
	analytics  = control.Caller{Identity: "a", Binding: "analytics", Group: "analytics", Agent: "a1", Roles: []string{control.RoleFetch}}
	stranger   = control.Caller{Identity: "s", Binding: "gone", Group: "analytics", Agent: "s1", Roles: []string{control.RoleProduce, control.RoleFetch}, Admin: true}
)

func newWalled(t *testing.T) *walled {
	w := &walled{fixture: newFixture(t), t: t, ids: map[string][16]byte{}}
	w.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutShare{PutShare: &controlpb.Share{Name: "secret", Bucket: "mem://secret"}}})
	for _, name := range []string{"events", "paid-eu", "other"} {
		w.ids[name] = w.topic(t, name, 2)
	}
	w.ids["hidden"] = w.topic(t, "hidden", 2, "isthmus.share", "secret")
	w.bind("me", "", nil, true)
	w.bind("prod", "prod", []string{control.RoleProduce}, false)
	w.bind("analytics", "analytics", []string{control.RoleFetch}, false)
	w.grant(&controlpb.Grant{Name: "p1", Group: "prod", Share: "default", Access: "produce"})
	w.grant(&controlpb.Grant{Name: "p2", Group: "prod", Share: "secret", Access: "produce"})
	w.grant(&controlpb.Grant{Name: "a1", Group: "analytics", Share: "default", Access: "fetch", Topic: "events"})
	w.grant(&controlpb.Grant{Name: "a2", Group: "analytics", Share: "default", Access: "fetch", Topic: "paid-", Prefix: true})
	w.who = operator
	return w
}

func (w *walled) change(c *controlpb.WallChange) {
	w.t.Helper()
	w.m.must(w.t, &controlpb.Command{Op: &controlpb.Command_ChangeWalls{ChangeWalls: &controlpb.ChangeWallsCommand{
		Change: c, Identity: "test", GossipKey: make([]byte, 32),
	}}})
}

func (w *walled) grant(g *controlpb.Grant) {
	w.t.Helper()
	w.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutGrant{PutGrant: g}})
}

func (w *walled) bind(name, group string, roles []string, admin bool) {
	w.t.Helper()
	b := &controlpb.Binding{
		Name: name, Group: group, Roles: roles, Admin: admin,
		Match: &controlpb.Match{Method: "aws-sigv4", Arn: "arn:aws:iam::111111111111:role/" + name},
	}
	if group != "" {
		b.IdPrefixes = []string{group + "-"}
	}
	w.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutBinding{PutBinding: b}})
}

// as has who ask.
func (w *walled) as(who control.Caller) *walled {
	w.who = who
	return w
}

// codes are all error codes of an answer, in order, as text.
func codesOf(resp kmsg.Response) string {
	var out []string
	add := func(codes ...int16) {
		for _, c := range codes {
			out = append(out, fmt.Sprint(c))
		}
	}
	switch r := resp.(type) {
	case *kmsg.OffsetCommitResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				add(p.ErrorCode)
			}
		}
	case *kmsg.OffsetFetchResponse:
		for _, g := range r.Groups {
			add(g.ErrorCode)
			for _, t := range g.Topics {
				for _, p := range t.Partitions {
					out = append(out, fmt.Sprintf("%s/%d=%d:%d", t.Topic, p.Partition, p.Offset, p.ErrorCode))
				}
			}
		}
	case *kmsg.JoinGroupResponse:
		add(r.ErrorCode)
	case *kmsg.SyncGroupResponse:
		add(r.ErrorCode)
	case *kmsg.HeartbeatResponse:
		add(r.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		add(r.ErrorCode)
	case *kmsg.DescribeGroupsResponse:
		for _, g := range r.Groups {
			add(g.ErrorCode)
		}
	case *kmsg.ListGroupsResponse:
		for _, g := range r.Groups {
			out = append(out, g.Group)
		}
	case *kmsg.DeleteGroupsResponse:
		for _, g := range r.Groups {
			add(g.ErrorCode)
		}
	case *kmsg.OffsetDeleteResponse:
		add(r.ErrorCode)
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				add(p.ErrorCode)
			}
		}
	case *kmsg.CreateTopicsResponse:
		for _, t := range r.Topics {
			add(t.ErrorCode)
		}
	case *kmsg.DeleteTopicsResponse:
		for _, t := range r.Topics {
			add(t.ErrorCode)
		}
	case *kmsg.CreatePartitionsResponse:
		for _, t := range r.Topics {
			add(t.ErrorCode)
		}
	case *kmsg.InitProducerIDResponse:
		add(r.ErrorCode)
	case *kmsg.OffsetForLeaderEpochResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				add(p.ErrorCode)
			}
		}
	case *kmsg.DescribeConfigsResponse:
		for _, c := range r.Resources {
			add(c.ErrorCode)
		}
	case *kmsg.AlterConfigsResponse:
		for _, c := range r.Resources {
			add(c.ErrorCode)
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for _, c := range r.Resources {
			add(c.ErrorCode)
		}
	}
	return strings.Join(out, " ")
}

// names are the topics that the requests below are about, in this order: granted by name, by prefix, not granted, of another
// share, and not there.
var names = []string{"events", "paid-eu", "other", "hidden", "nowhere"}

// about makes one part of a request for each of them.
func about[T any](part func(name string) T) []T {
	var parts []T
	for _, name := range names {
		parts = append(parts, part(name))
	}
	return parts
}

func TestI6EveryTunnelledRequestMeetsTheWalls(t *testing.T) {
	s := kmsg.StringPtr
	commit := func(group string) *kmsg.OffsetCommitRequest {
		r := kmsg.NewPtrOffsetCommitRequest()
		r.Group, r.Generation = group, -1
		r.Topics = about(func(name string) kmsg.OffsetCommitRequestTopic {
			return kmsg.OffsetCommitRequestTopic{Topic: name, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 0, Offset: 7, Metadata: s("")}}}
		})
		return r
	}
	fetch := func(group string) *kmsg.OffsetFetchRequest {
		r := kmsg.NewPtrOffsetFetchRequest()
		r.Groups = []kmsg.OffsetFetchRequestGroup{{Group: group, Topics: about(func(name string) kmsg.OffsetFetchRequestGroupTopic {
			return kmsg.OffsetFetchRequestGroupTopic{Topic: name, Partitions: []int32{0}}
		})}}
		return r
	}
	remove := func(group string) *kmsg.OffsetDeleteRequest {
		r := kmsg.NewPtrOffsetDeleteRequest()
		r.Group = group
		r.Topics = about(func(name string) kmsg.OffsetDeleteRequestTopic {
			return kmsg.OffsetDeleteRequestTopic{Topic: name, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 1}}}
		})
		return r
	}
	join := func(group string) *kmsg.JoinGroupRequest {
		r := kmsg.NewPtrJoinGroupRequest()
		r.Group, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = group, 10_000, 10_000, "consumer"
		r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("m")}}
		return r
	}
	with := func(transactional *string) *kmsg.InitProducerIDRequest {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.TransactionalID, r.ProducerID, r.ProducerEpoch = transactional, 1, 0
		return r
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	create.ValidateOnly = true
	create.Topics = about(func(name string) kmsg.CreateTopicsRequestTopic {
		return kmsg.CreateTopicsRequestTopic{Topic: "new-" + name, NumPartitions: 1, ReplicationFactor: 1}
	})
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.ValidateOnly = true
	grow.Topics = about(func(name string) kmsg.CreatePartitionsRequestTopic {
		return kmsg.CreatePartitionsRequestTopic{Topic: name, Count: 9}
	})
	epochs := kmsg.NewPtrOffsetForLeaderEpochRequest()
	epochs.Topics = about(func(name string) kmsg.OffsetForLeaderEpochRequestTopic {
		return kmsg.OffsetForLeaderEpochRequestTopic{Topic: name, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{CurrentLeaderEpoch: -1, LeaderEpoch: 3}}}
	})
	describe := kmsg.NewPtrDescribeConfigsRequest()
	describe.Resources = append(about(func(name string) kmsg.DescribeConfigsRequestResource {
		return kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name}
	}), kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"})
	alter := kmsg.NewPtrAlterConfigsRequest()
	alter.ValidateOnly = true
	alter.Resources = about(func(name string) kmsg.AlterConfigsRequestResource {
		return kmsg.AlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name}
	})
	incremental := kmsg.NewPtrIncrementalAlterConfigsRequest()
	incremental.ValidateOnly = true
	incremental.Resources = about(func(name string) kmsg.IncrementalAlterConfigsRequestResource {
		return kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name}
	})
	describeGroups := kmsg.NewPtrDescribeGroupsRequest()
	describeGroups.Groups = []string{"analytics-x", "prod-x", "operators"}
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group, beat.MemberID = "prod-x", "m"
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID = "prod-x", "m"
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.Members = "prod-x", []kmsg.LeaveGroupRequestMember{{MemberID: "m"}}
	deleteGroups := kmsg.NewPtrDeleteGroupsRequest()
	deleteGroups.Groups = []string{"analytics-x", "prod-x"}
	deleteTopics := kmsg.NewPtrDeleteTopicsRequest()

	w := newWalled(t)
	deleteTopics.Topics = append(about(func(name string) kmsg.DeleteTopicsRequestTopic { return kmsg.DeleteTopicsRequestTopic{Topic: s(name)} }),
		kmsg.DeleteTopicsRequestTopic{TopicID: w.ids["events"]}, kmsg.DeleteTopicsRequestTopic{TopicID: w.ids["hidden"]})
	for _, group := range []string{"analytics-x", "operators"} { // a group of each
		if got := codesOf(w.get(commit(group))); got != "0 0 0 0 3" {
			t.Fatalf("an operator commits offsets of %s: %s", group, got)
		}
	}
	for _, row := range []struct {
		what string
		req  kmsg.Request
		want map[string]string // by caller: codes
	}{
		{"commit offsets of an own group", commit("analytics-x"), map[string]string{
			"prod": "30 30 30 30 30", "analytics": "0 0 29 29 3", "stranger": "30 30 30 30 30"}},
		{"commit offsets of a new group", commit("analytics-new"), map[string]string{
			"prod": "30 30 30 30 30", "analytics": "0 0 3 3 3", "stranger": "30 30 30 30 30"}},
		{"commit offsets of another's group", commit("operators"), map[string]string{
			"prod": "30 30 30 30 30", "analytics": "30 30 30 30 30", "stranger": "30 30 30 30 30"}},
		{"fetch offsets of an own group", fetch("analytics-x"), map[string]string{
			"prod": "30", "analytics": "0 events/0=7:0 paid-eu/0=7:0 other/0=-1:29 hidden/0=-1:29 nowhere/0=-1:0", "stranger": "30"}},
		{"fetch offsets of a new group", fetch("analytics-newer"), map[string]string{
			"prod": "30", "analytics": "0 events/0=-1:0 paid-eu/0=-1:0 other/0=-1:0 hidden/0=-1:0 nowhere/0=-1:0", "stranger": "30"}},
		{"fetch offsets of another's group", fetch("operators"), map[string]string{"prod": "30", "analytics": "30", "stranger": "30"}},
		{"delete offsets of an own group", remove("analytics-x"), map[string]string{
			"prod": "30", "analytics": "0 0 0 3 3 3", "stranger": "30"}},
		{"delete offsets of another's group", remove("operators"), map[string]string{"prod": "30", "analytics": "30", "stranger": "30"}},
		{"join an own group", join("analytics-j"), map[string]string{"prod": "30", "analytics": "79", "stranger": "30"}},
		{"join another's group", join("prod-j"), map[string]string{"prod": "30", "analytics": "30", "stranger": "30"}},
		{"heartbeat in another's group", beat, map[string]string{"prod": "30", "analytics": "30", "stranger": "30"}},
		{"sync another's group", sync, map[string]string{"prod": "30", "analytics": "30", "stranger": "30"}},
		{"leave another's group", leave, map[string]string{"prod": "30", "analytics": "30", "stranger": "30"}},
		{"describe groups", describeGroups, map[string]string{"prod": "30 30 30", "analytics": "0 30 30", "stranger": "30 30 30", "operator": "0 69 0"}},
		{"list groups", kmsg.NewPtrListGroupsRequest(), map[string]string{
			"prod": "", "analytics": "analytics-j analytics-new analytics-x", "stranger": "", "operator": "analytics-j analytics-new analytics-x operators"}},
		{"create topics", create, map[string]string{
			"prod": "29 29 29 29 29", "analytics": "29 29 29 29 29", "stranger": "31 31 31 31 31", "operator": "0 0 0 0 0"}},
		{"add partitions", grow, map[string]string{
			"prod": "29 29 29 29 3", "analytics": "29 29 3 3 3", "stranger": "3 3 3 3 3", "operator": "0 0 0 0 3"}},
		{"ask for ends of epochs", epochs, map[string]string{
			"prod": "0 0 0 0 3", "analytics": "0 0 3 3 3", "stranger": "3 3 3 3 3", "operator": "0 0 0 0 3"}},
		{"describe configs", describe, map[string]string{
			"prod": "0 0 0 0 3 0", "analytics": "0 0 3 3 3 0", "stranger": "3 3 3 3 3 31", "operator": "0 0 0 0 3 0"}},
		{"alter configs", alter, map[string]string{
			"prod": "29 29 29 29 3", "analytics": "29 29 3 3 3", "stranger": "3 3 3 3 3", "operator": "0 0 0 0 3"}},
		{"alter configs one by one", incremental, map[string]string{
			"prod": "29 29 29 29 3", "analytics": "29 29 3 3 3", "stranger": "3 3 3 3 3", "operator": "0 0 0 0 3"}},
		{"draw a producer id", with(nil), map[string]string{"prod": "0", "analytics": "31", "stranger": "31", "operator": "31"}},
		{"begin another's transactional id", with(s("analytics-t")), map[string]string{"prod": "53", "analytics": "53", "stranger": "53"}},
		{"delete groups", deleteGroups, map[string]string{"prod": "30 30", "analytics": "0 30", "stranger": "30 30"}},
		{"delete topics", deleteTopics, map[string]string{
			"prod": "29 29 29 29 3 29 29", "analytics": "29 29 3 3 3 29 100", "stranger": "3 3 3 3 3 100 100", "operator": "0 0 0 0 3 42 42"}},
	} {
		for name, who := range map[string]control.Caller{"prod": production, "analytics": analytics, "stranger": stranger, "operator": operator} {
			want, asked := row.want[name]
			if !asked {
				continue
			}
			if name == "operator" {
				continue // last, for it changes things
			}
			if got := codesOf(w.as(who).get(row.req)); got != want {
				t.Errorf("%s, %s: %s, want %s", row.what, name, got, want)
			}
		}
		if want, asked := row.want["operator"]; asked {
			if got := codesOf(w.as(operator).get(row.req)); got != want {
				t.Errorf("%s, operator: %s, want %s", row.what, got, want)
			}
		}
	}
}

// get asks in the highest version.
func (w *walled) get(req kmsg.Request) kmsg.Response {
	w.t.Helper()
	_, highest, _ := w.versions(req.Key())
	req.SetVersion(highest)
	resp, err := w.ask(w.t.Context(), req)
	if err != nil {
		w.t.Fatalf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	return resp
}

// TestI6AWallIsAskedAboutEveryTime: what a caller may do is not remembered from its last call.
func TestI6AWallIsAskedAboutEveryTime(t *testing.T) {
	w := newWalled(t)
	fetch := kmsg.NewPtrOffsetFetchRequest()
	fetch.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "analytics-x", Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "events", Partitions: []int32{0}}}}}
	list := kmsg.NewPtrListGroupsRequest()
	look := func(want, groups string) {
		t.Helper()
		if got := codesOf(w.as(analytics).get(fetch)); got != want {
			t.Errorf("fetch offsets: %s, want %s", got, want)
		}
		if got := codesOf(w.get(list)); got != groups {
			t.Errorf("list groups: %s, want %s", got, groups)
		}
	}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "analytics-x", -1
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "events", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 5}}}}
	if got := codesOf(w.as(analytics).get(commit)); got != "0" {
		t.Fatal(got)
	}
	look("0 events/0=5:0", "analytics-x")
	w.change(&controlpb.WallChange{Change: &controlpb.WallChange_RemoveGrant{RemoveGrant: "a1"}})
	look("0 events/0=-1:29", "analytics-x") // its place is kept for the day that it is let in again
	w.grant(&controlpb.Grant{Name: "a1", Group: "analytics", Share: "default", Access: "fetch", Topic: "events", Until: w.m.now + 1000})
	look("0 events/0=5:0", "analytics-x")
	w.m.set(func() { w.m.now += 2000 })
	w.m.must(t, &controlpb.Command{Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}})
	look("0 events/0=-1:29", "analytics-x")
	w.change(&controlpb.WallChange{Change: &controlpb.WallChange_RemoveBinding{RemoveBinding: "analytics"}})
	look("30", "")
	if slices.Contains(strings.Fields(codesOf(w.as(operator).get(list))), "analytics-x") == false {
		t.Error("the group is gone with its binding")
	}
}

// TestI6AParkedRequestMeetsTheWallsAsTheyAreByThen: a member that waits for its group is not let into it once its binding
// is gone.
func TestI6AParkedRequestMeetsTheWallsAsTheyAreByThen(t *testing.T) {
	w := newWalled(t)
	w.as(analytics)
	join := func(member string) *kmsg.JoinGroupRequest {
		r := request(w.fixture, kmsg.NewPtrJoinGroupRequest(), func(r *kmsg.JoinGroupRequest) {
			r.Group, r.MemberID, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = "analytics-g", member, 30_000, 60_000, "consumer"
			r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("m")}}
		})
		return r
	}
	enter := func() string { // a new member is sent back with its id first
		t.Helper()
		return get[*kmsg.JoinGroupResponse](t, w.fixture, join("")).MemberID
	}
	first := enter()
	if got := get[*kmsg.JoinGroupResponse](t, w.fixture, join(first)); got.ErrorCode != 0 {
		t.Fatal(got.ErrorCode)
	}
	second, answered := enter(), make(chan int16, 1)
	go func() { // waits until the first member joins again
		resp, err := w.ask(t.Context(), join(second))
		if err != nil {
			t.Error(err)
			answered <- -1
			return
		}
		answered <- resp.(*kmsg.JoinGroupResponse).ErrorCode
	}()
	for parked := false; !parked; {
		w.mu.Lock()
		tm := w.term
		w.mu.Unlock()
		tm.mu.Lock()
		parked = tm.desk.Waiting() > 0
		tm.mu.Unlock()
	}
	w.change(&controlpb.WallChange{Change: &controlpb.WallChange_RemoveBinding{RemoveBinding: "analytics"}})
	other := w.fixture
	leave := request(other, kmsg.NewPtrLeaveGroupRequest(), func(r *kmsg.LeaveGroupRequest) {
		r.Group, r.Members = "analytics-g", []kmsg.LeaveGroupRequestMember{{MemberID: first}}
	})
	got, err := other.Call(t.Context(), operator, &controlpb.CallRequest{Key: int32(leave.Key()), Version: int32(leave.Version), Body: leave.AppendTo(nil)})
	if err != nil || len(got.GetBody()) == 0 {
		t.Fatal(err)
	}
	if code := <-answered; code != codeGroupDenied {
		t.Errorf("the member that waited: code %d", code)
	}
}
