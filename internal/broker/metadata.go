package broker

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// Metadata, key 3, versions 0 to 13: the members of the own group, and topics from a confirmed read
// at the control plane, so that a topic just created is seen at every agent.
//
// Leadership is a hint: the leader is chosen for the zone that the client names with zone= in its
// client.id, it is the only replica, and its epoch is the cluster's incarnation. The controller is
// the agent that was asked. A missing topic is created where the client and the configuration
// allow it (version 4; before that the client always does). While the control plane is away the
// answer is what was last known; of a topic never seen, 5 is said instead of 3. Asking by id works
// from version 12. The internal topic of offsets is led by the asked agent. Version 13 says with 7 at
// the top that a list of all topics may lack some, since none was ever read; older ones cannot.
func (b *broker) metadata() wire.API {
	return wire.API{Key: int16(kmsg.Metadata), Min: 0, Max: 13, Handler: wire.SerialReply(b.serveMetadata), Weight: localWeight}
}

// everything is a question for all topics: those of one kind share their answers, for a list of
// thousands is asked in a few bytes.
type everything struct {
	version int16
	zone    string
	topics  bool // with operations
	cluster bool
}

func (b *broker) serveMetadata(ctx context.Context, r *wire.Request) (wire.Reply, error) {
	req := r.Body.(*kmsg.MetadataRequest)
	if !asksForAll(req) {
		return wire.Reply{Body: b.describe(ctx, r)}, nil
	}
	key := everything{r.Version, clientZone(r.ClientID), req.IncludeTopicAuthorizedOperations, req.IncludeClusterAuthorizedOperations}
	body, err := b.lists.ask(ctx, key, func() []byte {
		// Others may wait for it when this client has gone.
		resp := b.describe(context.WithoutCancel(ctx), r)
		resp.SetVersion(r.Version)
		return resp.AppendTo(nil)
	})
	return wire.Reply{Gathered: net.Buffers{body}}, err
}

func asksForAll(req *kmsg.MetadataRequest) bool {
	return req.Topics == nil || req.Version == 0 && len(req.Topics) == 0
}

// Operations that a client may do where no authorizer says otherwise, as Kafka's bits.
const (
	topicOperations   int32 = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations int32 = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)

func (b *broker) describe(ctx context.Context, r *wire.Request) kmsg.Response {
	req := r.Body.(*kmsg.MetadataRequest)
	resp := kmsg.NewPtrMetadataResponse()
	self := b.Group.Self()
	resp.ClusterID, resp.ControllerID = ptr(b.ClusterID), self.NodeID
	for _, m := range b.members() {
		rb := kmsg.NewMetadataResponseBroker()
		rb.NodeID, rb.Host, rb.Port, rb.Rack = m.NodeID, m.Host, m.Port, rack(m)
		resp.Brokers = append(resp.Brokers, rb)
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	v := view{broker: b, zone: clientZone(r.ClientID), self: self, epoch: int32(b.Incarnation()), operations: req.IncludeTopicAuthorizedOperations}
	wanted, code := b.wanted(ctx, r, req)
	resp.ErrorCode = code
	for _, f := range wanted {
		resp.Topics = append(resp.Topics, v.topic(f))
	}
	return resp
}

// wanted finds the topics that a Metadata request asks for; code says that there may be more.
func (b *broker) wanted(ctx context.Context, r *wire.Request, req *kmsg.MetadataRequest) (_ []wantedTopic, code int16) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	if asksForAll(req) {
		return b.allTopics(ctx, r)
	}
	b.Topics.keepListed()
	want, q := questions(req)
	q.Create = b.cfg.AutoCreate && (req.Version < 4 || req.AllowAutoTopicCreation)
	if len(q.Names)+len(q.IDs) == 0 {
		return want, 0
	}
	found, err := b.Topics.ask(ctx, q)
	if err != nil {
		if errors.Is(err, topic.ErrDenied) {
			b.complain(r, "Metadata", "metadata denied by the control plane", err)
			return nothing(want), 0
		}
		b.complain(r, "Metadata", "metadata answered from what was last known", err)
		return b.lastKnown(want), 0
	}
	names, ids := found[:len(q.Names)], found[len(q.Names):]
	for i := range want {
		w := &want[i]
		switch {
		case w.decided:
		case w.byID:
			w.Found, ids = ids[0], ids[1:]
		default:
			w.Found, names = names[0], names[1:]
		}
	}
	return want, 0
}

// wantedTopic is a topic that was asked for, by name or by id, and what was found.
type wantedTopic struct {
	name    string
	id      topic.ID
	byID    bool
	decided bool // nobody need be asked
	topic.Found
}

// questions lists what is asked for, once each, and what of it the control plane must be asked.
func questions(req *kmsg.MetadataRequest) (want []wantedTopic, q topic.Query) {
	seen := make(map[string]bool, len(req.Topics))
	for _, t := range req.Topics {
		w := wantedTopic{id: t.TopicID, byID: t.Topic == nil}
		key := "\x00" + string(t.TopicID[:])
		if t.Topic != nil {
			w.name, key = *t.Topic, *t.Topic
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		switch {
		case w.byID:
			q.IDs = append(q.IDs, w.id)
		case topic.CheckName(w.name) != nil:
			w.Found, w.decided = topic.Found{Code: kerr.InvalidTopicException.Code}, true
		default:
			q.Names = append(q.Names, w.name)
		}
		want = append(want, w)
	}
	return want, q
}

func (b *broker) allTopics(ctx context.Context, r *wire.Request) (want []wantedTopic, code int16) {
	found, err := b.Topics.ask(ctx, topic.Query{All: true})
	if errors.Is(err, topic.ErrDenied) {
		b.complain(r, "Metadata", "metadata denied by the control plane", err)
		return nil, 0
	}
	if err != nil {
		b.complain(r, "Metadata", "metadata answered from what was last known", err)
		known, complete := b.Topics.known()
		if !complete {
			code = kerr.RequestTimedOut.Code
		}
		for _, t := range known {
			found = append(found, topic.Found{Topic: t})
		}
	}
	want = make([]wantedTopic, 0, len(found))
	for _, f := range found {
		if f.Code == 0 {
			want = append(want, wantedTopic{Found: f})
		}
	}
	return want, code
}

// nothing answers an agent that may not ask: what it knew before is not its to tell.
func nothing(want []wantedTopic) []wantedTopic {
	for i := range want {
		if w := &want[i]; !w.decided {
			w.Found = topic.Found{Code: kerr.TopicAuthorizationFailed.Code}
		}
	}
	return want
}

// lastKnown answers from the cache. Of what is not there nothing is claimed.
func (b *broker) lastKnown(want []wantedTopic) []wantedTopic {
	for i := range want {
		w := &want[i]
		if w.decided {
			continue
		}
		e, ok := b.Topics.get(w.name)
		if w.byID {
			e, ok = b.Topics.getID(w.id)
		}
		if w.Found = (topic.Found{Topic: e.topic}); !ok {
			w.Code = kerr.LeaderNotAvailable.Code
		}
	}
	return want
}

// view is what one client is shown.
type view struct {
	*broker
	zone       string
	self       Member
	epoch      int32
	operations bool
}

func (v *view) topic(w wantedTopic) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.ErrorCode = w.Code
	if w.Code != 0 {
		if t.TopicID = w.id; !w.byID {
			t.Topic = ptr(w.name)
		}
		return t
	}
	t.Topic, t.TopicID, t.IsInternal = ptr(w.Topic.Name), w.Topic.ID, w.Topic.Internal
	if v.operations {
		t.AuthorizedOperations = topicOperations
	}
	t.Partitions = make([]kmsg.MetadataResponseTopicPartition, w.Topic.Partitions)
	replicas := make([]int32, w.Topic.Partitions) // one allocation for all
	for i := range t.Partitions {
		p := &t.Partitions[i]
		p.Default()
		p.Partition, p.LeaderEpoch = int32(i), v.epoch
		p.Leader = v.self.NodeID
		if !w.Topic.Internal {
			p.Leader = v.leader(topic.Partition{Topic: w.Topic.ID, Index: int32(i)}, v.zone).NodeID
		}
		replicas[i] = p.Leader
		p.Replicas = replicas[i : i+1 : i+1]
		p.ISR = p.Replicas
	}
	return t
}

// timeout is the shorter of the client's, in milliseconds, and ours.
func (b *broker) timeout(millis int32) time.Duration {
	if d := time.Duration(millis) * time.Millisecond; d > 0 {
		return min(d, b.cfg.CallTimeout)
	}
	return b.cfg.CallTimeout
}
