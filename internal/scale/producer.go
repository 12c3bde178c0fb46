package scale

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/produce"
)

// producer is an agent that produces: a real Writer, and the clients before it, one for each partition.
type producer struct {
	w          *world
	session    uint64
	writer     *produce.Writer
	partitions []*lane
	sentAt     map[uint64]time.Duration // of commits, by sequence
	nonces     uint64
	wakeAt     time.Duration
}

// lane is one partition's client.
type lane struct {
	partition topic.Partition
	id        int64
	sequence  int32
}

// arrived is when a batch came, which the Writer keeps for us.
type arrived time.Duration

func newProducer(w *world, session uint64) *producer {
	p := &producer{w: w, session: session, sentAt: map[uint64]time.Duration{}}
	cfg := produce.Default()
	cfg.FlushInterval, cfg.FlushBytes = w.cfg.FlushInterval, int(w.cfg.FlushBytes/ByteScale)
	p.writer = produce.NewWriter(cfg, p.nonce)
	return p
}

func (p *producer) nonce() (n segment.Nonce) {
	p.nonces++
	binary.BigEndian.PutUint64(n[:], p.w.rng.Uint64())
	binary.BigEndian.PutUint32(n[8:], uint32(p.nonces))
	return n
}

func (p *producer) take(of topic.Partition) {
	p.partitions = append(p.partitions, &lane{partition: of, id: p.w.leader.producerID()})
}

func (p *producer) begin() {
	p.input(func() { p.writer.Start(p.clock()) })
	p.input(func() {
		p.writer.SessionStarted(p.clock(), produce.Session{ID: p.session, Incarnation: 1, Cluster: "main", Group: "prod"})
	})
	p.input(func() { p.writer.StreamUp(p.clock(), p.session) })
	for _, l := range p.partitions {
		p.w.after(time.Duration(p.w.rng.Int64N(int64(p.w.cfg.Linger))), func() { p.produce(l) })
	}
}

func (p *producer) clock() produce.Now {
	return produce.Now{At: p.w.now, Unix: epoch + p.w.now.Milliseconds()}
}

// produce sends what a client has gathered in its linger, as so many batches as that takes.
func (p *producer) produce(l *lane) {
	cfg := &p.w.cfg
	bytes := int64(float64(cfg.Rate) / float64(cfg.Partitions) * cfg.Linger.Seconds())
	for bytes > 0 {
		size := min(bytes, int64(cfg.BatchBytes))
		bytes -= size
		b := &produce.Batch{Ref: arrived(p.w.now), Share: "default", Partition: l.partition, Bytes: p.batch(l, size)}
		p.input(func() { p.writer.Append(p.clock(), b) })
	}
	p.w.after(cfg.Linger, func() { p.produce(l) })
}

// batch is one of size bytes, of records of 1 KiB, as an idempotent client sends it, with 1/ByteScale of them in it.
func (p *producer) batch(l *lane, size int64) record.Batch {
	template := p.w.templates[size]
	if template == nil {
		template = recordtest.Batch(recordtest.Options{Size: max(1, int(size/ByteScale)-record.HeaderSize-8), Idempotent: true, Time: epoch})
		p.w.templates[size] = template
	}
	// That its records are many only its header says, and its checksum is the template's: nothing here reads what is in it.
	b := slices.Clone(template)
	records := max(1, int32(size/1024))
	binary.BigEndian.PutUint32(b[23:], uint32(records-1)) // last offset delta
	binary.BigEndian.PutUint64(b[43:], uint64(l.id))
	binary.BigEndian.PutUint32(b[53:], uint32(l.sequence))
	binary.BigEndian.PutUint32(b[57:], uint32(records))
	l.sequence += records
	return b
}

func (p *producer) input(do func()) {
	do()
	for effects := p.writer.Effects(nil); len(effects) > 0; effects = p.writer.Effects(nil) {
		for i := range effects {
			p.carryOut(&effects[i])
		}
	}
	p.arm()
}

func (p *producer) arm() {
	at, ok := p.writer.Wake()
	if !ok || at >= p.wakeAt && p.wakeAt > p.w.now {
		return
	}
	p.wakeAt = max(at, p.w.now+time.Millisecond)
	p.w.after(p.wakeAt-p.w.now, func() {
		if at, ok := p.writer.Wake(); ok && at <= p.w.now {
			p.input(func() { p.writer.Tick(p.clock()) })
			return
		}
		p.arm()
	})
}

func (p *producer) carryOut(e *produce.Effect) {
	switch e.Kind {
	case produce.Upload:
		o := e.Put.Object
		size := int64(e.Put.Sealed.Size) * ByteScale
		p.w.after(p.w.bucket.put(p.w, o, size), func() {
			p.w.bucket.stored++
			p.input(func() { p.writer.PutDone(p.clock(), o.Nonce, produce.PutStored) })
		})
	case produce.Send:
		c := *e.Commit
		if _, again := p.sentAt[c.Sequence]; !again {
			p.sentAt[c.Sequence] = p.w.now
		}
		p.w.after(p.w.cfg.Network, func() { p.w.leader.commit(p, &c) })
	case produce.Respond:
		r := &p.w.report
		if e.Answer.Code == 0 {
			r.Acknowledged++
			r.produced = append(r.produced, p.w.now-time.Duration(e.Batch.Ref.(arrived)))
		} else {
			r.Refused++
		}
	case produce.Disconnect:
		p.w.report.Refused++
	default: // sessions neither begin nor end here, and uploads are neither cancelled nor told of
	}
}

// answered takes in what the leader says of a commit.
func (p *producer) answered(r *segment.Reply) {
	if at, ok := p.sentAt[r.Sequence]; ok {
		p.w.report.committed = append(p.w.report.committed, p.w.now-at)
		delete(p.sentAt, r.Sequence)
	}
	p.input(func() { p.writer.Reply(p.clock(), r) })
}
