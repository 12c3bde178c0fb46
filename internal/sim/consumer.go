package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// habit is how a consumer reads.
type habit struct {
	name     string
	version  int16
	sessions bool  // it names only what has changed
	begins   int64 // the special timestamp where it begins
	seeks    bool  // back and forth
	lands    bool  // it reads the topics that stay
	guests   bool  // and those that come and go
}

// habits are those of the consumers of a run.
var habits = []habit{
	{"reader", 12, true, segment.TimestampEarliest, false, true, true},
	{"tailer", 17, true, segment.TimestampLatest, false, true, false},
	{"seeker", 4, false, segment.TimestampEarliest, true, true, false},
	{"visitor", 13, true, segment.TimestampEarliest, true, false, true},
}

// consumer reads every partition of its topics to the end, at one agent after another. What it is
// answered is looked at by the agent's witness, against what it asked for; so what it has read of a
// partition since it last sought is contiguous.
type consumer struct {
	habit
	w         *World
	r         *reading
	at        *fetcher
	life      int // rises when it hangs up: what was under way is lost
	busy      bool
	positions []*position
	session   int32
	epoch     int32 // of the next request; 0 begins a session
}

// position is how far a consumer is in one partition.
type position struct {
	partition topic.Partition
	name      string
	next      topic.Offset
	begin     int64 // the timestamp to begin at, while next is topic.NoOffset
	sent      topic.Offset
	named     bool // the session knows of it
	told      *ends
	absent    time.Duration // it was unknown at that time
}

func newConsumer(r *reading, number int, h habit, partitions int) *consumer {
	c := &consumer{habit: h, w: r.w, r: r}
	c.name = fmt.Sprintf("%s-%d", h.name, number)
	if h.lands {
		for i := range int32(partitions) {
			_, p := placeOf(i)
			c.add(p)
		}
	}
	if h.guests {
		for _, g := range r.guests {
			// Two have one name: which of them is meant, only who asks by id can say.
			if h.version >= 13 || g.name != r.guests[0].name {
				c.add(topic.Partition{Topic: g.id})
			}
		}
	}
	return c
}

func (c *consumer) add(p topic.Partition) {
	c.positions = append(c.positions, &position{partition: p, name: c.r.nameOf(p.Topic), next: topic.NoOffset, begin: c.begins})
}

func (c *consumer) run() { c.later(c.w.between(0, 3*time.Second)) }

// later goes on after a while, unless it hangs up before.
func (c *consumer) later(d time.Duration) {
	life := c.life
	c.w.after(d, c.name, func() {
		if c.life == life && !c.busy {
			c.poll()
		}
	})
}

// hangUp breaks the connection; the consumer goes on elsewhere, in another session.
func (c *consumer) hangUp() {
	c.life++
	c.busy = false
	if c.at != nil {
		at := c.at
		at.conns = slices.DeleteFunc(at.conns, func(o *consumer) bool { return o == c })
		c.at = nil
	}
	c.later(c.w.between(10*time.Millisecond, time.Second))
}

// connect turns to an agent, and reports whether one is there.
func (c *consumer) connect() bool {
	if c.at != nil {
		return true
	}
	f := c.r.fetchers[c.w.rng.IntN(len(c.r.fetchers))]
	if !f.up {
		return false
	}
	c.at = f
	f.conns = append(f.conns, c)
	c.forget()
	return true
}

// forget begins another session.
func (c *consumer) forget() {
	c.session, c.epoch = 0, 0
	for _, p := range c.positions {
		p.named, p.told = false, nil
	}
}

// seek lets a consumer that does such things go elsewhere in its partitions.
func (c *consumer) seek() {
	if !c.seeks || c.w.quiet {
		return
	}
	p := c.positions[c.w.rng.IntN(len(c.positions))]
	switch c.w.rng.IntN(4) {
	case 0:
		p.next, p.begin = topic.NoOffset, segment.TimestampEarliest
	case 1:
		p.next, p.begin = topic.NoOffset, epoch+c.w.rng.Int64N(c.w.now.Milliseconds()+1)
	case 2:
		if p.next > 0 {
			p.next = topic.Offset(c.w.rng.Int64N(int64(p.next)))
		}
	default:
		// Beyond the end, where another consumer will be in a moment.
		p.next = c.r.truth(p.partition).high + 1 + topic.Offset(c.w.rng.IntN(8))
	}
	c.w.tell("%s seeks in %s: to %d, time %d", c.name, p.partition, p.next, p.begin)
}

// due reports whether a partition is to be fetched: one that was unknown is left alone for a while, and in
// peace for good when its topic is deleted.
func (c *consumer) due(p *position) bool {
	return p.absent == 0 || c.w.now-p.absent > 2*time.Second && !(c.w.quiet && c.r.deleted[p.partition.Topic])
}

// poll asks for an offset that is not known, or fetches.
func (c *consumer) poll() {
	if !c.connect() {
		c.later(200 * time.Millisecond)
		return
	}
	for _, p := range c.positions {
		if p.next == topic.NoOffset && c.due(p) {
			c.list(p)
			return
		}
	}
	c.fetch()
}

// exchanged is a fetch and its answer.
type exchanged struct {
	from             *consumer
	life             int
	version          int16
	session, epoch   int32
	maxWait          time.Duration
	maxBytes, atMost int32
	minBytes         int32
	wants            []wantedAt
	forgotten        []*position
	arrived          time.Duration
	answer           *kmsg.FetchResponse
}

// wantedAt is a partition that is asked for, and how it was when the request arrived.
type wantedAt struct {
	*position
	partition      topic.Partition
	name           string
	offset         topic.Offset
	listed         bool // named in the request; or else the session remembers it
	told           *ends
	logStart, high topic.Offset
	exists         bool
	removed        bool
	end            topic.Offset // of what is answered
}

func (c *consumer) fetch() {
	w := c.w
	x := &exchanged{from: c, life: c.life, version: c.version, session: c.session, epoch: c.epoch, minBytes: 1}
	x.maxWait = []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond, 5 * time.Second}[w.rng.IntN(4)]
	x.maxBytes = []int32{1, 400, 4000, 1 << 20}[w.rng.IntN(4)]
	x.atMost = []int32{1, 300, 2000, 1 << 20}[w.rng.IntN(4)]
	if w.rng.IntN(8) == 0 {
		x.minBytes = 1 + w.rng.Int32N(1000)
	}
	if w.quiet {
		x.maxWait, x.minBytes = peace, 1
		if slices.ContainsFunc(c.positions, func(p *position) bool { return p.absent != 0 && !c.r.deleted[p.partition.Topic] }) {
			x.maxWait = 2 * time.Second // what was unknown may be there by now
		}
		x.atMost = max(x.atMost, 300)
	}
	if !c.sessions {
		x.epoch = -1
	}
	for _, p := range c.positions {
		if p.next == topic.NoOffset || !c.due(p) {
			if p.named {
				x.forgotten = append(x.forgotten, p)
				p.named, p.told = false, nil
			}
			continue
		}
		x.wants = append(x.wants, wantedAt{position: p, partition: p.partition, name: p.name, offset: p.next,
			listed: !p.named || p.sent != p.next, told: p.told})
		p.sent, p.named = p.next, c.sessions
	}
	if len(x.wants) == 0 && len(x.forgotten) == 0 {
		c.later(500 * time.Millisecond)
		return
	}
	c.busy = true
	f, life := c.at, c.at.life
	w.after(f.network(), "fetch arrives", func() {
		if f.up && f.life == life && x.life == c.life {
			x.arrive(f)
			f.receive(x)
		}
	})
}

// peace is how long a fetch waits when there are no faults: only the watch may end it.
const peace = 12 * time.Hour

// arrive notes what is true.
func (x *exchanged) arrive(f *fetcher) {
	x.arrived = f.w.now
	for i := range x.wants {
		n := &x.wants[i]
		e := f.r.truth(n.partition)
		n.logStart, n.high, n.exists, n.removed = e.logStart, e.high, f.r.exists(x, n), f.witness.removed[n.partition]
	}
}

// find returns what was asked of a partition of an answer.
func (x *exchanged) find(t *kmsg.FetchResponseTopic, index int32) *wantedAt {
	i := slices.IndexFunc(x.wants, func(n wantedAt) bool {
		return n.partition.Index == index && (x.version >= 13 && n.partition.Topic == t.TopicID || x.version < 13 && n.name == t.Topic)
	})
	if i < 0 {
		return nil
	}
	return &x.wants[i]
}

// body is the request as Kafka knows it.
func (x *exchanged) body() *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionID, req.SessionEpoch = x.version, x.session, x.epoch
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(x.maxWait.Milliseconds()), x.minBytes, x.maxBytes
	for i := range x.wants {
		n := &x.wants[i]
		if !n.listed {
			continue
		}
		t := kmsg.NewFetchRequestTopic()
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = n.partition.Index, int64(n.offset), x.atMost, -1
		t.Partitions = append(t.Partitions, p)
		if t.Topic = n.name; x.version >= 13 {
			t.Topic, t.TopicID = "", n.partition.Topic
		}
		req.Topics = append(req.Topics, t)
	}
	for _, p := range x.forgotten {
		t := kmsg.NewFetchRequestForgottenTopic()
		t.Partitions = append(t.Partitions, p.partition.Index)
		if t.Topic = p.name; x.version >= 13 {
			t.Topic, t.TopicID = "", p.partition.Topic
		}
		req.ForgottenTopics = append(req.ForgottenTopics, t)
	}
	return req
}

// received takes an answer in.
func (c *consumer) received(x *exchanged) {
	if c.life != x.life {
		return
	}
	c.busy = false
	if c.sessions {
		if c.session = x.answer.SessionID; c.session != 0 {
			c.epoch = max(x.epoch, 0) + 1
		} else {
			c.forget()
		}
	}
	for i := range x.answer.Topics {
		t := &x.answer.Topics[i]
		for j := range t.Partitions {
			if n := x.find(t, t.Partitions[j].Partition); n != nil {
				c.take(n, &t.Partitions[j])
			}
		}
	}
	c.later(c.w.between(0, 100*time.Millisecond))
	if c.w.chance(0.02) {
		c.life++ // it pauses; the connection stays
		c.later(c.w.between(time.Second, 12*time.Second))
	}
}

func (c *consumer) take(n *wantedAt, answer *kmsg.FetchResponseTopicPartition) {
	p := n.position
	p.told = nil
	switch answer.ErrorCode {
	case 0:
		p.absent = 0
		p.told = &ends{topic.Offset(answer.LogStartOffset), topic.Offset(answer.HighWatermark)}
		if n.end > n.offset && p.next == n.offset {
			p.next = n.end
		}
	case codeOutOfRange:
		if p.next == n.offset {
			p.next, p.begin = topic.NoOffset, segment.TimestampEarliest
		}
	case codeUnknownTopic, codeUnknownTopicID:
		p.absent = c.w.now
	}
}

// unread says what has not been read, of the partitions that are there.
func (c *consumer) unread() string {
	for _, p := range c.positions {
		e := c.r.truth(p.partition)
		if _, there := c.r.alive[p.partition.Topic]; there && p.next != e.high {
			return fmt.Sprintf("%s is at %d of %s, which is [%d,%d)", c.name, p.next, p.partition, e.logStart, e.high)
		}
	}
	return ""
}
