package desk

import (
	"maps"
	"slices"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/coordinator"
)

// Answer hears what came of a parked request. It is called once; ok is false when the leadership has ended
// and another leader has to be asked.
type Answer func(r coordinator.Reply, ok bool)

// Desk serves the groups of one leadership. It is used by one caller at a time.
type Desk struct {
	machine *coordinator.Machine
	nextID  coordinator.RequestID
	waiting map[coordinator.RequestID]Answer
	queue   []job
	bytes   int // of the queue
	lost    func(group string, code int16, err error)
}

// New starts without groups. lost hears of assignments that could not be stored.
func New(cfg coordinator.Config, lost func(group string, code int16, err error)) *Desk {
	return &Desk{machine: coordinator.New(cfg), waiting: map[coordinator.RequestID]Answer{}, lost: lost}
}

// Restore takes all groups in as the state has them.
func (d *Desk) Restore(now int64, s *control.State) {
	s.EachGroup(func(g control.Group) bool {
		// A group that only ever committed offsets is to the machine as one it does not know.
		if len(g.Members) > 0 || g.Generation > 0 {
			d.machine.Restore(now, s.Term(), storedGroup(g))
		}
		return true
	})
}

// storedGroup is a group of the state as the machine takes it back.
func storedGroup(g control.Group) *controlpb.SyncGroupCommand {
	out := &controlpb.SyncGroupCommand{
		Group: g.Name, ProtocolType: g.ProtocolType, Protocol: g.Protocol, Generation: g.Generation, Leader: g.Leader,
	}
	for _, m := range g.Members {
		member := &controlpb.GroupMember{
			Id: m.ID, InstanceId: m.InstanceID, ClientId: m.ClientID, ClientHost: m.ClientHost,
			SessionTimeoutMs: m.SessionTimeoutMs, RebalanceTimeoutMs: m.RebalanceTimeoutMs, Assignment: m.Assignment,
		}
		for _, p := range m.Protocols {
			member.Protocols = append(member.Protocols, &controlpb.GroupProtocol{Name: p.Name, Metadata: p.Metadata})
		}
		out.Members = append(out.Members, member)
	}
	return out
}

// With lets f use the machine, and then carries out what came of it.
func (d *Desk) With(now int64, f func(m *coordinator.Machine)) {
	f(d.machine)
	d.deliver(now)
}

// Sizes are what the machine holds, and the bytes in the queue.
func (d *Desk) Sizes() (groups, members, parked, queued int) {
	groups, members, parked = d.machine.Sizes()
	return groups, members, parked, d.bytes
}

// Waiting is how many requests are parked.
func (d *Desk) Waiting() int { return len(d.waiting) }

// Next is when Tick has something to do.
func (d *Desk) Next() (at int64, ok bool) { return d.machine.Next() }

// Park gives the machine a request that waits for its group. It may be answered before Park returns.
func (d *Desk) Park(now int64, answer Answer, ask func(m *coordinator.Machine, id coordinator.RequestID)) coordinator.RequestID {
	d.nextID++
	id := d.nextID
	d.waiting[id] = answer
	d.With(now, func(m *coordinator.Machine) { ask(m, id) })
	return id
}

// Forget drops a parked request whose caller has gone.
func (d *Desk) Forget(now int64, id coordinator.RequestID) {
	delete(d.waiting, id)
	d.With(now, func(m *coordinator.Machine) { m.Forget(now, id) })
}

// Commit asks whether the sender may commit and, in the same moment, queues the offsets behind everything that
// was accepted before. A code other than 0 refuses; notFound is the one for a group that is not known.
func (d *Desk) Commit(now int64, who coordinator.Identity, notFound int16, offsets []*controlpb.GroupOffset, done func([]control.Result, error)) (refused int16) {
	d.With(now, func(m *coordinator.Machine) { refused = m.CheckCommit(now, who, notFound) })
	if refused == 0 {
		d.Enqueue(splitCommit(offsets), done)
	}
	return refused
}

// offsetsPerCommand keeps a command well below the size of a log entry, with
// metadata of the greatest length.
const offsetsPerCommand = 100

func splitCommit(offsets []*controlpb.GroupOffset) []*controlpb.Command {
	var out []*controlpb.Command
	for part := range slices.Chunk(offsets, offsetsPerCommand) {
		out = append(out, &controlpb.Command{Op: &controlpb.Command_CommitOffsets{
			CommitOffsets: &controlpb.CommitOffsetsCommand{Offsets: part},
		}})
	}
	return out
}

// deliver hands out answers and queues what must be stored.
func (d *Desk) deliver(now int64) {
	out := d.machine.Take()
	for _, r := range out.Replies {
		if answer := d.waiting[r.Request]; answer != nil {
			delete(d.waiting, r.Request)
			answer(r, true)
		}
	}
	for _, s := range out.Stores {
		d.push(job{
			commands: []*controlpb.Command{{Op: &controlpb.Command_SyncGroup{SyncGroup: s.Command}}},
			group:    s.Command.GetGroup(), token: s.Token,
		})
	}
}

// End tells everyone who waits that the leadership is over; what is queued is told err. Nothing may be asked of
// the desk afterwards.
func (d *Desk) End(err error) {
	waiting, queue := d.waiting, d.queue
	d.waiting, d.queue, d.bytes = nil, nil, 0
	for _, id := range slices.Sorted(maps.Keys(waiting)) {
		waiting[id](coordinator.Reply{Request: id}, false)
	}
	for _, j := range queue {
		if j.done != nil {
			j.done(nil, err)
		}
	}
}
