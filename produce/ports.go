package produce

import (
	"context"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Uploader is the one thing produce asks of object storage. PutNew makes one attempt and returns
// an error that wraps one of objstore's; when it returns nil, every reader can read the object.
// It reads body until it returns.
type Uploader interface {
	PutNew(ctx context.Context, key string, body [][]byte, crc32c uint32) error
}

// Sequencer is what produce asks of the control plane. The runner calls each again until it
// succeeds. An error that wraps topic.ErrDenied says that the agent is not let in, or no longer: what waits is then
// refused with TOPIC_AUTHORIZATION_FAILED.
type Sequencer interface {
	// Commits opens a stream for the commits of a session, also of one that has ended.
	Commits(ctx context.Context, session uint64) (CommitStream, error)
	// EndSession ends the session if it still lives; when it returns nil, a commit of that session
	// that has not been applied never will be.
	EndSession(ctx context.Context, session uint64) error
	// Login returns a session that is newer than any that has ended.
	Login(ctx context.Context) (Session, error)
}

// CommitStream carries commits one way and replies, in the same order, the other. One goroutine
// sends and another receives; Close may be called by either, and ends both.
type CommitStream interface {
	Send(*segment.Commit) error
	Recv() (segment.Reply, error)
	Close() error
}

// Topics knows the topics. Lookup returns an error that wraps topic.ErrUnknown or topic.ErrDenied, or one with a
// method KafkaCode() int16, when it is certain of the answer; any other error is a reason to try again later. It is called
// on the reader of a connection, and so answers within a few seconds, whatever is away.
type Topics interface {
	Lookup(ctx context.Context, name string) (topic.Topic, error)
	// Forget has the next Lookup ask the control plane.
	Forget(name string)
}
