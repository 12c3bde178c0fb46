package sim

import (
	"fmt"
	"slices"
	"time"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// liar is an agent that does not keep to the protocol: it names what it should not, leaves out what it
// should, acknowledges what it was never told, goes on after its session has ended, and may lack the
// role. What it places lies in the log like anything else; what it may not, the control plane refuses.
type liar struct {
	w        *World
	index    int
	control  *node
	roles    []string
	session  uint64
	last     map[string]uint64 // by share: the sequence that it was last told of
	batches  int
	sessions int
	silent   bool
	producer int64 // its own; 0: none yet
}

// madeUp is the first of the producer ids that nobody was given.
const madeUp = 1 << 60

// liars is a group that keeps no promise.
const liars = "liars"

// careless says whether a group's agents leave behind what no check of an honest agent's looks at.
func careless(group string) bool { return group == liars || group == tenants }

func newLiar(w *World, index int) *liar { return &liar{w: w, index: index} }

// run lies from time to time, until the world is quiet.
func (l *liar) run() {
	l.w.after(l.w.between(100*time.Millisecond, 2*time.Second), "lie", func() {
		if l.w.quiet {
			l.stop()
			return
		}
		if l.control = l.w.control.reached(l.control); l.control != nil {
			l.act()
		}
		l.run()
	})
}

// stop ends the last session, so that all it has stored is garbage.
func (l *liar) stop() {
	l.silent = true
	if n := l.w.control.reached(l.control); n != nil && l.session != 0 {
		n.endSession(l.session, func() {})
	}
}

func (l *liar) act() {
	switch {
	case l.session == 0 || l.w.chance(0.05):
		l.sessions++
		l.roles = []string{state.RoleProduce, state.RoleFetch}[:1+l.w.rng.IntN(2)]
		if l.w.chance(0.2) {
			l.roles = []string{state.RoleFetch, state.RoleJobs}
		}
		l.control.login(fmt.Sprintf("liar-%d", l.sessions), liars, l.roles, func(session uint64) {
			l.session, l.last = session, map[string]uint64{}
		})
	case l.w.chance(0.05):
		l.control.endSession(l.session, func() {}) // and goes on
	default:
		l.commit()
	}
}

// commit is right in every point, or wrong in one.
func (l *liar) commit() {
	x := &copyOf{batch: batchID{l.index, l.batches}, try: 1, partition: l.w.rng.Int32N(2), producer: -1, records: 1}
	l.batches++
	share, partition := placeOf(x.partition)
	b := segment.NewBuilder(clusterName, share)
	b.Add(l.wrong(partition), l.numbered(x).bytes(l.w.unix()))
	c := &segment.Commit{Session: l.session, Share: share, After: l.last[share]}
	c.Sequence = c.After + 1
	for l.w.chance(0.3) {
		c.Abandoned = append(c.Abandoned, c.Sequence)
		c.Sequence++
	}
	switch l.w.rng.IntN(8) {
	case 0:
		c.After++
	case 1:
		c.After -= min(c.After, 1+uint64(l.w.rng.IntN(3)))
	case 2:
		c.Sequence++ // one that is not named
	case 3:
		c.Abandoned = append(c.Abandoned, c.Sequence+1)
	case 4:
		c.Acked = c.Sequence + uint64(l.w.rng.IntN(4))
	case 5:
		c.Acked = c.After
	}
	for i := range c.Nonce {
		c.Nonce[i] = byte(l.w.rng.Uint32())
	}
	id := segment.ID{Incarnation: 1, Session: c.Session, Sequence: c.Sequence}
	sealed, err := b.Finish(id)
	if err != nil {
		l.w.violated("seal a segment of a liar: %v", err)
		return
	}
	c.Manifest = sealed.Manifest
	object := segment.Object{Share: share, Group: liars, ID: id, Nonce: c.Nonce}
	l.w.bucket.land(segment.Key(clusterName, object), slices.Concat(sealed.Body...))
	l.control.order(c, func(r segment.Reply) {
		if l.session == c.Session {
			l.last[share] = r.Last
		}
		l.w.saw("liar " + outcomeName(r.Outcome))
	})
}

// wrong is a partition that is not there, or not in the share, as often as not.
func (l *liar) wrong(p topic.Partition) topic.Partition {
	switch l.w.rng.IntN(8) {
	case 0:
		p.Index += 1000
	case 1:
		p.Topic[0]++
	case 2:
		p.Topic = lands[l.w.rng.IntN(len(lands))].id
	}
	return p
}

// numbered gives a copy a producer id that nobody was given, or sequences of its own that overlap.
func (l *liar) numbered(x *copyOf) *copyOf {
	switch l.w.rng.IntN(4) {
	case 0:
		x.producer = madeUp + l.w.rng.Int64N(10)
	case 1:
		if l.producer == 0 {
			l.control.initProducer(liars, func(id int64) { l.producer = id })
			return x
		}
		x.producer, x.records = l.producer, 1+l.w.rng.IntN(4)
		x.sequence = l.w.rng.Int32N(3) // few, so that many begin where an earlier one did
	}
	return x
}

func outcomeName(o segment.Outcome) string {
	return [...]string{"none", "answered", "gone", "ended", "out of order", "unauthorized"}[o]
}
