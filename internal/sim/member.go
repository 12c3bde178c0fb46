package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/coordinator"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Kafka's codes that members hear.
const (
	codeNotAvailable      int16 = 15
	codeIllegalGeneration int16 = 22
	codeUnknownMember     int16 = 25
	codeRebalancing       int16 = 27
	codeMemberIDRequired  int16 = 79
	codeFencedInstance    int16 = 82
)

// custom is what client libraries do differently in a group.
type custom struct {
	name           string
	requireMember  bool          // JoinGroup v4 and later: it is told its id first
	skipAssignment bool          // JoinGroup v9 and later
	heartbeat      time.Duration // between two
	session        time.Duration
	rebalance      time.Duration
	commitFirst    bool // it commits what it has before it joins again
	keepsID        bool // after ILLEGAL_GENERATION it joins under the id that it had
}

// customs are those of the members of a run.
var customs = []custom{
	{name: "java", requireMember: true, skipAssignment: true, heartbeat: 3 * time.Second, session: 10 * time.Second, rebalance: 15 * time.Second, commitFirst: true, keepsID: true},
	{name: "librdkafka", requireMember: true, heartbeat: 3 * time.Second, session: 10 * time.Second, rebalance: 12 * time.Second, commitFirst: true},
	{name: "franz", requireMember: true, skipAssignment: true, heartbeat: 2 * time.Second, session: 8 * time.Second, rebalance: 10 * time.Second, commitFirst: true, keepsID: true},
	{name: "old", heartbeat: 3 * time.Second, session: 6 * time.Second, rebalance: 6 * time.Second},
}

// phase is where a member is.
type phase int

const (
	away phase = iota // crashed, or has left
	joining
	syncing
	resuming // it asks where to go on
	consuming
)

// member is one member of a group, as a client library runs it.
type member struct {
	custom
	w          *World
	group      string
	name       string
	instance   string // empty: a dynamic member
	parts      int
	double     bool // it claims the instance of another process, until the world is quiet
	life       int  // rises with every start and every loss of its connection's peer
	agent      *agent
	agentLife  int
	phase      phase
	since      time.Duration // it has been in the phase
	round      int           // rises when it joins: what an earlier round began is void
	id         string
	generation int32
	owned      []int32
	position   map[int32]int64
	frozen     time.Duration // it does nothing until then, and does not know
	latest     func()        // sends the last commit of this generation again
	committing bool
	errand     *errand // JoinGroup or SyncGroup that it waits for
	sequence   int
}

func (c *member) String() string { return fmt.Sprintf("%s of group %s", c.name, c.group) }

// start begins a life of the process.
func (c *member) start() {
	c.life++
	c.id, c.generation, c.owned, c.frozen, c.committing = "", -1, nil, 0, false
	c.position = map[int32]int64{}
	c.connect()
	c.beat(c.life)
	c.work(c.life)
	c.join()
}

// connect chooses an agent. Any of the group will do.
func (c *member) connect() {
	c.agent = c.w.agents[c.w.rng.IntN(len(c.w.agents))]
	c.agentLife = c.agent.life
}

// die ends a life: nothing is said to anybody.
func (c *member) die(why string) {
	c.w.tell("%s %s", c, why)
	c.life++
	c.enter(away)
	c.owned = nil
	c.hangUp()
	wait := c.w.between(200*time.Millisecond, 15*time.Second)
	if c.double {
		wait = c.w.between(5*time.Second, 60*time.Second)
	}
	life := c.life
	c.w.after(wait, c.name+" returns", func() {
		if c.life == life && !(c.double && c.w.quiet) {
			c.start()
		}
	})
}

func (c *member) hangUp() {
	if c.errand != nil {
		c.errand.hangUp()
		c.errand = nil
	}
}

func (c *member) enter(p phase) { c.phase, c.since = p, c.w.now }

// later runs do in this life, once the process is not frozen.
func (c *member) later(d time.Duration, what string, do func()) {
	life := c.life
	c.w.after(d, what, func() {
		switch {
		case c.life != life:
		case c.w.now < c.frozen:
			c.later(c.frozen-c.w.now, what, do)
		default:
			do()
		}
	})
}

// call has the agent carry a request. When the connection is lost, done hears 15, and the next call goes to
// whichever agent is there: that is when client libraries look for their coordinator again.
func (c *member) call(what string, parks bool, ask func(k *counter, answer func(said)) *parked, done func(said)) *errand {
	life, round := c.life, c.round
	told := false
	tell := func(s said) {
		if told || c.life != life || c.round != round {
			return
		}
		told = true
		c.later(0, what+" heard", func() {
			if c.round == round {
				done(s)
			}
		})
	}
	if !c.agent.up || c.agent.life != c.agentLife {
		c.connect()
	}
	if !c.agent.up {
		c.w.after(c.w.between(50*time.Millisecond, 300*time.Millisecond), what+": no connection", func() { tell(said{code: codeNotAvailable}) })
		return nil
	}
	a, agentLife := c.agent, c.agentLife
	e := a.carry(c.name+" "+what, parks, ask, func(s said) {
		if c.w.chance(0.01) { // the connection breaks under the answer
			c.w.after(c.w.between(0, 100*time.Millisecond), what+": disconnected", func() { tell(said{code: codeNotAvailable}) })
			return
		}
		tell(s)
	})
	var watch func()
	watch = func() {
		switch {
		case told || c.life != life || c.round != round:
		case a.life != agentLife:
			tell(said{code: codeNotAvailable})
		default:
			c.w.after(c.w.between(100*time.Millisecond, 600*time.Millisecond), what+" connected", watch)
		}
	}
	watch()
	return e
}

// joinAgain joins in a while.
func (c *member) joinAgain(why string, forget bool) {
	c.w.tell("%s joins again: %s", c, why)
	if forget {
		c.id = ""
	}
	c.owned = nil
	c.enter(joining)
	c.round++
	round := c.round
	c.hangUp()
	c.later(c.w.between(10*time.Millisecond, 300*time.Millisecond), "join again", func() {
		if c.round == round {
			c.join()
		}
	})
}

func (c *member) join() {
	c.enter(joining)
	c.round++
	c.owned, c.committing = nil, false
	id := c.id
	ask := func(k *counter, answer func(said)) *parked {
		j := coordinator.Join{
			Group: c.group, Member: id, Instance: c.instance, ClientID: c.name, ClientHost: "/sim", Random: fmt.Sprintf("%08x", c.w.rng.Uint32()),
			RequireMember: c.requireMember, SkipAssignment: c.skipAssignment,
			SessionTimeoutMs: int32(c.session.Milliseconds()), RebalanceTimeoutMs: int32(c.rebalance.Milliseconds()),
			ProtocolType: "consumer", Protocols: []coordinator.Protocol{{Name: "range", Metadata: []byte("v0")}},
		}
		d := k.desk
		return k.park(func(s said) {
			if s.join != nil && s.join.Code == 0 {
				c.w.groups.checks.joined(c, k, d, s.join)
			}
			answer(s)
		}, func(m *coordinator.Machine, now int64, id coordinator.RequestID) {
			j.Request = id
			m.Join(now, j)
		})
	}
	c.errand = c.call("joins", true, ask, func(s said) {
		c.errand = nil
		code := s.code
		if s.join != nil {
			code = s.join.Code
		}
		switch code {
		case 0:
			c.id, c.generation = s.join.Member, s.join.Generation
			c.sync(s.join)
		case codeMemberIDRequired:
			c.id = s.join.Member
			c.join()
		default:
			c.refused(code, "JoinGroup", false)
		}
	})
}

// refused is what a member does when it hears an error to a request that it waited for.
func (c *member) refused(code int16, request string, forget bool) {
	switch code {
	case codeUnknownMember:
		c.joinAgain("it is not known", true)
	case codeFencedInstance:
		c.fenced()
	default:
		c.joinAgain(fmt.Sprintf("code %d for its %s", code, request), forget)
	}
}

// fenced: another life of the same instance is there. Libraries end the process.
func (c *member) fenced() {
	c.w.saw("fenced")
	c.die("is fenced")
}

func (c *member) sync(j *coordinator.JoinReply) {
	c.enter(syncing)
	q := coordinator.Sync{Group: c.group, Member: c.id, Instance: c.instance, Generation: c.generation, ProtocolType: "consumer", Protocol: "range"}
	if j.Leader == c.id && !j.SkipAssignment {
		q.Assignments = c.assign(j.Members)
	}
	ask := func(k *counter, answer func(said)) *parked {
		return k.park(func(s said) {
			if s.sync != nil && s.sync.Code == 0 {
				c.w.groups.checks.assigned(c, q.Member, q.Generation, s.sync.Assignment)
			}
			answer(s)
		}, func(m *coordinator.Machine, now int64, id coordinator.RequestID) {
			q := q
			q.Request = id
			m.Sync(now, q)
		})
	}
	c.errand = c.call("syncs", true, ask, func(s said) {
		c.errand = nil
		code := s.code
		if s.sync != nil {
			code = s.sync.Code
		}
		switch code {
		case 0:
			for _, p := range s.sync.Assignment {
				c.owned = append(c.owned, int32(p))
			}
			c.w.tell("%s owns %v in generation %d as %s", c, c.owned, c.generation, c.id)
			c.repeatLate()
			c.resume()
		default:
			c.refused(code, "SyncGroup", code == codeIllegalGeneration && !c.keepsID)
		}
	})
}

// assign deals the partitions out to the members in turn.
func (c *member) assign(members []coordinator.JoinMember) []coordinator.Assignment {
	members = slices.SortedFunc(slices.Values(members), func(a, b coordinator.JoinMember) int { return cmp.Compare(a.ID, b.ID) })
	out := make([]coordinator.Assignment, len(members))
	for i, m := range members {
		out[i].Member = m.ID
	}
	if len(out) == 0 {
		return nil
	}
	for p := range c.parts {
		a := &out[p%len(out)]
		a.Data = append(a.Data, byte(p))
	}
	return out
}

// resume asks where to go on, until it is told.
func (c *member) resume() {
	c.enter(resuming)
	if len(c.owned) == 0 {
		c.enter(consuming)
		return
	}
	owned := slices.Clone(c.owned)
	since := c.w.groups.checks.mark(c.group)
	ask := func(k *counter, answer func(said)) *parked {
		k.fetch(c.group, placesOf(owned), answer)
		return nil
	}
	c.call("fetches offsets", false, ask, func(s said) {
		switch {
		case c.phase != resuming:
		case s.code != 0:
			c.later(c.w.between(50*time.Millisecond, 300*time.Millisecond), "fetch offsets again", func() {
				if c.phase == resuming {
					c.resume()
				}
			})
		default:
			for i, p := range owned {
				c.w.groups.checks.fetched(c, p, since[p], s.offset[i])
				c.position[p] = max(int64(s.offset[i].Offset), 0)
			}
			c.enter(consuming)
		}
	})
}

func placesOf(partitions []int32) []topic.Partition {
	out := make([]topic.Partition, len(partitions))
	for i, p := range partitions {
		_, out[i] = placeOf(p)
	}
	return out
}

// beat keeps the membership.
func (c *member) beat(life int) {
	c.w.after(c.heartbeat, "member's heartbeat", func() {
		if c.life != life {
			return
		}
		if c.w.now >= c.frozen && (c.phase == consuming || c.phase == resuming) {
			c.heartbeatNow()
		}
		c.beat(life)
	})
}

func (c *member) heartbeatNow() {
	who := coordinator.Identity{Group: c.group, Member: c.id, Instance: c.instance, Generation: c.generation}
	ask := func(k *counter, answer func(said)) *parked {
		k.heartbeat(who, answer)
		return nil
	}
	c.call("beats", false, ask, func(s said) { c.told(s.code) })
}

// told is what a member does about the code of a heartbeat or commit.
func (c *member) told(code int16) {
	if c.phase != consuming && c.phase != resuming {
		return
	}
	switch code {
	case codeRebalancing:
		if c.commitFirst && c.phase == consuming && !c.committing && len(c.owned) > 0 {
			c.commit(commitTries, func() { c.joinAgain("the group rebalances", false) })
			return
		}
		c.joinAgain("the group rebalances", false)
	case codeIllegalGeneration:
		c.joinAgain("its generation is over", !c.keepsID)
	case codeUnknownMember:
		c.joinAgain("it is not known", true)
	case codeFencedInstance:
		c.fenced()
	}
}

// work reads on and commits how far it came.
func (c *member) work(life int) {
	wait := c.w.between(200*time.Millisecond, 3*time.Second)
	if c.w.quiet {
		wait *= 4 // there is less to be seen
	}
	c.w.after(wait, "member works", func() {
		if c.life != life || c.w.groups.over {
			return
		}
		if c.w.now >= c.frozen && c.phase == consuming && len(c.owned) > 0 && !c.committing {
			for _, p := range c.owned {
				c.position[p] += 1 + c.w.rng.Int64N(5)
			}
			c.commit(commitTries, func() {})
		}
		c.work(life)
	})
}

// commitTries is how often a commit is sent whose answer is not known.
const commitTries = 3

// commit sends the positions, a few times if need be. then is called when it is over, in the same round.
func (c *member) commit(tries int, then func()) {
	c.committing = true
	who := coordinator.Identity{Group: c.group, Member: c.id, Instance: c.instance, Generation: c.generation}
	var offsets []*controlpb.GroupOffset
	var marks []commitMark
	for _, p := range c.owned {
		c.sequence++
		m := commitMark{member: c.id, generation: c.generation, name: fmt.Sprintf("%s/%d/%d", c.name, c.life, c.sequence), partition: p}
		_, place := placeOf(p)
		marks = append(marks, m)
		offsets = append(offsets, &controlpb.GroupOffset{
			Group: c.group, TopicId: place.Topic[:], Partition: place.Index, Offset: c.position[p], LeaderEpoch: -1, Metadata: m.String(),
		})
	}
	c.latest = func() {
		c.call("commits late", false, func(k *counter, answer func(said)) *parked {
			k.commit(who, offsets, answer)
			return nil
		}, func(said) {})
	}
	c.send(who, offsets, marks, tries, func(code int16) {
		c.committing = false
		if code != 0 && code != codeRebalancing {
			c.told(code)
			return
		}
		then()
	})
}

func (c *member) send(who coordinator.Identity, offsets []*controlpb.GroupOffset, marks []commitMark, tries int, done func(code int16)) {
	ask := func(k *counter, answer func(said)) *parked {
		k.commit(who, offsets, answer)
		return nil
	}
	c.call("commits", false, ask, func(s said) {
		switch {
		case s.code == codeNotAvailable && tries > 1:
			c.later(c.w.between(50*time.Millisecond, 300*time.Millisecond), "commit again", func() { c.send(who, offsets, marks, tries-1, done) })
			return
		case s.code == codeNotAvailable: // it goes on without having heard
			done(0)
			return
		}
		for i, m := range marks {
			if s.code != 0 && (s.twice || tries < commitTries) {
				break // an earlier try, of the member or of its agent, may be under way to the log: nothing is final
			}
			code := s.code
			if code == 0 {
				code = s.codes[i]
			}
			c.w.groups.checks.answered(c, m, code)
		}
		done(s.code)
	})
}

// repeatLate lets the last commit of the generation before arrive once more, as from a connection that was
// slow to break.
func (c *member) repeatLate() {
	if c.latest != nil && c.w.chance(0.3) {
		c.latest()
	}
	c.latest = nil
}

// quit leaves the group as a client library does that is closed.
func (c *member) quit() {
	if c.instance == "" && c.id != "" {
		id := c.id
		ask := func(k *counter, answer func(said)) *parked {
			k.leave(c.group, id, answer)
			return nil
		}
		if c.agent.up && c.agent.life == c.agentLife {
			c.agent.carry(c.name+" leaves", false, ask, func(said) {})
		}
	}
	c.die("leaves")
}

// freeze stops the process for a while, without its knowing.
func (c *member) freeze(d time.Duration) {
	c.w.tell("%s is frozen for %.1f s", c, d.Seconds())
	c.frozen = c.w.now + d
}
