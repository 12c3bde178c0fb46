package produce

import (
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/throttle"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// share is what the writer knows of one share: its open segment and those sealed in the present
// session that are not yet answered. Sequences count per session and share, so that a slow
// bucket holds up no other.
type share struct {
	name string
	open openSegment

	lastFlush time.Duration // when the last segment was sealed
	flushed   bool          // lastFlush is set

	// The segments (acked, next), in order and without a gap: segs[i] is sequence acked+1+i.
	segs []*sealedSegment
	// next is the sequence that the next sealed segment gets.
	next uint64
	// lastSent is the last sequence committed or abandoned by a commit that was sent.
	lastSent uint64
	// acked is the highest sequence up to which everything is answered; it moves when segs[0] is done.
	acked uint64
	// told is what commits say of it: it stands still once the session is asked about, for what its
	// end left unplaced was never answered by the control plane.
	told uint64
	// ackSent is the highest Acked that this stream was given; idleSince says when acked passed it.
	ackSent   uint64
	idleSince time.Duration

	rate       throttle.Rate // of uploads, retries included; it outlives sessions
	uploading  int           // segments in that state
	outOfOrder int           // answers of that kind since a good one
	resendAt   time.Duration // when to send all unanswered commits again; 0: not asked for
	deniedTill time.Duration // batches are refused until then: the control plane said Unauthorized
}

// reset forgets everything that belongs to a session. The open segment does not.
func (s *share) reset() {
	s.segs, s.next, s.lastSent, s.acked, s.told, s.ackSent = nil, 1, 0, 0, 0, 0
	s.uploading, s.outOfOrder, s.resendAt = 0, 0, 0
}

// find returns the segment of a sequence, or nil when it is answered or was never sealed.
func (s *share) find(seq uint64) *sealedSegment {
	if seq <= s.acked || seq >= s.next {
		return nil
	}
	return s.segs[seq-s.acked-1]
}

// unsent is the segments after the last sequence that a commit was sent of.
func (s *share) unsent() []*sealedSegment {
	if s.lastSent < s.acked {
		return nil // the session is over: sequences that were never sent count as done
	}
	return s.segs[s.lastSent-s.acked:]
}

// firstSent is the first commit that is not answered, or nil.
func (s *share) firstSent() *sealedSegment {
	for _, g := range s.segs {
		if g.state == sent {
			return g
		}
	}
	return nil
}

// openSegment is the batches that have no sequence yet, in the order of arrival.
type openSegment struct {
	batches []*Batch
	bytes   int
	rows    int // at most; what decides is the builder's count when it is sealed
	plain   map[topic.Partition]int
	// giveUp is no later than the first batch's that loses patience; 0 when there is none.
	giveUp time.Duration
}

func (o *openSegment) add(b *Batch) {
	o.batches = append(o.batches, b)
	o.count(b)
}

func (o *openSegment) count(b *Batch) {
	o.bytes += len(b.Bytes)
	if o.giveUp == 0 || b.giveUp < o.giveUp {
		o.giveUp = b.giveUp
	}
	if b.idempotent() {
		o.rows++
		return
	}
	if o.plain == nil {
		o.plain = make(map[topic.Partition]int)
	}
	if o.plain[b.Partition]++; o.plain[b.Partition] == 1 {
		o.rows++
	}
}

// replace makes rest, a part of the batches in their order, the whole.
func (o *openSegment) replace(rest []*Batch) {
	o.batches, o.bytes, o.rows, o.giveUp = rest, 0, 0, 0
	clear(o.plain)
	for _, b := range rest {
		o.count(b)
	}
}

// rowBytes is about what a row of an idempotent batch takes in a manifest.
const rowBytes = 32

// full reports whether the segment is to be closed without waiting.
func (o *openSegment) full(cfg *Config) bool {
	return o.bytes >= cfg.FlushBytes || o.rows >= segment.MaxRows || o.rows*rowBytes >= segment.MaxManifest
}

// flushAt is when the open segment is due: the interval is a distance between flushes, so that
// after idleness a batch waits no longer than IdleWait for company.
func (s *share) flushAt(cfg *Config) time.Duration {
	if s.open.full(cfg) {
		return 0
	}
	at := s.open.batches[0].arrived + cfg.IdleWait
	if s.flushed {
		at = max(at, s.lastFlush+cfg.FlushInterval)
	}
	return at
}
