package control

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

func tinyLimits() Limits {
	l := testLimits()
	l.MaxTopics, l.MaxPartitions, l.MaxTopicPartitions = 4, 14, 6
	l.MaxIndexEntries, l.MaxSegments, l.MaxDeadObjects = 60, 30, 20
	l.MaxExtentBytes = 200
	l.MaxProducers, l.MaxSessions, l.MaxNodes, l.MaxNames = 8, 3, 6, 5
	l.MaxUnanswered, l.MaxGroups, l.MaxOffsets, l.TickWork = 4, 3, 6, 5
	l.MaxGrants, l.MaxBindings, l.MaxJoinTokens, l.MaxAuditEvents = 3, 3, 2, 10
	return l
}

// TestI4ReplayEqualsLive: commands of every kind, a restart from a snapshot in between, and the
// same bytes at the end, whether a state restarted or not, and whether others took snapshots.
func TestI4ReplayEqualsLive(t *testing.T) {
	for seed := range uint64(40) {
		l := testLimits()
		if seed%2 == 1 {
			l = tinyLimits()
		}
		live, again := NewState(l), NewState(l)
		c := newChaos(seed)
		rng := rand.New(rand.NewPCG(seed, 2))
		for step := range 600 {
			cmd := c.command(live)
			want, got := live.Apply(cmd), again.Apply(proto.Clone(cmd).(*controlpb.Command))
			if fmt.Sprintf("%+v", want) != fmt.Sprintf("%+v", got) {
				t.Fatalf("seed %d step %d: %v\nlive  %+v\nagain %+v", seed, step, cmd, want, got)
			}
			if rng.IntN(40) == 0 {
				again = restored(t, snapshotOf(t, again), l)
			}
			if rng.IntN(60) == 0 {
				checkDense(t, live)
				if !bytes.Equal(snapshotOf(t, live), snapshotOf(t, again)) {
					t.Fatalf("seed %d step %d: states differ after %v", seed, step, cmd)
				}
			}
		}
		if !bytes.Equal(snapshotOf(t, live), snapshotOf(t, again)) {
			t.Fatalf("seed %d: states differ at the end", seed)
		}
	}
}

// TestI10Bounded: whatever comes, nothing grows beyond its limit, and ticks come to an end.
func TestI10Bounded(t *testing.T) {
	for seed := range uint64(30) {
		l := tinyLimits()
		s := NewState(l)
		c := newChaos(seed)
		for step := range 600 {
			cmd := c.command(s)
			if e := cmd.GetElect(); e != nil {
				e.Limits = nil
			}
			s.Apply(cmd)
			x := s.Stats()
			over := x.Topics > l.MaxTopics || x.Partitions > l.MaxPartitions || x.IndexEntries > int64(l.MaxIndexEntries) ||
				x.Segments > l.MaxSegments || x.DeadObjects > l.MaxDeadObjects || x.Producers > l.MaxProducers ||
				x.Sessions > l.MaxSessions || x.Groups > l.MaxGroups || x.Offsets > l.MaxOffsets ||
				s.nodes.Len() > l.MaxNodes || len(s.words) > l.MaxNames || x.ProducerIDs > x.Producers ||
				s.grants.Len() > l.MaxGrants || s.bindings.Len() > l.MaxBindings || s.joinTokens.Len() > l.MaxJoinTokens || s.audit.Len() > l.MaxAuditEvents
			if over {
				t.Fatalf("seed %d step %d: %+v after %v", seed, step, x, cmd)
			}
			s.sessions.Scan(func(_ uint64, x *session) bool {
				for _, lane := range x.lanes {
					if len(lane.answers) > l.MaxUnanswered {
						t.Fatalf("seed %d step %d: %d answers kept", seed, step, len(lane.answers))
					}
				}
				return true
			})
		}
		s.Apply(&controlpb.Command{Time: c.now, Op: &controlpb.Command_ConfirmClock{ConfirmClock: &controlpb.ConfirmClockCommand{}}})
		for n := 0; ; n++ {
			at, ok := s.NextDue()
			if !ok || at > s.Time() {
				break
			}
			if n > 1000 {
				t.Fatalf("seed %d: ticks without end", seed)
			}
			s.Apply(&controlpb.Command{Time: c.now, Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}})
		}
	}
}

// world is a few idempotent producers, agents and a network that repeats, delays and loses. Each
// batch is tried again until it is known to be placed, at any agent.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	s       *State
	part    topic.Partition
	now     int64
	agents  []*agent
	senders []*sender
	placed  map[batchName]topic.Offset
	failed  map[string]bool // copies answered with an error: session/sequence/row
	seen    map[string]string
	end     topic.Offset
}

type batchName struct {
	sender int
	number int
}

type agent struct {
	name    string
	session uint64
	last    uint64
	sent    []*controlpb.CommitRequest // unanswered, in order
	rows    [][]copyOf                 // of each
}

type copyOf struct {
	sender, number int
	row            segment.Row
}

type sender struct {
	id   int64
	next int // the first batch not yet acknowledged
}

const batchRecords = 2

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 3)), s: NewState(testLimits()), now: 1000,
		placed: map[batchName]topic.Offset{}, failed: map[string]bool{}, seen: map[string]string{}}
	id := topic.ID{9}
	w.part = topic.Partition{Topic: id}
	w.apply(&controlpb.Command{Op: &controlpb.Command_CreateShare{CreateShare: &controlpb.CreateShareCommand{Share: &controlpb.Share{Name: "default"}}}})
	w.apply(&controlpb.Command{Op: &controlpb.Command_CreateTopic{CreateTopic: &controlpb.CreateTopicCommand{Name: "t", Id: id[:], Partitions: 1, Share: "default"}}})
	for range 3 {
		r := w.apply(&controlpb.Command{Op: &controlpb.Command_InitProducer{InitProducer: &controlpb.InitProducerCommand{ProducerId: -1}}})
		w.senders = append(w.senders, &sender{id: r.ProducerID})
	}
	for i := range 2 {
		a := &agent{name: fmt.Sprint("a", i)}
		w.agents = append(w.agents, a)
		w.login(a)
	}
	return w
}

func (w *world) apply(c *controlpb.Command) Result {
	c.Time = w.now
	return w.s.Apply(c)
}

func (w *world) login(a *agent) {
	r := w.apply(&controlpb.Command{Op: &controlpb.Command_Login{Login: &controlpb.LoginCommand{
		Request: &controlpb.LoginRequest{Agent: a.name, Group: "prod", Roles: []string{"produce"}},
	}}})
	a.session, a.last, a.sent, a.rows = r.Login.Session, 0, nil, nil
}

// send lets an agent commit a few batches of each sender, from its first unacknowledged one or a
// later one, so that gaps and repeats come about.
func (w *world) send() {
	a := w.agents[w.rng.IntN(len(w.agents))]
	if len(a.sent) > 3 {
		return
	}
	var rows []copyOf
	at := uint32(20)
	for i, p := range w.senders {
		for n := p.next + w.rng.IntN(3); n < p.next+w.rng.IntN(5); n++ {
			first := int32(n * batchRecords)
			rows = append(rows, copyOf{i, n, segment.Row{Partition: w.part, Position: at, Length: 100, Records: batchRecords,
				Producer: segment.Producer{ID: p.id, First: first, Last: first + batchRecords - 1}}})
			at += 100
		}
	}
	m := segment.Manifest{Size: at}
	for _, r := range rows {
		m.Rows = append(m.Rows, r.row)
	}
	c := &controlpb.CommitRequest{Session: a.session, Share: "default", Sequence: a.last + 1, After: a.last, Nonce: make([]byte, 12)}
	if w.rng.IntN(5) == 0 { // an upload was given up
		c.Sequence, c.Abandoned = a.last+2, []uint64{a.last + 1}
	}
	if len(m.Rows) > 0 {
		c.Manifest = segment.AppendManifest(nil, &m)
	}
	a.last = c.Sequence
	a.sent, a.rows = append(a.sent, c), append(a.rows, rows)
}

// deliver brings one of an agent's commits to the state, in any order and any number of times,
// and its reply back, or not.
func (w *world) deliver() {
	a := w.agents[w.rng.IntN(len(w.agents))]
	if len(a.sent) == 0 {
		return
	}
	i := w.rng.IntN(len(a.sent))
	c := a.sent[i]
	r := w.apply(&controlpb.Command{Op: &controlpb.Command_Commit{Commit: c}})
	w.observe(c, a.rows[i], r)
	if r.Reply.Outcome != segment.Answered || w.rng.IntN(3) == 0 {
		return // refused without effect, or the reply was lost
	}
	for j, x := range r.Reply.Answers {
		cp := a.rows[i][j]
		if p := w.senders[cp.sender]; x.Verdict != segment.Refused && cp.number == p.next {
			p.next++
		}
	}
	a.sent, a.rows = append(a.sent[:i:i], a.sent[i+1:]...), append(a.rows[:i:i], a.rows[i+1:]...)
}

// observe is what an onlooker of the state itself must never see broken.
func (w *world) observe(c *controlpb.CommitRequest, rows []copyOf, r Result) {
	key := fmt.Sprint(c.Session, "/", c.Sequence)
	text := fmt.Sprintf("%+v", r.Reply.Answers)
	switch r.Reply.Outcome {
	case segment.Answered:
		if before, again := w.seen[key]; again && before != text {
			w.t.Fatalf("I2: commit %s answered %s, then %s", key, before, text)
		} else if again {
			return
		}
		w.seen[key] = text
		if w.failed[key] {
			w.t.Fatalf("I11: commit %s answered after its session had ended without it", key)
		}
	case segment.SessionEnded:
		if _, was := w.seen[key]; was {
			w.t.Fatalf("I11: commit %s was answered, and now its session has ended without it", key)
		}
		w.failed[key] = true
	}
	for i, x := range r.Reply.Answers {
		name := batchName{rows[i].sender, rows[i].number}
		at, was := w.placed[name]
		switch {
		case x.Verdict == segment.Placed && was:
			w.t.Fatalf("I5: batch %v placed at %d and %d", name, at, x.Offset)
		case x.Verdict == segment.Placed && x.Offset != w.end:
			w.t.Fatalf("I1: batch %v placed at %d, the log ended at %d", name, x.Offset, w.end)
		case x.Verdict == segment.Placed:
			if _, before := w.placed[batchName{name.sender, name.number - 1}]; name.number > 0 && !before {
				w.t.Fatalf("I5: batch %v placed without the one before it", name)
			}
			w.placed[name], w.end = x.Offset, w.end+batchRecords
		case x.Verdict == segment.Duplicate && !was:
			w.t.Fatalf("I5: batch %v called a duplicate, never placed", name)
		case x.Verdict == segment.Duplicate && x.Code == 0 && x.Offset != at:
			w.t.Fatalf("I5: batch %v placed at %d, called a duplicate of %d", name, at, x.Offset)
		}
	}
}

func (w *world) disturb() {
	a := w.agents[w.rng.IntN(len(w.agents))]
	switch w.rng.IntN(6) {
	case 0:
		w.apply(&controlpb.Command{Op: &controlpb.Command_EndSession{EndSession: &controlpb.EndSessionRequest{Session: a.session}}})
	case 1:
		w.login(a)
	case 2:
		w.apply(&controlpb.Command{Op: &controlpb.Command_Elect{Elect: &controlpb.ElectCommand{}}})
	case 3:
		w.s = restored(w.t, snapshotOf(w.t, w.s), testLimits())
	default:
		w.now += int64(w.rng.IntN(20_000))
	}
	if x, ok := w.s.Session(a.session); !ok || x.Ended {
		w.settleAgent(a)
	}
}

// settleAgent asks what became of everything that was sent, before the agent goes on in a new
// session.
func (w *world) settleAgent(a *agent) {
	for i, c := range a.sent {
		w.observe(c, a.rows[i], w.apply(&controlpb.Command{Op: &controlpb.Command_Commit{Commit: c}}))
	}
	w.login(a)
}

// TestI1I2I5I11 lets a seed decide what the network does. Afterwards, left in peace, every batch
// gets through.
func TestI1I2I5I11(t *testing.T) {
	for seed := range uint64(150) {
		w := newWorld(t, seed)
		for range 250 {
			steps := []func(){w.send, w.deliver, w.deliver, w.deliver, w.disturb}
			if n := w.rng.IntN(25); n < 24 {
				steps[n%4]()
			} else {
				steps[4]()
			}
		}
		checkDense(t, w.s)
		w.settle(seed)
	}
}

func (w *world) settle(seed uint64) {
	for _, a := range w.agents {
		w.settleAgent(a)
	}
	a := w.agents[0]
	for i, p := range w.senders {
		for range 10 {
			first := int32(p.next * batchRecords)
			m := segment.Manifest{Size: 120, Rows: []segment.Row{{Partition: w.part, Position: 20, Length: 100, Records: batchRecords,
				Producer: segment.Producer{ID: p.id, First: first, Last: first + batchRecords - 1}}}}
			c := &controlpb.CommitRequest{Session: a.session, Share: "default", Sequence: a.last + 1, After: a.last, Acked: a.last,
				Nonce: make([]byte, 12), Manifest: segment.AppendManifest(nil, &m)}
			a.last++
			r := w.apply(&controlpb.Command{Op: &controlpb.Command_Commit{Commit: c}})
			w.observe(c, []copyOf{{i, p.next, m.Rows[0]}}, r)
			if len(r.Reply.Answers) != 1 || r.Reply.Answers[0].Verdict == segment.Refused {
				w.t.Fatalf("seed %d: in peace, batch %d of %d: %+v", seed, p.next, i, r.Reply)
			}
			p.next++
		}
	}
}

// TestSnapshotWhileApplying is for the race detector too: a snapshot holds the moment it was taken,
// however long its writing takes.
func TestSnapshotWhileApplying(t *testing.T) {
	for seed := range uint64(4) {
		l := testLimits()
		s, shadow := NewState(l), NewState(l)
		c := newChaos(seed + 100)
		type result struct {
			b   []byte
			err error
		}
		for range 12 {
			for range 60 {
				cmd := c.command(s)
				s.Apply(cmd)
				shadow.Apply(cmd)
			}
			want := snapshotOf(t, shadow)
			sn := s.Snapshot()
			done := make(chan result)
			go func() {
				var b bytes.Buffer
				_, err := sn.WriteTo(&b)
				sn.Release()
				done <- result{b.Bytes(), err}
			}()
			for range 200 {
				cmd := c.command(s)
				s.Apply(cmd)
				shadow.Apply(cmd)
			}
			if got := <-done; got.err != nil || !bytes.Equal(got.b, want) {
				t.Fatalf("seed %d: a snapshot changed while it was written (%v)", seed, got.err)
			}
		}
	}
}

type failing struct{ left int }

func (f *failing) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, bytes.ErrTooLarge
	}
	return len(b), nil
}

// TestSnapshotFaults: a full disk is told, and nothing that is cut, changed or of another cluster
// is believed.
func TestSnapshotFaults(t *testing.T) {
	l := testLimits()
	s := NewState(l)
	c := newChaos(5)
	for range 500 {
		s.Apply(c.command(s))
	}
	b := snapshotOf(t, s)
	if _, err := s.Snapshot().WriteTo(&failing{left: len(b) / 2}); err == nil {
		t.Error("a failed write was not told")
	}
	for i := 0; i < len(b); i += 1 + len(b)/300 {
		if _, err := ReadState(bytes.NewReader(b[:i]), l); err == nil {
			t.Errorf("cut at %d of %d: no error", i, len(b))
		}
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		if _, err := ReadState(bytes.NewReader(bad), l); err == nil {
			t.Errorf("changed at %d of %d: no error", i, len(b))
		}
	}
	other := l
	other.Meta.Incarnation = 2
	if _, err := ReadState(bytes.NewReader(b), other); err == nil || !strings.Contains(err.Error(), "incarnation 1") {
		t.Errorf("of another incarnation: %v", err)
	}
	other.Meta = Meta{}
	if _, err := ReadState(bytes.NewReader(b), other); err != nil {
		t.Errorf("of any cluster: %v", err)
	}
}

// TestCodes compares our numbers with those of kerr.
func TestCodes(t *testing.T) {
	for ours, theirs := range map[int16]*kerr.Error{
		codeUnknownPartition: kerr.UnknownTopicOrPartition, codeMetadataTooLarge: kerr.OffsetMetadataTooLarge,
		codeLoading: kerr.CoordinatorLoadInProgress, codeInvalidTopic: kerr.InvalidTopicException,
		codeNotEnoughReplicas: kerr.NotEnoughReplicas, codeInvalidGroup: kerr.InvalidGroupID, codeTopicDenied: kerr.TopicAuthorizationFailed,
		codeTopicExists: kerr.TopicAlreadyExists, codeInvalidPartitions: kerr.InvalidPartitions, codeInvalidConfig: kerr.InvalidConfig,
		codeInvalidRequest: kerr.InvalidRequest, codePolicy: kerr.PolicyViolation, codeSequenceGap: kerr.OutOfOrderSequenceNumber,
		codeSequenceOld: kerr.DuplicateSequenceNumber, codeProducerEpoch: kerr.InvalidProducerEpoch, codeUnknownProducer: kerr.UnknownProducerID,
		codeNonEmptyGroup: kerr.NonEmptyGroup, codeGroupNotFound: kerr.GroupIDNotFound, codeGroupTooLarge: kerr.GroupMaxSizeReached,
		codeTooMany: kerr.ThrottlingQuotaExceeded, codeUnknownTopicID: kerr.UnknownTopicID,
	} {
		if ours != theirs.Code {
			t.Errorf("%d is not %s (%d)", ours, theirs.Message, theirs.Code)
		}
	}
}

// TestLimitsValidate reports every fault at once.
func TestLimitsValidate(t *testing.T) {
	l := testLimits()
	if err := l.Validate(); err != nil {
		t.Fatal(err)
	}
	l.MaxTopics, l.Meta.Cluster, l.GapPatience, l.Heartbeat, l.MaxNames = 0, "a/b", 1e9, l.Lease, 1<<17
	err := l.Validate()
	for _, part := range []string{"max topics 0", "cluster name", "gap patience 1s", "heartbeat 12s", "max names 131072"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not told: %v", part, err)
		}
	}
}
