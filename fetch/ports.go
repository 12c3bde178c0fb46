package fetch

import (
	"context"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Index is what fetch asks of the control plane. Every method may be called again after an
// error; an error means that nothing was learned, but for one that wraps topic.ErrDenied: nothing may be.
type Index interface {
	// Plan answers every query, in order, from a confirmed leader read.
	Plan(ctx context.Context, queries []segment.PlanQuery) ([]segment.PartitionPlan, error)
	// Watch opens a stream of news; ctx ends it.
	Watch(ctx context.Context) (Watch, error)
	// ListOffsets answers every query, in order, from a confirmed leader read.
	ListOffsets(ctx context.Context, queries []segment.OffsetQuery) ([]segment.OffsetFound, error)
}

// Watch is one stream of news. Add and Remove may be called while Recv waits.
type Watch interface {
	Add(partitions []topic.Partition) error
	Remove(partitions []topic.Partition) error
	Recv() ([]segment.Event, error)
}

// Getter reads ranges of the objects of one share. Errors wrap those of package objstore.
type Getter interface {
	GetRange(ctx context.Context, key string, position, length int64) ([]byte, error)
}

// Owners says which agent of the own group and zone keeps a chunk in its cache.
type Owners interface {
	Owner(chunk string) (addr string, self bool)
}

// Topics resolves names and ids. All return topic.ErrUnknown only after a confirmed
// leader read, and so is topic.ErrDenied and an error with a method KafkaCode() int16; any other means that nothing
// was learned.
type Topics interface {
	Lookup(ctx context.Context, name string) (topic.Topic, error)
	LookupID(ctx context.Context, id topic.ID) (topic.Topic, error)
	// LookupAll does both for many: what it has no recent reading of it asks for at once. It has a
	// topic or an error for each name and then each id.
	LookupAll(ctx context.Context, names []string, ids []topic.ID) ([]topic.Topic, []error)
	// Forget makes the next Lookup ask the control plane.
	Forget(name string)
}
