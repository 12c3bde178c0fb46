package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

const (
	clusterName = "sim"
	groupName   = "prod"
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

// control is one control node: the real State over a log that survives crashes, except for what
// was not stored yet.
type control struct {
	w       *World
	limits  state.Limits
	up      bool
	life    int // rises at every crash: what an earlier life began is void
	term    uint64
	state   *state.State
	stored  [][]byte // the log
	applied int
	pending []*proposal
	freeAt  time.Duration // when the disk has written what it was given
	saved   []byte        // the last snapshot
	savedAt int           // commands it holds
	leases  map[uint64]time.Duration
	grants  int
}

type proposal struct {
	encoded []byte
	done    func(state.Result)
}

func newControl(w *World, partitions int) *control {
	limits := state.Default()
	limits.Meta = state.Meta{Cluster: clusterName, ClusterID: "sim-cluster", Incarnation: 1}
	tighten(w, &limits)
	n := &control{w: w, limits: limits, state: state.NewState(limits), leases: map[uint64]time.Duration{}}
	each := (partitions + len(lands) - 1) / len(lands)
	for _, l := range lands {
		for _, c := range []*controlpb.Command{
			{Op: &controlpb.Command_CreateShare{CreateShare: &controlpb.CreateShareCommand{Share: &controlpb.Share{Name: l.share, Bucket: "mem://" + l.share}}}},
			{Op: &controlpb.Command_CreateTopic{CreateTopic: &controlpb.CreateTopicCommand{
				Name: l.name, Id: l.id[:], Partitions: int32(each), Share: l.share,
			}}},
		} {
			c.Time = epoch
			n.store(n.encode(c))
		}
	}
	return n
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
}

// start begins a term on what the log holds.
func (n *control) start() {
	n.up = true
	n.term++
	n.leases = map[uint64]time.Duration{}
	done := n.applied
	n.state, n.applied = n.restored()
	for n.applied < len(n.stored) {
		command := n.decode(n.stored[n.applied])
		result := n.state.Apply(command)
		if n.applied++; n.applied > done {
			n.w.checks.applied(command, result) // stored before the crash, applied after it
		}
	}
	n.w.tell("control plane starts term %d with %d commands", n.term, len(n.stored))
	elect := &controlpb.ElectCommand{Term: n.term, Frozen: n.w.chance(0.1), Limits: n.limits.Proto()}
	n.propose(&controlpb.Command{Op: &controlpb.Command_Elect{Elect: elect}}, func(state.Result) {
		n.state.EachSession(func(s state.Session) bool {
			if !s.Ended {
				n.leases[s.ID] = n.w.now + n.limits.Lease
			}
			return true
		})
	})
	n.watchLeases(n.life)
}

// restored is the state that a start begins with, and how many commands it holds.
func (n *control) restored() (*state.State, int) {
	if n.saved == nil {
		return state.NewState(n.limits), 0
	}
	s, err := state.ReadState(bytes.NewReader(n.saved), n.limits)
	if err != nil {
		n.w.violated("I4: a snapshot of %d commands cannot be read: %v", n.savedAt, err)
		return state.NewState(n.limits), 0
	}
	n.w.saw("restarted from a snapshot")
	return s, n.savedAt
}

// crash loses what was not stored. Of what was on its way to the disk a part may have arrived.
func (n *control) crash() {
	if !n.up {
		return
	}
	n.w.tell("fault: control plane crashes with %d commands under way", len(n.pending))
	n.checkReplay()
	arrived := 0
	if len(n.pending) > 0 {
		arrived = n.w.rng.IntN(len(n.pending) + 1)
	}
	for _, p := range n.pending[:arrived] {
		n.store(p.encoded)
	}
	n.up, n.pending, n.freeAt = false, nil, 0
	n.life++
	for _, a := range n.w.agents {
		a.breakStream()
	}
	away := n.w.between(time.Second, 12*time.Second)
	if n.w.chance(0.3) {
		away = n.w.between(10*time.Millisecond, 300*time.Millisecond) // as after an election
	}
	n.w.after(away, "control plane returns", n.start)
}

// checkReplay compares the live state with one rebuilt from the log (I4).
func (n *control) checkReplay() {
	again := state.NewState(n.limits)
	for _, entry := range n.stored[:n.applied] {
		again.Apply(n.decode(entry))
	}
	if live, replayed := snapshot(n.state), snapshot(again); !bytes.Equal(live, replayed) {
		n.w.violated("I4: replaying %d commands gives another state (%d and %d bytes)", n.applied, len(live), len(replayed))
	}
}

func snapshot(s *state.State) []byte {
	var b bytes.Buffer
	mark := s.Snapshot()
	defer mark.Release()
	if _, err := mark.WriteTo(&b); err != nil {
		panic(fmt.Sprintf("write a snapshot to memory: %v", err))
	}
	return b.Bytes()
}

func (n *control) digest() string {
	sum := sha256.Sum256(snapshot(n.state))
	return hex.EncodeToString(sum[:8])
}

// propose stores a command, applies it, and then says what came of it, if the node lives so long.
func (n *control) propose(c *controlpb.Command, done func(state.Result)) {
	if !n.up {
		return
	}
	c.Time = max(n.state.Time(), n.w.unix())
	p := &proposal{encoded: n.encode(c), done: done}
	n.pending = append(n.pending, p)
	n.freeAt = max(n.freeAt, n.w.now) + n.w.between(time.Millisecond, 8*time.Millisecond)
	life := n.life
	n.w.after(n.freeAt-n.w.now, "command stored", func() {
		if n.life == life {
			n.commit(p)
		}
	})
}

func (n *control) commit(p *proposal) {
	n.pending = slices.DeleteFunc(n.pending, func(q *proposal) bool { return q == p })
	n.store(p.encoded)
	command := n.decode(p.encoded)
	result := n.state.Apply(command)
	n.applied++
	n.w.checks.applied(command, result)
	p.done(result)
}

func (n *control) store(entry []byte) { n.stored = append(n.stored, entry) }

// encode makes commands what they are in a real log: bytes, so that nothing is shared by accident.
func (n *control) encode(c *controlpb.Command) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("encode a command: %v", err))
	}
	return b
}

func (n *control) decode(b []byte) *controlpb.Command {
	c := &controlpb.Command{}
	if err := proto.Unmarshal(b, c); err != nil {
		panic(fmt.Sprintf("decode a command: %v", err))
	}
	return c
}

// login gives an agent a session.
func (n *control) login(agent string, done func(session uint64)) {
	n.grants++
	c := &controlpb.LoginCommand{
		Request:   &controlpb.LoginRequest{Agent: agent, Group: groupName, Roles: []string{"produce"}},
		GossipKey: make([]byte, 32),
	}
	n.propose(&controlpb.Command{Op: &controlpb.Command_Login{Login: c}}, func(r state.Result) {
		if r.Login == nil {
			n.w.violated("login of %s is refused with %d", agent, r.Code)
			return
		}
		n.leases[r.Login.GetSession()] = n.w.now + n.limits.Lease
		n.state.EachSession(func(s state.Session) bool {
			if s.Agent == agent && !s.Ended && s.ID != r.Login.GetSession() {
				n.w.violated("I8: %s has session %d, and session %d lives on", agent, r.Login.GetSession(), s.ID)
			}
			return true
		})
		done(r.Login.GetSession())
	})
}

func (n *control) heartbeat(session uint64) (ended bool) {
	if s, ok := n.state.Session(session); !ok || s.Ended {
		return true
	}
	n.leases[session] = n.w.now + n.limits.Lease
	return false
}

func (n *control) endSession(session uint64, done func()) {
	c := &controlpb.EndSessionRequest{Session: session}
	n.propose(&controlpb.Command{Op: &controlpb.Command_EndSession{EndSession: c}}, func(state.Result) { done() })
}

// watchLeases ends sessions that have not been heard of, on the leader's monotonic clock.
func (n *control) watchLeases(life int) {
	n.w.after(time.Second, "leases", func() {
		if n.life != life {
			return
		}
		var lapsed []uint64
		for session, until := range n.leases {
			if n.w.now >= until {
				lapsed = append(lapsed, session)
			}
		}
		slices.Sort(lapsed)
		for _, session := range lapsed {
			delete(n.leases, session)
			n.w.tell("control plane ends session %d: its lease has lapsed", session)
			n.endSession(session, func() {})
		}
		n.propose(&controlpb.Command{Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}}, func(state.Result) {})
		if n.w.chance(0.1) {
			n.saved, n.savedAt = snapshot(n.state), n.applied
		}
		if n.state.Frozen() && (n.w.quiet || n.w.chance(0.1)) {
			n.propose(&controlpb.Command{Op: &controlpb.Command_ConfirmClock{ConfirmClock: &controlpb.ConfirmClockCommand{}}}, func(state.Result) {})
		}
		n.watchLeases(life)
	})
}

// initProducer mints a producer id.
func (n *control) initProducer(done func(id int64)) {
	c := &controlpb.InitProducerCommand{ProducerId: -1, Epoch: -1}
	n.propose(&controlpb.Command{Op: &controlpb.Command_InitProducer{InitProducer: c}}, func(r state.Result) {
		if r.Code == 0 {
			done(r.ProducerID)
		}
	})
}

// order asks for the places of a segment.
func (n *control) order(c *segment.Commit, done func(segment.Reply)) {
	r := &controlpb.CommitRequest{
		Session: c.Session, Share: c.Share, Sequence: c.Sequence, After: c.After, Abandoned: c.Abandoned,
		Nonce: c.Nonce[:], Acked: c.Acked,
	}
	for _, l := range c.Losers {
		r.Losers = append(r.Losers, slices.Clone(l[:]))
	}
	if !c.Empty() {
		r.Manifest = segment.AppendManifest(nil, &c.Manifest)
	}
	n.propose(&controlpb.Command{Op: &controlpb.Command_Commit{Commit: r}}, func(r state.Result) { done(r.Reply) })
}
