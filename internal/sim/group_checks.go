package sim

import (
	"fmt"
	"slices"
	"strings"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/coordinator"
	"github.com/isthmusdata/isthmus/control/desk"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// groupChecks is what an observer of everything knows of consumer groups:
//
//   - a generation is one membership with one leader, whichever node says so, and stored generations rise
//   - of one generation no partition belongs to two members, and nothing is assigned that is not stored
//   - only members of the generation that runs commit, and a commit that was refused never appears
//   - what was acknowledged is in the log, and a partition's committed offset never goes back, for every
//     member here goes on from where the last one had committed
//   - a fetch tells of nothing that is older than what was acknowledged before it began (I9)
type groupChecks struct {
	w      *World
	groups map[string]*groupLog
}

// groupLog is one group.
type groupLog struct {
	generation int32                // stored
	members    map[string]bool      // stored
	told       map[int32]membership // by generation
	owners     map[int32]map[int32]string
	commits    map[int32][]committedAt
	at         map[string]int // by name of a commit: its index
	acked      map[int32]int  // by partition: commits up to here are known to a member, 0: none
	refused    map[string]int16
}

// membership is what is told of a generation.
type membership struct {
	leader  string
	members string     // as the leader is told
	by      *desk.Desk // who told of it
	fresh   bool       // whose node knew no stored group then
}

// committedAt is a commit in the order of the log.
type committedAt struct {
	commitMark
	offset int64
}

// commitMark is what a commit carries as its metadata: who made it.
type commitMark struct {
	member     string
	generation int32
	name       string
	partition  int32
}

func (m commitMark) String() string { return fmt.Sprintf("%s %d %s", m.name, m.generation, m.member) }

// same: one process made both in one generation. If it never heard of the first, which was still on its way when it
// asked where to go on, its second may be lower.
func (m commitMark) same(o commitMark) bool {
	return m.member == o.member && m.generation == o.generation && m.process() == o.process()
}

// process is the life of a process that made the commit; its name ends with the commit's number.
func (m commitMark) process() string { return m.name[:strings.LastIndexByte(m.name, '/')] }

func parseMark(text string) (m commitMark, err error) {
	_, err = fmt.Sscanf(text, "%s %d %s", &m.name, &m.generation, &m.member)
	return m, err
}

func newGroupChecks(w *World) *groupChecks { return &groupChecks{w: w, groups: map[string]*groupLog{}} }

func (k *groupChecks) of(group string) *groupLog {
	g := k.groups[group]
	if g == nil {
		g = &groupLog{
			members: map[string]bool{}, told: map[int32]membership{}, owners: map[int32]map[int32]string{},
			commits: map[int32][]committedAt{}, at: map[string]int{}, acked: map[int32]int{}, refused: map[string]int16{},
		}
		k.groups[group] = g
	}
	return g
}

// identity is who a member is across the ids that it is given: its instance, which its ids begin with, or its id.
func identity(id string) string {
	if i := strings.LastIndexByte(id, '-'); strings.HasPrefix(id, instancePrefix) {
		return id[:i]
	}
	return id
}

// applied hears of every command, in the order of the log.
func (k *groupChecks) applied(c *controlpb.Command, r state.Result) {
	if s := c.GetSyncGroup(); s != nil && r.Code == 0 {
		k.stored(s)
	}
	for i, o := range c.GetCommitOffsets().GetOffsets() {
		if r.Codes[i] == 0 {
			k.committed(o)
		}
	}
}

func (k *groupChecks) stored(s *controlpb.SyncGroupCommand) {
	g := k.of(s.GetGroup())
	if s.GetGeneration() < g.generation {
		k.w.violated("groups: generation %d of group %s is stored after %d", s.GetGeneration(), s.GetGroup(), g.generation)
	}
	g.generation = s.GetGeneration()
	clear(g.members)
	instances := map[string]string{}
	for _, m := range s.GetMembers() {
		g.members[m.GetId()] = true
		if other, twice := instances[m.GetInstanceId()]; twice && m.GetInstanceId() != "" {
			k.w.violated("groups: %s and %s of group %s are both instance %s", other, m.GetId(), s.GetGroup(), m.GetInstanceId())
		}
		instances[m.GetInstanceId()] = m.GetId()
	}
	k.w.saw("group stored")
}

func (k *groupChecks) committed(o *controlpb.GroupOffset) {
	g := k.of(o.GetGroup())
	m, err := parseMark(o.GetMetadata())
	if err != nil {
		k.w.violated("groups: a commit of nobody: %v", err)
		return
	}
	m.partition = partitionOf(topic.Partition{Topic: topic.ID(o.GetTopicId()), Index: o.GetPartition()})
	switch code, refused := g.refused[m.name]; {
	case refused:
		k.w.violated("groups: commit %s of partition %d of group %s appears after it was refused with %d", m, m.partition, o.GetGroup(), code)
	case m.generation < g.generation:
		k.w.violated("groups: commit %s of partition %d of group %s appears in generation %d", m, m.partition, o.GetGroup(), g.generation)
	case m.generation == g.generation && !g.members[m.member]:
		k.w.violated("groups: commit %s of partition %d of group %s is of no member", m, m.partition, o.GetGroup())
	}
	log := g.commits[m.partition]
	if n := len(log); n > 0 && o.GetOffset() < log[n-1].offset && !log[n-1].same(m) {
		k.w.violated("groups: partition %d of group %s goes back from %d (%s) to %d (%s)", m.partition, o.GetGroup(), log[n-1].offset, log[n-1], o.GetOffset(), m)
	}
	g.commits[m.partition] = append(log, committedAt{m, o.GetOffset()})
	g.at[m.name] = len(log)
	k.w.saw("offset committed")
}

// joined looks at what a node tells a member of its generation, whether the member hears it or not.
//
// A group that was never stored begins anew at the next leader, with ids that nobody had before: its generations
// may have the same numbers.
func (k *groupChecks) joined(c *member, at *counter, d *desk.Desk, r *coordinator.JoinReply) {
	g := k.of(c.group)
	known, ok := at.n.state.Group(c.group)
	told := membership{leader: identity(r.Leader), by: d, fresh: !ok || known.Generation == 0}
	if r.Members != nil {
		var names []string
		for _, m := range r.Members {
			names = append(names, cmpOr(m.Instance, m.ID))
		}
		slices.Sort(names)
		told.members = strings.Join(names, " ")
	}
	before, again := g.told[r.Generation]
	if again && before.by != d && (before.fresh || told.fresh) {
		before, again = membership{}, false
	}
	switch {
	case again && before.leader != told.leader:
		k.w.violated("groups: generation %d of group %s is led by %s, and was led by %s", r.Generation, c.group, told.leader, before.leader)
	case again && before.members != "" && told.members != "" && before.members != told.members:
		k.w.violated("groups: generation %d of group %s has members %s, and had %s", r.Generation, c.group, told.members, before.members)
	}
	told.members = cmpOr(told.members, before.members)
	g.told[r.Generation] = told
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// assigned looks at what a node tells a member that it owns.
func (k *groupChecks) assigned(c *member, member string, generation int32, partitions []byte) {
	g := k.of(c.group)
	if generation > g.generation {
		k.w.violated("groups: %s is told its part of generation %d of group %s, and generation %d is stored", member, generation, c.group, g.generation)
	}
	owners := g.owners[generation]
	if owners == nil {
		owners = map[int32]string{}
		g.owners[generation] = owners
	}
	me := identity(member)
	for _, p := range partitions {
		if other, taken := owners[int32(p)]; taken && other != me {
			k.w.violated("groups: partition %d of group %s belongs to %s and to %s in generation %d", p, c.group, other, me, generation)
		}
		owners[int32(p)] = me
	}
}

// answered is what a member has heard of a commit.
func (k *groupChecks) answered(c *member, m commitMark, code int16) {
	g := k.of(c.group)
	at, there := g.at[m.name]
	switch {
	case code != 0:
		k.w.saw("commit refused")
		if !there {
			g.refused[m.name] = code
		}
	case !there:
		k.w.violated("groups: commit %s of partition %d of group %s is acknowledged and in no log", m, m.partition, c.group)
	default:
		g.acked[m.partition] = max(g.acked[m.partition], at+1)
	}
}

// mark is, by partition, how many commits a fetch that begins now must have seen.
func (k *groupChecks) mark(group string) map[int32]int {
	out := map[int32]int{}
	for p, n := range k.of(group).acked {
		out[p] = n
	}
	return out
}

// fetched compares what a member was told with what was acknowledged before it asked.
func (k *groupChecks) fetched(c *member, p int32, since int, o state.CommittedOffset) {
	g := k.of(c.group)
	at := 0
	if o.Offset >= 0 {
		m, err := parseMark(o.Metadata)
		i, there := g.at[m.name]
		if err != nil || !there {
			k.w.violated("groups: %s is told offset %d of partition %d, which nobody has committed (%s)", c, o.Offset, p, o.Metadata)
			return
		}
		at = i + 1
	}
	if at < since {
		k.w.violated("I9: %s is told offset %d of partition %d, commit %d of the log, and commit %d was acknowledged before it asked", c, o.Offset, p, at, since)
	}
	k.w.saw("offset fetched")
}
