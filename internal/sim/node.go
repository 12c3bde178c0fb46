package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/statetime"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// node is one control node: a real State, what it keeps on its own disk, and the leases of its term.
type node struct {
	w     *World
	plane *plane
	name  string
	up    bool
	life  int    // rises at every crash: what an earlier life began is void
	leads uint64 // the term in which it serves, as far as it knows; 0: it does not

	state   *state.State
	applied int    // entries of the log
	saved   []byte // the last snapshot
	savedAt int    // entries it holds
	behind  time.Duration

	skew   time.Duration // of its wall clock
	clock  *statetime.Clock
	leases map[uint64]time.Duration

	services []service
}

// service is what runs beside the state on a control node. It hears what a server hears of raft.
type service interface {
	applied(state.Result) // of every command in order, the state as it is after it
	restored()            // the state was replaced as a whole
	elected()             // the node serves a term
	resigned()            // it no longer does, or has crashed
}

func newNode(w *World, p *plane, name string) *node {
	n := &node{w: w, plane: p, name: name, state: state.NewState(p.limits), leases: map[uint64]time.Duration{}}
	n.clock = statetime.New(func() time.Duration { return w.now }, n.wall)
	return n
}

// wall is the node's wall clock.
func (n *node) wall() time.Time { return time.UnixMilli(n.w.unix()).Add(n.skew) }

func (n *node) serves() bool { return n.up && n.leads != 0 }

// isLeader: it leads the present term and serves it. Only a leadership check tells a node so.
func (n *node) isLeader() bool { return n.serves() && n.plane.leader == n && n.leads == n.plane.term }

// start begins a life on what the disk holds.
func (n *node) start() {
	n.up = true
	n.state, n.applied = n.restored()
	n.clock = statetime.New(func() time.Duration { return n.w.now }, n.wall)
	for _, s := range n.services {
		s.restored()
	}
	n.w.tell("%s starts with %d of %d commands", n.name, n.applied, len(n.plane.log))
	n.follow(n.life)
	n.plane.succeed()
}

// restored is the state that a start begins with, and how many commands it holds.
func (n *node) restored() (*state.State, int) {
	if n.saved == nil {
		return state.NewState(n.plane.limits), 0
	}
	s, err := state.ReadState(bytes.NewReader(n.saved), n.plane.limits)
	if err != nil {
		n.w.violated("I4: a snapshot of %d commands cannot be read: %v", n.savedAt, err)
		return state.NewState(n.plane.limits), 0
	}
	n.w.saw("restarted from a snapshot")
	return s, n.savedAt
}

// crash loses what was not stored.
func (n *node) crash() {
	if !n.up {
		return
	}
	n.w.tell("fault: %s crashes", n.name)
	led := n.plane.leader == n
	if led {
		n.plane.endTerm()
	}
	n.resign()
	if n.w.chance(0.3) {
		n.compareReplay()
	}
	n.up = false
	n.life++
	away := n.w.between(time.Second, 12*time.Second)
	if n.w.chance(0.3) {
		away = n.w.between(10*time.Millisecond, 300*time.Millisecond)
	}
	n.w.after(away, n.name+" returns", n.start)
	if led {
		n.plane.succeed()
	}
}

// follow applies what is stored, in a while, and again.
func (n *node) follow(life int) {
	n.w.after(n.w.between(20*time.Millisecond, 600*time.Millisecond), "follow", func() {
		if n.life != life {
			return
		}
		if n.leads == 0 && n.w.now >= n.behind {
			n.catchUp()
		}
		if n.w.chance(0.02) {
			n.saved, n.savedAt = snapshot(n.state), n.applied
		}
		n.follow(life)
	})
}

// lag keeps a node that follows from hearing of the log for a while.
func (n *node) lag(d time.Duration) {
	n.w.tell("fault: %s hears nothing of the log for %.0f s", n.name, d.Seconds())
	n.behind = n.w.now + d
}

func (n *node) catchUp() {
	for n.applied < len(n.plane.log) && n.w.broken == "" {
		n.apply()
	}
}

// apply applies the next entry.
func (n *node) apply() state.Result {
	at := n.applied
	command := decode(n.plane.log[at].encoded)
	before := n.state.Time()
	result := n.state.Apply(command)
	n.applied++
	if n.state.Time() < before {
		n.w.violated("I4: state time of %s goes back from %d to %d", n.name, before, n.state.Time())
	}
	n.plane.told(n, at, command, result)
	for _, s := range n.services {
		s.applied(result)
	}
	return result
}

// takeOver begins a term: all that is stored is applied, the clock is judged, and the first command of
// the term says what came of it. Only then are callers served.
func (n *node) takeOver(term uint64) {
	life := n.life
	n.w.after(n.w.between(5*time.Millisecond, 200*time.Millisecond), "barrier", func() {
		if n.life != life || n.plane.term != term {
			return
		}
		n.catchUp()
		start, frozen, why := statetime.Judge(n.state.Time(), n.wall().UnixMilli(), clockJump, n.secondClock)
		n.clock.Set(start)
		if frozen {
			n.w.tell("%s does not trust its clock: %v", n.name, why)
			n.w.saw("clock not trusted")
		}
		elect := &controlpb.ElectCommand{Term: term, Frozen: frozen, Limits: n.plane.limits.Proto()}
		n.submit(&controlpb.Command{Op: &controlpb.Command_Elect{Elect: elect}}, term, func(state.Result) { n.serve(term) })
	})
}

// clockJump is raft's default: how far ahead of state time a wall clock may be without a second one.
const clockJump = time.Minute

// secondClock is the bucket's.
func (n *node) secondClock() (time.Time, error) {
	if n.w.chance(0.2) {
		return time.Time{}, errors.New("the bucket does not answer")
	}
	return time.UnixMilli(n.w.unix()), nil
}

func (n *node) serve(term uint64) {
	n.leads = term
	n.leases = map[uint64]time.Duration{}
	n.state.EachSession(func(s state.Session) bool {
		if !s.Ended {
			n.leases[s.ID] = n.w.now + n.plane.limits.Lease
		}
		return true
	})
	n.w.tell("%s serves term %d with %d commands", n.name, term, n.applied)
	for _, s := range n.services {
		s.elected()
	}
	n.watchLeases(term)
}

// resign: it knows that it does not lead. Its streams end.
func (n *node) resign() {
	if n.leads == 0 {
		return
	}
	n.w.tell("%s no longer leads term %d", n.name, n.leads)
	n.leads = 0
	for _, s := range n.services {
		s.resigned()
	}
	for _, a := range n.w.agents {
		if a.stream != nil && a.stream.at == n {
			a.breakStream()
		}
	}
}

// confirm asks the other voters whether the node leads, and says so if it does; one that does not finds
// out that way, and says nothing.
func (n *node) confirm(done func()) {
	term := n.leads
	n.w.after(n.w.between(time.Millisecond, 20*time.Millisecond), "leadership check", func() {
		switch {
		case n.isLeader() && n.leads == term:
			done()
		case n.leads == term && n.w.rng.IntN(2) == 0:
			n.resign()
		}
	})
}

// compareReplay compares the state with one rebuilt from the log (I4).
func (n *node) compareReplay() {
	again := state.NewState(n.plane.limits)
	for _, e := range n.plane.log[:n.applied] {
		again.Apply(decode(e.encoded))
	}
	n.compare(snapshot(again), n.applied)
}

func (n *node) compare(want []byte, commands int) {
	if got := snapshot(n.state); !bytes.Equal(got, want) {
		n.w.violated("I4: replaying %d commands gives another state than %s has (%d and %d bytes)", commands, n.name, len(want), len(got))
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

func (p *plane) digest() string {
	sum := sha256.Sum256(snapshot(p.front()))
	return hex.EncodeToString(sum[:8])
}

// propose stores a command, applies it, and then says what came of it; nothing is said if the node
// crashes before, or does not lead any more.
func (n *node) propose(c *controlpb.Command, done func(state.Result)) {
	if n.serves() {
		n.submit(c, n.leads, done)
	}
}

func (n *node) submit(c *controlpb.Command, term uint64, done func(state.Result)) {
	p := n.plane
	if p.leader != n || p.term != term {
		return // no other voter stores it
	}
	if c.GetConfirmClock() != nil {
		c.Time = n.clock.Confirm()
	} else {
		c.Time = n.clock.Now()
	}
	q := &proposal{encoded: encode(c), at: n.w.now, done: done}
	p.pending = append(p.pending, q)
	n.w.after(p.written()-n.w.now, "command stored", func() {
		if p.store(q, term) {
			q.done(n.apply())
		}
	})
}

// login gives an agent a session.
func (n *node) login(agent, group string, roles []string, done func(session uint64)) {
	n.loginOr(agent, group, roles, func(r state.Result) { n.w.violated("login of %s is refused with %d, %s", agent, r.Code, r.Reason) }, done)
}

// tryLogin gives an agent a session that may have no binding now.
func (n *node) tryLogin(agent, group string, roles []string, done func(session uint64)) {
	n.loginOr(agent, group, roles, func(state.Result) { n.w.saw("login refused") }, done)
}

func (n *node) loginOr(agent, group string, roles []string, refused func(state.Result), done func(session uint64)) {
	c := &controlpb.LoginCommand{
		Request:   &controlpb.LoginRequest{Agent: agent, Group: group, Roles: roles},
		GossipKey: make([]byte, 32),
	}
	if n.w.closed {
		c.Identity, c.Binding = "spiffe://sim/"+group, group
	}
	n.propose(&controlpb.Command{Op: &controlpb.Command_Login{Login: c}}, func(r state.Result) {
		if r.Login == nil {
			refused(r)
			return
		}
		n.leases[r.Login.GetSession()] = n.w.now + n.plane.limits.Lease
		n.state.EachSession(func(s state.Session) bool {
			if s.Agent == agent && !s.Ended && s.ID != r.Login.GetSession() {
				n.w.violated("I8: %s has session %d, and session %d lives on", agent, r.Login.GetSession(), s.ID)
			}
			return true
		})
		done(r.Login.GetSession())
	})
}

// heartbeat renews a lease. That a session has ended is said after a leadership check.
func (n *node) heartbeat(session uint64, ended func()) {
	if s, ok := n.state.Session(session); ok && !s.Ended {
		n.leases[session] = n.w.now + n.plane.limits.Lease
		return
	}
	n.confirm(func() {
		if s, ok := n.state.Session(session); !ok || s.Ended {
			ended()
		}
	})
}

func (n *node) endSession(session uint64, done func()) {
	c := &controlpb.EndSessionRequest{Session: session}
	n.propose(&controlpb.Command{Op: &controlpb.Command_EndSession{EndSession: c}}, func(state.Result) { done() })
}

// watchLeases ends sessions that have not been heard of, on the leader's monotonic clock, and lets
// expire what is due.
func (n *node) watchLeases(term uint64) {
	n.w.after(time.Second, "leases", func() {
		if n.leads != term {
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
			n.w.tell("%s ends session %d: its lease has lapsed", n.name, session)
			n.endSession(session, func() {})
		}
		if at, due := n.state.NextDue(); due && at <= n.clock.Now() || n.w.chance(0.3) {
			n.propose(&controlpb.Command{Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}}, func(state.Result) {})
		}
		if n.w.chance(0.1) {
			n.saved, n.savedAt = snapshot(n.state), n.applied
		}
		if n.state.Frozen() && (n.w.quiet || n.w.chance(0.1)) {
			n.skew = 0 // a person has set the clock, and says that it is right
			n.propose(&controlpb.Command{Op: &controlpb.Command_ConfirmClock{ConfirmClock: &controlpb.ConfirmClockCommand{}}}, func(state.Result) {})
		}
		n.watchLeases(term)
	})
}

// initProducer mints a producer id of a group.
func (n *node) initProducer(group string, done func(id int64)) {
	c := &controlpb.InitProducerCommand{ProducerId: -1, Epoch: -1, Group: group}
	n.propose(&controlpb.Command{Op: &controlpb.Command_InitProducer{InitProducer: c}}, func(r state.Result) {
		if r.Code == 0 {
			done(r.ProducerID)
		}
	})
}

// order asks for the places of a segment.
func (n *node) order(c *segment.Commit, done func(segment.Reply)) {
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
