package control

import (
	"bytes"
	"slices"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// maxKeptRows bounds the answers of one lane by their number, beside MaxUnanswered commits: 64
// commits as large as can be. An agent has a few in flight.
const maxKeptRows = 64 * segment.MaxRows

// commit is the whole protocol between an agent and the sequencer. The order of its questions matters:
//
//  1. acked lets go of answers, whatever becomes of the rest
//  2. a sequence at or below the last is answered as it was answered, or Gone; this must not
//     depend on whether the session still lives, or a batch that was placed could be answered
//     with an error
//  3. only then: the session has ended
//  4. the caller may not write at all; a manifest that cannot be read, or for no share, is treated
//     alike, for only an agent that is broken or hostile sends one, and it must not use up the sequence
//  5. after is the last sequence and every one in between is named, else OutOfOrder; so is a
//     commit that comes while more answers are kept than an honest agent leaves unacknowledged:
//     sent again later, it carries a higher acked
//  6. the rows are placed or refused one by one: what its group has no grant for by now is refused
//     with 29, and for good (I11), while the session goes on with other topics and shares
//
// An empty commit whose sequence equals after only acknowledges; it is never stored.
func (s *State) commit(c *controlpb.CommitRequest) (segment.Reply, []segment.Event) {
	reply := segment.Reply{Session: c.GetSession(), Share: c.GetShare(), Sequence: c.GetSequence()}
	m, err := parseCommit(c, s.limits.MaxLosers)
	empty := err == nil && len(m.Rows) == 0
	ackOnly := empty && c.GetSequence() == c.GetAfter()

	x, known := s.sessions.Get(c.GetSession())
	if !known {
		reply.Outcome = s.forgotten(c.GetSession(), ackOnly)
		return reply, nil
	}
	x, at := s.acknowledge(x, c)
	var l lane
	if at >= 0 {
		l = x.lanes[at]
	}
	reply.Last = l.last
	switch {
	case ackOnly && c.GetSequence() <= l.last:
		reply.Outcome = segment.Answered
		return reply, nil
	case c.GetSequence() <= l.last:
		reply.Outcome = segment.Gone
		if answers, ok := l.answer(c.GetSequence()); ok {
			reply.Outcome, reply.Answers = segment.Answered, answers
		}
		return reply, nil
	case x.ended:
		reply.Outcome = segment.SessionEnded
		return reply, nil
	}
	sh, exists := s.shares.Get(c.GetShare())
	mine, commits := s.writer(x)
	switch {
	case !exists, err != nil, !commits:
		reply.Outcome = segment.Unauthorized
		return reply, nil
	case !follows(c, l.last), len(l.answers) >= s.limits.MaxUnanswered, l.rows+len(m.Rows) > maxKeptRows:
		reply.Outcome = segment.OutOfOrder
		return reply, nil
	}
	var events []segment.Event
	if !empty {
		pl := placing{state: s, commit: c, session: x, binding: mine, share: sh.word, group: x.group, size: m.Size}
		reply.Answers = pl.place(m.Rows)
		events = pl.events
	}
	s.lane(x, sh.word).keep(c.GetSequence(), reply.Answers)
	reply.Outcome, reply.Last = segment.Answered, c.GetSequence()
	return reply, events
}

// parseCommit reads what is encoded inside a commit, all of it or nothing.
func parseCommit(c *controlpb.CommitRequest, maxLosers int) (segment.Manifest, error) {
	if len(c.GetManifest()) == 0 {
		return segment.Manifest{}, nil
	}
	m, err := segment.ParseManifest(c.GetManifest())
	if err != nil {
		return segment.Manifest{}, err
	}
	if len(m.Rows) == 0 {
		return m, nil
	}
	if len(c.GetNonce()) != len(segment.Nonce{}) || len(c.GetLosers()) > maxLosers {
		return segment.Manifest{}, segment.ErrManifest
	}
	for _, loser := range c.GetLosers() {
		if len(loser) != len(segment.Nonce{}) || bytes.Equal(loser, c.GetNonce()) {
			return segment.Manifest{}, segment.ErrManifest
		}
	}
	return m, nil
}

// forgotten answers for a session that is not known. One whose number has been given out existed,
// and what became of its sequences is no longer known: that is Gone, never SessionEnded, which
// would say that they were not placed. An acknowledgement asks about none.
func (s *State) forgotten(id uint64, ackOnly bool) segment.Outcome {
	if id == 0 || id >= s.nextSession || ackOnly {
		return segment.SessionEnded
	}
	return segment.Gone
}

// acknowledge lets go of the answers that the commit says have arrived, and returns the session
// and the place of the share's lane, or -1.
func (s *State) acknowledge(x *session, c *controlpb.CommitRequest) (*session, int) {
	w, ok := s.wordOf[c.GetShare()]
	if !ok {
		return x, -1
	}
	at, ok := x.find(w)
	if !ok {
		return x, -1
	}
	if c.GetAcked() > x.lanes[at].acked {
		x = s.mutSession(x)
		x.lanes[at].trim(c.GetAcked())
	}
	return x, at
}

// lane returns the session's lane of a share for writing.
func (s *State) lane(x *session, share uint16) *lane {
	x = s.mutSession(x)
	at, ok := x.find(share)
	if !ok {
		x.lanes = slices.Insert(x.lanes, at, lane{share: share})
	}
	return &x.lanes[at]
}

// follows says whether a commit continues after last and names everything it leaves out.
func follows(c *controlpb.CommitRequest, last uint64) bool {
	if c.GetAfter() != last || c.GetSequence() <= last {
		return false
	}
	if uint64(len(c.GetAbandoned())) != c.GetSequence()-last-1 {
		return false
	}
	for i, q := range c.GetAbandoned() {
		if q != last+1+uint64(i) {
			return false
		}
	}
	return true
}
