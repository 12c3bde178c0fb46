package produce

import (
	"slices"
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// segState is how far a sealed segment has come. It moves down this list only:
//
//	uploading → stored → sent → done        the good way
//	uploading, stored → abandoned           before its commit is sent, never after
//	abandoned → named → done                a later commit names it, and is answered
//	abandoned → sent → done                 it is the last one named by an empty commit
//	any → done                              its session has ended and was asked about
type segState uint8

const (
	uploading segState = iota + 1
	stored
	abandoned
	named
	sent
	done
)

// sealedSegment is one sequence of a share.
type sealedSegment struct {
	id       segment.ID
	share    *share
	state    segState
	batches  []*Batch
	sealed   *segment.Sealed
	size     int // bytes
	left     int // batches that are not left out and not answered
	sealedAt time.Duration
	giveUp   time.Duration // when its commit must have been sent

	attempts []*attempt // in the order in which they began; hedges and fresh nonces append
	hedged   bool       // a hedge was begun, or refused
	flying   int        // uploads whose PutDone has not come
	winner   segment.Nonce

	commit    *segment.Commit // once sent
	rows      []int32         // sent: of each batch its row in commit.Manifest, or -1
	firstSent time.Duration
	refused   bool // the control plane said Unauthorized
	released  bool
}

// object is what an attempt under a nonce would store.
func (g *sealedSegment) object(group string, n segment.Nonce) segment.Object {
	return segment.Object{Share: g.share.name, Group: group, ID: g.id, Nonce: n}
}

// unsent reports whether g may still be abandoned.
func (g *sealedSegment) unsent() bool { return g.state == uploading || g.state == stored }

// retrying reports whether uploads are due to be tried again.
func (s *share) retrying(now time.Duration) bool {
	return slices.ContainsFunc(s.unsent(), func(g *sealedSegment) bool {
		return g.state == uploading && slices.ContainsFunc(g.attempts, func(a *attempt) bool { return !a.over && a.retryAt != 0 && a.retryAt <= now })
	})
}

// losers are the nonces beside the winner under which an object may exist.
func (g *sealedSegment) losers() []segment.Nonce {
	var out []segment.Nonce
	for _, a := range g.attempts {
		if a.nonce != g.winner {
			out = append(out, a.nonce)
		}
	}
	return out
}

// manifest is the sealed one without the rows of batches that were left out: those bytes are
// holes in the object. Only batches with a producer id are left out, and each is a row of its own.
func (g *sealedSegment) manifest() (segment.Manifest, []int32) {
	m := g.sealed.Manifest
	rows := make([]int32, len(g.batches))
	moved := g.keep(len(m.Rows))
	kept := segment.Manifest{Size: m.Size}
	if moved == nil {
		kept.Rows = m.Rows
	} else {
		for i, to := range moved {
			if to >= 0 {
				kept.Rows = append(kept.Rows, m.Rows[i])
			}
		}
	}
	for i := range g.batches {
		row := int32(g.sealed.Placement[i].Row)
		if moved != nil {
			row = moved[row]
		}
		rows[i] = row
	}
	return kept, rows
}

// keep maps each row to its place among those that are not left out, or -1; nil when all stay.
func (g *sealedSegment) keep(n int) []int32 {
	var moved []int32
	for i, b := range g.batches {
		if b.leftOut {
			if moved == nil {
				moved = make([]int32, n)
			}
			moved[g.sealed.Placement[i].Row] = -1
		}
	}
	if moved == nil {
		return nil
	}
	next := int32(0)
	for i := range moved {
		if moved[i] == 0 {
			moved[i] = next
			next++
		}
	}
	return moved
}

// answer is what a's row says of the i-th batch.
func (g *sealedSegment) answer(i int, a segment.Answer) Answer {
	b := g.batches[i]
	switch a.Verdict {
	case segment.Placed:
		return Answer{Offset: a.Offset + topic.Offset(g.sealed.Placement[i].Records), LogStart: a.LogStart, AppendTime: b.stamp}
	case segment.Duplicate:
		// The first copy carries a stamp of its own, which is not known here.
		return Answer{Code: a.Code, Offset: a.Offset, LogStart: a.LogStart, AppendTime: NoTimestamp, Text: text(a.Code)}
	default:
		return Answer{Code: a.Code, Offset: topic.NoOffset, LogStart: a.LogStart, AppendTime: NoTimestamp, Text: text(a.Code)}
	}
}
