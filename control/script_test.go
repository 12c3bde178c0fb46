package control

import (
	"bytes"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// The scripts in testdata are read aloud like this:
//
//	limits   max-producers=2 …          begins again with other limits
//	share    NAME                       creates a share
//	login    AGENT [group=] [roles=()] [gossip=] [binding=]
//	end      s=1
//	topic    NAME [partitions=1] [share=default] [group=] [retention.ms=…]
//	alter    NAME KEY=VALUE …           replaces its overrides
//	grow     NAME 4
//	delete   NAME
//	commit   s=1 seq=1 [after=] [abandoned=(…)] [acked=] [losers=2] [share=default] [skip=N] ROW …
//	         a ROW is TOPIC/PARTITION=RECORDS, then optionally
//	           pid=ID/EPOCH/FIRST (or …/FIRST-LAST)  bytes=100  ts=5  hole=100 (bytes left out before the row)
//	ack      s=1 seq=N acked=N          an empty commit that only acknowledges
//	producer [id=7 epoch=0] [group=]    InitProducerId
//	offset   GROUP TOPIC/P=OFFSET …     commits offsets
//	forget   GROUP TOPIC/P …            deletes offsets
//	sync     GROUP [generation=1] MEMBER …
//	drop     GROUP                      deletes a group
//	time     +45s                       the leader's clock goes on
//	elect    [frozen]                   confirm
//	tick                                until nothing is due; prints log starts that moved
//	due                                 when a tick would do something
//	plan     TOPIC/P [offset=0] [bytes=1]
//	find     TOPIC/P ts=…
//	restart                             goes on with the state that a snapshot gives back
//	show     topics|groups|sessions|stats|dead
//	and those of the walls, in walls_script_test.go
//
// after= defaults to the last sequence the lane has. Before and after each command the state is
// written and read back, and both must write the same bytes (I4); every partition is checked for
// density (I1). At the end of a script a replay of its commands must end in the same bytes.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/state", func(t *testing.T, path string) {
		w := newScript(testLimits())
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := w.run(t, d)
			w.check(t)
			return out
		})
		w.replay(t)
	})
}

func testLimits() Limits {
	l := Default()
	l.Meta = Meta{Cluster: "test", ClusterID: "id", Incarnation: 1}
	return l
}

type script struct {
	limits Limits
	s      *State
	now    int64
	log    []*controlpb.Command
	nextID byte
}

func newScript(l Limits) *script {
	return &script{limits: l, s: NewState(l), now: 1_000_000}
}

func (w *script) apply(c *controlpb.Command) Result {
	c.Time = w.now
	w.log = append(w.log, c)
	return w.s.Apply(c)
}

func snapshotOf(t testing.TB, s *State) []byte {
	t.Helper()
	var b bytes.Buffer
	sn := s.Snapshot()
	defer sn.Release()
	n, err := sn.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("write snapshot: %d of %d bytes, %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func restored(t testing.TB, b []byte, l Limits) *State {
	t.Helper()
	s, err := ReadState(bytes.NewReader(b), l)
	if err != nil {
		t.Fatalf("read snapshot: %v", err)
	}
	return s
}

// check holds I1 and I4, and that what is kept twice agrees.
func (w *script) check(t testing.TB) {
	t.Helper()
	b := snapshotOf(t, w.s)
	again := restored(t, b, w.limits)
	if !bytes.Equal(b, snapshotOf(t, again)) {
		t.Fatal("I4: a state read from a snapshot writes another one")
	}
	checkDense(t, w.s)
	at, ok := w.s.NextDue()
	if at2, ok2 := again.NextDue(); at != at2 || ok != ok2 {
		t.Fatalf("I4: due at %d (%t), after a restart at %d (%t)", at, ok, at2, ok2)
	}
	if w.s.Stats() != again.Stats() {
		t.Fatalf("I4: %+v, after a restart %+v", w.s.Stats(), again.Stats())
	}
}

func checkDense(t testing.TB, s *State) {
	t.Helper()
	var entries, live int64
	s.EachTopic(func(x topic.Topic) bool {
		for i := range x.Partitions {
			p, _ := s.partition(topic.Partition{Topic: x.ID, Index: i})
			if p == nil {
				continue
			}
			next := p.logStart
			for j := range p.entries {
				e := p.entry(&s.blocks, j)
				if e.base != next {
					t.Fatalf("I1: %s/%d: entry at %d, want %d", x.Name, i, e.base, next)
				}
				next += int64(e.records)
				live += int64(e.length)
			}
			if next != p.end {
				t.Fatalf("I1: %s/%d ends at %d, entries end at %d", x.Name, i, p.end, next)
			}
			entries += int64(p.entries)
		}
		return true
	})
	if len(s.dying) == 0 && (entries != s.entries || live != s.liveBytes) {
		t.Fatalf("%d entries, %d bytes counted as %d, %d", entries, live, s.entries, s.liveBytes)
	}
}

func (w *script) replay(t *testing.T) {
	t.Helper()
	s := NewState(w.limits)
	for _, c := range w.log {
		s.Apply(c)
	}
	if !bytes.Equal(snapshotOf(t, s), snapshotOf(t, w.s)) {
		t.Fatal("I4: a replay of the log ends in another state")
	}
}

// args reads a command's arguments by name; those without a value are words.
type args struct {
	t     *testing.T
	d     *datadriven.TestData
	words []string
}

func newArgs(t *testing.T, d *datadriven.TestData) *args {
	a := &args{t: t, d: d}
	for _, x := range d.CmdArgs {
		if len(x.Vals) == 0 {
			a.words = append(a.words, x.Key)
		}
	}
	return a
}

func (a *args) text(key, otherwise string) string {
	for _, x := range a.d.CmdArgs {
		if x.Key == key && len(x.Vals) > 0 {
			return x.Vals[0]
		}
	}
	return otherwise
}

func (a *args) list(key string) []string {
	for _, x := range a.d.CmdArgs {
		if x.Key == key {
			return x.Vals
		}
	}
	return nil
}

func (a *args) num(key string, otherwise int64) int64 {
	return a.number(a.text(key, strconv.FormatInt(otherwise, 10)))
}

func (a *args) number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		a.d.Fatalf(a.t, "%v", err)
	}
	return n
}

// id finds a topic's id, known or not.
func (w *script) id(name string) topic.ID {
	if x, ok := w.s.TopicByName(name); ok {
		return x.ID
	}
	return topic.ID{0xff}
}

func (w *script) place(a *args, key string) topic.Partition {
	name, index, ok := strings.Cut(key, "/")
	if !ok {
		a.d.Fatalf(a.t, "%q is not topic/partition", key)
	}
	return topic.Partition{Topic: w.id(name), Index: int32(a.number(index))}
}

func (w *script) name(p topic.Partition) string {
	if x, ok := w.s.TopicByID(p.Topic); ok {
		return fmt.Sprintf("%s/%d", x.Name, p.Index)
	}
	return fmt.Sprintf("?/%d", p.Index)
}

func (w *script) run(t *testing.T, d *datadriven.TestData) string {
	a := newArgs(t, d)
	steps := map[string]func(*args) string{
		"limits": w.setLimits, "share": w.share, "login": w.login, "end": w.end, "topic": w.topic, "alter": w.alter,
		"grow": w.grow, "delete": w.delete, "commit": w.commit, "ack": w.commit, "producer": w.producer, "offset": w.offset,
		"forget": w.forget, "sync": w.sync, "drop": w.drop, "time": w.time, "elect": w.elect, "confirm": w.confirm,
		"tick": w.tick, "due": w.due, "plan": w.plan, "find": w.find, "restart": w.restart, "show": w.show,
	}
	maps.Copy(steps, w.wallSteps())
	step, ok := steps[d.Cmd]
	if !ok {
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	return step(a)
}

// change applies one change of the walls.
func (w *script) change(c *controlpb.WallChange) Result {
	return w.apply(&controlpb.Command{Op: &controlpb.Command_ChangeWalls{ChangeWalls: &controlpb.ChangeWallsCommand{
		Change: c, Identity: "root", GossipKey: []byte("new"),
	}}})
}

func code(c int16) string {
	if c == 0 {
		return "ok\n"
	}
	return fmt.Sprintf("code %d\n", c)
}

func (w *script) setLimits(a *args) string {
	l := testLimits()
	p := l.Proto()
	fields := limitFields(p)
	for _, x := range a.d.CmdArgs {
		found := false
		for _, f := range fields {
			if strings.ReplaceAll(f.name, " ", "-") == x.Key {
				*f.value, found = a.number(x.Vals[0]), true
			}
		}
		if !found {
			a.d.Fatalf(a.t, "no limit %q", x.Key)
		}
	}
	l.take(p)
	*w = *newScript(l)
	return "ok\n"
}

func (w *script) share(a *args) string {
	sh := &controlpb.Share{Name: a.words[0], Bucket: a.text("bucket", "mem://")}
	return code(w.apply(&controlpb.Command{Op: &controlpb.Command_CreateShare{CreateShare: &controlpb.CreateShareCommand{Share: sh}}}).Code)
}

func (w *script) login(a *args) string {
	roles := a.list("roles")
	if roles == nil {
		roles = []string{RoleProduce, RoleFetch}
	}
	q := &controlpb.LoginRequest{Agent: a.words[0], Group: a.text("group", "prod"), Roles: roles, GossipAddress: a.text("gossip", "")}
	r := w.apply(&controlpb.Command{Op: &controlpb.Command_Login{Login: &controlpb.LoginCommand{
		Request: q, GossipKey: []byte(a.text("key", "k")), Binding: a.text("binding", ""), Identity: a.text("binding", ""),
	}}})
	if r.Login == nil && r.Reason != "" {
		return told(r)
	}
	if r.Login == nil {
		return code(r.Code)
	}
	out := fmt.Sprintf("session %d node %d key %s", r.Login.Session, r.Login.NodeId, r.Login.GossipKey)
	if a.is("shares") {
		for _, sh := range r.Login.Shares {
			out += fmt.Sprintf(" %s in %s", sh.GetName(), sh.GetBucket())
			for _, role := range sh.GetRoles() {
				out += fmt.Sprintf(" as %s/%s=%s", role.GetGroup(), role.GetRole(), role.GetRoleArn())
			}
		}
	}
	if len(r.Login.Seeds) > 0 {
		out += fmt.Sprintf(" seeds %v", r.Login.Seeds)
	}
	return out + "\n"
}

func (w *script) end(a *args) string {
	return code(w.apply(&controlpb.Command{Op: &controlpb.Command_EndSession{EndSession: &controlpb.EndSessionRequest{Session: uint64(a.num("s", 0))}}}).Code)
}

func overrides(a *args, known ...string) map[string]string {
	m := map[string]string{}
	for _, x := range a.d.CmdArgs {
		if len(x.Vals) > 0 && !strings.Contains(" "+strings.Join(known, " ")+" ", " "+x.Key+" ") {
			m[x.Key] = x.Vals[0]
		}
	}
	return m
}

func (w *script) topic(a *args) string {
	w.nextID++
	id := topic.ID{w.nextID}
	r := w.apply(&controlpb.Command{Op: &controlpb.Command_CreateTopic{CreateTopic: &controlpb.CreateTopicCommand{
		Name: a.words[0], Id: id[:], Partitions: int32(a.num("partitions", 1)), Share: a.text("share", "default"),
		Config: overrides(a, "partitions", "share", "group"), Group: a.text("group", ""),
	}}})
	if r.Reason != "" {
		return told(r)
	}
	return code(r.Code)
}

func (w *script) alter(a *args) string {
	id := w.id(a.words[0])
	return code(w.apply(&controlpb.Command{Op: &controlpb.Command_AlterTopicConfig{AlterTopicConfig: &controlpb.AlterTopicConfigCommand{
		Id: id[:], Config: overrides(a),
	}}}).Code)
}

func (w *script) grow(a *args) string {
	id := w.id(a.words[0])
	r := w.apply(&controlpb.Command{Op: &controlpb.Command_CreatePartitions{CreatePartitions: &controlpb.CreatePartitionsCommand{
		Id: id[:], Partitions: int32(a.number(a.words[1])),
	}}})
	if r.Reason != "" {
		return told(r)
	}
	return code(r.Code)
}

func (w *script) delete(a *args) string {
	id := w.id(a.words[0])
	r := w.apply(&controlpb.Command{Op: &controlpb.Command_DeleteTopic{DeleteTopic: &controlpb.DeleteTopicCommand{Id: id[:]}}})
	out := code(r.Code)
	for _, e := range r.Events {
		out += fmt.Sprintf("removed %t %d\n", e.Removed, e.Partition.Index)
	}
	return out
}

func (w *script) rows(a *args) segment.Manifest {
	var m segment.Manifest
	var holes []uint32 // bytes left out before each row
	for _, x := range a.d.CmdArgs {
		if strings.Contains(x.Key, "/") {
			m.Rows = append(m.Rows, segment.Row{Partition: w.place(a, x.Key), Records: uint32(a.number(x.Vals[0])), Length: 100,
				MaxTimestamp: w.now, Producer: segment.Producer{ID: segment.NoProducer}})
			holes = append(holes, 0)
		}
		if len(m.Rows) == 0 {
			continue
		}
		r := &m.Rows[len(m.Rows)-1]
		switch x.Key {
		case "bytes":
			r.Length = uint32(a.number(x.Vals[0]))
		case "ts":
			r.MaxTimestamp = a.number(x.Vals[0])
		case "hole":
			holes[len(holes)-1] = uint32(a.number(x.Vals[0]))
		case "pid":
			part := strings.Split(x.Vals[0], "/")
			first, _, _ := strings.Cut(part[2], "-")
			r.Producer = segment.Producer{ID: a.number(part[0]), Epoch: int16(a.number(part[1])), First: int32(a.number(first))}
			r.Producer.Last = int32((int64(r.Producer.First) + int64(r.Records) - 1) & 0x7fffffff)
		}
	}
	at := uint32(20)
	for i := range m.Rows {
		at += holes[i]
		m.Rows[i].Position = at
		at += m.Rows[i].Length
	}
	m.Size = at + 100
	return m
}

var outcomes = map[segment.Outcome]string{
	segment.Answered: "answered", segment.Gone: "gone", segment.SessionEnded: "session ended",
	segment.OutOfOrder: "out of order", segment.Unauthorized: "unauthorized",
}

func (w *script) commit(a *args) string {
	c := &controlpb.CommitRequest{
		Session: uint64(a.num("s", 1)), Share: a.text("share", "default"), Sequence: uint64(a.num("seq", 0)),
		Acked: uint64(a.num("acked", 0)), Nonce: make([]byte, 12),
	}
	c.Nonce[0] = byte(c.Sequence)
	for i := range a.num("losers", 0) {
		c.Losers = append(c.Losers, append(make([]byte, 11), byte(i+1)))
	}
	for _, v := range a.list("abandoned") {
		c.Abandoned = append(c.Abandoned, uint64(a.number(v)))
	}
	c.After = uint64(a.num("after", int64(w.last(c.Session, c.Share))))
	if a.d.Cmd == "ack" {
		c.After = c.Sequence
	}
	m := w.rows(a)
	if len(m.Rows) > 0 {
		c.Manifest = segment.AppendManifest(nil, &m)
	}
	if a.text("manifest", "") == "broken" {
		c.Manifest = []byte("broken")
	}
	r := w.apply(&controlpb.Command{Op: &controlpb.Command_Commit{Commit: c}})
	return w.reply(m, r)
}

func (w *script) last(session uint64, share string) uint64 {
	if x, ok := w.s.sessions.Get(session); ok {
		if at, ok := x.find(w.s.wordOf[share]); ok {
			return x.lanes[at].last
		}
	}
	return 0
}

func (w *script) reply(m segment.Manifest, r Result) string {
	var b strings.Builder
	if r.Reply.Outcome != segment.Answered || len(r.Reply.Answers) == 0 {
		fmt.Fprintf(&b, "%s, last %d\n", outcomes[r.Reply.Outcome], r.Reply.Last)
	}
	for i, x := range r.Reply.Answers {
		if i < len(m.Rows) {
			fmt.Fprintf(&b, "%s ", w.name(m.Rows[i].Partition))
		}
		switch x.Verdict {
		case segment.Placed:
			fmt.Fprintf(&b, "placed at %d", x.Offset)
		case segment.Duplicate:
			fmt.Fprintf(&b, "duplicate of %d", x.Offset)
		case segment.Refused:
			b.WriteString("refused")
		}
		if x.Code != 0 {
			fmt.Fprintf(&b, " code %d", x.Code)
		}
		if x.LogStart != 0 {
			fmt.Fprintf(&b, " log start %d", x.LogStart)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (w *script) producer(a *args) string {
	r := w.apply(&controlpb.Command{Op: &controlpb.Command_InitProducer{InitProducer: &controlpb.InitProducerCommand{
		ProducerId: a.num("id", -1), Epoch: int32(a.num("epoch", -1)), Group: a.text("group", ""),
	}}})
	if r.Reason != "" {
		return told(r)
	}
	if r.Code != 0 {
		return code(r.Code)
	}
	return fmt.Sprintf("id %d epoch %d\n", r.ProducerID, r.ProducerEpoch)
}

func (w *script) offset(a *args) string {
	var c controlpb.CommitOffsetsCommand
	for _, x := range a.d.CmdArgs {
		if !strings.Contains(x.Key, "/") {
			continue
		}
		p := w.place(a, x.Key)
		c.Offsets = append(c.Offsets, &controlpb.GroupOffset{Group: a.words[0], TopicId: p.Topic[:], Partition: p.Index,
			Offset: a.number(x.Vals[0]), Metadata: a.text("metadata", "")})
	}
	return fmt.Sprintln("codes", w.apply(&controlpb.Command{Op: &controlpb.Command_CommitOffsets{CommitOffsets: &c}}).Codes)
}

func (w *script) forget(a *args) string {
	c := controlpb.DeleteOffsetsCommand{Group: a.words[0]}
	for _, key := range a.words[1:] {
		p := w.place(a, key)
		c.Partitions = append(c.Partitions, &controlpb.Partition{TopicId: p.Topic[:], Index: p.Index})
	}
	r := w.apply(&controlpb.Command{Op: &controlpb.Command_DeleteOffsets{DeleteOffsets: &c}})
	return fmt.Sprintf("code %d %v\n", r.Code, r.Codes)
}

func (w *script) sync(a *args) string {
	c := controlpb.SyncGroupCommand{Group: a.words[0], ProtocolType: "consumer", Protocol: "range", Generation: int32(a.num("generation", 1))}
	for _, m := range a.words[1:] {
		c.Members = append(c.Members, &controlpb.GroupMember{Id: m, Assignment: []byte(m), Protocols: []*controlpb.GroupProtocol{{Name: "range"}}})
	}
	return code(w.apply(&controlpb.Command{Op: &controlpb.Command_SyncGroup{SyncGroup: &c}}).Code)
}

func (w *script) drop(a *args) string {
	return code(w.apply(&controlpb.Command{Op: &controlpb.Command_DeleteGroup{DeleteGroup: &controlpb.DeleteGroupCommand{Group: a.words[0]}}}).Code)
}

func (w *script) time(a *args) string {
	d, err := time.ParseDuration(strings.TrimPrefix(a.words[0], "+"))
	if err != nil {
		a.d.Fatalf(a.t, "%v", err)
	}
	w.now += d.Milliseconds()
	return ""
}

func (w *script) elect(a *args) string {
	c := &controlpb.ElectCommand{Term: 1, Frozen: len(a.words) > 0 && a.words[0] == "frozen"}
	if n := a.num("max-producers", 0); n > 0 {
		c.Limits = &controlpb.StateLimits{MaxProducers: n}
	}
	return code(w.apply(&controlpb.Command{Op: &controlpb.Command_Elect{Elect: c}}).Code)
}

func (w *script) confirm(*args) string {
	return code(w.apply(&controlpb.Command{Op: &controlpb.Command_ConfirmClock{ConfirmClock: &controlpb.ConfirmClockCommand{}}}).Code)
}

func (w *script) tick(a *args) string {
	var b strings.Builder
	for n := range 1000 {
		at, ok := w.s.NextDue()
		if !ok || at > w.now || (len(a.words) > 0 && a.words[0] == "once" && n == 1) {
			break
		}
		r := w.apply(&controlpb.Command{Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}})
		for _, e := range r.Events {
			fmt.Fprintf(&b, "%s log start %d end %d\n", w.name(e.Partition), e.LogStart, e.HighWatermark)
		}
	}
	return b.String()
}

func (w *script) due(*args) string {
	at, ok := w.s.NextDue()
	if !ok {
		return "nothing\n"
	}
	return fmt.Sprintf("in %s\n", time.Duration(max(at-w.now, 0))*time.Millisecond)
}

func (w *script) plan(a *args) string {
	p := w.s.Plan(w.place(a, a.words[0]), topic.Offset(a.num("offset", 0)), a.num("bytes", 1<<40))
	var b strings.Builder
	fmt.Fprintf(&b, "code %d [%d,%d)\n", p.Code, p.LogStart, p.HighWatermark)
	for _, l := range p.Locations {
		fmt.Fprintf(&b, "[%d,%d) in %s of %s at %d+%d\n", l.Base, l.End(), l.Object.ID, l.Object.Group, l.Position, l.Length)
	}
	return b.String()
}

func (w *script) find(a *args) string {
	f := w.s.FindOffset(segment.OffsetQuery{Partition: w.place(a, a.words[0]), Timestamp: a.num("ts", 0)})
	out := fmt.Sprintf("code %d offset %d time %d", f.Code, f.Offset, f.Timestamp)
	if f.In != nil {
		out += fmt.Sprintf(" in [%d,%d)", f.In.Base, f.In.End())
	}
	return out + "\n"
}

func (w *script) restart(*args) string {
	var b bytes.Buffer
	sn := w.s.Snapshot()
	if _, err := sn.WriteTo(&b); err != nil {
		return err.Error()
	}
	s, err := ReadState(&b, w.limits)
	if err != nil {
		return err.Error()
	}
	w.s = s
	return "ok\n"
}

func (w *script) show(a *args) string {
	var b strings.Builder
	switch a.words[0] {
	case "topics":
		w.s.EachTopic(func(x topic.Topic) bool {
			fmt.Fprintf(&b, "%s partitions %d share %q internal %t %v\n", x.Name, x.Partitions, x.Share, x.Internal, x.Overrides)
			return true
		})
	case "groups":
		w.s.EachGroup(func(g Group) bool {
			fmt.Fprintf(&b, "%s generation %d members %d\n", g.Name, g.Generation, len(g.Members))
			w.s.EachOffset(g.Name, func(p topic.Partition, o CommittedOffset) bool {
				fmt.Fprintf(&b, "  %s %d %q\n", w.name(p), o.Offset, o.Metadata)
				return true
			})
			return true
		})
	case "sessions":
		w.s.EachSession(func(x Session) bool {
			fmt.Fprintf(&b, "session %d %s/%s node %d ended %t\n", x.ID, x.Group, x.Agent, x.NodeID, x.Ended)
			return true
		})
	case "dead":
		w.s.EachDeadObject(func(o DeadObject) bool {
			fmt.Fprintf(&b, "%s nonce %x %d bytes\n", o.Object.ID, o.Object.Nonce, o.Size)
			return true
		})
	case "walls":
		return w.showWalls()
	case "stats":
		x := w.s.Stats()
		fmt.Fprintf(&b, "topics %d partitions %d entries %d segments %d dead %d bytes %d\n", x.Topics, x.Partitions, x.IndexEntries, x.Segments, x.DeadObjects, x.LiveBytes)
		fmt.Fprintf(&b, "producers %d of %d ids, sessions %d, groups %d, offsets %d\n", x.Producers, x.ProducerIDs, x.Sessions, x.Groups, x.Offsets)
	}
	return b.String()
}
