package main

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// TestAGroupDoesWhatItsRoleSaysAndNothingElse asks each group for what it does and for what only
// the other one does.
func TestAGroupDoesWhatItsRoleSaysAndNothingElse(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	t.Run("a fetch-only group refuses Produce with 44 and says why", func(t *testing.T) { l.in(t).produceRefused() })
	t.Run("a produce-only group refuses Fetch with 29", func(t *testing.T) { l.in(t).fetchRefused() })
	t.Run("clients get an error of their own, at once, and stay usable", func(t *testing.T) { l.in(t).clientsToldAtOnce() })
	t.Run("a produce-only agent has nothing to read with, a fetch-only agent nothing to write with", func(t *testing.T) { l.in(t).nothingElseBuilt() })
	t.Run("Metadata shows the own group alone", func(t *testing.T) { l.in(t).ownGroupAlone() })
	t.Run("ApiVersions are the same at every agent", func(t *testing.T) { l.in(t).sameVersions() })
	t.Run("producer ids are given everywhere", func(t *testing.T) { l.in(t).producerIDsEverywhere() })
	t.Run("transactional ids are refused with 53 everywhere", func(t *testing.T) { l.in(t).noTransactions() })
	t.Run("offsets committed in one land are read in the other", func(t *testing.T) { l.in(t).offsetsEverywhere() })
	t.Run("an agent with both roles does both", func(t *testing.T) { l.in(t).bothRoles() })
}

func (l *lands) produceRefused() {
	l.create("refused", 2)
	b := recordtest.Batch(recordtest.Options{})
	for _, version := range []int16{3, 8, 11} {
		for i, p := range l.dial("analytics-1").produce(version, "refused", b, b) {
			if p.ErrorCode != kerr.PolicyViolation.Code || p.BaseOffset != -1 {
				l.t.Errorf("version %d, partition %d: code %d, offset %d, want 44", version, i, p.ErrorCode, p.BaseOffset)
			}
			if text := said(p.ErrorMessage); version >= 8 && !(strings.Contains(text, `"analytics"`) && strings.Contains(text, "[fetch]")) {
				l.t.Errorf("version %d: the text names neither group nor roles: %q", version, text)
			}
		}
	}
	silent := l.dial("analytics-1")
	silent.send(9, produceRequest(0, "refused", b))
	silent.closed() // acks=0 knows no other answer
}

func (l *lands) fetchRefused() {
	l.create("secret", 2)
	request := fetchRequest("secret", 0, 0)
	request.Topics[0].Partitions = append(request.Topics[0].Partitions, fetchPartition(1, 0))
	for _, version := range []int16{4, 11, 12} {
		got := l.dial("prod-1").fetch(version, request)
		if len(got) != 2 {
			l.t.Fatalf("version %d: answered for %d partitions, want 2", version, len(got))
		}
		for _, p := range got {
			if p.ErrorCode != kerr.TopicAuthorizationFailed.Code || p.RecordBatches == nil || len(p.RecordBatches) != 0 {
				l.t.Errorf("version %d, partition %d: code %d with %v, want 29 with records that are empty and not null", version, p.Partition, p.ErrorCode, p.RecordBatches)
			}
		}
	}
}

func (l *lands) clientsToldAtOnce() {
	l.create("wrong-door", 1)
	producer := l.client("analytics")
	for range 2 { // the producer survives being refused
		err := producer.ProduceSync(l.ctx, &kgo.Record{Topic: "wrong-door", Value: []byte("x")}).FirstErr()
		if !errors.Is(err, kerr.PolicyViolation) {
			l.t.Errorf("produce at a fetch-only group: %v, want %v", err, kerr.PolicyViolation)
		}
	}
	consumer := l.client("prod", kgo.ConsumeTopics("wrong-door"))
	if err := consumer.PollFetches(l.ctx).Err(); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		l.t.Errorf("consume at a produce-only group: %v, want %v", err, kerr.TopicAuthorizationFailed)
	}
}

func (l *lands) nothingElseBuilt() {
	for _, name := range []string{"prod-1", "prod-2"} {
		a := l.running(name)
		if a.producer == nil || a.fetcher != nil || a.peers != nil {
			l.t.Errorf("%s: producer %v, fetcher %v, listener for readers %v", name, a.producer != nil, a.fetcher != nil, a.peers != nil)
		}
		uploader, err := a.stores.putter(l.ctx, topic.DefaultShare)
		if err != nil {
			l.t.Fatal(err)
		}
		if _, reads := uploader.(objstore.Getter); reads {
			l.t.Errorf("%s: what it uploads with could also read", name)
		}
		if _, deletes := uploader.(interface{ Delete(string) error }); deletes {
			l.t.Errorf("%s: what it uploads with could also delete", name)
		}
	}
	for _, name := range []string{"analytics-1", "analytics-2"} {
		a := l.running(name)
		if a.producer != nil || a.fetcher == nil {
			l.t.Errorf("%s: producer %v, fetcher %v", name, a.producer != nil, a.fetcher != nil)
		}
		getter, err := a.stores.getter(topic.DefaultShare)
		if err != nil {
			l.t.Fatal(err)
		}
		if _, writes := getter.(objstore.Putter); writes {
			l.t.Errorf("%s: what it reads with could also write", name)
		}
	}
}

func (l *lands) ownGroupAlone() {
	l.create("who", 6)
	for _, group := range []string{"prod", "analytics"} {
		own := slices.Sorted(slices.Values(l.bootstraps(group)))
		for _, name := range []string{group + "-1", group + "-2"} {
			// A member that has just joined is known to the others a little later.
			eventually(l.t, name+" knows its group", func() bool {
				answer := call[*kmsg.MetadataResponse](l.dial(name), 12, allTopics())
				return len(answer.Brokers) == len(own)
			})
			l.checkMetadata(name, own)
			cluster := call[*kmsg.DescribeClusterResponse](l.dial(name), 2, describeCluster())
			var described []string
			for _, b := range cluster.Brokers {
				described = append(described, address(b.Host, b.Port))
			}
			if slices.Sort(described); !slices.Equal(described, own) {
				l.t.Errorf("DescribeCluster at %s shows %v, want %v", name, described, own)
			}
			find := kmsg.NewPtrFindCoordinatorRequest()
			find.CoordinatorKeys = []string{"any"}
			if c := call[*kmsg.FindCoordinatorResponse](l.dial(name), 4, find).Coordinators; len(c) != 1 || address(c[0].Host, c[0].Port) != l.address(name) {
				l.t.Errorf("the coordinator at %s is %+v, want itself", name, c)
			}
		}
	}
}

func (l *lands) checkMetadata(name string, own []string) {
	l.t.Helper()
	answer := call[*kmsg.MetadataResponse](l.dial(name), 12, allTopics())
	nodes := map[int32]string{}
	var shown []string
	for _, b := range answer.Brokers {
		nodes[b.NodeID] = address(b.Host, b.Port)
		shown = append(shown, nodes[b.NodeID])
	}
	if slices.Sort(shown); !slices.Equal(shown, own) || len(nodes) != len(own) {
		l.t.Errorf("Metadata at %s shows brokers %v, want %v", name, shown, own)
	}
	if nodes[answer.ControllerID] == "" || said(answer.ClusterID) == "" {
		l.t.Errorf("Metadata at %s: controller %d, cluster id %q", name, answer.ControllerID, said(answer.ClusterID))
	}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if nodes[p.Leader] == "" || !slices.Equal(p.Replicas, []int32{p.Leader}) || p.LeaderEpoch != 1 {
				l.t.Errorf("Metadata at %s: %s/%d is led by %d of epoch %d, with replicas %v", name, said(t.Topic), p.Partition, p.Leader, p.LeaderEpoch, p.Replicas)
			}
		}
	}
}

func address(host string, port int32) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

func allTopics() *kmsg.MetadataRequest {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = nil
	return request
}

func describeCluster() *kmsg.DescribeClusterRequest {
	request := kmsg.NewPtrDescribeClusterRequest()
	request.EndpointType = 1
	return request
}

func (l *lands) sameVersions() {
	names := []string{"prod-1", "prod-2", "analytics-1", "analytics-2"}
	request := func() *kmsg.ApiVersionsRequest {
		r := kmsg.NewPtrApiVersionsRequest()
		r.ClientSoftwareName, r.ClientSoftwareVersion = "test", "1"
		return r
	}
	want := call[*kmsg.ApiVersionsResponse](l.dial(names[0]), 4, request())
	for _, name := range names {
		got := call[*kmsg.ApiVersionsResponse](l.dial(name), 4, request())
		same := func(a, b kmsg.ApiVersionsResponseApiKey) bool {
			return a.ApiKey == b.ApiKey && a.MinVersion == b.MinVersion && a.MaxVersion == b.MaxVersion
		}
		if got.ErrorCode != 0 || !slices.EqualFunc(got.ApiKeys, want.ApiKeys, same) {
			l.t.Errorf("%s and %s advertise different versions", name, names[0])
		}
	}
	// Versions that old clients draw conclusions from (librdkafka above all).
	has := func(key kmsg.Key, from, to int16) {
		for _, k := range want.ApiKeys {
			if k.ApiKey == int16(key) && k.MinVersion <= from && k.MaxVersion >= to {
				return
			}
		}
		l.t.Errorf("%s is not advertised from %d to %d", key.Name(), from, to)
	}
	has(kmsg.Produce, 0, 11)
	has(kmsg.Fetch, 4, 17)
	has(kmsg.ListOffsets, 1, 10)
	has(kmsg.FindCoordinator, 0, 4)
	has(kmsg.JoinGroup, 0, 9)
	has(kmsg.ApiVersions, 0, 4)
	// And versions that engines would draw wrong ones from: Java's admin client falls back to Metadata without
	// DescribeTopicPartitions; transactions of the second kind come with a finalized feature, or not at all.
	for _, key := range []kmsg.Key{kmsg.DescribeTopicPartitions, kmsg.GetTelemetrySubscriptions, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit} {
		if slices.ContainsFunc(want.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == int16(key) }) {
			l.t.Errorf("%s is advertised", key.Name())
		}
	}
	if len(want.FinalizedFeatures) != 0 || len(want.SupportedFeatures) != 0 {
		l.t.Errorf("features: %+v of %+v, want none", want.FinalizedFeatures, want.SupportedFeatures)
	}
}

func (l *lands) producerIDsEverywhere() {
	seen := map[int64]bool{}
	for _, name := range []string{"prod-1", "prod-2", "analytics-1", "analytics-2"} {
		seen[l.dial(name).producerID()] = true
	}
	if len(seen) != 4 {
		l.t.Errorf("four agents gave %d different producer ids", len(seen))
	}
}

func (l *lands) noTransactions() {
	for _, name := range []string{"prod-1", "analytics-1"} {
		c := l.dial(name)
		request := kmsg.NewPtrInitProducerIDRequest()
		request.TransactionalID, request.TransactionTimeoutMillis = kmsg.StringPtr("tx"), 60_000
		if code := call[*kmsg.InitProducerIDResponse](c, 4, request).ErrorCode; code != kerr.TransactionalIDAuthorizationFailed.Code {
			l.t.Errorf("%s: InitProducerId with a transactional id: code %d, want 53", name, code)
		}
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorType, find.CoordinatorKeys = 1, []string{"tx"}
		answer := call[*kmsg.FindCoordinatorResponse](c, 4, find).Coordinators
		if len(answer) != 1 || answer[0].ErrorCode != kerr.TransactionalIDAuthorizationFailed.Code || !strings.Contains(said(answer[0].ErrorMessage), "transaction") {
			l.t.Errorf("%s: FindCoordinator of a transactional id: %+v, want 53 and the reason", name, answer)
		}
	}
}

func (l *lands) offsetsEverywhere() {
	l.create("far-away", 1)
	if code := commitOffset(l.dial("prod-1"), "traveller", "far-away", 42, "a note"); code != 0 {
		l.t.Fatalf("commit at a produce-only agent: code %d", code)
	}
	if offset, note := committedOffset(l.dial("analytics-2"), "traveller", "far-away"); offset != 42 || note != "a note" {
		l.t.Errorf("a fetch-only agent reads offset %d and %q, want 42 and the note", offset, note)
	}
}

// commitOffset commits an offset of partition 0 for a consumer group without members.
func commitOffset(c *caller, group, topic string, offset int64, note string) (code int16) {
	c.t.Helper()
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.Generation = group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata = offset, &note
	t.Partitions = append(t.Partitions, p)
	request.Topics = append(request.Topics, t)
	answer := call[*kmsg.OffsetCommitResponse](c, 8, request)
	return answer.Topics[0].Partitions[0].ErrorCode
}

// committedOffset reads what a consumer group has committed of partition 0, or -1.
func committedOffset(c *caller, group, topic string) (offset int64, note string) {
	c.t.Helper()
	request := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.Partitions = topic, []int32{0}
	g.Group, g.Topics = group, []kmsg.OffsetFetchRequestGroupTopic{t}
	request.Groups = append(request.Groups, g)
	answer := call[*kmsg.OffsetFetchResponse](c, 8, request)
	p := answer.Groups[0].Topics[0].Partitions[0]
	if answer.Groups[0].ErrorCode != 0 || p.ErrorCode != 0 {
		c.t.Fatalf("fetch offsets of group %s: codes %d and %d", group, answer.Groups[0].ErrorCode, p.ErrorCode)
	}
	return p.Offset, said(p.Metadata)
}

func (l *lands) bothRoles() {
	l.addAgent("both-1", "both", rolesOf("produce", "fetch"))
	l.create("both-ways", 1)
	c := l.dial("both-1")
	c.stored("both-ways", recordtest.Batch(recordtest.Options{Values: []string{"here and back"}}))
	if p := c.fetch(11, fetchRequest("both-ways", 0, 0))[0]; p.ErrorCode != 0 || len(batchesOf(l.t, p.RecordBatches)) != 1 {
		l.t.Errorf("fetch at the same agent: code %d, %d bytes", p.ErrorCode, len(p.RecordBatches))
	}
	l.checkMetadata("both-1", l.bootstraps("both"))
}
