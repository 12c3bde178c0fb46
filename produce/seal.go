package produce

import (
	"time"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// flush seals the open segment of s for as long as one is due and may be sealed.
func (w *Writer) flush(s *share) {
	for w.maySeal(s) && w.due(s) {
		w.seal(s)
	}
}

func (w *Writer) due(s *share) bool {
	if len(s.open.batches) == 0 {
		return false
	}
	return w.draining || w.now.At >= s.flushAt(&w.cfg)
}

// maySeal: a sequence needs a session; and what cannot be committed soon is better left open,
// where a batch that loses patience costs no upload.
func (w *Writer) maySeal(s *share) bool {
	return w.now.At >= s.rate.At() && w.maySealThen(s)
}

// maySealThen is maySeal for when the store's rate lets an upload begin. What it refused before goes first, for the
// commits of all that is sealed later wait for it.
func (w *Writer) maySealThen(s *share) bool {
	return w.phase == live && s.uploading < w.cfg.MaxUploads && len(s.segs) < w.cfg.MaxSegments &&
		(w.streamUp || w.now.At < w.streamDown+w.cfg.StreamGrace) && !(s.rate.Limited() && s.retrying(w.now.At))
}

// limitedBytes is what a segment takes while its store lets few uploads through. Readers read objects of up to
// 16 MiB as a whole, by one GET.
const limitedBytes = 12 << 20

// seal gives the oldest open batches a sequence and begins their upload.
func (w *Writer) seal(s *share) {
	batches, b := w.gather(s)
	id := segment.ID{Incarnation: w.session.Incarnation, Session: w.session.ID, Sequence: s.next}
	sealed, err := b.Finish(id)
	if err != nil {
		// No input of the writer leads here: batches are verified, bounds are asked of the
		// builder. The sequence is not used up, and the batches are told.
		w.tell(Report{Kind: Protocol, Share: s.name, Segment: id, Text: err.Error()})
		w.refuse(batches, refused(codeUnknownServerErr, err.Error()))
		return
	}
	g := &sealedSegment{id: id, share: s, state: uploading, batches: batches, sealed: &sealed, size: sealed.Size, left: len(batches), sealedAt: w.now.At}
	g.giveUp = w.giveUpAt(batches)
	s.next++
	s.segs = append(s.segs, g)
	s.uploading++
	s.lastFlush, s.flushed = w.now.At, true
	w.hedges.earn()
	w.begin(g, false)
}

// giveUpAt bounds how long batches may be on their way, the time before they were sealed included: the
// control plane relies on it when it calls a gap final.
func (w *Writer) giveUpAt(batches []*Batch) time.Duration {
	first := w.now.At
	for _, b := range batches {
		first = min(first, b.born())
	}
	return max(first+w.cfg.AnswerTimeout, w.now.At+leastWait)
}

// gather takes what one segment holds from the front of the open one.
func (w *Writer) gather(s *share) ([]*Batch, *segment.Builder) {
	b := segment.NewBuilder(w.session.Cluster, s.name)
	open := s.open.batches
	n, bytes, most := 0, 0, w.cfg.FlushBytes
	if s.rate.Limited() {
		most = max(most, limitedBytes) // fewer uploads may begin than are due: each takes more along
	}
	for _, one := range open {
		if n > 0 && (bytes >= most || bytes+len(one.Bytes) > most+w.cfg.FlushBytes || !b.Fits(one.Bytes)) {
			break
		}
		if one.AppendTime {
			one.stamp = w.now.Unix
			record.StampAppendTime(one.Bytes, one.stamp)
		}
		b.Add(one.Partition, one.Bytes)
		bytes += len(one.Bytes)
		n++
	}
	if n == len(open) {
		s.open.replace(make([]*Batch, 0, n))
	} else {
		s.open.replace(append(make([]*Batch, 0, len(open)), open[n:]...))
	}
	return open[:n:n], b
}
