package fetch

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

type planQuery = segment.PlanQuery

// fetch is one request on its way: resolve names, look until there is enough or time is up,
// read, answer.
type fetch struct {
	h           *Handler
	req         *kmsg.FetchRequest
	version     int16
	start       time.Duration
	since       uint64
	draining    <-chan struct{}
	session     *session
	sessionID   int32
	incremental bool
	epoch       int32 // the incarnation when the request arrived
	wants       []wanted
	parts       []part
	needs       []*need
	scratch     scratch
}

// part is one partition of the request.
type part struct {
	wanted
	partition topic.Partition
	resolved  bool
	internal  bool
	again     bool // the name was looked up once more
	replanned bool // an object was gone
	code      int16
	view      view
	needs     []*need
	reached   topic.Offset // the end of the last location answered in full
	out       answered
}

// serve answers the request.
func (f *fetch) serve(ctx context.Context) wire.Reply {
	f.scratch.pool = f.h.scratch
	f.parts = make([]part, len(f.wants))
	for i := range f.wants {
		f.parts[i].wanted = f.wants[i]
	}
	f.resolve(ctx)
	f.look(ctx)
	f.read(ctx)
	f.hold(ctx)
	return f.reply()
}

// maxWait is how long the client lets an answer wait for records.
func (f *fetch) maxWait() time.Duration {
	return min(max(0, time.Duration(f.req.MaxWaitMillis)*time.Millisecond), f.h.cfg.MaxWait)
}

// maxBytes is how many bytes of records the answer may hold, a first batch aside.
func (f *fetch) maxBytes() int64 {
	return min(max(0, int64(f.req.MaxBytes)), f.h.cfg.MaxResponseBytes)
}

// minBytes is how many bytes are worth an answer before the time is up.
func (f *fetch) minBytes() int64 { return min(int64(f.req.MinBytes), f.maxBytes()) }

// named is what a name or id was found to stand for.
type named struct {
	topic topic.Topic
	err   error
}

// lookupPatience is how long names are looked up one after another, as they are when all are
// cached; lookupsAtOnce bounds those that follow.
const (
	lookupPatience = 5 * time.Millisecond
	lookupsAtOnce  = 16
)

// resolve finds the topics that the client names.
func (f *fetch) resolve(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, f.h.cfg.PlanTimeout)
	defer cancel()
	at := map[ref]int{}
	var refs []ref
	for i := range f.parts {
		r := f.parts[i].topicRef()
		if _, ok := at[r]; !ok {
			at[r] = len(refs)
			refs = append(refs, r)
		}
	}
	found := make([]named, len(refs))
	start := time.Now()
	var group errgroup.Group
	group.SetLimit(lookupsAtOnce)
	for i, r := range refs {
		if time.Since(start) < lookupPatience {
			found[i].topic, found[i].err = f.lookup(ctx, r)
			continue
		}
		group.Go(func() error {
			found[i].topic, found[i].err = f.lookup(ctx, r)
			return nil // it is the partition's
		})
	}
	_ = group.Wait() // as said, there is no error
	for i := range f.parts {
		p := &f.parts[i]
		n := &found[at[p.topicRef()]]
		f.settle(p, n.topic, n.err)
	}
}

// topicRef is the topic's part of the name.
func (p *part) topicRef() ref { return ref{name: p.name, id: p.id} }

func (f *fetch) lookup(ctx context.Context, r ref) (topic.Topic, error) {
	if f.version >= 13 {
		return f.h.deps.Topics.LookupID(ctx, r.id)
	}
	return f.h.deps.Topics.Lookup(ctx, r.name)
}

// settle notes what a topic's name stands for, or why it stands for nothing.
func (f *fetch) settle(p *part, t topic.Topic, err error) {
	var coded interface{ KafkaCode() int16 }
	switch {
	case errors.Is(err, topic.ErrUnknown):
		p.code = f.unknown()
	case errors.As(err, &coded):
		if p.code = coded.KafkaCode(); p.code != codeUnauthorized {
			p.code = f.unknown() // such as a name that no topic can have
		}
	case err != nil:
		p.code = codeStorage // nothing was learned; clients ask again
		f.h.rate.Warn("topic "+p.name+p.id.String(), "topic could not be looked up", "topic", p.name, "id", p.id.String(), "error", err)
	case f.version >= 13 && t.ID != p.id:
		p.code = codeInconsistentID
	default:
		p.partition = topic.Partition{Topic: t.ID, Index: p.index}
		p.resolved, p.internal, p.code = true, t.Internal, f.epochFault(p)
	}
}

// unknown is the code for a topic that does not exist, as the request names it.
func (f *fetch) unknown() int16 {
	if f.version >= 13 {
		return codeUnknownID
	}
	return codeUnknownTopic
}

// epochFault compares the leader epoch that the client knows with the incarnation (KIP-320).
func (f *fetch) epochFault(p *part) int16 {
	switch {
	case p.epoch < 0 || p.epoch == f.epoch:
		return 0
	case p.epoch < f.epoch:
		return codeFencedEpoch
	default:
		return codeUnknownEpoch
	}
}

// look looks at all partitions until the answer is worth sending: there are enough records, or
// an error that cannot wait, or the time is up.
func (f *fetch) look(ctx context.Context) {
	deadline := f.start + f.maxWait()
	waited := false
	for {
		woken := make(chan struct{})
		s := f.lookOnce(func() { close(woken) })
		if f.renamed(ctx, s.refused) {
			f.leave(s.waiter)
			continue
		}
		until := f.until(s, deadline)
		wait := until - f.h.now()
		if wait <= 0 || s.urgent {
			f.leave(s.waiter)
			return
		}
		if !waited {
			waited = true
			f.h.metrics.waits.Inc()
		}
		timer := time.NewTimer(wait)
		select {
		case <-woken:
			timer.Stop()
			continue
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		case <-f.draining:
			timer.Stop()
		case <-f.h.ctx.Done():
			timer.Stop()
		}
		f.leave(s.waiter)
		f.lookOnce(nil)
		return
	}
}

// sight is what one look at all partitions came to.
type sight struct {
	waiter  *waiter
	bytes   int64
	open    bool  // a question is open
	blank   bool  // and one of them is about a partition of which nothing is known
	errors  bool  // there are errors to be held back
	urgent  bool  // there is an error that the client waits for
	refused []int // partitions whose topic is gone, by a confirmed read
}

// lookOnce looks at every partition, and lists wake to be called on news if it is not nil.
func (f *fetch) lookOnce(wake func()) sight {
	h := f.h
	h.mu.Lock()
	defer h.mu.Unlock()
	s := sight{}
	left := f.maxBytes()
	var watched []topic.Partition
	now := h.now()
	for i := range f.parts {
		p := &f.parts[i]
		if p.code != 0 {
			s.errors = s.errors || p.code != codeOutOfRange
			s.urgent = s.urgent || p.code == codeOutOfRange
			continue
		}
		if p.internal {
			p.view = emptyLog(p.offset)
		} else {
			p.view = h.planner.look(now, f.since, p.partition, p.offset, max(1, min(int64(p.maxBytes), f.maxBytes())))
			watched = append(watched, p.partition)
		}
		v := &p.view
		switch v.verdict {
		case ready:
			n := min(v.bytes, int64(max(p.maxBytes, 0)), left)
			if s.bytes == 0 {
				n = max(n, 1)
			}
			s.bytes += n
			left -= n
		case asking:
			s.open = true
			s.blank = s.blank || !v.known
		case refused:
			if v.code == codeOutOfRange {
				s.urgent = true
				break
			}
			s.errors = true
			s.refused = append(s.refused, i)
		}
	}
	if wake != nil {
		s.waiter = &waiter{need: max(1, f.minBytes()-s.bytes), wake: wake}
		h.planner.wait(s.waiter, watched)
	}
	h.ask()
	return s
}

// emptyLog is what is known of a partition that nothing is ever written to.
func emptyLog(offset topic.Offset) view {
	if offset != 0 {
		return view{verdict: refused, code: codeOutOfRange, known: true}
	}
	return view{verdict: atEnd, known: true}
}

// until is when an answer leaves as things stand.
func (f *fetch) until(s sight, deadline time.Duration) time.Duration {
	enough := s.bytes >= f.minBytes() && (s.bytes > 0 || f.req.MinBytes <= 0)
	switch {
	case enough && s.open:
		// Other partitions wait for the control plane, as a rule for a few milliseconds.
		return f.start + f.h.cfg.Patience
	case enough:
		return 0
	case s.errors:
		return f.start + min(f.maxWait(), errorHold)
	case s.blank:
		// Until the first confirmed read there is nothing that could be answered.
		return max(deadline, f.start+f.h.cfg.PlanTimeout)
	case s.open:
		return max(deadline, f.start+f.h.cfg.Patience)
	default:
		return deadline
	}
}

func (f *fetch) leave(w *waiter) {
	if w == nil {
		return
	}
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	w.leave()
}

// renamed looks the names of topics up once more whose id is unknown by a confirmed read: a
// topic may have been deleted and created again. It reports whether a name stands for another.
func (f *fetch) renamed(ctx context.Context, refused []int) bool {
	if f.version >= 13 {
		return false
	}
	changed := false
	for _, i := range refused {
		p := &f.parts[i]
		if p.again || p.view.code == codeUnauthorized {
			continue
		}
		p.again = true
		before := p.partition
		f.h.deps.Topics.Forget(p.name)
		ctx, cancel := context.WithTimeout(ctx, f.h.cfg.PlanTimeout)
		t, err := f.h.deps.Topics.Lookup(ctx, p.name)
		cancel()
		f.settle(p, t, err)
		changed = changed || p.partition != before
	}
	return changed
}

// read gets the bytes of what is ready, and cuts them to the batches that are answered.
func (f *fetch) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, f.h.cfg.ReadTimeout+f.h.cfg.PeerTimeout)
	defer cancel()
	f.want()
	f.h.reader.acquire(ctx, f.needs, true, true)
	left := f.maxBytes()
	some := false
	for i := range f.parts {
		p := &f.parts[i]
		f.finish(ctx, p, left, !some)
		left = max(0, left-int64(p.out.records.size))
		some = some || p.out.records.size > 0
	}
	f.ahead()
}

// ahead begins to read what the readers of history in this request will want next.
func (f *fetch) ahead() {
	if f.h.cfg.PrefetchBytes == 0 {
		return
	}
	var next []segment.Location
	f.h.mu.Lock()
	for i := range f.parts {
		if p := &f.parts[i]; p.reached > 0 && !p.view.tail {
			next = append(next, f.h.planner.following(f.h.now(), p.partition, p.reached, f.h.cfg.PrefetchBytes)...)
		}
	}
	f.h.mu.Unlock()
	if len(next) > 0 {
		f.h.reader.ahead(next)
	}
}

// want chooses the locations to read, partition by partition, until max_bytes is reached.
func (f *fetch) want() {
	left := f.maxBytes()
	some := false
	for i := range f.parts {
		p := &f.parts[i]
		if p.code != 0 || p.view.verdict != ready {
			continue
		}
		budget := min(int64(max(p.maxBytes, 0)), left)
		if budget == 0 && some {
			continue
		}
		f.wantOf(p, max(budget, 1))
		some = true
		left = max(0, left-min(p.view.bytes, budget))
	}
}

// wantOf chooses the locations of one partition.
func (f *fetch) wantOf(p *part, budget int64) {
	c := coldClass
	if p.view.tail {
		c = tailClass
	}
	size := int64(0)
	for j := range p.view.locations {
		l := &p.view.locations[j]
		if size >= budget {
			break
		}
		n := &need{loc: *l, class: c}
		p.needs = append(p.needs, n)
		f.needs = append(f.needs, n)
		if j == 0 {
			size = p.view.bytes // of which the first location counts only from the offset on
			for k := range p.view.locations[1:] {
				size -= int64(p.view.locations[1+k].Length)
			}
		} else {
			size += int64(l.Length)
		}
	}
}

// finish makes a partition's answer.
func (f *fetch) finish(ctx context.Context, p *part, left int64, due bool) {
	code, err := p.code, error(nil)
	v := &p.view
	if code == 0 {
		switch v.verdict {
		case refused:
			code = f.named(v.code)
		case ready:
			err = f.cut(ctx, p, left, due)
			if errors.Is(err, objstore.ErrNotFound) && !p.replanned {
				err = f.replan(ctx, p, left, due)
			}
		}
		if !v.known && code == 0 {
			code = codeStorage // no confirmed read yet: there is nothing that could be said (I9)
		}
	}
	if err != nil && p.out.records.size == 0 && !errors.Is(err, errNoRoom) {
		code = codeStorage
		f.h.rate.Warn("read "+p.partition.String(), "records could not be read", "topic", p.name, "partition", p.partition.String(),
			"offset", int64(p.offset), "error", err)
	}
	p.out.ref, p.out.code = p.ref, code
	p.out.high, p.out.logStart = v.high, v.logStart
	if code != 0 {
		p.out.high, p.out.logStart = topic.NoOffset, topic.NoOffset
		f.h.metrics.codes.WithLabelValues(strconv.Itoa(int(code))).Inc()
	}
}

// named is the code of a plan as the request's version knows it.
func (f *fetch) named(code int16) int16 {
	if code == codeUnknownID && f.version < 13 {
		return codeUnknownTopic
	}
	return code
}

// cut appends the batches of a partition that are answered. A chunk that an answer does not
// refer to is given back at once.
func (f *fetch) cut(ctx context.Context, p *part, left int64, due bool) error {
	budget := min(int64(max(p.maxBytes, 0)), left)
	next := p.offset
	for _, n := range p.needs {
		data, err := f.h.reader.await(ctx, n)
		if err != nil {
			return err
		}
		var full bool
		before := p.out.records.referred
		next, full, err = cut(&p.out.records, &f.scratch, data, n.loc.Base, n.loc.Stamped, f.epoch, next, budget, due)
		if p.out.records.referred == before {
			f.h.reader.release(n)
		}
		if err != nil || full {
			return err
		}
		p.reached = n.loc.End()
	}
	return nil
}

// replan asks again where a partition's records lie, whose object is gone: it was compacted or
// deleted since (I7). The new answer may also be that there is nothing any more.
func (f *fetch) replan(ctx context.Context, p *part, left int64, due bool) error {
	f.h.metrics.gone.Inc()
	p.replanned = true
	f.h.reader.release(p.needs...)
	p.needs = nil
	f.h.mu.Lock()
	f.h.planner.gone(p.partition)
	since := f.h.planner.arrive()
	f.h.mu.Unlock()
	deadline := f.h.now() + f.h.cfg.PlanTimeout
	for {
		woken := make(chan struct{})
		f.h.mu.Lock()
		p.view = f.h.planner.look(f.h.now(), since, p.partition, p.offset, max(1, min(int64(p.maxBytes), left)))
		w := &waiter{need: 1, wake: func() { close(woken) }}
		if p.view.verdict == asking {
			f.h.planner.wait(w, []topic.Partition{p.partition})
		}
		f.h.ask()
		f.h.mu.Unlock()
		if p.view.verdict != asking {
			break
		}
		select {
		case <-woken:
			continue
		case <-time.After(deadline - f.h.now()):
		case <-ctx.Done():
		}
		f.leave(w)
		return errors.New("plan again after an object was gone: control plane did not answer in time")
	}
	if p.view.verdict != ready {
		return nil
	}
	before := len(f.needs)
	f.wantOf(p, max(1, min(int64(max(p.maxBytes, 0)), left)))
	f.h.reader.acquire(ctx, f.needs[before:], true, false)
	return f.cut(ctx, p, left, due)
}
