package produce

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// TestWriterKeepsItsPromises lets a seed decide what the bucket, the network and the control plane
// do to two writers, and checks after every step:
//
//	I2   a sequence is placed once
//	I3   what is placed has an object, under the nonce that the commit names
//	I5   the batches of a lane are placed once and in order, whoever sends them again
//	I8   what the agent acknowledges it has passed on, and what it commits is its own object
//	I11  a copy of a batch that was answered with an error is never placed, before or later
//	     and a copy answered with an offset lies there; each copy is answered once, and let go once
//
// When the faults end, everything is answered and every batch placed. A failure names its seed.
func TestWriterKeepsItsPromises(t *testing.T) {
	seeds := uint64(400)
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		w := newWorld(seed)
		for range 600 {
			w.step()
			if w.bad != "" {
				break
			}
		}
		if w.bad == "" {
			w.quiesce()
		}
		if w.bad != "" {
			t.Fatalf("seed %d after %d steps: %s\n%s", seed, w.steps, w.bad, w.tail())
		}
	}
}

const (
	simLanes  = 3
	simWindow = 5
)

// world is two agents, a bucket, one control plane and a few clients.
type world struct {
	rng    *rand.Rand
	now    time.Duration
	calm   bool // no more faults
	steps  int
	bad    string
	trace  []string
	drawn  uint64
	agents [2]*agent
	seq    *model
	lanes  [simLanes]*client
	plain  *client
	copies map[string]*copyOf // by the bytes of the batch
	tried  map[segment.Nonce]bool
	bucket map[segment.Nonce]*segment.Sealed // nil: an object of somebody else
}

type agent struct {
	id       int
	w        *Writer
	session  uint64
	logging  bool // a login is under way
	asking   uint64
	flights  []*flight
	streamOf uint64 // the session whose stream is wanted
	up       bool
	toServer []*segment.Commit
	toAgent  []segment.Reply
}

type flight struct {
	put       *Put
	cancelled bool
}

// copyOf is one sending of a batch.
type copyOf struct {
	name     string
	client   *client
	number   int // of the batch, in its client
	batch    *Batch
	answers  int
	releases int
	failed   bool
	placed   int // times
}

// client sends numbered batches; one with a producer id keeps their order as franz-go does: after
// an error it waits until nothing is in flight and sends again from the first unanswered one.
type client struct {
	name     string
	id       int64 // -1: plain
	part     topic.Partition
	next     int // to be sent
	base     int // the first that is not acknowledged
	inFlight int
	draining bool
	placedAt map[int]topic.Offset
	acked    map[int]bool
	tries    int
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), copies: make(map[string]*copyOf), bucket: make(map[segment.Nonce]*segment.Sealed), tried: make(map[segment.Nonce]bool)}
	w.seq = &model{w: w, sessions: []*modelSession{nil}, ends: make(map[topic.Partition]topic.Offset)}
	cfg := Default()
	cfg.MaxUploads, cfg.MaxSegments = 4, 8
	cfg.HedgeBudget = 0.5
	for i := range w.agents {
		a := &agent{id: i}
		a.w = NewWriter(cfg, w.nonce)
		w.agents[i] = a
		a.w.Start(w.at())
		w.carry(a)
	}
	for i := range w.lanes {
		w.lanes[i] = newClient(fmt.Sprintf("lane%d", i), int64(i+1), int32(i%2))
	}
	w.plain = newClient("plain", -1, 0)
	return w
}

func newClient(name string, id int64, part int32) *client {
	return &client{name: name, id: id, part: topic.Partition{Topic: topic.ID{1}, Index: part}, placedAt: make(map[int]topic.Offset), acked: make(map[int]bool)}
}

func (w *world) nonce() (n segment.Nonce) {
	w.drawn++
	binary.BigEndian.PutUint64(n[4:], w.drawn)
	return n
}

func (w *world) at() Now { return Now{At: w.now, Unix: unixStart + w.now.Milliseconds()} }

func (w *world) fail(format string, args ...any) {
	if w.bad == "" {
		w.bad = fmt.Sprintf(format, args...)
	}
}

func (w *world) log(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%v ", w.now)+fmt.Sprintf(format, args...))
}

func (w *world) tail() string {
	out := ""
	for _, l := range w.trace[max(0, len(w.trace)-60):] {
		out += l + "\n"
	}
	return out
}

func (w *world) chance(p float64) bool { return !w.calm && w.rng.Float64() < p }

// step lets one thing happen.
func (w *world) step() {
	w.steps++
	a := w.agents[w.rng.IntN(len(w.agents))]
	switch w.rng.IntN(12) {
	case 0, 1:
		w.sendLane(w.lanes[w.rng.IntN(simLanes)])
	case 2:
		if !w.calm {
			w.sendPlain(a)
		} else {
			w.resendPlain(a)
		}
	case 3, 4:
		w.land(a)
	case 5, 6:
		w.deliver(a)
	case 7:
		w.hear(a)
	case 8:
		w.connect(a)
	case 9:
		w.session(a)
	case 10:
		w.pass(a)
	case 11:
		w.mischief(a)
	}
}

// pass lets time pass: to the next moment a writer asked for, or a little longer.
func (w *world) pass(a *agent) {
	d := time.Duration(w.rng.IntN(40)) * time.Millisecond
	if w.chance(0.05) {
		d = time.Duration(w.rng.IntN(20)) * time.Second
	}
	w.now += d
	for _, a := range w.agents {
		if at, ok := a.w.Wake(); ok && at <= w.now {
			a.w.Tick(w.at())
			w.carry(a)
		}
	}
	if at, ok := a.w.Wake(); ok && w.rng.IntN(2) == 0 && at < w.now+time.Second {
		w.now = max(w.now, at)
		a.w.Tick(w.at())
		w.carry(a)
	}
}

// mischief is what goes wrong without anybody's doing.
func (w *world) mischief(a *agent) {
	switch {
	case w.chance(0.3) && a.up:
		w.breakStream(a)
	case w.chance(0.08) && a.session != 0:
		w.log("agent %d: session %d expires", a.id, a.session)
		w.seq.sessions[a.session].live = false
		if w.chance(0.5) {
			a.w.SessionEnded(w.at(), a.session)
			w.carry(a)
		}
	case w.chance(0.03) && a.session != 0:
		w.log("agent %d: believes that session %d has ended", a.id, a.session)
		a.w.SessionEnded(w.at(), a.session)
		w.carry(a)
	case w.chance(0.02):
		for _, s := range w.seq.sessions[1:] {
			if !s.live {
				s.forgotten = true
			}
		}
	}
}

func (w *world) sendLane(c *client) {
	if c.draining && c.inFlight == 0 {
		c.draining, c.next = false, c.base
	}
	if c.draining || c.inFlight >= simWindow || w.calm && c.next >= c.sentMax() {
		return
	}
	// One connection at a time, so that the order of a window is kept; it may move between windows.
	a := w.agents[int(c.id+int64(c.tries/7))%len(w.agents)]
	if c.inFlight == 0 {
		c.tries++
	}
	c.inFlight++
	w.send(a, c, c.next)
	c.next++
}

// sentMax is how many batches there are to send when the faults have ended.
func (c *client) sentMax() int {
	n := 0
	for k := range c.placedAt {
		n = max(n, k+1)
	}
	return max(n, c.base, 1)
}

func (w *world) sendPlain(a *agent) {
	w.send(a, w.plain, w.plain.next)
	w.plain.next++
}

// resendPlain sends an unacknowledged plain batch again when the faults have ended.
func (w *world) resendPlain(a *agent) {
	if w.plain.inFlight > 0 {
		return
	}
	for k := range w.plain.next {
		if !w.plain.acked[k] {
			w.send(a, w.plain, k)
			return
		}
	}
}

func (w *world) send(a *agent, c *client, number int) {
	if c.id < 0 {
		c.inFlight++
	}
	name := fmt.Sprintf("%s.%d#%d", c.name, number, len(w.copies))
	b := recordtest.Batch(recordtest.Options{Values: []string{name, "x"}, Time: unixStart, Idempotent: c.id >= 0, ProducerID: max(c.id, 0), Sequence: int32(2 * number)})
	batch := &Batch{Share: fmt.Sprintf("share%d", c.part.Index), Partition: c.part, Bytes: b, Patience: time.Duration(w.rng.IntN(40)) * time.Second}
	one := &copyOf{name: name, client: c, number: number, batch: batch}
	batch.Ref = one
	w.copies[string(b)] = one
	w.log("%s to agent %d", name, a.id)
	a.w.Append(w.at(), batch)
	w.carry(a)
}

// carry does what a writer asks.
func (w *world) carry(a *agent) {
	for _, e := range a.w.Effects(nil) {
		switch e.Kind {
		case Upload:
			w.log("agent %d: upload %s/%s as %s", a.id, e.Put.Object.Share, e.Put.Object.ID, nonceName(e.Put.Object.Nonce))
			if n := e.Put.Object.Nonce; !w.tried[n] && w.chance(0.01) {
				w.bucket[n] = nil // somebody else was there before the first try
			}
			w.tried[e.Put.Object.Nonce] = true
			a.flights = append(a.flights, &flight{put: e.Put})
		case CancelUpload:
			for _, f := range a.flights {
				if f.put.Object.Nonce == e.Put.Object.Nonce {
					f.cancelled = true
				}
			}
		case Send:
			w.log("agent %d: session %d %s", a.id, e.Session, printCommit(e.Commit))
			a.toServer = append(a.toServer, e.Commit)
		case Respond:
			w.answered(e.Batch.Ref.(*copyOf), e.Answer)
		case Disconnect:
			w.disconnected(e.Batch.Ref.(*copyOf))
		case Release:
			w.released(a, e.Batch.Ref.(*copyOf))
		case OpenStream:
			a.streamOf = e.Session
		case CloseStream:
			a.streamOf, a.up, a.toServer, a.toAgent = 0, false, nil, nil
		case AskEnd:
			a.asking = e.Session
		case Login:
			a.logging = true
		}
	}
}

func (w *world) answered(c *copyOf, a Answer) {
	w.log("  answer %s: %s", c.name, printAnswer(a))
	w.once(c)
	cl := c.client
	if a.Code != 0 {
		if c.placed > 0 {
			w.fail("I11: %s was placed and answered with error %d", c.name, a.Code)
		}
		c.failed = true
		cl.draining = true
		return
	}
	if at, ok := cl.placedAt[c.number]; !ok || cl.id >= 0 && at != a.Offset {
		w.fail("%s is acknowledged at %d and lies at %d (%v)", c.name, a.Offset, at, ok)
	}
	cl.acked[c.number] = true
	for cl.acked[cl.base] {
		cl.base++
	}
}

func (w *world) disconnected(c *copyOf) {
	w.log("  disconnect %s", c.name)
	w.once(c)
	c.client.draining = true
}

func (w *world) once(c *copyOf) {
	if c.answers++; c.answers > 1 {
		w.fail("%s is answered twice", c.name)
	}
	c.client.inFlight--
}

func (w *world) released(a *agent, c *copyOf) {
	if c.releases++; c.releases > 1 || c.answers == 0 {
		w.fail("%s is let go %d times, answered %d times", c.name, c.releases, c.answers)
	}
	for _, f := range a.flights {
		for _, part := range f.put.Sealed.Body {
			if &part[0] == &c.batch.Bytes[0] {
				w.fail("%s is let go while %s reads it", c.name, nonceName(f.put.Object.Nonce))
			}
		}
	}
}

// land lets an upload come to its end.
func (w *world) land(a *agent) {
	if len(a.flights) == 0 {
		return
	}
	i := w.rng.IntN(len(a.flights))
	f := a.flights[i]
	n := f.put.Object.Nonce
	result := PutStored
	_, exists := w.bucket[n]
	switch {
	case exists:
		result = PutExists
	case w.chance(0.1):
		result = PutRetry
	case w.chance(0.05):
		result = PutThrottled
	case w.chance(0.02):
		result = PutDenied
	case w.chance(0.1) || f.cancelled:
		result = PutUnknown
		if w.rng.IntN(2) == 0 {
			w.bucket[n] = f.put.Sealed
		}
	case w.chance(0.5):
		return // slow
	default:
		w.bucket[n] = f.put.Sealed
	}
	a.flights = slices.Delete(a.flights, i, i+1)
	w.log("agent %d: upload %s is %s", a.id, nonceName(n), result)
	a.w.PutDone(w.at(), n, result)
	w.carry(a)
}

// deliver hands a commit to the control plane.
func (w *world) deliver(a *agent) {
	if !a.up || len(a.toServer) == 0 {
		return
	}
	c := a.toServer[0]
	a.toServer = a.toServer[1:]
	r := w.seq.apply(c)
	w.log("control plane: session %d %s/%d: outcome %d %v, last %d", c.Session, c.Share, c.Sequence, r.Outcome, r.Answers, r.Last)
	a.toAgent = append(a.toAgent, r)
}

func (w *world) hear(a *agent) {
	if !a.up || len(a.toAgent) == 0 {
		return
	}
	r := a.toAgent[0]
	a.toAgent = a.toAgent[1:]
	a.w.Reply(w.at(), &r)
	w.carry(a)
}

// breakStream loses what is on its way; some commits arrive late, at a leader that still has them.
func (w *world) breakStream(a *agent) {
	w.log("agent %d: stream breaks", a.id)
	for _, c := range a.toServer {
		if w.chance(0.5) {
			w.seq.late = append(w.seq.late, c)
		}
	}
	a.up, a.toServer, a.toAgent = false, nil, nil
	a.w.StreamDown(w.at(), a.streamOf)
	w.carry(a)
}

func (w *world) connect(a *agent) {
	if len(w.seq.late) > 0 && w.rng.IntN(3) == 0 {
		c := w.seq.late[0]
		w.seq.late = w.seq.late[1:]
		w.log("control plane, late: session %d %s/%d: %d", c.Session, c.Share, c.Sequence, w.seq.apply(c).Outcome)
	}
	if a.streamOf == 0 || a.up || w.chance(0.6) {
		return
	}
	a.up = true
	w.log("agent %d: stream up", a.id)
	a.w.StreamUp(w.at(), a.streamOf)
	w.carry(a)
}

// session answers a login or a question.
func (w *world) session(a *agent) {
	switch {
	case w.chance(0.3):
	case a.asking != 0:
		w.seq.sessions[a.asking].live = false
		if w.chance(0.3) {
			return // the answer is lost; it is asked again
		}
		id := a.asking
		a.asking = 0
		w.log("agent %d: session %d is resolved", a.id, id)
		a.w.SessionResolved(w.at(), id)
		w.carry(a)
	case a.logging:
		a.logging = false
		a.session = w.seq.login()
		w.log("agent %d: session %d", a.id, a.session)
		a.w.SessionStarted(w.at(), Session{ID: a.session, Incarnation: 1, Cluster: "c", Group: "g"})
		w.carry(a)
	}
}

// quiesce ends the faults and lets everything come to rest.
func (w *world) quiesce() {
	w.calm = true
	for n := 0; !w.rested(); n++ {
		if n > 200_000 {
			w.fail("not at rest: %s", w.unfinished())
		}
		w.step()
		if w.bad != "" {
			return
		}
	}
	for _, c := range w.copies {
		if c.answers != 1 || c.releases != 1 {
			w.fail("%s is answered %d times and let go %d times", c.name, c.answers, c.releases)
		}
	}
}

func (w *world) rested() bool { return w.unfinished() == "" }

func (w *world) unfinished() string {
	for _, a := range w.agents {
		if a.w.Unanswered() > 0 || len(a.flights) > 0 {
			return fmt.Sprintf("agent %d has %d unanswered batches, %d uploads", a.id, a.w.Unanswered(), len(a.flights))
		}
	}
	for _, c := range append(w.lanes[:], w.plain) {
		want := c.sentMax()
		if c.id < 0 {
			want = c.next
		}
		if c.base < want {
			return fmt.Sprintf("%s is acknowledged up to %d of %d", c.name, c.base, want)
		}
	}
	return ""
}

// model is a control plane in a hundred lines: the commit protocol, and producers without
// expiry, whose every gap is refused with 19.
type model struct {
	w        *world
	sessions []*modelSession // by id; the first is 1
	ends     map[topic.Partition]topic.Offset
	late     []*segment.Commit
}

type modelSession struct {
	live, forgotten bool
	shares          map[string]*modelShare
}

type modelShare struct {
	last    uint64
	acked   uint64
	answers map[uint64][]segment.Answer // placed sequences
	copies  map[uint64][]*copyOf        // in their rows
}

func (m *model) login() uint64 {
	m.sessions = append(m.sessions, &modelSession{live: true, shares: make(map[string]*modelShare)})
	return uint64(len(m.sessions) - 1)
}

func (m *model) apply(c *segment.Commit) segment.Reply {
	ss := m.sessions[c.Session]
	sh := ss.shares[c.Share]
	if sh == nil {
		sh = &modelShare{answers: make(map[uint64][]segment.Answer), copies: make(map[uint64][]*copyOf)}
		ss.shares[c.Share] = sh
	}
	m.acknowledge(sh, c)
	r := segment.Reply{Session: c.Session, Share: c.Share, Sequence: c.Sequence, Last: sh.last}
	answers, placed := sh.answers[c.Sequence]
	switch {
	case c.Sequence <= sh.last && (ss.forgotten || placed && c.Sequence <= sh.acked):
		r.Outcome = segment.Gone
	case c.Sequence <= sh.last:
		r.Outcome, r.Answers = segment.Answered, answers
	case !ss.live:
		r.Outcome = segment.SessionEnded
	case c.After != sh.last || !namesAll(c):
		r.Outcome = segment.OutOfOrder
	default:
		r.Outcome, r.Answers = segment.Answered, m.place(c, sh)
		sh.last, r.Last = c.Sequence, c.Sequence
	}
	return r
}

func (m *model) acknowledge(sh *modelShare, c *segment.Commit) {
	if c.Acked > sh.last {
		m.w.fail("I8: session %d %s/%d acknowledges %d, the last is %d", c.Session, c.Share, c.Sequence, c.Acked, sh.last)
	}
	for ; sh.acked < c.Acked; sh.acked++ {
		for _, one := range sh.copies[sh.acked+1] {
			if one.answers == 0 {
				m.w.fail("I8: session %d %s/%d acknowledges %d: %s is not answered", c.Session, c.Share, c.Sequence, c.Acked, one.name)
			}
		}
	}
}

func namesAll(c *segment.Commit) bool {
	want := c.After + 1
	for _, a := range c.Abandoned {
		if a != want {
			return false
		}
		want++
	}
	return want == c.Sequence
}

func (m *model) place(c *segment.Commit, sh *modelShare) (answers []segment.Answer) {
	if c.Empty() {
		return nil
	}
	stored := m.w.bucket[c.Nonce]
	if stored == nil {
		m.w.fail("I3: session %d %s/%d is committed as %s, which is not stored", c.Session, c.Share, c.Sequence, nonceName(c.Nonce))
		return nil
	}
	body := slices.Concat(stored.Body...)
	for _, row := range c.Manifest.Rows {
		a, copies := m.placeRow(row, body[row.Position:row.Position+row.Length])
		answers = append(answers, a)
		sh.copies[c.Sequence] = append(sh.copies[c.Sequence], copies...)
	}
	sh.answers[c.Sequence] = answers
	return answers
}

func (m *model) placeRow(row segment.Row, bytes []byte) (a segment.Answer, inRow []*copyOf) {
	base := m.ends[row.Partition]
	for len(bytes) > 0 {
		b, rest, err := record.Split(bytes)
		if err != nil {
			m.w.fail("row of %v: %v", row.Partition, err)
			return a, nil
		}
		one := m.w.copies[string(b)]
		if one == nil || one.client.part != row.Partition {
			m.w.fail("row of %v holds bytes that nobody sent there", row.Partition)
			return a, nil
		}
		inRow = append(inRow, one)
		bytes = rest
	}
	if cl := inRow[0].client; cl.id >= 0 {
		n := inRow[0].number
		if at, ok := cl.placedAt[n]; ok {
			return segment.Answer{Verdict: segment.Duplicate, Offset: at}, inRow
		}
		if _, ok := cl.placedAt[n-1]; !ok && n > 0 {
			return segment.Answer{Verdict: segment.Refused, Code: 19, Offset: topic.NoOffset}, inRow
		}
	}
	at := base
	for _, one := range inRow {
		m.placed(one, at)
		at += 2
	}
	m.ends[row.Partition] = at
	return segment.Answer{Verdict: segment.Placed, Offset: base}, inRow
}

func (m *model) placed(c *copyOf, at topic.Offset) {
	if c.placed++; c.placed > 1 {
		m.w.fail("I2: %s is placed twice", c.name)
	}
	if c.failed {
		m.w.fail("I11: %s is placed after it was answered with an error", c.name)
	}
	c.client.placedAt[c.number] = at
}
