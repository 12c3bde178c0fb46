package produce

import (
	"context"
	"errors"
	"sync"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// stream keeps a commit stream of one session open. What is queued while there is none is
// dropped: the writer sends everything unanswered again when it hears StreamUp.
type stream struct {
	r       *Runner
	session uint64
	ctx     context.Context
	cancel  context.CancelFunc

	mu    sync.Mutex
	queue []*segment.Commit // bounded by the writer: each is a segment that is not answered, or one acknowledgement
	wake  chan struct{}
}

func newStream(r *Runner, session uint64) *stream {
	ctx, cancel := context.WithCancel(r.ctx)
	return &stream{r: r, session: session, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1)}
}

func (s *stream) push(c *segment.Commit) {
	s.mu.Lock()
	s.queue = append(s.queue, c)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *stream) take(buf []*segment.Commit) []*segment.Commit {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.queue
	s.queue = buf[:0]
	return out
}

// run opens the stream again and again until the session's stream is no longer wanted.
func (s *stream) run() {
	defer s.cancel()
	for try := 1; s.ctx.Err() == nil; try++ {
		heard, err := s.open()
		if heard {
			try = 1
		}
		if s.ctx.Err() != nil {
			return
		}
		if errors.Is(err, topic.ErrDenied) { // whoever may not commit in a session has to leave it
			s.r.post(func(w *Writer, now Now) { w.SessionDenied(now, s.session) })
		}
		s.r.often.Warn("stream", "commit stream to the control plane: will be opened again", "session", s.session, "error", err)
		pause(s.ctx, s.r.backoff(try))
	}
}

// open opens the stream once and serves it until it breaks; heard reports whether anything was answered.
func (s *stream) open() (heard bool, err error) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	cs, err := s.r.deps.Sequencer.Commits(ctx, s.session)
	if err != nil {
		return false, err
	}
	s.take(nil)
	s.r.post(func(w *Writer, now Now) { w.StreamUp(now, s.session) })
	defer s.r.post(func(w *Writer, now Now) { w.StreamDown(now, s.session) })
	var once sync.Once
	hangUp := func() {
		once.Do(func() {
			cancel()
			_ = cs.Close() // what was sent and not answered is sent again; a failure to say goodbye changes nothing
		})
	}
	defer hangUp()
	stop := context.AfterFunc(ctx, hangUp)
	defer stop()
	return s.serve(cs, hangUp)
}

// serve sends and receives until either fails.
func (s *stream) serve(cs CommitStream, hangUp func()) (heard bool, err error) {
	done := make(chan error, 1)
	go func() { // ends when the stream breaks, or is hung up below
		var err error
		for {
			var reply segment.Reply
			if reply, err = cs.Recv(); err != nil {
				break
			}
			heard = true
			s.r.m.reply(reply.Outcome)
			s.r.post(func(w *Writer, now Now) { w.Reply(now, &reply) })
		}
		done <- err
	}()
	var buf []*segment.Commit
	for {
		select {
		case err := <-done:
			return heard, err
		case <-s.wake:
		}
		buf = s.take(buf)
		for _, c := range buf {
			if err := cs.Send(c); err != nil {
				hangUp()
				if recvErr := <-done; recvErr != nil {
					err = recvErr // says why; Send may only say that it is over
				}
				return heard, err
			}
		}
		clear(buf)
	}
}
