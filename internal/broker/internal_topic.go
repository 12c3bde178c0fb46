package broker

import "github.com/isthmusdata/isthmus/internal/topic"

// ConsumerOffsets is Kafka's internal topic of committed offsets. Here they live in the control
// plane; the topic is shown with one empty partition because clients and tools look for it. It
// cannot be written, created or deleted.
const ConsumerOffsets = "__consumer_offsets"

// consumerOffsetsID is a fixed id that no drawn one can equal: it is no UUID of version 4.
func consumerOffsetsID() topic.ID {
	return topic.ID{'_', '_', 'c', 'o', 'n', 's', 'u', 'm', 'e', 'r', '_', 'o', 'f', 'f', 's'}
}

func consumerOffsets() topic.Topic {
	return topic.Topic{Name: ConsumerOffsets, ID: consumerOffsetsID(), Partitions: 1, Internal: true, Config: topic.DefaultConfig()}
}
