package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// metadata asks for topics by name and prints the answer: name, code, and who leads.
func (a *agent) metadataOf(clientID string, create bool, names ...string) string {
	a.t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = create
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: &name})
	}
	return printTopics(a.ask(req, 13, clientID).(*kmsg.MetadataResponse))
}

func printTopics(resp *kmsg.MetadataResponse) string {
	var b strings.Builder
	for _, t := range resp.Topics {
		name := fmt.Sprintf("%x", t.TopicID[:2])
		if t.Topic != nil {
			name = *t.Topic
		}
		fmt.Fprintf(&b, "%s %d", name, t.ErrorCode)
		for _, p := range t.Partitions {
			fmt.Fprintf(&b, " %d@%d", p.Leader, p.LeaderEpoch)
			if !slices.Equal(p.Replicas, []int32{p.Leader}) || !slices.Equal(p.ISR, p.Replicas) {
				b.WriteString(" replicas?")
			}
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// TestMetadataTopics asks for topics that are there, missing, misnamed and created on the way.
func TestMetadataTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl("orders", "views")
		a := newAgent(t, Default(), control, alone(), nil)
		expect(t, "known, unknown, misnamed", a.metadataOf("", false, "orders", "ghosts", "a b", "orders", ".."),
			"orders 0 1@3 1@3; ghosts 3; a b 17; .. 17")
		expect(t, "created", a.metadataOf("", true, "fresh", "no/name"), "fresh 0 1@3; no/name 17")
		expect(t, "none", a.metadataOf("", false), "")
		expect(t, "internal", a.metadataOf("", false, "__consumer_offsets"), "__consumer_offsets 0 1@3")

		all := kmsg.NewPtrMetadataRequest()
		expect(t, "all", printTopics(a.ask(all, 12).(*kmsg.MetadataResponse)),
			"__consumer_offsets 0 1@3; fresh 0 1@3; orders 0 1@3 1@3; views 0 1@3 1@3")
		expect(t, "all, version 0", printTopics(a.ask(all, 0).(*kmsg.MetadataResponse)),
			"__consumer_offsets 0 1@-1; fresh 0 1@-1; orders 0 1@-1 1@-1; views 0 1@-1 1@-1")

		byID := kmsg.NewPtrMetadataRequest()
		byID.Topics = []kmsg.MetadataRequestTopic{{TopicID: idOf("orders", 0)}, {TopicID: topic.ID{0xab, 0xcd}}}
		expect(t, "by id", printTopics(a.ask(byID, 12).(*kmsg.MetadataResponse)), "orders 0 1@3 1@3; abcd 100")

		cfg := Default()
		cfg.AutoCreate = false
		strict := newAgent(t, cfg, control, alone(), nil)
		expect(t, "creation switched off", strict.metadataOf("", true, "never"), "never 3")
	})
}

// TestMetadataAway answers what is known while the control plane is away, and denies nothing.
func TestMetadataAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl("orders", "views")
		a := newAgent(t, Default(), control, alone(), nil)
		a.metadataOf("", false, "orders")
		synctest.Wait() // a list of all was read behind the answer
		control.setAway(true)
		expect(t, "away, seen in the list", a.metadataOf("", false, "views"), "views 0 1@3 1@3")
		a.deps.Topics.Forget("views")
		expect(t, "away", a.metadataOf("", true, "orders", "views", "a b"), "orders 0 1@3 1@3; views 5; a b 17")
		expect(t, "all, away", printTopics(a.ask(kmsg.NewPtrMetadataRequest(), 12).(*kmsg.MetadataResponse)), "__consumer_offsets 0 1@3; orders 0 1@3 1@3")
		fresh := newAgent(t, Default(), control, alone(), nil)
		if resp := fresh.ask(kmsg.NewPtrMetadataRequest(), 13).(*kmsg.MetadataResponse); len(resp.Topics) != 0 || resp.ErrorCode != 7 {
			t.Errorf("all, away from the start: %+v", resp)
		}
		control.setAway(false)
		expect(t, "back", a.metadataOf("", false, "views"), "views 0 1@3 1@3")
	})
}

// TestMetadataCluster shows the own group and nobody else, and this agent as controller.
func TestMetadataCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := &fakeGroup{self: 2, members: []Member{
			{NodeID: 1, Host: "a", Port: 1, Zone: "z1", Roles: []string{RoleFetch}},
			{NodeID: 2, Host: "b", Port: 2, Roles: []string{RoleFetch}},
		}}
		a := newAgent(t, Default(), newFakeControl(), group, nil)
		resp := a.ask(kmsg.NewPtrMetadataRequest(), 8).(*kmsg.MetadataResponse)
		var got []string
		for _, b := range resp.Brokers {
			rack := "none"
			if b.Rack != nil {
				rack = *b.Rack
			}
			got = append(got, fmt.Sprintf("%d=%s:%d/%s", b.NodeID, b.Host, b.Port, rack))
		}
		expect(t, "brokers", strings.Join(got, " "), "1=a:1/z1 2=b:2/none")
		if resp.ControllerID != 2 || *resp.ClusterID != "isthmus-test" || resp.AuthorizedOperations != -1<<31 {
			t.Errorf("%+v", resp)
		}
		req := kmsg.NewPtrMetadataRequest()
		req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
		resp = a.ask(req, 8).(*kmsg.MetadataResponse)
		if resp.AuthorizedOperations != clusterOperations || resp.Topics[0].AuthorizedOperations != topicOperations {
			t.Errorf("authorized operations: %+v", resp)
		}

		// An agent that gossip does not show yet answers, and therefore lives.
		group.self = 3
		cluster := a.ask(kmsg.NewPtrDescribeClusterRequest(), 0).(*kmsg.DescribeClusterResponse)
		if len(cluster.Brokers) != 3 || cluster.Brokers[2].Host != "self" || cluster.ControllerID != 3 || cluster.ClusterID != "isthmus-test" {
			t.Errorf("%+v", cluster)
		}
		controllers := kmsg.NewPtrDescribeClusterRequest()
		controllers.EndpointType = endpointControllers
		if resp := a.ask(controllers, 1).(*kmsg.DescribeClusterResponse); resp.ErrorCode != 114 || len(resp.Brokers) != 0 {
			t.Errorf("%+v", resp)
		}
	})
}

// TestLeaders chooses by role and by the zone in client.id.
func TestLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := []string{RoleProduce, RoleFetch}
		for _, c := range []struct {
			name    string
			members []Member
			client  string
			want    string
		}{
			{"producers only", []Member{{NodeID: 1, Roles: []string{RoleProduce}}, {NodeID: 2, Roles: []string{RoleProduce}}}, "", "1@3 2@3"},
			{"consumers only", []Member{{NodeID: 1, Roles: []string{RoleFetch}}, {NodeID: 2, Roles: []string{RoleFetch}}}, "", "1@3 2@3"},
			{"zone", []Member{{NodeID: 1, Zone: "a", Roles: both}, {NodeID: 2, Zone: "b", Roles: both}}, "x,zone=b", "2@3 2@3"},
			{"zone of nobody", []Member{{NodeID: 1, Zone: "a", Roles: both}, {NodeID: 2, Zone: "b", Roles: both}}, "x,zone=c", "1@3 2@3"},
			{"both before one", []Member{{NodeID: 1, Roles: []string{RoleProduce}}, {NodeID: 2, Roles: both}}, "", "2@3 2@3"},
			{"one of each", []Member{{NodeID: 1, Roles: []string{RoleProduce}}, {NodeID: 2, Roles: []string{RoleFetch}}}, "", "1@3 1@3"},
			{"nobody", []Member{{NodeID: 1, Roles: []string{"jobs"}}}, "", "9@3 9@3"},
		} {
			self := c.members[0].NodeID
			if c.name == "nobody" {
				self = 9
			}
			a := newAgent(t, Default(), newFakeControl("orders"), &fakeGroup{self: self, members: c.members}, nil)
			expect(t, c.name, a.metadataOf(c.client, false, "orders"), "orders 0 "+c.want)
		}
	})
}

func TestClientZone(t *testing.T) {
	for id, want := range map[string]string{
		"": "", "zone=": "", "zone=a": "a", "app,zone=eu-west-1a,x=y": "eu-west-1a", "app zone=b": "b",
		"timezone=utc": "", "timezone=utc;zone=c": "c", "zone=a zone=b": "a", "zone=ü": "",
	} {
		if got := clientZone(id); got != want {
			t.Errorf("zone of %q is %q, want %q", id, got, want)
		}
	}
}

func FuzzClientZone(f *testing.F) {
	f.Add("app,zone=eu-west-1a")
	f.Add("xzone=zone=zone=b")
	f.Fuzz(func(t *testing.T, id string) {
		zone := clientZone(id)
		if zone != "" && !strings.Contains(id, "zone="+zone) {
			t.Errorf("zone of %q is %q", id, zone)
		}
	})
}

// TestFindCoordinator names this agent for groups, and nobody for what is not served.
func TestFindCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(t, Default(), newFakeControl(), alone(), nil)
		for kind, want := range map[int8]int16{0: 0, 1: 53, 2: 42, 7: 42} {
			for version := int16(1); version <= 6; version++ {
				req := kmsg.NewPtrFindCoordinatorRequest()
				req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = kind, "g", []string{"g", "h"}
				resp := a.ask(req, version).(*kmsg.FindCoordinatorResponse)
				answers := resp.Coordinators
				if version < 4 {
					answers = []kmsg.FindCoordinatorResponseCoordinator{{NodeID: resp.NodeID, Host: resp.Host, Port: resp.Port,
						ErrorCode: resp.ErrorCode, ErrorMessage: resp.ErrorMessage}}
				}
				if n := len(answers); version >= 4 && n != 2 || n == 0 {
					t.Fatalf("version %d: %d answers", version, n)
				}
				for _, c := range answers {
					ok := c.ErrorCode == want && (want == 0) == (c.NodeID == 1 && c.Host == "a" && c.Port == 9092)
					if !ok || want == 53 && *c.ErrorMessage != "transactions are not served yet" {
						t.Errorf("type %d version %d: %+v", kind, version, c)
					}
				}
			}
		}
	})
}

// TestFindCoordinatorWhileCutOff names a neighbour that can reach the control plane.
func TestFindCoordinatorWhileCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := &fakeGroup{self: 2, cut: true, members: []Member{{NodeID: 1, Host: "b", Port: 9092}, {NodeID: 2, Host: "a", Port: 9092}}}
		a := newAgent(t, Default(), newFakeControl(), group, nil)
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey = "g"
		if resp := a.ask(req, 3).(*kmsg.FindCoordinatorResponse); resp.ErrorCode != 0 || resp.NodeID != 1 || resp.Host != "b" {
			t.Errorf("%+v", resp)
		}
	})
}

// TestInitProducerID refuses transactions here and carries the rest to the control plane.
func TestInitProducerID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl()
		a := newAgent(t, Default(), control, alone(), nil)
		for id, want := range map[string]int16{"": 42, "tx": 53} {
			req := kmsg.NewPtrInitProducerIDRequest()
			req.TransactionalID = &id
			if resp := a.ask(req, 5).(*kmsg.InitProducerIDResponse); resp.ErrorCode != want || resp.ProducerID != -1 {
				t.Errorf("transactional id %q: %+v", id, resp)
			}
		}
		if len(control.calls) != 0 {
			t.Errorf("the control plane was asked %d times", len(control.calls))
		}
		a.ask(kmsg.NewPtrInitProducerIDRequest(), 5, "app")
		if c := control.calls[0]; c.Key != 22 || c.Version != 5 || c.ClientID != "app" || c.ClientHost != "pipe" || c.Principal != "User:ANONYMOUS" {
			t.Errorf("call: %+v", c)
		}
	})
}
