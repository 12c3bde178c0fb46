package sim

import (
	"bytes"
	"slices"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Kafka's error codes that a fetch may be answered with.
const (
	codeOutOfRange     int16 = 1
	codeUnknownTopic   int16 = 3
	codeStorage        int16 = 56
	codeUnknownTopicID int16 = 100
)

// ends are what an answer tells of a partition.
type ends struct{ logStart, high topic.Offset }

// witness holds what one life of a fetching agent says against what it can know and what is true (I7, I9).
type witness struct {
	f        *fetcher
	told     map[topic.Partition]ends
	informed map[topic.Partition]bool         // a confirmed read has told of the ends
	removed  map[topic.Partition]bool         // and that the partition is gone
	learned  map[segment.Object]time.Duration // when it was last said that records lie there
	askers   []*witness                       // of other agents, which have asked this one for what they learned of
}

func newWitness(f *fetcher) *witness {
	return &witness{f: f, told: map[topic.Partition]ends{}, informed: map[topic.Partition]bool{},
		removed: map[topic.Partition]bool{}, learned: map[segment.Object]time.Duration{}}
}

// planned: the leader has said where records lie.
func (k *witness) planned(p topic.Partition, plan *segment.PartitionPlan) {
	if plan.Code != 0 {
		return
	}
	k.informed[p] = true
	delete(k.removed, p)
	k.learn(plan.Locations)
}

// heard: the watch has said so.
func (k *witness) heard(events []segment.Event) {
	for _, e := range events {
		if e.Removed {
			k.f.w.saw("partition removed")
			k.removed[e.Partition] = true
			continue
		}
		if e.Reset {
			k.f.w.saw("watch reset")
		}
		k.informed[e.Partition] = true
		k.learn(e.Locations)
	}
}

func (k *witness) learn(locations []segment.Location) {
	for i := range locations {
		k.learned[locations[i].Object] = k.f.w.now
	}
}

// asked: another agent asks this one for what it has learned of.
func (k *witness) asked(by *witness) {
	if !slices.Contains(k.askers, by) {
		k.askers = append(k.askers, by)
	}
}

// when it was last said, to this agent or to one that asks it, that records lie in an object.
func (k *witness) when(o segment.Object) (at time.Duration, known bool) {
	at, known = k.learned[o]
	for _, asker := range k.askers {
		if theirs, they := asker.learned[o]; they && theirs >= at {
			at, known = theirs, true
		}
	}
	return at, known
}

// reads: a location is used for its life, and then for no longer than a read may take.
func (k *witness) reads(key string) {
	w := k.f.w
	o, err := segment.ParseKey(clusterName, key)
	if err != nil {
		w.violated("I7: %s reads %q: %v", k.f.name, key, err)
		return
	}
	switch at, known := k.when(o); {
	case !known:
		w.violated("I7: %s reads %s, which nobody has told it of", k.f.name, o.ID)
	case w.now-at > k.f.r.reach():
		w.violated("I7: %s reads %s, %s after it was last told that records lie there", k.f.name, o.ID, w.now-at)
	}
}

// gone: where deletion waits for long enough, nobody finds an object missing.
func (k *witness) gone(key string) {
	k.f.w.saw("object gone")
	if k.f.r.patience > 0 {
		k.f.w.violated("I7: %s reads %s, which is gone, and deletion waits for %s", k.f.name, key, k.f.r.patience)
	}
}

// said looks at an answer as it leaves.
func (k *witness) said(x *exchanged) {
	w := k.f.w
	if x.answer.ErrorCode != 0 {
		w.violated("%s answers session %d of %s with %d", k.f.name, x.session, x.from.name, x.answer.ErrorCode)
		return
	}
	mentioned := map[topic.Partition]bool{}
	for i := range x.answer.Topics {
		t := &x.answer.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			n := x.find(t, p.Partition)
			if n == nil {
				w.violated("%s answers %s of topic %s/%d, which it did not ask for", k.f.name, x.from.name, t.Topic, p.Partition)
				return
			}
			mentioned[n.partition] = true
			k.partition(x, n, p)
		}
	}
	for i := range x.wants {
		if n := &x.wants[i]; !mentioned[n.partition] {
			k.leftOut(x, n)
		}
	}
}

// leftOut: an answer that does not mention a partition says that nothing has changed.
func (k *witness) leftOut(x *exchanged, n *wantedAt) {
	w := k.f.w
	switch now := k.told[n.partition]; {
	case x.session == 0:
		w.violated("I9: %s leaves %s out of an answer without a session", k.f.name, n.partition)
	case n.told == nil:
		w.violated("I9: %s leaves %s out, and has not told session %d of it", k.f.name, n.partition, x.session)
	case now != *n.told && (now.high > n.told.high || now.logStart > n.told.logStart):
		w.violated("I9: %s leaves %s out, told others %v and session %d %v", k.f.name, n.partition, now, x.session, *n.told)
	}
}

// partition looks at what is said of one partition.
func (k *witness) partition(x *exchanged, n *wantedAt, p *kmsg.FetchResponseTopicPartition) {
	w := k.f.w
	truth := w.reading.truth(n.partition)
	switch p.ErrorCode {
	case 0:
		k.tell(n, ends{topic.Offset(p.LogStartOffset), topic.Offset(p.HighWatermark)}, truth, x.version)
		k.records(x, n, p)
	case codeOutOfRange:
		w.saw("out of range")
		if n.offset >= truth.logStart && n.offset <= n.high {
			w.violated("I9: %s calls %d of %s out of range, the log is [%d,%d) and was [%d,%d) when it was asked",
				k.f.name, n.offset, n.partition, truth.logStart, truth.high, n.logStart, n.high)
		}
	case codeUnknownTopic, codeUnknownTopicID:
		w.saw("unknown topic")
		if n.exists && w.reading.exists(x, n) {
			w.violated("I9: %s does not know %s (code %d), which was there all the time", k.f.name, n.partition, p.ErrorCode)
		}
	case codeStorage:
		w.saw("storage error")
		if w.quiet && x.arrived > w.reading.calmAt+grace {
			w.violated("%s answers 56 for %s in peace", k.f.name, n.partition)
		}
	default:
		w.violated("%s answers %d for %s", k.f.name, p.ErrorCode, n.partition)
	}
	if p.ErrorCode != 0 && len(p.RecordBatches) > 0 {
		w.violated("%s answers %s with code %d and records", k.f.name, n.partition, p.ErrorCode)
	}
}

// grace is how long after the last fault traces of it are still met.
const grace = 30 * time.Second

// tell: ends only move up, are never above the truth, and are not told before a confirmed read.
func (k *witness) tell(n *wantedAt, e, truth ends, version int16) {
	w := k.f.w
	before := k.told[n.partition]
	if version < 5 {
		e.logStart = before.logStart // it is not told
	}
	switch {
	case !k.informed[n.partition]:
		w.violated("I9: %s tells the ends of %s before a confirmed read", k.f.name, n.partition)
	case e.high < before.high || e.logStart < before.logStart:
		w.violated("I9: %s tells the ends %v of %s, and told %v before", k.f.name, e, n.partition, before)
	case e.high > truth.high || e.logStart > truth.logStart:
		w.violated("I9: %s tells the ends %v of %s, which has %v", k.f.name, e, n.partition, truth)
	}
	k.told[n.partition] = e
}

// records: a contiguous run of whole batches from the one that holds the offset, each byte for byte
// what was placed there, with its offset and epoch.
func (k *witness) records(x *exchanged, n *wantedAt, p *kmsg.FetchResponseTopicPartition) {
	w := k.f.w
	if len(p.RecordBatches) == 0 {
		return
	}
	if n.removed {
		w.violated("I9: %s gives records of %s, which it was told is gone", k.f.name, n.partition)
	}
	log := w.checks.log[n.partition]
	at := sort.Search(len(log), func(i int) bool { return log[i].base+topic.Offset(log[i].records) > n.offset })
	n.end = n.offset
	for rest := p.RecordBatches; len(rest) > 0; at++ {
		b, more, err := record.Split(rest)
		if err != nil {
			w.violated("I9: %s cuts a batch of %s at %d: %v", k.f.name, n.partition, n.end, err)
			return
		}
		if at >= len(log) {
			w.violated("I9: %s gives a batch of %s at %d, beyond the end", k.f.name, n.partition, b.BaseOffset())
			return
		}
		if fault := k.differs(&log[at], b); fault != "" {
			w.violated("I9: %s gives a batch of %s for offset %d with %s, wanted %s at %d", k.f.name, n.partition, n.end, fault, log[at].copy, log[at].base)
			return
		}
		n.end = log[at].base + topic.Offset(log[at].records)
		rest = more
	}
	if n.end > topic.Offset(p.HighWatermark) {
		w.violated("I9: %s gives records of %s up to %d and tells a high watermark of %d", k.f.name, n.partition, n.end, p.HighWatermark)
	}
}

// differs says in what a batch is not the one that was placed.
func (k *witness) differs(l *placed, b record.Batch) string {
	const afterEpoch = 16
	switch {
	case b.BaseOffset() != int64(l.base):
		return "another base offset"
	case b.Epoch() != incarnation:
		return "another leader epoch"
	case !bytes.Equal(b[8:12], l.bytes[8:12]) || !bytes.Equal(b[afterEpoch:], l.bytes[afterEpoch:]):
		return "other bytes"
	}
	return ""
}

// reach is how long after an agent was told of an object it may read it: the life of a location, the
// wait for memory, the read itself, and the owner's.
func (r *reading) reach() time.Duration {
	return r.config.LocationLife + 2*(r.config.ReadTimeout+r.config.PeerTimeout) + time.Second
}

// truth is where a partition begins and ends.
func (r *reading) truth(p topic.Partition) ends {
	return ends{logStart: r.starts[p], high: r.w.checks.end1(p)}
}

// exists reports whether the topic of a partition is there, under the name or id by which it is asked for.
func (r *reading) exists(x *exchanged, n *wantedAt) bool {
	if x.version >= 13 {
		_, there := r.alive[n.partition.Topic]
		return there
	}
	return r.alive[n.partition.Topic] == n.name
}
