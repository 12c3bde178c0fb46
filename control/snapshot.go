package control

import (
	"io"
	"maps"
	"slices"

	"github.com/tidwall/btree"

	"github.com/isthmusdata/isthmus/internal/cow"
)

// snapshotVersion is the first value of a snapshot. A change of what follows takes a new number,
// and ReadState goes on to read the old ones.
const snapshotVersion = 3

// Snapshot is a state as it was at one moment. It is written out by one goroutine while another
// goes on with Apply, and then released.
type Snapshot struct {
	scalars    scalars
	words      []string
	shares     *btree.Map[string, share]
	topics     *btree.Map[string, *topicEntry]
	partitions cow.ListView[partition, *partition]
	dying      []uint32
	blocks     cow.PoolView[extent]
	segments   cow.View[segmentEntry]
	freeSlot   uint32
	dead       *btree.Map[uint64, DeadObject]
	producers  cow.ListView[producer, *producer]
	ids        cow.ListView[idEntry, *idEntry]
	marks      []mintMark
	sessions   *btree.Map[uint64, *session]
	nodes      *btree.Map[string, node]
	walls      wallsSnapshot
	groups     *btree.Map[string, *group]
	meter      *btree.Map[string, []int64]
	told       *btree.Map[string, []int64]
	meterSince int64
}

// scalars are the values of a state that are single numbers.
type scalars struct {
	limits        Limits
	time          int64
	frozenAt      int64
	frozen        bool
	electedAt     int64
	term          uint64
	nextPartition uint64
	nextDead      uint64
	nextProducer  int64
	nextSession   uint64
	nextNode      int32
}

// Snapshot marks the state as it stands. It copies a pointer for each page of memory and nothing
// else, so that it may run between two commands.
func (s *State) Snapshot() *Snapshot {
	s.gen++
	return &Snapshot{
		scalars: scalars{
			limits: s.limits, time: s.time, frozenAt: s.frozenAt, frozen: s.frozen, electedAt: s.electedAt,
			term: s.term, nextPartition: s.nextPartition, nextDead: s.nextDead, nextProducer: s.nextProducer,
			nextSession: s.nextSession, nextNode: s.nextNode,
		},
		words:      s.words[:len(s.words):len(s.words)],
		shares:     s.shares.Copy(),
		topics:     s.topics.Copy(),
		partitions: s.partitions.View(),
		dying:      slices.Clone(s.dying),
		blocks:     s.blocks.View(),
		segments:   s.segments.slab.View(),
		freeSlot:   s.segments.free,
		dead:       s.dead.Copy(),
		producers:  s.producers.View(),
		ids:        s.producerIDs.View(),
		marks:      slices.Clone(s.marks),
		sessions:   s.sessions.Copy(),
		nodes:      s.nodes.Copy(),
		walls:      s.snapshotWalls(),
		groups:     s.groups.Copy(),
		meter:      s.meter.Copy(),
		told:       s.told.Copy(),
		meterSince: s.meterSince,
	}
}

// Release gives back what the snapshot holds on to: index blocks that were freed since wait for
// it. It may be called more than once; WriteTo must not run any more.
func (sn *Snapshot) Release() { sn.blocks.Release() }

// WriteTo writes the snapshot. Equal states write equal bytes (I4).
func (sn *Snapshot) WriteTo(w io.Writer) (int64, error) {
	e := &encoder{w: w}
	e.uint(snapshotVersion)
	sn.writeScalars(e)
	e.uint(uint64(len(sn.words)))
	for _, word := range sn.words {
		e.string(word)
	}
	e.uint(uint64(sn.shares.Len()))
	sn.shares.Scan(func(_ string, sh share) bool {
		e.uint(uint64(sh.word))
		writeShare(e, sh.pb)
		return e.err == nil
	})
	sn.walls.write(e)
	sn.writeSegments(e)
	sn.writeTopics(e)
	sn.writeProducers(e)
	sn.writeSessions(e)
	sn.writeGroups(e)
	sn.writeMeter(e)
	err := e.close()
	return e.n, err
}

func (sn *Snapshot) writeScalars(e *encoder) {
	c := &sn.scalars
	e.string(c.limits.Meta.Cluster)
	e.string(c.limits.Meta.ClusterID)
	e.uint(uint64(c.limits.Meta.Incarnation))
	fields := limitFields(c.limits.Proto())
	e.uint(uint64(len(fields)))
	for _, f := range fields {
		e.int(*f.value)
	}
	e.int(c.time)
	e.int(c.frozenAt)
	e.bool(c.frozen)
	e.int(c.electedAt)
	e.uint(c.term)
	e.uint(c.nextPartition)
	e.uint(c.nextDead)
	e.int(c.nextProducer)
	e.uint(c.nextSession)
	e.int(int64(c.nextNode))
}

func (sn *Snapshot) writeSegments(e *encoder) {
	e.uint(uint64(sn.segments.Len()))
	e.uint(uint64(sn.freeSlot))
	for i := range sn.segments.Len() {
		g := sn.segments.At(uint32(i))
		e.bool(g.used)
		if !g.used {
			e.uint(uint64(g.next))
			continue
		}
		e.raw(g.nonce[:])
		e.uint(uint64(g.share))
		e.uint(uint64(g.group))
		e.uint(uint64(g.incarnation))
		e.uint(uint64(g.size))
		e.uint(g.session)
		e.uint(g.sequence)
		e.int(g.committed)
	}
	e.uint(uint64(sn.dead.Len()))
	sn.dead.Scan(func(number uint64, o DeadObject) bool {
		e.uint(number)
		e.string(o.Object.Share)
		e.string(o.Object.Group)
		e.uint(uint64(o.Object.ID.Incarnation))
		e.uint(o.Object.ID.Session)
		e.uint(o.Object.ID.Sequence)
		e.raw(o.Object.Nonce[:])
		e.uint(uint64(o.Size))
		e.int(o.Since)
		return e.err == nil
	})
}

func (sn *Snapshot) writeTopics(e *encoder) {
	e.uint(uint64(sn.topics.Len()))
	sn.topics.Scan(func(name string, t *topicEntry) bool {
		e.string(name)
		e.raw(t.topic.ID[:])
		e.string(t.topic.Share)
		e.string(t.creator)
		e.uint(uint64(len(t.topic.Overrides)))
		for _, k := range slices.Sorted(maps.Keys(t.topic.Overrides)) {
			e.string(k)
			e.string(t.topic.Overrides[k])
		}
		e.uint(uint64(len(t.places)))
		for _, place := range t.places {
			sn.writePartition(e, sn.partitions.At(place))
		}
		return e.err == nil
	})
	e.uint(uint64(len(sn.dying)))
	for _, place := range sn.dying {
		p := sn.partitions.At(place)
		e.raw(p.topic[:])
		e.uint(uint64(p.index))
		sn.writePartition(e, p)
	}
}

// writePartition leaves out what follows from density: where each entry begins.
func (sn *Snapshot) writePartition(e *encoder, p *partition) {
	e.uint(p.number)
	e.int(p.logStart)
	e.int(p.end)
	e.uint(uint64(p.entries))
	if p.entries > 0 {
		e.int(p.logStart - p.entry(&sn.blocks, 0).base)
	}
	var before extent
	for i := range p.entries {
		x := p.entry(&sn.blocks, i)
		e.uint(uint64(x.records))
		e.uint(uint64(x.length))
		e.uint(uint64(x.position))
		e.int(int64(x.segment) - int64(before.segment))
		e.int(x.maxTime - before.maxTime)
		before = *x
	}
}

func (sn *Snapshot) writeProducers(e *encoder) {
	e.uint(uint64(len(sn.marks)))
	for _, m := range sn.marks {
		e.int(m.at)
		e.int(m.next)
	}
	e.uint(uint64(sn.ids.Len()))
	sn.ids.Each(func(id *idEntry) {
		e.int(id.id)
		e.int(id.at)
		e.int(int64(id.epoch))
	})
	e.uint(uint64(sn.producers.Len()))
	sn.producers.Each(func(p *producer) {
		e.int(p.key.id)
		e.uint(p.key.partition)
		e.int(p.at)
		e.bool(p.gap)
		e.int(int64(p.gapEpoch))
		e.int(p.gapSince)
		e.bool(p.known)
		e.int(int64(p.epoch))
		e.int(int64(p.last))
		e.uint(uint64(p.n))
		for _, b := range p.window[:p.n] {
			e.int(int64(b.first))
			e.int(int64(b.last))
			e.int(b.offset)
		}
	})
}

func (sn *Snapshot) writeSessions(e *encoder) {
	e.uint(uint64(sn.sessions.Len()))
	sn.sessions.Scan(func(_ uint64, x *session) bool {
		writeSession(e, x)
		return e.err == nil
	})
	e.uint(uint64(sn.nodes.Len()))
	sn.nodes.Scan(func(key string, n node) bool {
		e.string(key)
		e.int(int64(n.id))
		e.uint(n.session)
		e.int(n.endedAt)
		return e.err == nil
	})
}

func writeSession(e *encoder, x *session) {
	e.uint(x.id)
	e.string(x.agent)
	e.uint(uint64(x.group))
	e.uint(uint64(len(x.roles)))
	for _, role := range x.roles {
		e.string(role)
	}
	for _, v := range []string{x.zone, x.kafka, x.gossip, x.peer, x.version, x.identity, x.binding} {
		e.string(v)
	}
	e.int(int64(x.node))
	e.int(x.started)
	e.bool(x.ended)
	e.int(x.endedAt)
	e.uint(uint64(len(x.lanes)))
	for _, l := range x.lanes {
		e.uint(uint64(l.share))
		e.uint(l.last)
		e.uint(l.acked)
		e.uint(uint64(len(l.answers)))
		for _, k := range l.answers {
			e.uint(k.sequence)
			e.uint(uint64(len(k.answers)))
			for _, a := range k.answers {
				e.uint(uint64(a.Verdict))
				e.int(int64(a.Code))
				e.int(int64(a.Offset))
				e.int(int64(a.LogStart))
			}
		}
	}
}

func (sn *Snapshot) writeGroups(e *encoder) {
	e.uint(uint64(sn.groups.Len()))
	sn.groups.Scan(func(_ string, g *group) bool {
		for _, v := range []string{g.name, g.protocolType, g.protocol, g.leader} {
			e.string(v)
		}
		e.int(int64(g.generation))
		e.int(g.emptySince)
		e.int(g.due)
		e.uint(uint64(len(g.members)))
		for i := range g.members {
			writeMember(e, &g.members[i])
		}
		e.uint(uint64(g.offsets.Len()))
		g.offsets.Scan(func(k string, o CommittedOffset) bool {
			e.raw([]byte(k))
			e.int(int64(o.Offset))
			e.int(int64(o.LeaderEpoch))
			e.string(o.Metadata)
			e.int(o.At)
			return e.err == nil
		})
		return e.err == nil
	})
}

func writeMember(e *encoder, m *Member) {
	for _, v := range []string{m.ID, m.InstanceID, m.ClientID, m.ClientHost} {
		e.string(v)
	}
	e.int(int64(m.SessionTimeoutMs))
	e.int(int64(m.RebalanceTimeoutMs))
	e.bytes(m.Assignment)
	e.uint(uint64(len(m.Protocols)))
	for _, p := range m.Protocols {
		e.string(p.Name)
		e.bytes(p.Metadata)
	}
}
