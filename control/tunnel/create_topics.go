package tunnel

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// CreateTopics, key 19, versions 0 to 7.
//
// Partitions and replication factor of -1 are the cluster's defaults. Any
// replication factor is accepted, for durability is the bucket's; 1 is what the
// answer tells. A manual assignment must make sense and has no effect but the
// number of partitions. Configs are checked as topic.ParseConfig says (40);
// isthmus.share names the topic's share, for good. With validate_only (v1+)
// everything is checked and nothing made. Answers tell why (v1+), partitions and
// configs with their sources (v5+), and the topic's id (v7+).
//
// Left out: the timeout; a topic is visible everywhere once it is answered. Names
// that differ only in . and _ are allowed side by side.
func createTopicsAPI() api { return api{key: 19, min: 0, max: 7, serve: (*Tunnel).createTopics} }

// newTopic is one topic that is asked for, as far as it is understood.
type newTopic struct {
	name       string
	partitions int32
	share      string
	overrides  map[string]string
	fault      *fault
	id         topic.ID
}

func (t *Tunnel) createTopics(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.req.(*kmsg.CreateTopicsRequest)
	topics := make([]*newTopic, 0, len(req.Topics))
	asked := map[string]int{}
	for _, rt := range req.Topics {
		asked[rt.Topic]++
		topics = append(topics, t.understand(rt))
	}
	for _, n := range topics {
		if asked[n.name] > 1 {
			n.fault = &fault{codeInvalidRequest, "the request names the topic more than once"}
		}
	}
	err := t.backend.View(ctx, func(s *control.State) {
		for _, n := range topics {
			t.checkNew(s, c, n)
		}
	})
	if err != nil {
		return nil, err
	}
	if !req.ValidateOnly {
		if err := t.create(ctx, c.who.Group, topics); err != nil {
			return nil, err
		}
	}
	return answerCreate(req, topics), nil
}

// understand checks what does not depend on the state.
func (t *Tunnel) understand(rt kmsg.CreateTopicsRequestTopic) *newTopic {
	n := &newTopic{name: rt.Topic, partitions: rt.NumPartitions, share: topic.DefaultShare}
	if n.fault = checkAssignment(rt, n); n.fault != nil {
		return n
	}
	switch {
	case n.partitions == -1:
		n.partitions = t.cfg.NumPartitions
	case n.partitions < 1:
		n.fault = &fault{codeInvalidPartitions, "Number of partitions must be larger than 0, or -1 to use the default value."}
		return n
	}
	if rt.ReplicationFactor == 0 || rt.ReplicationFactor < -1 {
		n.fault = &fault{codeInvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."}
		return n
	}
	n.overrides, n.fault = overridesOf(rt.Configs)
	if share, ok := n.overrides[topic.ShareConfig]; ok && n.fault == nil {
		// The share is the topic's own, not one of its configs that change.
		n.share = share
		delete(n.overrides, topic.ShareConfig)
	}
	return n
}

func overridesOf(configs []kmsg.CreateTopicsRequestTopicConfig) (map[string]string, *fault) {
	overrides := map[string]string{}
	for _, cf := range configs {
		if cf.Value == nil {
			return nil, &fault{codeInvalidConfig, "Null value not supported for topic configs: " + safe(cf.Name)}
		}
		if _, twice := overrides[cf.Name]; twice {
			return nil, &fault{codeInvalidRequest, "config named more than once: " + safe(cf.Name)}
		}
		overrides[cf.Name] = *cf.Value
	}
	if _, err := topic.ParseConfig(overrides); err != nil {
		return nil, &fault{codeInvalidConfig, err.Error()}
	}
	return overrides, nil
}

// checkAssignment holds Kafka's rules for a manual assignment, which gives only
// the number of partitions here.
func checkAssignment(rt kmsg.CreateTopicsRequestTopic, n *newTopic) *fault {
	if len(rt.ReplicaAssignment) == 0 {
		return nil
	}
	if rt.NumPartitions != -1 || rt.ReplicationFactor != -1 {
		return &fault{codeInvalidRequest, "A manual assignment was given: the number of partitions and the replication factor must be -1."}
	}
	seen := map[int32]bool{}
	for _, a := range rt.ReplicaAssignment {
		if a.Partition < 0 || int(a.Partition) >= len(rt.ReplicaAssignment) || seen[a.Partition] {
			return &fault{codeInvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence"}
		}
		seen[a.Partition] = true
		if f := checkReplicas(a.Replicas); f != nil {
			return f
		}
	}
	n.partitions = int32(len(rt.ReplicaAssignment))
	return nil
}

func checkReplicas(replicas []int32) *fault {
	sorted := slices.Sorted(slices.Values(replicas))
	switch {
	case len(sorted) == 0:
		return &fault{codeInvalidReplicaAssignment, "The manual partition assignment includes an empty replica list."}
	case sorted[0] < 0, len(slices.Compact(sorted)) != len(replicas):
		return &fault{codeInvalidReplicaAssignment, "The manual partition assignment includes a broker twice or a negative one."}
	}
	return nil
}

// checkNew checks what depends on the state: walls, names and limits.
func (t *Tunnel) checkNew(s *control.State, c *call, n *newTopic) {
	if f := checkTopicName(n.name); f != nil {
		n.fault = f
		return
	}
	if d := t.ask(s, c, control.Call{Topic: n.name, Share: n.share}, codeTopicDenied); d != nil {
		n.fault = d
		return
	}
	if have, exists := s.TopicByName(n.name); exists {
		n.fault, n.id = &fault{codeTopicExists, fmt.Sprintf("Topic '%s' already exists.", n.name)}, have.ID
		return
	}
	if n.fault == nil && !hasShare(s, n.share) {
		n.fault = &fault{codeInvalidConfig, fmt.Sprintf("%s: there is no share %q", topic.ShareConfig, n.share)}
	}
	if most := s.Limits().MaxTopicPartitions; n.fault == nil && int(n.partitions) > most {
		n.fault = &fault{codeInvalidPartitions, fmt.Sprintf("A topic may have at most %d partitions.", most)}
	}
}

// checkTopicName refuses a name in the words of Kafka's brokers.
func checkTopicName(name string) *fault {
	if err := topic.CheckName(name); err != nil {
		return &fault{codeInvalidTopic, "Topic name is invalid: " + err.Error()}
	}
	return nil
}

// commandsAtOnce bounds the commands of one proposal of many topics.
const commandsAtOnce = 100

// create proposes what has no fault.
func (t *Tunnel) create(ctx context.Context, group string, topics []*newTopic) error {
	sound := make([]*newTopic, 0, len(topics))
	for _, n := range topics {
		if n.fault == nil {
			sound = append(sound, n)
		}
	}
	for chunk := range slices.Chunk(sound, commandsAtOnce) {
		commands := make([]*controlpb.Command, len(chunk))
		for i, n := range chunk {
			n.id = randomID()
			commands[i] = &controlpb.Command{Op: &controlpb.Command_CreateTopic{CreateTopic: &controlpb.CreateTopicCommand{
				Name: n.name, Id: n.id[:], Partitions: n.partitions, Share: n.share, Config: n.overrides, Group: group,
			}}}
		}
		results, err := t.propose(ctx, commands...)
		if err != nil {
			return fmt.Errorf("create topics: %w", err)
		}
		for i, n := range chunk {
			if results[i].Code != 0 {
				n.fault = faultOf(results[i])
				continue
			}
			n.id = results[i].TopicID
			t.log.Info("topic created", "topic", n.name, "id", n.id, "partitions", n.partitions, "share", n.share)
		}
	}
	return nil
}

func answerCreate(req *kmsg.CreateTopicsRequest, topics []*newTopic) *kmsg.CreateTopicsResponse {
	resp := kmsg.NewPtrCreateTopicsResponse()
	for _, n := range topics {
		at := kmsg.NewCreateTopicsResponseTopic()
		at.Topic, at.NumPartitions, at.ReplicationFactor = n.name, -1, -1
		if n.fault != nil {
			at.ErrorCode, at.ErrorMessage = n.fault.code, n.fault.message()
			resp.Topics = append(resp.Topics, at)
			continue
		}
		at.TopicID, at.NumPartitions, at.ReplicationFactor = n.id, n.partitions, 1
		for _, cv := range topicConfigs(topic.Topic{Share: n.share, Overrides: n.overrides}) {
			cf := kmsg.NewCreateTopicsResponseTopicConfig()
			cf.Name, cf.Value, cf.ReadOnly, cf.Source = cv.key.Name, kmsg.StringPtr(cv.value), cv.key.ReadOnly, int8(cv.source)
			at.Configs = append(at.Configs, cf)
		}
		resp.Topics = append(resp.Topics, at)
	}
	return resp
}
