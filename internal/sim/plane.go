package sim

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

const (
	clusterName = "sim"
	groupName   = "prod"
	readers     = "analytics"
)

// land is a share of a run, with its one topic. The partitions that clients speak of lie in turn in
// one and the other, so that a client's batches go through segments of two shares.
type land struct {
	share string
	name  string
	id    topic.ID
}

var lands = [...]land{{"default", "events", topic.ID{0xA: 7}}, {"cold", "archive", topic.ID{0xA: 8}}}

// placeOf says where a client's partition lies.
func placeOf(partition int32) (share string, p topic.Partition) {
	if g := partition - guestBase; g >= 0 {
		return lands[int(g)%len(lands)].share, topic.Partition{Topic: guestID(int(g))}
	}
	l := lands[int(partition)%len(lands)]
	return l.share, topic.Partition{Topic: l.id, Index: partition / int32(len(lands))}
}

// partitionOf is what clients call a partition.
func partitionOf(p topic.Partition) int32 {
	for i, l := range lands {
		if l.id == p.Topic {
			return p.Index*int32(len(lands)) + int32(i)
		}
	}
	return -1
}

// plane is the control plane: nodes, each with a real State, over one log. The log is what raft
// promises and no more: one order, entries that are stored for good, and a leader of each term that
// alone may store. A leader that has been deposed may not know it: it goes on answering from what it
// has applied, and what it proposes is never stored. Of what a leader had under way when its term
// ended a part may have been stored, in order; the rest is lost.
type plane struct {
	w       *World
	limits  state.Limits
	nodes   []*node
	term    uint64
	leader  *node // of the term, whether it serves already or not; nil: there is none
	log     []entry
	pending []*proposal   // the leader's, on their way
	freeAt  time.Duration // when the disks have written what they were given
	slow    time.Duration // until then the disks are slow
	seen    int           // entries that the checks have been told of
}

// entry is a command as it is stored, and what came of it when it was first applied.
type entry struct {
	encoded []byte
	at      time.Duration // when its leader stamped it
	result  uint64        // a fingerprint
}

type proposal struct {
	encoded []byte
	at      time.Duration
	done    func(state.Result)
}

func newPlane(w *World, nodes, partitions int) *plane {
	limits := state.Default()
	limits.Meta = state.Meta{Cluster: clusterName, ClusterID: "sim-cluster", Incarnation: 1}
	tighten(w, &limits)
	p := &plane{w: w, limits: limits}
	each := (partitions + len(lands) - 1) / len(lands)
	begin := []*controlpb.Command{}
	for _, l := range slices.Concat(lands[:], yards[:]) {
		begin = append(begin, []*controlpb.Command{
			{Op: &controlpb.Command_CreateShare{CreateShare: &controlpb.CreateShareCommand{Share: &controlpb.Share{Name: l.share, Bucket: "mem://" + l.share}}}},
			{Op: &controlpb.Command_CreateTopic{CreateTopic: &controlpb.CreateTopicCommand{
				Name: l.name, Id: l.id[:], Partitions: int32(each), Share: l.share,
			}}},
		}...)
	}
	for _, c := range append(begin, w.raise()...) {
		c.Time = epoch
		p.log = append(p.log, entry{encoded: encode(c)})
	}
	for i := range nodes {
		p.nodes = append(p.nodes, newNode(w, p, fmt.Sprintf("node-%d", i+1)))
	}
	return p
}

// tighten makes limits that are seldom met in a few minutes narrow in some runs.
func tighten(w *World, l *state.Limits) {
	if w.rng.IntN(3) == 0 {
		l.AnswersKept = w.between(time.Second, 10*time.Second)
	}
	if w.rng.IntN(3) == 0 {
		l.MaxUnanswered = 2 + w.rng.IntN(4)
	}
	if w.rng.IntN(2) == 0 {
		l.MaxExtentBytes = 100 + w.rng.Int64N(400)
	}
	// As short as no producer that goes on is ever silent; those that pause are.
	l.ProducerIdle, l.ProducerExpiration = 150*time.Second, 220*time.Second
	if w.rng.IntN(3) == 0 {
		l.MaxProducers = 13 + w.rng.IntN(3)
		w.crowd = 6
	}
}

func (p *plane) start() {
	for _, n := range p.nodes {
		n.start()
	}
}

// serving is the nodes that say that they lead: at most one is right.
func (p *plane) serving() []*node {
	var out []*node
	for _, n := range p.nodes {
		if n.serves() {
			out = append(out, n)
		}
	}
	return out
}

// reached is the node that a caller who was last at a node asks, or nil: one goes on asking the node
// that answers.
func (p *plane) reached(last *node) *node {
	all := p.serving()
	switch {
	case len(all) == 0:
		return nil
	case last != nil && last.serves():
		return last
	}
	return all[p.w.rng.IntN(len(all))]
}

// front is the state that has applied most. It is for checks: nobody in the world can know which it is.
func (p *plane) front() *state.State {
	best := p.nodes[0]
	for _, n := range p.nodes {
		if n.applied > best.applied {
			best = n
		}
	}
	return best.state
}

// current says whether front holds all that the checks have been told of: after a crash it may not.
func (p *plane) current() bool {
	return slices.ContainsFunc(p.nodes, func(n *node) bool { return n.applied >= p.seen })
}

// endTerm takes the leader's term away; of what it had under way a part may have been stored.
func (p *plane) endTerm() {
	arrived := 0
	if len(p.pending) > 0 {
		arrived = p.w.rng.IntN(len(p.pending) + 1)
	}
	for _, q := range p.pending[:arrived] {
		p.log = append(p.log, entry{encoded: q.encoded, at: q.at})
	}
	if lost := len(p.pending) - arrived; lost > 0 {
		p.w.tell("the log keeps %d of the %d commands under way", arrived, len(p.pending))
		p.w.saw("tail lost")
	}
	p.leader, p.pending, p.freeAt = nil, nil, 0
}

// elect begins a term of a node that is up.
func (p *plane) elect(n *node) {
	p.endTerm()
	n.resign()
	p.term++
	p.leader = n
	n.takeOver(p.term)
}

// depose has another node elected while the leader lives. It goes on for a while, believing that it leads.
func (p *plane) depose() {
	old := p.leader
	if old == nil {
		return
	}
	for _, n := range p.nodes {
		if n != old && n.up {
			p.w.tell("fault: %s is elected, and %s does not know", n.name, old.name)
			p.w.saw("deposed")
			p.elect(n)
			break
		}
	}
	if p.leader == old {
		return
	}
	term := old.leads
	p.w.after(p.w.between(0, 15*time.Second), "deposition noticed", func() {
		if old.leads == term {
			old.resign()
		}
	})
}

// fill has a leader elected under whose limits the index has room for a few entries more.
func (p *plane) fill() {
	if p.leader == nil || !p.leader.up {
		return
	}
	p.limits.MaxIndexEntries = int(p.front().Stats().IndexEntries) + p.w.rng.IntN(5)
	p.w.tell("fault: the index has room for %d entries", p.limits.MaxIndexEntries)
	p.w.saw("index full")
	p.elect(p.leader)
}

// empty undoes fill, as retention would in time.
func (p *plane) empty() {
	if full := p.limits.MaxIndexEntries; full != state.Default().MaxIndexEntries {
		p.limits.MaxIndexEntries = state.Default().MaxIndexEntries
		if p.leader != nil && p.leader.up {
			p.elect(p.leader)
		}
	}
}

// succeed finds a leader when there is none.
func (p *plane) succeed() {
	if p.leader != nil {
		return
	}
	wait := p.w.between(time.Second, 5*time.Second)
	if p.w.chance(0.3) {
		wait = p.w.between(10*time.Millisecond, 300*time.Millisecond)
	}
	p.w.after(wait, "election", func() {
		if p.leader != nil {
			return
		}
		for _, i := range p.w.rng.Perm(len(p.nodes)) {
			if n := p.nodes[i]; n.up {
				p.elect(n)
				return
			}
		}
	})
}

// written is when the disks will have written a command that they are given now.
func (p *plane) written() time.Duration {
	took := p.w.between(time.Millisecond, 8*time.Millisecond)
	if p.w.now < p.slow {
		took = p.w.between(20*time.Millisecond, 400*time.Millisecond)
	}
	p.freeAt = max(p.freeAt, p.w.now) + took
	return p.freeAt
}

// store appends what the leader of a term has under way, if the term still lasts.
func (p *plane) store(q *proposal, term uint64) (stored bool) {
	if p.term != term || !slices.Contains(p.pending, q) {
		return false
	}
	p.pending = slices.DeleteFunc(p.pending, func(o *proposal) bool { return o == q })
	p.log = append(p.log, entry{encoded: q.encoded, at: q.at})
	return true
}

// told is called by a node that has applied the entry at a place of the log: whoever is first tells the
// checks, all others must have come to the same (I4).
func (p *plane) told(n *node, at int, c *controlpb.Command, r state.Result) {
	sum := fingerprint(r)
	if at < p.seen {
		if p.log[at].result != sum {
			p.w.violated("I4: %s comes to another result of command %d than the first who applied it", n.name, at)
		}
		return
	}
	p.log[at].result = sum
	p.seen = at + 1
	p.w.checks.oracle.times(c, p.log[at].at)
	p.w.checks.applied(n.state, c, r)
	p.w.groups.checks.applied(c, r)
}

// fingerprint is of all that callers and watchers are told.
func fingerprint(r state.Result) uint64 {
	h := fnv.New64a()
	var b []byte
	add := func(v int64) { b = binary.BigEndian.AppendUint64(b, uint64(v)) }
	add(int64(r.Code))
	for _, c := range r.Codes {
		add(int64(c))
	}
	add(int64(r.Reply.Outcome))
	add(int64(r.Reply.Last))
	for _, a := range r.Reply.Answers {
		add(int64(a.Verdict)<<32 | int64(a.Code))
		add(int64(a.Offset))
		add(int64(a.LogStart))
	}
	add(int64(r.Login.GetSession()))
	add(r.ProducerID)
	add(int64(r.ProducerEpoch))
	for _, e := range r.Events {
		add(int64(e.LogStart))
		add(int64(e.HighWatermark))
		add(int64(len(e.Locations)))
	}
	h.Write(b)
	return h.Sum64()
}

// end has every node come to the end of the log, and compares them with each other and with a replay
// from the first command on.
func (p *plane) end() {
	replayed := state.NewState(p.limits)
	for _, e := range p.log {
		replayed.Apply(decode(e.encoded))
	}
	want := snapshot(replayed)
	for _, n := range p.nodes {
		if n.up {
			n.catchUp()
			n.compare(want, len(p.log))
		}
	}
}

// encode makes commands what they are in a real log: bytes, so that nothing is shared by accident.
func encode(c *controlpb.Command) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("encode a command: %v", err))
	}
	return b
}

func decode(b []byte) *controlpb.Command {
	c := &controlpb.Command{}
	if err := proto.Unmarshal(b, c); err != nil {
		panic(fmt.Sprintf("decode a command: %v", err))
	}
	return c
}
