package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/produce"
)

// checks is what an observer of everything knows: what was placed where, and what was said of it.
type checks struct {
	w       *World
	placed  int
	log     map[topic.Partition][]placed
	copies  map[string]topic.Offset // copies placed, by name
	batches map[batchID]topic.Offset
	errored map[string]int16 // copies answered with an error
	acked   map[batchID]topic.Offset
	highest map[lane]int     // place in order of the last batch placed
	expired map[batchID]bool // given up by their client: placed or not, but never late
	order   map[lane][]int
	replies map[sequence]segment.Reply // the first that decided a sequence
	oracle  *oracle
	walls   *wallChecks
	kept    int                 // sessions that the state remembers
	ended   map[uint64]bool     // sessions that somebody has ended
	shares  map[topic.ID]string // of topics
	last    map[sequence]uint64 // by session and share: the last sequence committed
	heard   map[sequence]uint64 // by session and share: up to where answers are acknowledged
}

// sequence names a commit.
type sequence struct {
	session uint64
	share   string
	number  uint64
}

// lane is what keeps its order: a client's batches of one partition.
type lane struct {
	client    int
	partition int32
}

type placed struct {
	copy    string
	batch   batchID
	base    topic.Offset
	records int
	bytes   record.Batch
}

func newChecks(w *World) *checks {
	return &checks{
		w: w, log: map[topic.Partition][]placed{}, copies: map[string]topic.Offset{}, batches: map[batchID]topic.Offset{},
		errored: map[string]int16{}, acked: map[batchID]topic.Offset{}, highest: map[lane]int{}, expired: map[batchID]bool{}, order: map[lane][]int{}, replies: map[sequence]segment.Reply{}, heard: map[sequence]uint64{}, last: map[sequence]uint64{}, ended: map[uint64]bool{}, shares: map[topic.ID]string{}, oracle: newOracle(w), walls: newWallChecks(w),
	}
}

// applied looks at one command that the control plane has applied, and at its events.
func (k *checks) applied(s *state.State, c *controlpb.Command, r state.Result) {
	if t := c.GetCreateTopic(); len(t.GetId()) == len(topic.ID{}) {
		k.shares[topic.ID(t.GetId())] = t.GetShare()
	}
	if e := c.GetEndSession(); e != nil {
		k.ended[e.GetSession()] = true
	}
	k.frozen(s, c, r)
	k.walls.applied(s, c, r)
	first := true
	if q := c.GetCommit(); q != nil {
		first = k.replied(s, q, r.Reply)
	}
	if first {
		k.oracle.applied(c, r.Reply)
	}
	k.w.reading.learned(c, r)
	for _, e := range r.Events {
		for _, l := range e.Locations {
			k.location(l)
		}
		if end := k.end1(e.Partition); len(e.Locations) > 0 && e.HighWatermark != end {
			k.w.violated("I1: %s ends at %d, the event says %d", e.Partition, end, e.HighWatermark)
		}
	}
}

// frozen: while the clock is not trusted nothing expires.
func (k *checks) frozen(s *state.State, c *controlpb.Command, r state.Result) {
	if s.Frozen() {
		k.w.saw("frozen")
	}
	if r.Login != nil {
		k.kept++
	}
	if c.GetTick() == nil {
		return // nothing else forgets
	}
	kept := 0
	s.EachSession(func(state.Session) bool { kept++; return true })
	if s.Frozen() && kept < k.kept {
		k.w.violated("I4: the clock is not trusted, and of %d sessions %d are left", k.kept, kept)
	}
	k.kept = kept
}

// replied: once a sequence is decided, every answer to it is the first one, or that it is gone. It
// returns whether this one is the first.
func (k *checks) replied(s *state.State, q *controlpb.CommitRequest, r segment.Reply) (first bool) {
	lane := sequence{session: r.Session, share: r.Share}
	k.heard[lane] = max(k.heard[lane], q.GetAcked())
	if q.GetSequence() == q.GetAfter() && len(q.GetManifest()) == 0 {
		return false // only acknowledges
	}
	k.w.saw(fmt.Sprintf("outcome %d", r.Outcome))
	k.w.sweeper.learn(r)
	at := sequence{r.Session, r.Share, r.Sequence}
	before, decided := k.replies[at]
	switch {
	case !decided:
		k.decided(s, q, r)
	case r.Outcome == segment.Gone:
		if _, kept := s.Session(r.Session); kept && r.Sequence > k.heard[lane] {
			k.w.violated("I2: commit %d of session %d and share %s is gone, and was not acknowledged", r.Sequence, r.Session, r.Share)
		}
	case r.Outcome != before.Outcome || !slices.Equal(r.Answers, before.Answers):
		k.w.violated("I2: commit %d of session %d and share %s is answered %v, and was answered %v", r.Sequence, r.Session, r.Share, r, before)
	}
	return !decided
}

// decided is told of the answer to a sequence that was not decided before.
func (k *checks) decided(s *state.State, q *controlpb.CommitRequest, r segment.Reply) {
	at := sequence{r.Session, r.Share, r.Sequence}
	lane := sequence{session: r.Session, share: r.Share}
	x, kept := s.Session(r.Session)
	switch r.Outcome {
	case segment.Answered:
		k.follows(q, k.last[lane])
		if !slices.Contains(x.Roles, state.RoleProduce) {
			k.w.violated("I6: session %d has the roles %v, and its commit %d is taken", r.Session, x.Roles, r.Sequence)
		}
		if k.ended[r.Session] {
			k.w.violated("I8: session %d has ended, and its commit %d is taken", r.Session, r.Sequence)
		}
		k.last[lane] = r.Sequence
		k.replies[at] = r
		k.walls.commit(s, q, r)
	case segment.SessionEnded:
		k.replies[at] = r
	case segment.Gone:
		if kept && !careless(x.Group) {
			k.w.violated("I8: commit %d of session %d and share %s is gone, and it was passed over", r.Sequence, r.Session, r.Share)
		}
	}
}

// follows: what is committed names the sequence that it comes after, and every one that it leaves out.
func (k *checks) follows(q *controlpb.CommitRequest, last uint64) {
	want := []uint64{}
	for n := last + 1; n < q.GetSequence(); n++ {
		want = append(want, n)
	}
	if q.GetAfter() != last || q.GetSequence() <= last || !slices.Equal(q.GetAbandoned(), want) {
		k.w.violated("I8: commit %d of session %d and share %s is taken after %d and names after %d, abandoned %v",
			q.GetSequence(), q.GetSession(), q.GetShare(), last, q.GetAfter(), q.GetAbandoned())
	}
}

// end1 is where the next placement of a partition must begin.
func (k *checks) end1(p topic.Partition) topic.Offset {
	if log := k.log[p]; len(log) > 0 {
		last := log[len(log)-1]
		return last.base + topic.Offset(last.records)
	}
	return 0
}

// location checks one placement against the object that it names.
func (k *checks) location(l segment.Location) {
	if want := k.end1(l.Partition); l.Base != want {
		k.w.violated("I1: a placement of %s begins at %d, the last one ended at %d", l.Partition, l.Base, want)
		return
	}
	object, there := k.w.bucket.objects[segment.Key(clusterName, l.Object)]
	if !there {
		k.w.violated("I3: %s is placed and its object is not stored", l.Object.ID)
		return
	}
	if int(l.Position)+int(l.Length) > len(object) {
		k.w.violated("I3: %s is placed up to byte %d, and its object has %d", l.Object.ID, l.Position+l.Length, len(object))
		return
	}
	base := l.Base
	for rest := object[l.Position : l.Position+l.Length]; len(rest) > 0; {
		b, more, err := record.Split(rest)
		if err == nil {
			err = record.Verify(b)
		}
		if err != nil {
			k.w.violated("I3: bytes of %s at offset %d: %v", l.Object.ID, base, err)
			return
		}
		k.batch(l, b, base)
		base += topic.Offset(b.NumRecords())
		rest = more
	}
	if base != l.End() {
		k.w.violated("I1: %s holds records up to %d, placed up to %d", l.Object.ID, base, l.End())
	}
}

// batch checks one placed batch against all that came before.
func (k *checks) batch(l segment.Location, b record.Batch, base topic.Offset) {
	name, id, err := nameOf(b)
	if err != nil {
		k.w.violated("offset %d: %v", base, err)
		return
	}
	k.placed++
	if share, known := k.shares[l.Partition.Topic]; known && share != l.Object.Share {
		k.w.violated("I6: %s is placed in a topic of share %s and lies in share %s", name, share, l.Object.Share)
	}
	k.w.tell("placed %s at %s/%d (%s)", name, l.Object.ID, l.Partition.Index, fmt.Sprint(base))
	if code, said := k.errored[name]; said {
		k.w.violated("I11: %s is placed after it was answered with %d", name, code)
	}
	if at, twice := k.copies[name]; twice {
		k.w.violated("I2: %s is placed at %d, and was placed at %d", name, base, at)
	}
	k.copies[name] = base
	k.w.sweeper.refer(l.Object)
	k.log[l.Partition] = append(k.log[l.Partition], placed{name, id, base, int(b.NumRecords()), b})
	if b.ProducerID() >= 0 && id.client != k.w.liar.index && id.client != k.w.tenant.index {
		k.inOrder(lane{id.client, partitionOf(l.Partition)}, id, base)
	}
	k.batches[id] = base
}

// inOrder: an idempotent producer's batches are placed once, each after the one before it.
func (k *checks) inOrder(at lane, id batchID, base topic.Offset) {
	if old, twice := k.batches[id]; twice {
		k.w.violated("I5 duplicate: batch %d of client %d is placed at %d, and was placed at %d", id.number, id.client, base, old)
		return
	}
	sent := k.order[at]
	i := slices.Index(sent, id.number)
	if i < k.highest[at] {
		k.w.violated("I5 order: batch %d of client %d is placed after batch %d", id.number, id.client, sent[k.highest[at]])
	}
	k.highest[at] = i
	for i--; i >= 0; i-- {
		before := batchID{id.client, sent[i]}
		if _, there := k.batches[before]; there {
			break
		}
		if !k.expired[before] {
			k.w.violated("I5 gap: batch %d of client %d is placed, batch %d before it is not", id.number, id.client, sent[i])
		}
	}
}

// sent notes the order in which a client first sent the batches of a partition.
func (k *checks) sent(c *copyOf) {
	at := lane{c.batch.client, c.partition}
	if !slices.Contains(k.order[at], c.batch.number) {
		k.order[at] = append(k.order[at], c.batch.number)
	}
}

// answered looks at what an agent says of a copy.
func (k *checks) answered(c *copyOf, a produce.Answer) {
	k.w.saw(fmt.Sprintf("code %d", a.Code))
	if a.Code == 0 || a.Code == codeDuplicate {
		k.acknowledged(c, a)
		return
	}
	if at, there := k.copies[c.String()]; there {
		k.w.violated("I11: %s is answered with %d, and lies at %d", c, a.Code, at)
	}
	k.errored[c.String()] = a.Code
}

func (k *checks) acknowledged(c *copyOf, a produce.Answer) {
	base, there := k.batches[c.batch]
	if c.producer < 0 {
		base, there = k.copies[c.String()] // a plain batch may lie there in several copies
	}
	switch {
	case !there:
		k.w.violated("I3: %s is acknowledged and placed nowhere", c)
	case a.Code == 0 && a.Offset != base:
		k.w.violated("I3: %s is acknowledged at %d and lies at %d", c, a.Offset, base)
	}
	k.acked[c.batch] = base
}

// end reads everything back and looks for what was acknowledged.
func (k *checks) end() {
	found := map[batchID]int{}
	for _, p := range slices.SortedFunc(maps.Keys(k.log), topic.Partition.Compare) {
		k.readBack(p, found)
	}
	for id := range k.acked {
		if found[id] == 0 {
			k.w.violated("I3: batch %d of client %d was acknowledged and cannot be read", id.number, id.client)
		}
	}
	k.w.control.end()
}

// readBack follows the plans of the index over a whole partition.
func (k *checks) readBack(p topic.Partition, found map[batchID]int) {
	logged := k.log[p]
	start, _, there := k.w.control.front().Ends(p)
	for len(logged) > 0 && (!there || logged[0].base < start) {
		found[logged[0].batch]++ // it was deleted, by retention or with its topic
		logged = logged[1:]
	}
	for at, end := start, k.end1(p); there && at < end; {
		plan := k.w.control.front().Plan(p, at, 1<<20)
		if plan.Code != 0 || plan.HighWatermark != end || len(plan.Locations) == 0 {
			k.w.violated("I9: plan of %s at %d of %d: code %d, high watermark %d, %d locations", p, at, end, plan.Code, plan.HighWatermark, len(plan.Locations))
			return
		}
		for _, l := range plan.Locations {
			if l.Base > at {
				k.w.violated("I9: plan of %s skips from %d to %d", p, at, l.Base)
				return
			}
			at = l.End()
			object := k.w.bucket.objects[segment.Key(clusterName, l.Object)]
			for rest := object[l.Position : l.Position+l.Length]; len(rest) > 0; {
				b, more, err := record.Split(rest)
				if err != nil {
					k.w.violated("I9: bytes of %s: %v", l.Object.ID, err)
					return
				}
				name, id, err := nameOf(b)
				if err != nil || len(logged) == 0 || logged[0].copy != name {
					k.w.violated("I9: %s reads %q where the log has something else (%v)", p, name, err)
					return
				}
				logged = logged[1:]
				found[id]++
				rest = more
			}
		}
	}
}

// nameOf reads the name that a copy's records carry.
func nameOf(b record.Batch) (string, batchID, error) {
	body := string(b[record.HeaderSize:])
	i := strings.IndexByte(body, 'c')
	if i < 0 {
		return "", batchID{}, fmt.Errorf("a batch of nobody")
	}
	var id batchID
	var try int
	end := i
	for _, part := range []struct {
		begin  string
		number *int
	}{{"c", &id.client}, {"/b", &id.number}, {"/t", &try}} {
		if !strings.HasPrefix(body[end:], part.begin) {
			return "", batchID{}, fmt.Errorf("a batch of nobody: %q", body[i:end])
		}
		end += len(part.begin)
		for ; end < len(body) && body[end] >= '0' && body[end] <= '9'; end++ {
			*part.number = 10**part.number + int(body[end]-'0')
		}
	}
	return body[i:end], id, nil
}
