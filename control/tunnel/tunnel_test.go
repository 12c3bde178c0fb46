package tunnel

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// versions is the first and last version of every request that the tunnel carries; an
// agent must not advertise more.
var versions = map[int16][2]int16{
	8: {0, 9}, 9: {0, 9}, 11: {0, 9}, 12: {0, 4}, 13: {0, 5}, 14: {0, 5}, 15: {0, 6}, 16: {0, 5}, 19: {0, 7}, 20: {0, 6},
	22: {0, 5}, 23: {0, 4}, 32: {0, 4}, 33: {0, 2}, 37: {0, 3}, 42: {0, 2}, 44: {0, 1}, 47: {0, 0},
}

// TestEveryVersion: each request is decoded, answered, and its answer decodes, in
// every version, empty and with something in it.
func TestEveryVersion(t *testing.T) {
	f := newFixture(t)
	f.topic(t, "orders", 3)
	if len(allAPIs()) != len(versions) {
		t.Errorf("%d requests are carried, %d are expected", len(allAPIs()), len(versions))
	}
	for key, want := range versions {
		lowest, highest, ok := f.versions(key)
		if !ok || lowest != want[0] || highest != want[1] {
			t.Errorf("key %d is served from %d to %d, not from %d to %d", key, lowest, highest, want[0], want[1])
		}
		for v := want[0]; v <= want[1]; v++ {
			for _, filled := range []bool{false, true} {
				req := kmsg.RequestForKey(key)
				req.SetVersion(v)
				if d, ok := req.(interface{ Default() }); ok {
					d.Default()
				}
				if filled {
					fill(req)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if _, err := f.ask(ctx, req); err != nil {
					t.Errorf("%s version %d filled=%v: %v", kmsg.NameForKey(key), v, filled, err)
				}
				cancel()
			}
		}
	}
}

// fill makes a request ask for something.
func fill(req kmsg.Request) {
	s := kmsg.StringPtr
	switch r := req.(type) {
	case *kmsg.OffsetCommitRequest:
		r.Group = "simple"
		r.Generation = -1
		r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "orders", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 1, Offset: 5, Metadata: s("m")}, {Partition: 9}}}}
	case *kmsg.OffsetFetchRequest:
		r.Group = "simple"
		r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "orders", Partitions: []int32{0, 1}}}
		r.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "simple"}, {Group: "unknown", Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "x", Partitions: []int32{1}}}}}
	case *kmsg.JoinGroupRequest:
		r.Group, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = "v"+string(rune('a'+r.Version)), 10000, 10000, "consumer"
		r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("m")}}
	case *kmsg.HeartbeatRequest:
		r.Group, r.MemberID = "g", "m"
	case *kmsg.SyncGroupRequest:
		r.Group, r.MemberID, r.ProtocolType = "g", "m", s("consumer")
		r.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: "m", MemberAssignment: []byte("a")}}
	case *kmsg.LeaveGroupRequest:
		r.Group, r.MemberID = "g", "m"
		r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "m", InstanceID: s("i"), Reason: s("bye")}}
	case *kmsg.DescribeGroupsRequest:
		r.Groups = []string{"simple", "unknown", "va"}
	case *kmsg.ListGroupsRequest:
		r.StatesFilter, r.TypesFilter = []string{"empty"}, []string{"Classic"}
	case *kmsg.CreateTopicsRequest:
		r.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "created-" + string(rune('0'+r.Version)), NumPartitions: 1, ReplicationFactor: 1, Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms", Value: s("1")}}}}
	case *kmsg.DeleteTopicsRequest:
		r.TopicNames = []string{"nowhere"}
		r.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: s("nowhere")}, {TopicID: [16]byte{1}}}
	case *kmsg.OffsetForLeaderEpochRequest:
		r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "orders", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{Partition: 0, LeaderEpoch: 3, CurrentLeaderEpoch: -1}}}}
	case *kmsg.DescribeConfigsRequest:
		r.IncludeDocumentation, r.IncludeSynonyms = true, true
		r.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: 2, ResourceName: "orders"}, {ResourceType: 4, ResourceName: "1"}, {ResourceType: 8, ResourceName: "1"}}
	case *kmsg.AlterConfigsRequest:
		r.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: 2, ResourceName: "orders", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: s("7")}}}}
	case *kmsg.IncrementalAlterConfigsRequest:
		r.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: 2, ResourceName: "orders", Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: s("7")}}}}
	case *kmsg.CreatePartitionsRequest:
		r.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "orders", Count: 4}}
	case *kmsg.DeleteGroupsRequest:
		r.Groups = []string{"unknown"}
	case *kmsg.OffsetDeleteRequest:
		r.Group = "simple"
		r.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "orders", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 1}}}}
	}
}

// FuzzCall: no bytes make Call panic, and whatever it answers can be decoded.
func FuzzCall(f *testing.F) {
	fx := newFixture(f)
	fx.topic(f, "orders", 3)
	for key, r := range versions {
		for v := r[0]; v <= r[1]; v++ {
			req := kmsg.RequestForKey(key)
			req.SetVersion(v)
			fill(req)
			f.Add(key, v, req.AppendTo(nil))
		}
		f.Add(key, r[1]+1, []byte{0xff, 0xff, 0xff, 0x7f})
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		got, err := fx.Call(ctx, fx.who, &controlpb.CallRequest{Key: int32(key), Version: int32(version), Body: body})
		if err != nil {
			return
		}
		resp := kmsg.ResponseForKey(key)
		resp.SetVersion(version)
		if err := resp.ReadFrom(got.GetBody()); err != nil {
			t.Fatalf("the answer to key %d version %d cannot be read: %v", key, version, err)
		}
	})
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	for _, r := range []*controlpb.CallRequest{
		{Key: 0}, {Key: 8, Version: 10}, {Key: 8, Version: -1}, {Key: 65536 + 8}, {Key: -1},
	} {
		if _, err := f.Call(t.Context(), f.who, r); !errors.Is(err, ErrUnsupported) {
			t.Errorf("key %d version %d: %v", r.Key, r.Version, err)
		}
	}
	for _, body := range [][]byte{nil, {0xff}, make([]byte, f.cfg.MaxRequestBytes+1), {0x7f, 0xff, 0xff, 0xff}} {
		if _, err := f.Call(t.Context(), f.who, &controlpb.CallRequest{Key: 11, Version: 5, Body: body}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes of nonsense: %v", len(body), err)
		}
	}
}

// TestAway: without a term, requests about groups are refused as not done, and the
// others are the backend's.
func TestAway(t *testing.T) {
	f := newFixture(t)
	f.Resigned()
	for key := range versions {
		req := kmsg.RequestForKey(key)
		_, highest, _ := f.versions(key)
		req.SetVersion(highest)
		fill(req)
		_, err := f.ask(t.Context(), req)
		switch key {
		case 8, 9, 11, 12, 13, 14, 15, 16, 42, 47:
			if !errors.Is(err, ErrAway) {
				t.Errorf("%s: %v", kmsg.NameForKey(key), err)
			}
		default:
			if err != nil {
				t.Errorf("%s: %v", kmsg.NameForKey(key), err)
			}
		}
	}
	f.m.set(func() { f.m.fail = errLost })
	for _, key := range []int16{19, 20, 22, 23, 32, 33, 37, 44} {
		req := kmsg.RequestForKey(key)
		_, highest, _ := f.versions(key)
		req.SetVersion(highest)
		fill(req)
		if _, err := f.ask(t.Context(), req); !errors.Is(err, errLost) {
			t.Errorf("%s without a leader: %v", kmsg.NameForKey(key), err)
		}
	}
	if err := f.Elected(t.Context()); !errors.Is(err, errLost) {
		t.Errorf("elected without the state: %v", err)
	}
	f.m.set(func() { f.m.fail = nil })
}

func TestMetrics(t *testing.T) {
	f := newFixture(t)
	r := prometheus.NewRegistry()
	if err := f.Register(r); err != nil {
		t.Fatal(err)
	}
	f.topic(t, "orders", 1)
	if n, err := testutil.GatherAndCount(r); err != nil || n < 7 {
		t.Fatalf("%d metrics: %v", n, err)
	}
	if err := f.Register(r); err == nil {
		t.Error("registered twice")
	}
}

func TestConfigReportsAllFaults(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	err := Config{Coordinator: Default().Coordinator}.Validate()
	if err == nil {
		t.Fatal("nothing is valid")
	}
	if n := len(err.(interface{ Unwrap() []error }).Unwrap()); n < 5 {
		t.Errorf("%d faults are reported: %v", n, err)
	}
}

func TestCodes(t *testing.T) {
	for code, want := range map[int16]*kerr.Error{
		codeUnknownTopicOrPartition: kerr.UnknownTopicOrPartition,
		codeOffsetMetadataTooLarge:  kerr.OffsetMetadataTooLarge, codeCoordinatorNotAvailable: kerr.CoordinatorNotAvailable,
		codeInvalidTopic: kerr.InvalidTopicException, codeIllegalGeneration: kerr.IllegalGeneration, codeInvalidGroup: kerr.InvalidGroupID,
		codeTopicDenied: kerr.TopicAuthorizationFailed, codeGroupDenied: kerr.GroupAuthorizationFailed,
		codeClusterDenied: kerr.ClusterAuthorizationFailed, codeTopicExists: kerr.TopicAlreadyExists,
		codeInvalidPartitions: kerr.InvalidPartitions, codeInvalidReplicationFactor: kerr.InvalidReplicationFactor,
		codeInvalidReplicaAssignment: kerr.InvalidReplicaAssignment, codeInvalidConfig: kerr.InvalidConfig,
		codeInvalidRequest: kerr.InvalidRequest, codePolicyViolation: kerr.PolicyViolation,
		codeTransactionalIDDenied: kerr.TransactionalIDAuthorizationFailed, codeNonEmptyGroup: kerr.NonEmptyGroup,
		codeGroupNotFound: kerr.GroupIDNotFound, codeFencedLeaderEpoch: kerr.FencedLeaderEpoch,
		codeUnknownLeaderEpoch: kerr.UnknownLeaderEpoch, codeGroupSubscribed: kerr.GroupSubscribedToTopic,
		codeThrottlingQuota: kerr.ThrottlingQuotaExceeded, codeUnknownTopicID: kerr.UnknownTopicID,
	} {
		if code != want.Code {
			t.Errorf("%s is %d, not %d", want.Message, want.Code, code)
		}
	}
}
