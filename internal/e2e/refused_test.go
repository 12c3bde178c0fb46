//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// unserved says of every request that agents do not advertise why, and what its clients see.
var unserved = []struct {
	what, why, seen string
	keys            []kmsg.Key
}{
	{"transactions", "not served yet", "a producer with a transactional id is refused at once, see above; Kafka's tools say that the node does not support the request",
		[]kmsg.Key{kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.WriteTxnMarkers, kmsg.TxnOffsetCommit,
			kmsg.DescribeProducers, kmsg.DescribeTransactions, kmsg.ListTransactions}},
	{"the consumer group protocol of KIP-848", "the classic protocol serves every client; leave out `group.protocol=consumer`",
		"an error that tells to use the classic protocol", []kmsg.Key{kmsg.ConsumerGroupHeartbeat, kmsg.ConsumerGroupDescribe}},
	{"logins (SASL)", "not served yet; TLS is", "the connection is closed; clients report an authentication that broke off",
		[]kmsg.Key{kmsg.SASLHandshake, kmsg.SASLAuthenticate, kmsg.DescribeUserSCRAMCredentials, kmsg.AlterUserSCRAMCredentials,
			kmsg.CreateDelegationToken, kmsg.RenewDelegationToken, kmsg.ExpireDelegationToken, kmsg.DescribeDelegationToken}},
	{"ACLs and quotas", "a group's roles decide what its clients may do; there are no users yet to tell apart",
		"the tools say that the node does not support the request",
		[]kmsg.Key{kmsg.DescribeACLs, kmsg.CreateACLs, kmsg.DeleteACLs, kmsg.DescribeClientQuotas, kmsg.AlterClientQuotas}},
	{"deleting records before an offset", "nothing but topics is deleted yet", "the tools say that the node does not support the request",
		[]kmsg.Key{kmsg.DeleteRecords}},
	{"share groups (KIP-932) and streams groups (KIP-1071)", "not planned",
		"an error that names the missing request",
		[]kmsg.Key{kmsg.ShareGroupHeartbeat, kmsg.ShareGroupDescribe, kmsg.ShareFetch, kmsg.ShareAcknowledge, kmsg.InitializeShareGroupState,
			kmsg.ReadShareGroupState, kmsg.WriteShareGroupState, kmsg.DeleteShareGroupState, kmsg.ReadShareGroupStateSummary,
			kmsg.DescribeShareGroupOffsets, kmsg.AlterShareGroupOffsets, kmsg.DeleteShareGroupOffsets, kmsg.StreamsGroupHeartbeat,
			kmsg.StreamsGroupDescribe, kmsg.StreamsGroupTopologyDescriptionUpdate}},
	{"disks and replicas", "records lie in the bucket: an agent has no log directory, and a partition no replica to move or elect",
		"the tools say that the node does not support the request",
		[]kmsg.Key{kmsg.AlterReplicaLogDirs, kmsg.DescribeLogDirs, kmsg.ElectLeaders, kmsg.AlterPartitionAssignments, kmsg.ListPartitionReassignments}},
	{"paged descriptions of topics", "Metadata tells the same", "nothing: clients ask Metadata", []kmsg.Key{kmsg.DescribeTopicPartitions}},
	{"clients' telemetry (KIP-714)", "agents count what they serve themselves", "nothing: clients send none",
		[]kmsg.Key{kmsg.GetTelemetrySubscriptions, kmsg.PushTelemetry, kmsg.ListConfigResources}},
	{"requests between Kafka's own brokers and controllers", "agents speak another protocol to the control plane", "nothing: no client sends them",
		[]kmsg.Key{kmsg.LeaderAndISR, kmsg.StopReplica, kmsg.UpdateMetadata, kmsg.ControlledShutdown, kmsg.Vote, kmsg.BeginQuorumEpoch,
			kmsg.EndQuorumEpoch, kmsg.DescribeQuorum, kmsg.AlterPartition, kmsg.UpdateFeatures, kmsg.Envelope, kmsg.FetchSnapshot,
			kmsg.BrokerRegistration, kmsg.BrokerHeartbeat, kmsg.UnregisterBroker, kmsg.AllocateProducerIDs, kmsg.ControllerRegistration,
			kmsg.AssignReplicasToDirs, kmsg.AddRaftVoter, kmsg.RemoveRaftVoter, kmsg.UpdateRaftVoter, kmsg.UnregisterController}},
}

// TestWhatIsRefused asks agents of both roles what they serve, and what they answer to what they do not,
// and puts it on the page: what stands there is what they say.
func TestWhatIsRefused(t *testing.T) {
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	c.isthmus("topic", "create", "events")
	writer, reader := c.raw(t, c.prod[0]), c.raw(t, c.analytics[0])
	served := writer.served()
	if other := reader.served(); !maps.Equal(served, other) {
		t.Errorf("a fetch-only agent advertises %v, a produce-only agent %v: clients draw conclusions from what is missing", other, served)
	}

	var page strings.Builder
	page.WriteString("\n### At the wrong group\n\n| request | at | answer |\n| --- | --- | --- |\n")
	fmt.Fprintf(&page, "| Produce | agents that may only fetch | %s |\n", reader.produce())
	fmt.Fprintf(&page, "| Fetch | agents that may only produce | %s |\n", writer.fetch())
	page.WriteString("| everything else | any agent | served: metadata, offsets, groups, topics, configurations |\n")
	fmt.Fprintf(&page, "\nNo answer leads a client to another group: whoever runs it gives it the other group's address. "+
		"No client above\nsent more than %d requests a second while it was refused, unless it was done after fewer than %d.\n", calmRate, calmBurst)
	page.WriteString("\n### At any group\n\n| request | answer |\n| --- | --- |\n")
	fmt.Fprintf(&page, "| InitProducerID with a transactional id | %s |\n", writer.beginTransactions())
	page.WriteString("\n### Requests that are not advertised\n\n| what | why | what clients see | requests |\n| --- | --- | --- | --- |\n")
	told := make(map[int16]bool)
	for _, u := range unserved {
		var names []string
		for _, key := range u.keys {
			told[int16(key)] = true
			names = append(names, kmsg.NameForKey(int16(key)))
			if versions, ok := served[int16(key)]; ok {
				t.Errorf("%s is said not to be served, and is advertised in versions %s", kmsg.NameForKey(int16(key)), versions)
			}
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", u.what, u.why, u.seen, strings.Join(names, ", "))
	}
	page.WriteString("\n## What is served\n\nEvery agent, whatever its roles, advertises the same.\n\n| request | versions |\n| --- | --- |\n")
	for key := range int16(kmsg.MaxKey) + 1 {
		switch versions, ok := served[key]; {
		case ok:
			fmt.Fprintf(&page, "| %s | %s |\n", kmsg.NameForKey(key), versions)
		case !told[key]:
			t.Errorf("nobody says why %s (%d) is not served", kmsg.NameForKey(key), key)
		}
	}
	if !t.Failed() {
		seen.Lock()
		defer seen.Unlock()
		seen.refused = page.String()
	}
}

// raw speaks to one agent without a client's opinions.
type raw struct {
	t      *testing.T
	broker *kgo.Broker
}

func (c *cluster) raw(t *testing.T, a *agent) raw {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(a.kafka), kgo.MaxVersions(kversion.V3_0_0()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return raw{t, client.SeedBrokers()[0]}
}

func (r raw) ask(req kmsg.Request) kmsg.Response {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := r.broker.RetriableRequest(ctx, req)
	if err != nil {
		r.t.Fatalf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	return resp
}

// served are the versions that an agent advertises, by key.
func (r raw) served() map[int16]string {
	r.t.Helper()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "isthmus", "e2e"
	served := make(map[int16]string)
	for _, k := range r.ask(req).(*kmsg.ApiVersionsResponse).ApiKeys {
		served[k.ApiKey] = fmt.Sprintf("%d to %d", k.MinVersion, k.MaxVersion)
	}
	if _, ok := served[int16(kmsg.Metadata)]; !ok {
		r.t.Fatalf("the agent advertises %v", slices.Sorted(maps.Keys(served)))
	}
	return served
}

// named is an error code of Kafka's and what was said with it.
func named(code int16, message *string) string {
	name := "none"
	if err := kerr.TypedErrorForCode(code); err != nil {
		name = err.Message
	}
	if message == nil || *message == "" {
		return fmt.Sprintf("%s (%d)", name, code)
	}
	return fmt.Sprintf("%s (%d) for every partition, saying *%s*", name, code, *message)
}

func (r raw) produce() string {
	r.t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.Partitions = "events", []kmsg.ProduceRequestTopicPartition{kmsg.NewProduceRequestTopicPartition()}
	req.Topics = append(req.Topics, topic)
	got := r.ask(req).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if got.ErrorCode != kerr.PolicyViolation.Code {
		r.t.Errorf("Produce was answered with %s", named(got.ErrorCode, got.ErrorMessage))
	}
	return named(got.ErrorCode, got.ErrorMessage)
}

func (r raw) fetch() string {
	r.t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = 100
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.Partitions = "events", []kmsg.FetchRequestTopicPartition{kmsg.NewFetchRequestTopicPartition()}
	req.Topics = append(req.Topics, topic)
	got := r.ask(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if got.ErrorCode != kerr.TopicAuthorizationFailed.Code {
		r.t.Errorf("Fetch was answered with code %d", got.ErrorCode)
	}
	return named(got.ErrorCode, nil) + " for every partition, after at most half a second, so that nobody asks without pause"
}

func (r raw) beginTransactions() string {
	r.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	id := "e2e"
	req.TransactionalID, req.TransactionTimeoutMillis = &id, 10_000
	got := r.ask(req).(*kmsg.InitProducerIDResponse)
	if got.ErrorCode == 0 {
		r.t.Error("a transactional id was accepted")
	}
	return named(got.ErrorCode, nil)
}
