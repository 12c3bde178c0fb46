package control

import (
	"fmt"
	"io"
	"math"

	"github.com/isthmusdata/isthmus/internal/cow"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// ReadState reads what WriteTo wrote. The snapshot's limits hold, for they are a part of what was
// decided; those given say which cluster and incarnation it must be of, unless they name none,
// and supply limits that are younger than the snapshot.
func ReadState(r io.Reader, limits Limits) (*State, error) {
	d := &decoder{r: r}
	if d.version = d.uint(); d.err == nil && (d.version < 1 || d.version > snapshotVersion) {
		d.fail("version %d, this program reads 1 to %d", d.version, snapshotVersion)
	}
	s := NewState(limits)
	s.readScalars(d)
	if want := limits.Meta; d.err == nil && want != (Meta{}) && want != s.limits.Meta {
		d.fail("of cluster %q (%s) in incarnation %d, not of %q (%s) in %d", s.limits.Meta.Cluster,
			s.limits.Meta.ClusterID, s.limits.Meta.Incarnation, want.Cluster, want.ClusterID, want.Incarnation)
	}
	s.readShares(d)
	s.readSegments(d)
	s.readTopics(d)
	s.readProducers(d)
	s.readSessions(d)
	s.readGroups(d)
	s.readMeter(d)
	if err := d.finish(); err != nil {
		return nil, err
	}
	for i := range s.segments.slab.Len() {
		if g := s.segments.at(uint32(i)); g.used != (g.live > 0) {
			return nil, fmt.Errorf("%w: segment %d: used %t, %d bytes live", ErrSnapshot, i, g.used, g.live)
		}
	}
	s.planAgenda(false)
	return s, nil
}

func (s *State) readScalars(d *decoder) {
	s.limits.Meta = Meta{Cluster: d.string("cluster"), ClusterID: d.string("cluster id"), Incarnation: d.uint32("incarnation")}
	p := s.limits.Proto()
	fields := limitFields(p)
	n := d.count("limits")
	for i := range n {
		v := d.int()
		if i >= len(fields) {
			d.fail("%d limits, this program knows %d", n, len(fields))
			return
		}
		*fields[i].value = v
	}
	s.limits.take(p)
	s.time, s.frozenAt, s.frozen, s.electedAt = d.int(), d.int(), d.bool(), d.int()
	s.term, s.nextPartition, s.nextDead = d.uint(), d.uint(), d.uint()
	s.nextProducer, s.nextSession, s.nextNode = d.int(), d.uint(), d.int32("node id")
}

func (s *State) readShares(d *decoder) {
	for range d.count("names") {
		name := d.string("name")
		if d.err != nil {
			return
		}
		if _, twice := s.wordOf[name]; twice || len(s.words) > math.MaxUint16 {
			d.fail("name %q", name)
			return
		}
		s.wordOf[name] = uint16(len(s.words))
		s.words = append(s.words, name)
	}
	for range d.count("shares") {
		w := s.readWord(d)
		sh := share{word: w, pb: readShare(d)}
		if d.err != nil {
			return
		}
		sh.pb.Name = s.words[w]
		s.shares.Set(s.words[w], sh)
	}
	s.readWalls(d)
}

// readWord reads the number of a name that is known.
func (s *State) readWord(d *decoder) uint16 {
	v := d.upTo(math.MaxUint16, "name")
	if int(v) >= len(s.words) {
		d.fail("name %d of %d", v, len(s.words))
		return 0
	}
	return uint16(v)
}

func (s *State) readSegments(d *decoder) {
	n := d.count("segments")
	s.segments.free = s.readSlot(d, n)
	for range n {
		var g segmentEntry
		if g.used = d.bool(); !g.used {
			g.next = s.readSlot(d, n)
		} else {
			s.segments.used++
			d.raw(g.nonce[:])
			g.share, g.group = s.readWord(d), s.readWord(d)
			g.incarnation, g.size = d.uint32("incarnation"), d.uint32("size")
			g.session, g.sequence, g.committed = d.uint(), d.uint(), d.int()
			g.next = cow.None
		}
		if d.err != nil {
			return
		}
		s.segments.slab.Append(g)
		if g.used {
			s.segments.store(&g, 1)
		}
	}
	for range d.count("dead objects") {
		number := d.uint()
		o := DeadObject{Object: segment.Object{Share: d.string("share"), Group: d.string("group")}}
		o.Object.ID = segment.ID{Incarnation: d.uint32("incarnation"), Session: d.uint(), Sequence: d.uint()}
		d.raw(o.Object.Nonce[:])
		o.Size, o.Since = d.uint32("size"), d.int()
		if d.err != nil {
			return
		}
		s.dead.Set(number, o)
	}
	s.checkFree(d)
}

// checkFree walks the free slots: each is free, and none comes twice.
func (s *State) checkFree(d *decoder) {
	steps := 0
	for slot := s.segments.free; d.err == nil && slot != cow.None; slot = s.segments.at(slot).next {
		if steps++; s.segments.at(slot).used || steps > s.segments.slab.Len() {
			d.fail("free segment %d", slot)
		}
	}
	if d.err == nil && steps+s.segments.used != s.segments.slab.Len() {
		d.fail("%d segments used, %d free, of %d", s.segments.used, steps, s.segments.slab.Len())
	}
}

// readSlot reads the place of a segment among n, or none.
func (s *State) readSlot(d *decoder, n int) uint32 {
	v := d.uint32("segment")
	if v != cow.None && int64(v) >= int64(n) {
		d.fail("segment %d of %d", v, n)
		return cow.None
	}
	return v
}

// readTopics reads topics and dying partitions. No two may share an id or a number: what is due
// would be done to the wrong one, without end.
func (s *State) readTopics(d *decoder) {
	numbers := map[uint64]struct{}{}
	for range d.count("topics") {
		t := &topicEntry{topic: topic.Topic{Name: d.string("topic")}}
		d.raw(t.topic.ID[:])
		t.topic.Share = d.string("share")
		if d.version >= 2 {
			t.creator = d.string("group")
		}
		for range d.count("configs") {
			if t.topic.Overrides == nil {
				t.topic.Overrides = map[string]string{}
			}
			name := d.string("config")
			t.topic.Overrides[name] = d.string("config")
			if d.err != nil {
				return
			}
		}
		config, err := topic.ParseConfig(t.topic.Overrides)
		if err != nil {
			d.fail("topic %q: %v", t.topic.Name, err)
		}
		t.topic.Config = config
		for i := range d.count("partitions") {
			place := s.readPartition(d, t.topic.ID, int32(i), numbers)
			if d.err != nil {
				return
			}
			t.places = append(t.places, place)
		}
		if _, twice := s.topicByID[t.topic.ID]; twice {
			d.fail("topic %q has the id of another", t.topic.Name)
		}
		if _, twice := s.topics.Get(t.topic.Name); twice {
			d.fail("topic %q comes twice", t.topic.Name)
		}
		if d.err != nil {
			return
		}
		t.topic.Partitions = int32(len(t.places))
		s.putTopic(t)
		s.countPartitions(t.creator, len(t.places))
	}
	for range d.count("dying partitions") {
		var id topic.ID
		d.raw(id[:])
		index := int32(d.upTo(math.MaxInt32, "partition"))
		place := s.readPartition(d, id, index, numbers)
		if d.err != nil {
			return
		}
		s.dying = append(s.dying, place)
	}
}

func (s *State) readPartition(d *decoder, id topic.ID, index int32, numbers map[uint64]struct{}) uint32 {
	p := partition{topic: id, index: index, tail: cow.None, due: never}
	p.number, p.logStart = d.uint(), d.int()
	if _, twice := numbers[p.number]; twice || p.number > s.nextPartition {
		d.fail("partition number %d", p.number)
	}
	numbers[p.number] = struct{}{}
	end, n := d.int(), d.count("entries")
	e := extent{base: p.logStart}
	if n > 0 {
		e.base -= d.int()
	}
	p.end = e.base
	for range n {
		e.base = p.end
		e.records, e.length, e.position = d.uint32("records"), d.uint32("length"), d.uint32("position")
		slot, at := int64(e.segment)+d.int(), e.maxTime+d.int()
		if d.err == nil && (slot < 0 || slot >= int64(s.segments.slab.Len()) || !s.segments.at(uint32(slot)).used) {
			d.fail("entry in segment %d", slot)
		}
		if d.err == nil && (e.length == 0 || e.records == 0) {
			d.fail("empty entry")
		}
		if d.err != nil {
			return 0
		}
		e.segment, e.maxTime = uint32(slot), at
		s.append(&p, e)
		s.segments.slab.Mut(e.segment).live += int64(e.length)
		s.liveBytes += int64(e.length)
	}
	if p.end != end || p.logStart > end || p.logStart < 0 {
		d.fail("partition %s/%d: entries end at %d, not %d", id, index, p.end, end)
	}
	return s.partitions.Push(p)
}

func (s *State) readProducers(d *decoder) {
	for range d.count("marks") {
		s.marks = append(s.marks, mintMark{at: d.int(), next: d.int()})
		if d.err != nil {
			return
		}
	}
	for range d.count("producer ids") {
		id := idEntry{id: d.int(), at: d.int(), epoch: d.int16("epoch"), first: cow.None}
		if d.err != nil {
			return
		}
		if _, twice := s.idAt[id.id]; twice || !s.given(id.id) {
			d.fail("producer id %d", id.id)
			return
		}
		s.idAt[id.id] = s.producerIDs.Push(id)
		s.ownIDs.push(s.idAt[id.id], id.id)
	}
	for range d.count("producers") {
		p := s.readProducer(d)
		i, ok := s.idAt[p.key.id]
		if _, twice := s.producerAt[p.key]; d.err == nil && (!ok || twice) {
			d.fail("producer %d", p.key.id)
		}
		if d.err != nil {
			return
		}
		id := s.producerIDs.Mut(i)
		p.sibling = id.first
		place := s.producers.Push(p)
		if id.first != cow.None {
			s.producers.Mut(id.first).elder = place
		}
		id.first = place
		id.n++
		if p.known {
			id.known++
		}
		s.producerAt[p.key] = place
	}
}

func (s *State) readProducer(d *decoder) producer {
	p := producer{key: producerKey{id: d.int(), partition: d.uint()}, elder: cow.None, at: d.int()}
	p.gap, p.gapEpoch, p.gapSince, p.known = d.bool(), d.int16("epoch"), d.int(), d.bool()
	p.epoch, p.last = d.int16("epoch"), d.int32("sequence")
	p.n = uint8(d.upTo(windowLen, "window"))
	for i := range p.window[:p.n] {
		p.window[i] = batch{first: d.int32("sequence"), last: d.int32("sequence"), offset: d.int()}
	}
	return p
}

func (s *State) readSessions(d *decoder) {
	if d.version < 2 {
		for range d.count("gossip keys") {
			group := d.string("group")
			s.firstKey(group, d.bytes("gossip key"))
			if d.err != nil {
				return
			}
		}
	}
	for range d.count("sessions") {
		x := s.readSession(d)
		if d.err != nil {
			return
		}
		if !x.ended {
			s.live++
			s.liveOf[x.group]++
		}
		s.sessions.Set(x.id, x)
	}
	for range d.count("nodes") {
		key := d.string("node")
		n := node{id: d.int32("node id"), session: d.uint(), endedAt: d.int()}
		if d.err != nil {
			return
		}
		s.nodes.Set(key, n)
	}
}

func (s *State) readSession(d *decoder) *session {
	x := &session{id: d.uint(), agent: d.string("agent"), group: s.readWord(d)}
	for range d.upTo(maxRoles, "roles") {
		x.roles = append(x.roles, d.string("role"))
	}
	for _, v := range []*string{&x.zone, &x.kafka, &x.gossip, &x.peer, &x.version} {
		*v = d.string("session")
	}
	if d.version >= 2 {
		x.identity, x.binding = d.string("identity"), d.string("binding")
	}
	x.node, x.started = d.int32("node id"), d.int()
	x.ended, x.endedAt = d.bool(), d.int()
	for range d.upTo(math.MaxUint16, "lanes") {
		x.lanes = append(x.lanes, s.readLane(d))
		if d.err != nil {
			break
		}
	}
	return x
}

func (s *State) readLane(d *decoder) lane {
	l := lane{share: s.readWord(d), last: d.uint(), acked: d.uint()}
	for range d.count("answers") {
		k := kept{sequence: d.uint()}
		for range d.upTo(segment.MaxRows, "rows") {
			k.answers = append(k.answers, segment.Answer{
				Verdict: segment.Verdict(d.upTo(uint64(segment.Refused), "verdict")), Code: d.int16("code"),
				Offset: topic.Offset(d.int()), LogStart: topic.Offset(d.int()),
			})
			if d.err != nil {
				return l
			}
		}
		l.rows += len(k.answers)
		l.answers = append(l.answers, k)
		if d.err != nil {
			return l
		}
	}
	return l
}

func (s *State) readGroups(d *decoder) {
	for range d.count("groups") {
		g := &group{}
		for _, v := range []*string{&g.name, &g.protocolType, &g.protocol, &g.leader} {
			*v = d.string("group")
		}
		g.generation, g.emptySince, g.due = d.int32("generation"), d.int(), d.int()
		for range d.count("members") {
			g.members = append(g.members, readMember(d))
			if d.err != nil {
				return
			}
		}
		for range d.count("offsets") {
			var k [20]byte
			d.raw(k[:])
			o := CommittedOffset{Offset: topic.Offset(d.int()), LeaderEpoch: d.int32("epoch"), Metadata: d.string("metadata"), At: d.int()}
			if d.err != nil {
				return
			}
			g.offsets.Set(string(k[:]), o)
		}
		if d.err != nil {
			return
		}
		s.offsets += g.offsets.Len()
		s.groups.Set(g.name, g)
	}
}

func readMember(d *decoder) Member {
	var m Member
	for _, v := range []*string{&m.ID, &m.InstanceID, &m.ClientID, &m.ClientHost} {
		*v = d.string("member")
	}
	m.SessionTimeoutMs, m.RebalanceTimeoutMs = d.int32("timeout"), d.int32("timeout")
	m.Assignment = d.bytes("assignment")
	for range d.count("protocols") {
		m.Protocols = append(m.Protocols, Protocol{Name: d.string("protocol"), Metadata: d.bytes("protocol")})
		if d.err != nil {
			break
		}
	}
	return m
}
