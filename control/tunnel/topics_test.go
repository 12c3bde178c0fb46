package tunnel

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

func TestCreateTopics(t *testing.T) {
	f := newFixture(t)
	f.topic(t, "taken", 1)
	s := kmsg.StringPtr
	manual := func(partitions ...int32) (out []kmsg.CreateTopicsRequestTopicReplicaAssignment) {
		for _, p := range partitions {
			out = append(out, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: p, Replicas: []int32{1, 2}})
		}
		return out
	}
	for _, tc := range []struct {
		name       string
		topic      kmsg.CreateTopicsRequestTopic
		code       int16
		text       string
		partitions int32
	}{
		{"plain", kmsg.CreateTopicsRequestTopic{Topic: "a.b_c-1", NumPartitions: 5, ReplicationFactor: 7}, 0, "", 5},
		{"defaults", kmsg.CreateTopicsRequestTopic{Topic: "d", NumPartitions: -1, ReplicationFactor: -1}, 0, "", 1},
		{"manual", kmsg.CreateTopicsRequestTopic{Topic: "m", NumPartitions: -1, ReplicationFactor: -1, ReplicaAssignment: manual(1, 0, 2)}, 0, "", 3},
		{"manual and counted", kmsg.CreateTopicsRequestTopic{Topic: "mc", NumPartitions: 3, ReplicationFactor: -1, ReplicaAssignment: manual(0)}, codeInvalidRequest, "must be -1", 0},
		{"manual with a hole", kmsg.CreateTopicsRequestTopic{Topic: "mh", NumPartitions: -1, ReplicationFactor: -1, ReplicaAssignment: manual(0, 2)}, codeInvalidReplicaAssignment, "consecutive", 0},
		{"manual twice", kmsg.CreateTopicsRequestTopic{Topic: "mt", NumPartitions: -1, ReplicationFactor: -1, ReplicaAssignment: manual(0, 0)}, codeInvalidReplicaAssignment, "consecutive", 0},
		{"manual empty", kmsg.CreateTopicsRequestTopic{Topic: "me", NumPartitions: -1, ReplicationFactor: -1, ReplicaAssignment: []kmsg.CreateTopicsRequestTopicReplicaAssignment{{}}}, codeInvalidReplicaAssignment, "empty", 0},
		{"exists", kmsg.CreateTopicsRequestTopic{Topic: "taken", NumPartitions: 1, ReplicationFactor: 1}, codeTopicExists, "already exists", 0},
		{"internal", kmsg.CreateTopicsRequestTopic{Topic: control.OffsetsTopic, NumPartitions: 1, ReplicationFactor: 1}, codeTopicExists, "already exists", 0},
		{"empty name", kmsg.CreateTopicsRequestTopic{NumPartitions: 1, ReplicationFactor: 1}, codeInvalidTopic, "empty", 0},
		{"dots", kmsg.CreateTopicsRequestTopic{Topic: "..", NumPartitions: 1, ReplicationFactor: 1}, codeInvalidTopic, "'..'", 0},
		{"bad name", kmsg.CreateTopicsRequestTopic{Topic: "a b\xff", NumPartitions: 1, ReplicationFactor: 1}, codeInvalidTopic, "ASCII", 0},
		{"long name", kmsg.CreateTopicsRequestTopic{Topic: strings.Repeat("x", 250), NumPartitions: 1, ReplicationFactor: 1}, codeInvalidTopic, "249", 0},
		{"no partitions", kmsg.CreateTopicsRequestTopic{Topic: "n", NumPartitions: 0, ReplicationFactor: 1}, codeInvalidPartitions, "larger than 0", 0},
		{"too many", kmsg.CreateTopicsRequestTopic{Topic: "n", NumPartitions: 101, ReplicationFactor: 1}, codeInvalidPartitions, "at most 100", 0},
		{"no replicas", kmsg.CreateTopicsRequestTopic{Topic: "n", NumPartitions: 1}, codeInvalidReplicationFactor, "larger than 0", 0},
		{"unknown config", kmsg.CreateTopicsRequestTopic{Topic: "n", NumPartitions: 1, ReplicationFactor: 1, Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.mx", Value: s("1")}}}, codeInvalidConfig, `did you mean "retention.ms"`, 0},
		{"null config", kmsg.CreateTopicsRequestTopic{Topic: "n", NumPartitions: 1, ReplicationFactor: 1, Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms"}}}, codeInvalidConfig, "Null value", 0},
		{"compacted", kmsg.CreateTopicsRequestTopic{Topic: "n", NumPartitions: 1, ReplicationFactor: 1, Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: "cleanup.policy", Value: s("compact")}}}, codeInvalidConfig, "not served yet", 0},
		{"no such share", kmsg.CreateTopicsRequestTopic{Topic: "n", NumPartitions: 1, ReplicationFactor: 1, Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: topic.ShareConfig, Value: s("other")}}}, codeInvalidConfig, `no share "other"`, 0},
		{"its share", kmsg.CreateTopicsRequestTopic{Topic: "sh", NumPartitions: 1, ReplicationFactor: 1, Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: topic.ShareConfig, Value: s("default")}, {Name: "retention.ms", Value: s("5")}}}, 0, "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, validate := range []bool{true, false} {
				req := request(f, kmsg.NewPtrCreateTopicsRequest(), func(r *kmsg.CreateTopicsRequest) {
					r.Topics, r.ValidateOnly = []kmsg.CreateTopicsRequestTopic{tc.topic}, validate
				})
				got := get[*kmsg.CreateTopicsResponse](t, f, req).Topics[0]
				if got.ErrorCode != tc.code || !strings.Contains(text(got.ErrorMessage), tc.text) {
					t.Fatalf("validate=%v: code %d, %q", validate, got.ErrorCode, text(got.ErrorMessage))
				}
				if tc.code != 0 {
					continue
				}
				if got.NumPartitions != tc.partitions || got.ReplicationFactor != 1 || len(got.Configs) < 30 {
					t.Errorf("validate=%v: %d partitions, factor %d, %d configs", validate, got.NumPartitions, got.ReplicationFactor, len(got.Configs))
				}
				for _, cf := range got.Configs {
					// Java's admin client throws at a source below 1, and MirrorMaker ends there.
					if cf.Source < 1 || cf.Value == nil {
						t.Errorf("validate=%v: %s is %q from source %d", validate, cf.Name, text(cf.Value), cf.Source)
					}
				}
				known := false
				f.m.set(func() { _, known = f.m.state.TopicByName(tc.topic.Topic) })
				if known == validate {
					t.Errorf("validate=%v: the topic exists: %v", validate, known)
				}
			}
		})
	}
	twice := request(f, kmsg.NewPtrCreateTopicsRequest(), func(r *kmsg.CreateTopicsRequest) {
		one := kmsg.CreateTopicsRequestTopic{Topic: "twice", NumPartitions: 1, ReplicationFactor: 1}
		r.Topics = []kmsg.CreateTopicsRequestTopic{one, one}
	})
	for _, at := range get[*kmsg.CreateTopicsResponse](t, f, twice).Topics {
		if at.ErrorCode != codeInvalidRequest {
			t.Errorf("named twice: %d", at.ErrorCode)
		}
	}
	var overrides map[string]string
	f.m.set(func() {
		tp, _ := f.m.state.TopicByName("sh")
		overrides = tp.Overrides
	})
	if len(overrides) != 1 || overrides["retention.ms"] != "5" {
		t.Errorf("overrides of sh: %v", overrides)
	}
}

func TestDeleteTopics(t *testing.T) {
	f := newFixture(t)
	first, second := f.topic(t, "first", 1), f.topic(t, "second", 1)
	s := kmsg.StringPtr
	req := request(f, kmsg.NewPtrDeleteTopicsRequest(), func(r *kmsg.DeleteTopicsRequest) {
		r.Topics = []kmsg.DeleteTopicsRequestTopic{
			{Topic: s("first")}, {TopicID: second}, {TopicID: second}, {Topic: s("nowhere")}, {TopicID: [16]byte{9}},
			{}, {Topic: s("first"), TopicID: first}, {Topic: s(control.OffsetsTopic)},
		}
	})
	got := get[*kmsg.DeleteTopicsResponse](t, f, req)
	for i, want := range []int16{0, 0, codeInvalidRequest, codeUnknownTopicOrPartition, codeUnknownTopicID, codeInvalidRequest, codeInvalidRequest, codeInvalidTopic} {
		if got.Topics[i].ErrorCode != want {
			t.Errorf("topic %d: code %d, want %d", i, got.Topics[i].ErrorCode, want)
		}
	}
	if text(got.Topics[1].Topic) != "second" || got.Topics[0].TopicID != first || got.Topics[4].Topic != nil {
		t.Errorf("answers: %+v", got.Topics)
	}
	if again := f.topic(t, "first", 1); again == first {
		t.Error("a topic that is created again has its former id")
	}
}

func TestCreatePartitions(t *testing.T) {
	f := newFixture(t)
	f.topic(t, "orders", 3)
	for _, tc := range []struct {
		topic    string
		count    int32
		assigned int
		code     int16
	}{
		{"orders", 3, 0, codeInvalidPartitions}, {"orders", 2, 0, codeInvalidPartitions}, {"orders", 101, 0, codeInvalidPartitions},
		{"nowhere", 3, 0, codeUnknownTopicOrPartition}, {control.OffsetsTopic, 3, 0, codeInvalidTopic},
		{"orders", 5, 1, codeInvalidReplicaAssignment}, {"orders", 5, 2, 0}, {"orders", 5, 0, codeInvalidPartitions}, {"orders", 6, 0, 0},
	} {
		for _, validate := range []bool{true, false} {
			req := request(f, kmsg.NewPtrCreatePartitionsRequest(), func(r *kmsg.CreatePartitionsRequest) {
				rt := kmsg.CreatePartitionsRequestTopic{Topic: tc.topic, Count: tc.count}
				for range tc.assigned {
					rt.Assignment = append(rt.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: []int32{1}})
				}
				r.Topics, r.ValidateOnly = []kmsg.CreatePartitionsRequestTopic{rt}, validate
			})
			if got := get[*kmsg.CreatePartitionsResponse](t, f, req).Topics[0]; got.ErrorCode != tc.code || (tc.code != 0) != (got.ErrorMessage != nil) {
				t.Errorf("%s to %d, validate=%v: code %d %s", tc.topic, tc.count, validate, got.ErrorCode, text(got.ErrorMessage))
			}
		}
	}
}

// TestQuotaOfPartitions: who is refused for a quota of its group is told so, and not that the cluster is full.
func TestQuotaOfPartitions(t *testing.T) {
	f := newFixture(t)
	f.m.must(t, &controlpb.Command{Op: &controlpb.Command_ChangeWalls{ChangeWalls: &controlpb.ChangeWallsCommand{Change: &controlpb.WallChange{
		Change: &controlpb.WallChange_PutGroup{PutGroup: &controlpb.AgentGroup{Name: f.who.Group, Quota: &controlpb.Quota{Partitions: 3}}},
	}}}})
	f.topic(t, "orders", 2)
	create := request(f, kmsg.NewPtrCreateTopicsRequest(), func(r *kmsg.CreateTopicsRequest) {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "more", 2, 1
		r.Topics = append(r.Topics, rt)
	})
	if got := get[*kmsg.CreateTopicsResponse](t, f, create).Topics[0]; got.ErrorCode != codePolicyViolation || !strings.Contains(text(got.ErrorMessage), "by its quota") {
		t.Errorf("create: code %d %s", got.ErrorCode, text(got.ErrorMessage))
	}
	for count, code := range map[int32]int16{5: codePolicyViolation, 3: 0} {
		grow := request(f, kmsg.NewPtrCreatePartitionsRequest(), func(r *kmsg.CreatePartitionsRequest) {
			r.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "orders", Count: count}}
		})
		if got := get[*kmsg.CreatePartitionsResponse](t, f, grow).Topics[0]; got.ErrorCode != code || code != 0 && !strings.Contains(text(got.ErrorMessage), "by its quota") {
			t.Errorf("grow to %d: code %d %s", count, got.ErrorCode, text(got.ErrorMessage))
		}
	}
}

func TestInitProducerID(t *testing.T) {
	f := newFixture(t)
	ask := func(txn *string) *kmsg.InitProducerIDResponse {
		return get[*kmsg.InitProducerIDResponse](t, f, request(f, kmsg.NewPtrInitProducerIDRequest(), func(r *kmsg.InitProducerIDRequest) {
			r.TransactionalID, r.ProducerID, r.ProducerEpoch = txn, 77, 3
		}))
	}
	a, b := ask(nil), ask(nil)
	if a.ErrorCode != 0 || b.ErrorCode != 0 || a.ProducerID == b.ProducerID || a.ProducerEpoch != 0 || b.ProducerEpoch != 0 {
		t.Errorf("two producers: %+v, %+v", a, b)
	}
	if got := ask(kmsg.StringPtr("tx")); got.ErrorCode != codeTransactionalIDDenied || got.ProducerID != -1 {
		t.Errorf("transactional: %+v", got)
	}
	if got := ask(kmsg.StringPtr("")); got.ErrorCode != codeInvalidRequest {
		t.Errorf("empty transactional id: %+v", got)
	}
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	f := newFixture(t)
	f.topic(t, "orders", 1)
	for _, tc := range []struct {
		partition, current, asked int32
		code                      int16
		epoch                     int32
		end                       int64
	}{
		{0, -1, 3, 0, 3, 0}, {0, 3, 3, 0, 3, 0}, {0, 2, 3, codeFencedLeaderEpoch, -1, -1}, {0, 4, 3, codeUnknownLeaderEpoch, -1, -1},
		{0, -1, 4, 0, -1, -1}, {0, -1, 2, 0, 2, 0}, {0, -1, -1, 0, -1, -1}, {1, -1, 3, codeUnknownTopicOrPartition, -1, -1},
	} {
		req := request(f, kmsg.NewPtrOffsetForLeaderEpochRequest(), func(r *kmsg.OffsetForLeaderEpochRequest) {
			r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "orders", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{
				{Partition: tc.partition, CurrentLeaderEpoch: tc.current, LeaderEpoch: tc.asked},
			}}}
		})
		got := get[*kmsg.OffsetForLeaderEpochResponse](t, f, req).Topics[0].Partitions[0]
		if got.ErrorCode != tc.code || got.LeaderEpoch != tc.epoch || got.EndOffset != tc.end {
			t.Errorf("%+v: got %+v", tc, got)
		}
	}
}
