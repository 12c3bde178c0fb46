package produce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// bucket is an Uploader that keeps objects in memory. fault, if set, says what goes wrong with a put.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	took    time.Duration
	fault   func(put int, key string) (before, after error)
	puts    int
}

func (b *bucket) PutNew(ctx context.Context, key string, body [][]byte, _ uint32) error {
	select {
	case <-time.After(b.took):
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", objstore.ErrUnknownOutcome, ctx.Err())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.puts++
	var before, after error
	if b.fault != nil {
		before, after = b.fault(b.puts, key)
	}
	if before != nil {
		return before
	}
	if _, ok := b.objects[key]; ok {
		return objstore.ErrExists
	}
	b.objects[key] = slices.Concat(body...)
	return after
}

// sequencer is a control plane that places everything once.
type sequencer struct {
	mu       sync.Mutex
	ends     map[topic.Partition]topic.Offset
	refuse   map[topic.Partition]int16
	session  uint64
	live     bool
	last     map[string]uint64
	answers  map[string][]segment.Answer // by session, share and sequence
	commits  []segment.Commit
	loseNext bool // apply the next commit and break the stream before it is answered
	away     bool // nothing can be reached
	streams  []*fakeStream
}

func newSequencer() *sequencer {
	return &sequencer{ends: make(map[topic.Partition]topic.Offset), refuse: make(map[topic.Partition]int16),
		last: make(map[string]uint64), answers: make(map[string][]segment.Answer)}
}

var errAway = errors.New("control plane away")

func (s *sequencer) Login(context.Context) (Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return Session{}, errAway
	}
	s.session++
	s.live = true
	s.last = make(map[string]uint64)
	return Session{ID: s.session, Incarnation: 1, Cluster: "c", Group: "prod"}, nil
}

func (s *sequencer) EndSession(_ context.Context, session uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errAway
	}
	if session == s.session {
		s.live = false
	}
	return nil
}

func (s *sequencer) Commits(ctx context.Context, _ uint64) (CommitStream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errAway
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &fakeStream{seq: s, ctx: ctx, cancel: cancel, replies: make(chan segment.Reply, 1024)}
	s.streams = append(s.streams, f)
	return f, nil
}

func (s *sequencer) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
	if away {
		for _, f := range s.streams {
			f.cancel()
		}
		s.streams = nil
	}
}

func (s *sequencer) apply(c *segment.Commit) (r segment.Reply, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits = append(s.commits, *c)
	key := fmt.Sprintf("%d/%s/%d", c.Session, c.Share, c.Sequence)
	r = segment.Reply{Session: c.Session, Share: c.Share, Sequence: c.Sequence, Last: s.last[c.Share]}
	if a, ok := s.answers[key]; ok || c.Session == s.session && c.Sequence <= s.last[c.Share] {
		r.Outcome, r.Answers = segment.Answered, a
		return r, false
	}
	if !s.live || c.Session != s.session {
		r.Outcome = segment.SessionEnded
		return r, false
	}
	if c.After != s.last[c.Share] {
		r.Outcome = segment.OutOfOrder
		return r, false
	}
	r.Outcome = segment.Answered
	for _, row := range c.Manifest.Rows {
		if code := s.refuse[row.Partition]; code != 0 {
			r.Answers = append(r.Answers, segment.Answer{Verdict: segment.Refused, Code: code, Offset: topic.NoOffset, LogStart: topic.NoOffset})
			continue
		}
		r.Answers = append(r.Answers, segment.Answer{Verdict: segment.Placed, Offset: s.ends[row.Partition]})
		s.ends[row.Partition] += topic.Offset(row.Records)
	}
	s.answers[key] = r.Answers
	s.last[c.Share] = c.Sequence
	lost, s.loseNext = s.loseNext, false
	return r, lost
}

type fakeStream struct {
	seq     *sequencer
	ctx     context.Context
	cancel  context.CancelFunc
	replies chan segment.Reply
}

func (f *fakeStream) Send(c *segment.Commit) error {
	if f.ctx.Err() != nil {
		return io.EOF
	}
	r, lost := f.seq.apply(c)
	if lost {
		f.cancel()
		return nil
	}
	f.replies <- r
	return nil
}

func (f *fakeStream) Recv() (segment.Reply, error) {
	select {
	case r := <-f.replies:
		return r, nil
	case <-f.ctx.Done():
		return segment.Reply{}, io.EOF
	}
}

func (f *fakeStream) Close() error {
	f.cancel()
	return nil
}

// topics is a Topics of fixed content.
type topics struct {
	mu     sync.Mutex
	known  map[string]topic.Topic
	errs   map[string]error
	forgot []string
}

func (t *topics) Lookup(_ context.Context, name string) (topic.Topic, error) {
	if err := t.errs[name]; err != nil {
		return topic.Topic{}, err
	}
	found, ok := t.known[name]
	if !ok {
		return topic.Topic{}, fmt.Errorf("topic %s: %w", name, topic.ErrUnknown)
	}
	return found, nil
}

func (t *topics) Forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgot = append(t.forgot, name)
}

// rig is a handler and all that stands behind it.
type rig struct {
	t       *testing.T
	bucket  *bucket
	seq     *sequencer
	topics  *topics
	runner  *Runner
	handler *Handler
	cancel  context.CancelFunc
	ended   chan error
}

func aTopic(name string, id byte) topic.Topic {
	return topic.Topic{Name: name, ID: topic.ID{id}, Partitions: 4, Share: "default", Config: topic.DefaultConfig()}
}

func newRig(t *testing.T, change func(*Config)) *rig {
	cfg := Default()
	if change != nil {
		change(&cfg)
	}
	events, stamped, internal := aTopic("events", 1), aTopic("stamped", 2), aTopic("__consumer_offsets", 3)
	stamped.Config.TimestampType = topic.LogAppendTime
	internal.Internal = true
	r := &rig{
		t:      t,
		bucket: &bucket{objects: make(map[string][]byte), took: 20 * time.Millisecond},
		seq:    newSequencer(),
		topics: &topics{known: map[string]topic.Topic{"events": events, "stamped": stamped, internal.Name: internal}, errs: make(map[string]error)},
		ended:  make(chan error, 1),
	}
	var err error
	r.runner, err = NewRunner(cfg, Deps{Sequencer: r.seq, Uploader: func(context.Context, string) (Uploader, error) { return r.bucket, nil }})
	if err != nil {
		t.Fatal(err)
	}
	r.handler = NewHandler(r.topics, r.runner)
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() { r.ended <- r.runner.Run(ctx) }()
	return r
}

// stop ends the runner.
func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Error(err)
	}
}

// part is one partition of a request to build.
type part struct {
	topic   string
	index   int32
	records []byte
}

func request(acks int16, parts ...part) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, 30_000
	for _, p := range parts {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.topic {
			req.Topics = append(req.Topics, kmsg.ProduceRequestTopic{Topic: p.topic})
		}
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, kmsg.ProduceRequestTopicPartition{Partition: p.index, Records: p.records})
	}
	return req
}

// serve hands a request over and returns where its reply will be.
func (r *rig) serve(req *kmsg.ProduceRequest) <-chan wire.Reply {
	out := make(chan wire.Reply, 2)
	r.handler.Serve(r.t.Context(), &wire.Request{Version: req.Version, ClientID: "test", Body: req}, func(p wire.Reply) { out <- p })
	return out
}

// partitions flattens the response of a reply.
func partitions(t *testing.T, p wire.Reply) []kmsg.ProduceResponseTopicPartition {
	t.Helper()
	res, ok := p.Body.(*kmsg.ProduceResponse)
	if !ok {
		t.Fatalf("reply %+v has no response", p)
	}
	var out []kmsg.ProduceResponseTopicPartition
	for _, one := range res.Topics {
		out = append(out, one.Partitions...)
	}
	return out
}

func frame(batches ...record.Batch) []byte {
	var out []byte
	for _, b := range batches {
		out = append(out, b...)
	}
	return out
}
