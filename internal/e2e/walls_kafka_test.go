//go:build e2e && linux

package e2e

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a thief asks by Kafka's own requests. Each returns the code in the answer, for a denial stands there.

func (c *caller) commitOffset(group, topic string) (int16, error) {
	r, answer := kmsg.NewPtrOffsetCommitRequest(), kmsg.NewPtrOffsetCommitResponse()
	r.Group, r.Generation = group, -1
	partition := kmsg.NewOffsetCommitRequestTopicPartition()
	partition.Offset = 1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, partition)
	r.Topics = append(r.Topics, t)
	if err := c.kafkaCall(7, r, answer); err != nil {
		return 0, err
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("the answer is of %d topics", len(answer.Topics))
	}
	return answer.Topics[0].Partitions[0].ErrorCode, nil
}

func (c *caller) joinGroup(group string) (int16, error) {
	r, answer := kmsg.NewPtrJoinGroupRequest(), kmsg.NewPtrJoinGroupResponse()
	r.Group, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = group, 10_000, 10_000, "consumer"
	r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range", Metadata: []byte{0}})
	if err := c.kafkaCall(5, r, answer); err != nil {
		return 0, err
	}
	return answer.ErrorCode, nil
}

func (c *caller) deleteGroup(group string) (int16, error) {
	r, answer := kmsg.NewPtrDeleteGroupsRequest(), kmsg.NewPtrDeleteGroupsResponse()
	r.Groups = []string{group}
	if err := c.kafkaCall(2, r, answer); err != nil {
		return 0, err
	}
	if len(answer.Groups) != 1 {
		return 0, fmt.Errorf("the answer is of %d groups", len(answer.Groups))
	}
	return answer.Groups[0].ErrorCode, nil
}

func (c *caller) createTopic(topic string) (int16, error) {
	r, answer := kmsg.NewPtrCreateTopicsRequest(), kmsg.NewPtrCreateTopicsResponse()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, 1, -1
	r.Topics, r.TimeoutMillis = append(r.Topics, t), 10_000
	if err := c.kafkaCall(5, r, answer); err != nil {
		return 0, err
	}
	if len(answer.Topics) != 1 {
		return 0, fmt.Errorf("the answer is of %d topics", len(answer.Topics))
	}
	return answer.Topics[0].ErrorCode, nil
}

func (c *caller) deleteTopic(topic string) (int16, error) {
	r, answer := kmsg.NewPtrDeleteTopicsRequest(), kmsg.NewPtrDeleteTopicsResponse()
	r.TopicNames, r.TimeoutMillis = []string{topic}, 10_000
	if err := c.kafkaCall(5, r, answer); err != nil {
		return 0, err
	}
	if len(answer.Topics) != 1 {
		return 0, fmt.Errorf("the answer is of %d topics", len(answer.Topics))
	}
	return answer.Topics[0].ErrorCode, nil
}

func (c *caller) morePartitions(topic string) (int16, error) {
	r, answer := kmsg.NewPtrCreatePartitionsRequest(), kmsg.NewPtrCreatePartitionsResponse()
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic, 99
	r.Topics, r.TimeoutMillis = append(r.Topics, t), 10_000
	if err := c.kafkaCall(3, r, answer); err != nil {
		return 0, err
	}
	if len(answer.Topics) != 1 {
		return 0, fmt.Errorf("the answer is of %d topics", len(answer.Topics))
	}
	return answer.Topics[0].ErrorCode, nil
}

// shorten cuts a topic's retention to a millisecond, which deletes all of it.
func (c *caller) shorten(topic string) (int16, error) {
	r, answer := kmsg.NewPtrIncrementalAlterConfigsRequest(), kmsg.NewPtrIncrementalAlterConfigsResponse()
	r.Resources = append(r.Resources, kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: topic,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: kmsg.StringPtr("1")}}})
	if err := c.kafkaCall(1, r, answer); err != nil {
		return 0, err
	}
	if len(answer.Resources) != 1 {
		return 0, fmt.Errorf("the answer is of %d resources", len(answer.Resources))
	}
	return answer.Resources[0].ErrorCode, nil
}

// replaceConfigs does the same by Kafka's older request.
func (c *caller) replaceConfigs(topic string) (int16, error) {
	r, answer := kmsg.NewPtrAlterConfigsRequest(), kmsg.NewPtrAlterConfigsResponse()
	r.Resources = append(r.Resources, kmsg.AlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: topic,
		Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: kmsg.StringPtr("1")}}})
	if err := c.kafkaCall(1, r, answer); err != nil {
		return 0, err
	}
	if len(answer.Resources) != 1 {
		return 0, fmt.Errorf("the answer is of %d resources", len(answer.Resources))
	}
	return answer.Resources[0].ErrorCode, nil
}

// producerID asks for an id; a transactional one is the name of a producer, and a known id with its epoch is somebody's.
func (c *caller) producerID(transactional *string, known int64) (code int16, id int64, err error) {
	r, answer := kmsg.NewPtrInitProducerIDRequest(), kmsg.NewPtrInitProducerIDResponse()
	r.TransactionalID, r.TransactionTimeoutMillis = transactional, 10_000
	r.ProducerID, r.ProducerEpoch = known, -1
	if known >= 0 {
		r.ProducerEpoch = 0
	}
	if err := c.kafkaCall(4, r, answer); err != nil {
		return 0, 0, err
	}
	return answer.ErrorCode, answer.ProducerID, nil
}
