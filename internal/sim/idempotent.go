package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/produce"
)

// Kafka's error codes that clients tell apart.
const (
	codeUnknownPartition int16 = 3  // UNKNOWN_TOPIC_OR_PARTITION
	codeDenied           int16 = 29 // TOPIC_AUTHORIZATION_FAILED
	codeForeign          int16 = 31 // CLUSTER_AUTHORIZATION_FAILED
	codeOutOfOrder       int16 = 45 // OUT_OF_ORDER_SEQUENCE_NUMBER
	codeDuplicate        int16 = 46 // DUPLICATE_SEQUENCE_NUMBER
	codeInvalidEpoch     int16 = 47 // INVALID_PRODUCER_EPOCH
	codeUnknownID        int16 = 59 // UNKNOWN_PRODUCER_ID
)

// profile is the client library whose retry rules a producer follows.
type profile int

const (
	// java: TransactionManager.canRetry and handleFailedBatch of kafka-clients.
	java profile = iota
	// librdkafka: rd_kafka_handle_Produce_error of the idempotent producer.
	librdkafka
	// franz: the sink of franz-go's kgo.
	franz
	// restless goes on in the next epoch after a few batches, each time that nothing is in flight, as a
	// client does whose application begins anew again and again; else it is as java.
	restless
)

func (p profile) String() string { return [...]string{"java", "librdkafka", "franz-go", "restless"}[p] }

const maxInFlight = 5

// idempotent is one idempotent producer: a stream of batches for each partition.
type idempotent struct {
	w       *World
	index   int
	profile profile
	id      int64
	streams []*stream5
	nap     time.Duration // how long it is silent once half of its batches are acknowledged
	delay   time.Duration // before it begins
}

func newIdempotent(w *World, index int, p profile, partitions, batches int) *idempotent {
	c := &idempotent{w: w, index: index, profile: p, id: -1}
	for i := range partitions {
		c.streams = append(c.streams, newStream5(c, int32(i), batches))
	}
	return c
}

// newSleeper is a producer that is silent for so long that it is forgotten.
func newSleeper(w *World, index, partitions int) *idempotent {
	c := &idempotent{w: w, index: index, profile: java, id: -1}
	c.streams = []*stream5{newStream5(c, w.rng.Int32N(int32(partitions)), 8)}
	c.nap = w.control.limits.ProducerExpiration + w.between(0, time.Minute)
	return c
}

// newPasserby is a producer of a few batches, that comes some time.
func newPasserby(w *World, index, partitions int) *idempotent {
	c := &idempotent{w: w, index: index, profile: franz, id: -1, delay: w.between(5*time.Second, time.Minute)}
	c.streams = []*stream5{newStream5(c, w.rng.Int32N(int32(partitions)), 1+w.rng.IntN(3))}
	return c
}

// run asks for a producer id until there is one, and then produces.
func (c *idempotent) run() {
	if c.delay > 0 {
		c.w.after(c.delay, "come", func() {
			c.delay = 0
			c.run()
		})
		return
	}
	if c.id >= 0 {
		for _, s := range c.streams {
			s.pump()
		}
		return
	}
	if n := c.w.control.reached(nil); n != nil {
		n.initProducer(groupName, func(id int64) {
			if c.id < 0 {
				c.id = id
			}
		})
	}
	c.w.after(c.w.between(100*time.Millisecond, time.Second), "init producer", c.run)
}

func (c *idempotent) move() {
	for _, s := range c.streams {
		s.leader = c.w.rng.IntN(len(c.w.agents))
	}
}

// expire lets batches reach their delivery timeout.
func (c *idempotent) expire() {
	for _, s := range c.streams {
		if c.w.chance(0.5) {
			s.expire()
		}
	}
}

func (c *idempotent) done() bool {
	for _, s := range c.streams {
		if !s.done() {
			return false
		}
	}
	return true
}

func (c *idempotent) describe() string {
	var all []string
	for _, s := range c.streams {
		if !s.done() {
			all = append(all, s.describe())
		}
	}
	return fmt.Sprintf("client %d (%s): %s", c.index, c.profile, strings.Join(all, ", "))
}

// status is where a batch stands at its producer.
type status int

const (
	unsent status = iota
	flying
	queued // to be sent again
	acknowledged
	expired // its delivery timeout has passed: the application has been told that its fate is unknown
)

// outgoing is one batch of a stream.
type outgoing struct {
	number   int
	records  int
	status   status
	try      int
	sequence int32
	epoch    int16
	restart  bool // renumbered by an epoch bump
	retried  bool // a retriable error was seen, or its connection broke
	on       *conn
}

func (b *outgoing) last() int32 { return b.sequence + int32(b.records) - 1 }

// stream5 is one producer's batches of one partition, up to five of them in flight. A batch is tried
// until it is acknowledged; only Java's may reach their delivery timeout first.
type stream5 struct {
	c         *idempotent
	partition int32
	leader    int // agent that the metadata names
	conns     map[int]*conn
	batches   []*outgoing
	epoch     int16
	next      int32 // sequence of the next new batch
	lastAcked int32
	nextErr   int32 // librdkafka: the sequence expected to fail or succeed next
	drain     int   // 1: nothing is sent until all in flight are answered; 2: then the epoch is bumped
	waitUntil time.Duration
	heard     time.Duration // when a batch was acknowledged last, or the first one sent
	pumping   bool
	sentHere  int // restless: batches of this epoch
	// unresolved is java's: a batch has expired, so that there may be a gap. Nothing new is sent until
	// the others are acknowledged, or refused for the gap.
	unresolved bool
}

func newStream5(c *idempotent, partition int32, batches int) *stream5 {
	s := &stream5{c: c, partition: partition, conns: map[int]*conn{}, lastAcked: -1}
	for i := range batches {
		s.batches = append(s.batches, &outgoing{number: int(partition)*1000 + i, records: 1 + i%3})
	}
	return s
}

func (s *stream5) done() bool {
	for _, b := range s.batches {
		if b.status < acknowledged {
			return false
		}
	}
	return true
}

// expire lets the first batch in flight reach its delivery timeout.
func (s *stream5) expire() {
	b := s.lowest()
	if b == nil || s.c.profile != java {
		return
	}
	s.c.w.tell("client %d (java) gives up batch %d of partition %d", s.c.index, b.number, s.partition)
	s.c.w.saw("expired")
	b.status, s.unresolved = expired, true
	s.c.w.checks.expired[batchID{s.c.index, b.number}] = true
	s.settle()
}

func (s *stream5) describe() string {
	counts := [5]int{}
	for _, b := range s.batches {
		counts[b.status]++
	}
	return fmt.Sprintf("partition %d: %d unsent, %d in flight, %d queued, epoch %d, next %d", s.partition, counts[unsent], counts[flying], counts[queued], s.epoch, s.next)
}

// pump sends what may be sent, and comes back.
func (s *stream5) pump() {
	if s.done() || s.pumping {
		return
	}
	if s.c.w.chance(0.04) {
		s.leader = s.c.w.rng.IntN(len(s.c.w.agents)) // the metadata was refreshed
	}
	if s.c.w.now >= s.waitUntil {
		for range 1 + s.c.w.rng.IntN(2) {
			if b := s.sendable(); b == nil || !s.send(b) {
				break
			}
		}
	}
	s.pumping = true
	s.sleep()
	s.c.w.after(max(s.rhythm(), s.waitUntil-s.c.w.now), "pump", func() {
		s.pumping = false
		s.pump()
	})
}

// sleep is silence, once, when nothing is on its way.
func (s *stream5) sleep() {
	if s.c.nap == 0 || s.lowest() != nil || s.batches[len(s.batches)/2-1].status < acknowledged {
		return
	}
	s.c.w.tell("client %d (%s) is silent for %.0f s", s.c.index, s.c.profile, s.c.nap.Seconds())
	s.waitUntil = s.c.w.now + s.c.nap
	s.c.nap = 0
}

// sleepy: the second half of the batches is for afterwards.
func (s *stream5) sleepy(b *outgoing) bool { return s.c.nap != 0 && b.number%1000 >= len(s.batches)/2 }

// rhythm is how an application sends: in bursts whose batches spread over several flushes, so
// that those in flight may lie at two agents when the leader moves, and with pauses between.
func (s *stream5) rhythm() time.Duration {
	if s.c.w.rng.IntN(9) == 0 {
		return s.c.w.between(200*time.Millisecond, 5*time.Second)
	}
	return s.c.w.between(5*time.Millisecond, 120*time.Millisecond)
}

// sendable is the batch that the library's rules let go next, or nil.
func (s *stream5) sendable() *outgoing {
	var firstQueued, firstUnsent, lowest *outgoing
	inFlight, elsewhere, flyingAfter := 0, false, false
	for _, b := range s.batches {
		switch b.status {
		case flying:
			inFlight++
			elsewhere = elsewhere || b.on != s.conns[s.leader]
			flyingAfter = flyingAfter || firstQueued != nil
		case queued:
			if firstQueued == nil {
				firstQueued = b
			}
		case unsent:
			if firstUnsent == nil && !s.sleepy(b) {
				firstUnsent = b
			}
		}
		if lowest == nil && (b.status == flying || b.status == queued) {
			lowest = b
		}
	}
	if inFlight >= maxInFlight || s.weary() && firstQueued == nil {
		return nil
	}
	switch s.c.profile {
	case java, restless:
		// A batch that is tried again waits until it is the first of those in flight, and holds up new ones.
		if firstQueued != nil {
			if firstQueued == lowest {
				return firstQueued
			}
			return nil
		}
		if s.unresolved {
			return nil
		}
	case librdkafka:
		if s.drain != 0 && inFlight > 0 {
			return nil
		}
	case franz:
		// Tried again in order, after a drain; and only one broker has batches of a partition.
		if s.drain != 0 && inFlight > 0 || elsewhere || firstQueued != nil && flyingAfter {
			return nil
		}
	}
	if firstQueued != nil {
		return firstQueued
	}
	return firstUnsent
}

func (s *stream5) send(b *outgoing) bool {
	a := s.c.w.agents[s.leader]
	if !a.up {
		s.leader = s.c.w.rng.IntN(len(s.c.w.agents))
		return false
	}
	c := s.conns[s.leader]
	if c == nil {
		c = dial(a, s.received, s.lost)
		s.conns[s.leader] = c
	}
	if s.heard == 0 {
		s.heard = s.c.w.now
	}
	if b.status == unsent {
		b.sequence, b.epoch = s.next, s.epoch
		s.next += int32(b.records)
		s.sentHere++
	}
	b.status, b.on = flying, c
	b.try++
	x := &copyOf{
		batch: batchID{s.c.index, b.number}, try: b.try, partition: s.partition,
		producer: s.c.id, epoch: b.epoch, sequence: b.sequence, records: b.records,
	}
	s.c.w.checks.sent(x)
	s.c.w.tell("client %d (%s) sends %s epoch %d seq %d-%d to %s", s.c.index, s.c.profile, x, b.epoch, b.sequence, b.last(), a.name)
	c.send(x)
	return true
}

func (s *stream5) find(number int) *outgoing {
	for _, b := range s.batches {
		if b.number == number {
			return b
		}
	}
	return nil
}

// lost: the connection broke. Its batches may have been stored.
func (s *stream5) lost(c *conn) {
	for at, known := range s.conns {
		if known == c {
			delete(s.conns, at)
		}
	}
	for _, b := range s.batches {
		if b.status != flying || b.on != c {
			continue
		}
		b.status = queued
		switch s.c.profile {
		case franz:
			s.drain = max(s.drain, 1)
		case librdkafka:
			b.retried = true
			s.nextErr = max(s.nextErr, b.last()+1)
			s.lastAcked = max(s.lastAcked, b.last()) // possibly persisted
			s.drain = max(s.drain, 1)
		}
	}
	s.leader = s.c.w.rng.IntN(len(s.c.w.agents))
	s.settle()
	s.pump()
}

// received: an answer has come.
func (s *stream5) received(x *copyOf, a produce.Answer) {
	b := s.find(x.batch.number)
	if b == nil || b.status != flying || b.try != x.try {
		return
	}
	ok := a.Code == 0 || a.Code == codeDuplicate
	if s.c.profile == franz && b != s.lowest() {
		// An answer out of order is not believed: the batch is tried again.
		b.status = queued
		s.settle()
		return
	}
	if ok {
		b.status, s.heard = acknowledged, s.c.w.now
		s.lastAcked = max(s.lastAcked, b.last())
		s.nextErr = max(s.nextErr, b.last()+1)
	} else {
		s.refused(b, a.Code)
	}
	s.settle()
	s.pump()
}

func (s *stream5) lowest() *outgoing {
	for _, b := range s.batches {
		if b.status == flying || b.status == queued {
			return b
		}
	}
	return nil
}

// refused follows the library's rules for an error.
func (s *stream5) refused(b *outgoing, code int16) {
	b.status = queued
	s.waitUntil = s.c.w.now + 100*time.Millisecond
	wasNext := s.nextErr == b.sequence
	s.nextErr = max(s.nextErr, b.last()+1)
	head := b.sequence == s.lastAcked+1
	retriable := code != codeOutOfOrder && code != codeInvalidEpoch && code != codeUnknownID
	b.retried = b.retried || retriable
	switch s.c.profile {
	case java, restless:
		switch {
		case code == codeOutOfOrder && (s.unresolved || !b.restart && head), code == codeUnknownID && !b.restart:
			s.bump()
		case code == codeInvalidEpoch:
			s.die(b, code)
		}
	case librdkafka:
		s.drain = max(s.drain, 1)
		switch {
		case code == codeOutOfOrder && (head || b.sequence <= s.lastAcked), code == codeInvalidEpoch,
			code == codeUnknownID && (b.retried || !wasNext):
			s.die(b, code)
		case !retriable:
			s.drain = 2
		}
	case franz:
		s.drain = max(s.drain, 1)
		if !retriable {
			s.drain = 2
		}
	}
}

// die: the library gives the application a fatal error. None may come, but where nothing of the stream was placed for as long
// as a gap may stand: then whatever kept its batches from the bucket has outlasted the patience that design allows, and the
// application is told that their fate is unknown. That no gap is called one too soon is for the oracle to say.
func (s *stream5) die(b *outgoing, code int16) {
	if code == codeOutOfOrder && s.c.w.now-s.heard >= s.c.w.control.limits.GapPatience {
		s.c.w.tell("client %d (%s) ends, for nothing of partition %d was placed for long", s.c.index, s.c.profile, s.partition)
		s.c.w.saw("ended by a long gap")
		for _, b := range s.batches {
			if b.status < acknowledged {
				b.status = expired
				s.c.w.checks.expired[batchID{s.c.index, b.number}] = true
			}
		}
		return
	}
	s.c.w.violated("client %d (%s) dies: batch %d of partition %d is answered with %d", s.c.index, s.c.profile, b.number, s.partition, code)
}

// bump raises the epoch and numbers the unacknowledged batches from 0.
func (s *stream5) bump() {
	for _, other := range s.c.streams {
		s.epoch = max(s.epoch, other.epoch)
	}
	s.epoch++
	s.lastAcked, s.nextErr, s.next, s.unresolved, s.sentHere = -1, 0, 0, false, 0
	s.c.w.saw("bumped")
	for _, b := range s.batches {
		if b.status == flying || b.status == queued {
			b.sequence, b.epoch, b.restart = s.next, s.epoch, true
			s.next += int32(b.records)
		}
	}
	s.c.w.tell("client %d (%s) bumps partition %d to epoch %d", s.c.index, s.c.profile, s.partition, s.epoch)
}

// weary: enough of this epoch.
func (s *stream5) weary() bool { return s.c.profile == restless && s.sentHere >= 1+s.epochLength() }

func (s *stream5) epochLength() int { return int(s.epoch) % 4 }

// settle ends a drain when nothing is in flight.
func (s *stream5) settle() {
	for _, b := range s.batches {
		if b.status == flying {
			return
		}
	}
	if s.weary() && s.lowest() == nil || s.drain == 2 || s.unresolved && s.lowest() == nil && s.lastAcked+1 != s.next {
		s.bump()
	}
	s.drain = 0
	s.unresolved = s.unresolved && s.lowest() != nil
}
