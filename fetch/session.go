package fetch

import (
	"container/list"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// ref names a partition as a client does: by the topic's name up to version 12, by its id from 13 on.
type ref struct {
	name  string
	id    topic.ID
	index int32
}

// wanted is one partition of a request.
type wanted struct {
	ref
	offset   topic.Offset
	maxBytes int32
	epoch    int32 // the leader epoch the client knows, or -1
}

// told is what the session has said of a partition: what has not changed is not said again.
// A partition whose last answer was an error, or that has had none, is said whatever it holds.
type told struct {
	said           bool
	high, logStart topic.Offset
}

// member is one partition of a session.
type member struct {
	wanted
	told told
}

// session is one incremental fetch session (KIP-227): the partitions that a consumer fetches,
// so that it need not name those that have not changed.
type session struct {
	id    int32
	from  client
	byID  bool // partitions are named by topic id
	next  int32
	parts map[ref]*list.Element // of *member
	order *list.List            // of *member; those that were answered with records go last
	used  time.Duration
	place *list.Element
}

// client is who begins a session, and on which connection.
type client struct {
	principal string
	conn      uint64
}

// sessions are those of one agent: they live in memory alone, and a client whose session is
// gone is told so (70) and begins anew without its user noticing.
//
// It is pure: time and ids are arguments. Callers hold one lock around it, also while they use
// a session.
type sessions struct {
	most      int
	mostParts int
	mostConn  int
	idle      time.Duration
	byID      map[int32]*session
	recent    *list.List // least recently used first
	parts     int
	byConn    map[uint64][]*session // begun on a connection that still is, oldest first
}

func newSessions(cfg *Config) *sessions {
	return &sessions{most: cfg.MaxSessions, mostParts: cfg.MaxSessionPartitions, mostConn: cfg.MaxConnSessions,
		idle: cfg.SessionIdle, byID: map[int32]*session{}, recent: list.New(), byConn: map[uint64][]*session{}}
}

const (
	epochFinal   = -1 // no session, and the end of one that is named
	epochInitial = 0  // a full request that begins a session
)

// begin reads what a request wants. s is nil for a request without a session; incremental
// says that only what has changed is to be answered. A code other than 0 answers the whole
// request. draw gives random ids.
func (ss *sessions) begin(now time.Duration, from client, req *kmsg.FetchRequest, draw func() int32) (s *session, incremental bool, code int16) {
	if req.Version < 7 {
		return nil, false, 0
	}
	if req.SessionEpoch <= epochInitial {
		if old := ss.byID[req.SessionID]; old != nil && old.from.principal == from.principal {
			ss.end(old)
		}
		if req.SessionEpoch == epochInitial {
			s = ss.open(now, from, req, draw)
		}
		return s, false, 0
	}
	s = ss.byID[req.SessionID]
	switch {
	case s == nil || s.from.principal != from.principal:
		return nil, false, codeNoSession
	case s.next != req.SessionEpoch || s.byID != (req.Version >= 13):
		// A client that changes how it names topics begins a new session, as after a lost answer.
		return nil, false, codeSessionEpoch
	}
	ss.update(s, req)
	ss.forget(s, req)
	if s.order.Len() == 0 {
		ss.end(s)
		return nil, true, 0
	}
	s.next = nextEpoch(s.next)
	s.used = now
	ss.recent.MoveToBack(s.place)
	return s, true, 0
}

// nextEpoch counts 1, 2, 3 … and wraps to 1.
func nextEpoch(e int32) int32 {
	if e == math.MaxInt32 {
		return 1
	}
	return e + 1
}

// open begins a session with the partitions of a full request, or returns nil when there is no
// room: the client then goes on with full requests.
func (ss *sessions) open(now time.Duration, from client, req *kmsg.FetchRequest, draw func() int32) *session {
	parts := 0
	for i := range req.Topics {
		parts += len(req.Topics[i].Partitions)
	}
	if begun := ss.byConn[from.conn]; len(begun) >= ss.mostConn {
		ss.end(begun[0]) // a client has one at a time
	}
	if parts == 0 || ss.most == 0 || !ss.room(now, parts) {
		return nil
	}
	id := draw()
	for i := 0; id <= 0 || ss.byID[id] != nil; i++ {
		if i == 100 {
			return nil
		}
		id = draw()
	}
	s := &session{id: id, from: from, byID: req.Version >= 13, next: 1, used: now,
		parts: map[ref]*list.Element{}, order: list.New()}
	ss.byID[id] = s
	s.place = ss.recent.PushBack(s)
	ss.byConn[from.conn] = append(ss.byConn[from.conn], s)
	ss.update(s, req)
	return s
}

// room ends idle sessions until one more with so many partitions fits.
func (ss *sessions) room(now time.Duration, parts int) bool {
	for len(ss.byID)+1 > ss.most || ss.parts+parts > ss.mostParts {
		oldest := ss.recent.Front()
		if oldest == nil || now-oldest.Value.(*session).used < ss.idle {
			return false
		}
		ss.end(oldest.Value.(*session))
	}
	return true
}

func (ss *sessions) end(s *session) {
	delete(ss.byID, s.id)
	ss.recent.Remove(s.place)
	ss.parts -= s.order.Len()
	begun := slices.DeleteFunc(ss.byConn[s.from.conn], func(o *session) bool { return o == s })
	if ss.byConn[s.from.conn] = begun; len(begun) == 0 {
		delete(ss.byConn, s.from.conn)
	}
}

// orphan is told that a connection is gone. Its client may come back with its session on another, but
// until then the session is the first to make room.
func (ss *sessions) orphan(conn uint64) {
	for _, s := range ss.byConn[conn] {
		s.used = long
		ss.recent.MoveToFront(s.place)
	}
}

// long ago is before any time that a session may have been used at.
const long = time.Duration(math.MinInt64 / 2)

// update takes in the partitions that a request names.
func (ss *sessions) update(s *session, req *kmsg.FetchRequest) {
	ss.parts -= s.order.Len()
	eachWanted(req, func(w wanted) {
		if e := s.parts[w.ref]; e != nil {
			e.Value.(*member).wanted = w
			return
		}
		s.parts[w.ref] = s.order.PushBack(&member{wanted: w})
	})
	ss.parts += s.order.Len()
}

// forget drops the partitions that a request forgets.
func (ss *sessions) forget(s *session, req *kmsg.FetchRequest) {
	ss.parts -= s.order.Len()
	for i := range req.ForgottenTopics {
		t := &req.ForgottenTopics[i]
		for _, index := range t.Partitions {
			r := ref{name: t.Topic, id: t.TopicID, index: index}
			if e := s.parts[r]; e != nil {
				s.order.Remove(e)
				delete(s.parts, r)
			}
		}
	}
	ss.parts += s.order.Len()
}

// wants lists the session's partitions in the order in which they are to be served.
func (s *session) wants() []wanted {
	out := make([]wanted, 0, s.order.Len())
	for e := s.order.Front(); e != nil; e = e.Next() {
		out = append(out, e.Value.(*member).wanted)
	}
	return out
}

// say reports whether an incremental answer must mention a partition, and remembers what it
// says. A partition with records goes to the end, so that the next answer begins with others.
func (s *session) say(r ref, code int16, high, logStart topic.Offset, records int) bool {
	e := s.parts[r]
	if e == nil {
		return true // forgotten meanwhile by a later request; the client ignores it
	}
	m := e.Value.(*member)
	must := code != 0 || records > 0 || !m.told.said || m.told.high != high || m.told.logStart != logStart
	m.told = told{said: code == 0, high: high, logStart: logStart}
	if records > 0 {
		s.order.MoveToBack(e)
	}
	return must
}

// eachWanted calls f for the partitions of a request in their order.
func eachWanted(req *kmsg.FetchRequest, f func(wanted)) {
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			f(wanted{
				ref:      ref{name: t.Topic, id: t.TopicID, index: p.Partition},
				offset:   topic.Offset(p.FetchOffset),
				maxBytes: p.PartitionMaxBytes,
				epoch:    p.CurrentLeaderEpoch,
			})
		}
	}
}

// wantsOf lists the partitions of a request without a session, each once: the last mention counts.
func wantsOf(req *kmsg.FetchRequest) []wanted {
	var out []wanted
	at := map[ref]int{}
	eachWanted(req, func(w wanted) {
		if i, ok := at[w.ref]; ok {
			out[i] = w
			return
		}
		at[w.ref] = len(out)
		out = append(out, w)
	})
	return out
}

// partitionsOf counts the partitions that a request names.
func partitionsOf(req *kmsg.FetchRequest) int {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	for i := range req.ForgottenTopics {
		n += len(req.ForgottenTopics[i].Partitions)
	}
	return n
}
