package produce

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// TestWriter runs the scripts of testdata/writer. Each drives one writer; the output of a command
// is the effects in order, those of time with the moment before them. The commands:
//
//	new [bare] [interval=D] [flush-bytes=N] [idle=D] [deadline=D] [uploads=N] [answer=D] [hedge=F] …
//	    makes a writer; unless bare, session 1 has started and its stream is up
//	append [share=S]
//	    NAME PARTITION [pid=N] [epoch=N] [seq=N] [records=N] [size=N] [stamp] [patience=D]    a batch a line
//	wait D                  lets time pass, ticking whenever the writer asked to be woken
//	put nN RESULT           the upload under the N-th nonce ended: stored exists retry throttled denied invalid unknown
//	fly N [size=N]          N uploads of one batch each, stored after 100ms and answered, to learn the pace; prints nothing
//	reply SHARE/SEQ OUTCOME…  answered with one of @OFFSET dup@OFFSET dup46 err=CODE for each row;
//	                        gone, ended, unauthorized, out-of-order [last=N]; session=N of another session
//	stream up|down, session start|ended|resolved|denied N, denied, drain, abort
//	state                   what the writer holds
func TestWriter(t *testing.T) {
	datadriven.Walk(t, "testdata/writer", func(t *testing.T, path string) {
		var s *script
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				s = newScript(t, d)
				return s.effects("")
			}
			return s.run(t, d)
		})
	})
}

type script struct {
	w       *Writer
	now     time.Duration
	drawn   uint64
	session uint64
	names   map[*Batch]string
}

const unixStart = 1_700_000_000_000

func newScript(t *testing.T, d *datadriven.TestData) *script {
	cfg := Default()
	cfg.HedgeBudget = 0
	bare := false
	for _, a := range d.CmdArgs {
		v := strings.Join(a.Vals, "")
		switch a.Key {
		case "bare":
			bare = true
		case "interval":
			cfg.FlushInterval = duration(t, v)
		case "flush-bytes":
			cfg.FlushBytes = int(number(t, v))
		case "idle":
			cfg.IdleWait = duration(t, v)
		case "uploads":
			cfg.MaxUploads = int(number(t, v))
		case "segments":
			cfg.MaxSegments = int(number(t, v))
		case "hedge":
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				t.Fatal(err)
			}
			cfg.HedgeBudget = f
		default:
			t.Fatalf("unknown setting %q", a.Key)
		}
	}
	s := &script{names: make(map[*Batch]string)}
	s.w = NewWriter(cfg, s.nonce)
	s.w.Start(s.at())
	if !bare {
		s.start(1)
		s.w.StreamUp(s.at(), 1)
		s.w.Effects(nil)
	}
	return s
}

func (s *script) nonce() (n segment.Nonce) {
	s.drawn++
	binary.BigEndian.PutUint64(n[4:], s.drawn)
	return n
}

func (s *script) at() Now { return Now{At: s.now, Unix: unixStart + s.now.Milliseconds()} }

func (s *script) start(id uint64) {
	s.session = id
	s.w.SessionStarted(s.at(), Session{ID: id, Incarnation: 1, Cluster: "c", Group: "g"})
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	arg := func(i int) string {
		if i >= len(d.CmdArgs) {
			t.Fatalf("%s: too few arguments", d.Pos)
		}
		return d.CmdArgs[i].String()
	}
	switch d.Cmd {
	case "append":
		s.append(t, d)
	case "wait":
		return s.wait(duration(t, arg(0)))
	case "put":
		s.put(t, arg(0), arg(1))
	case "fly":
		s.fly(t, d)
	case "reply":
		s.w.Reply(s.at(), s.reply(t, d))
	case "stream":
		if arg(0) == "up" {
			s.w.StreamUp(s.at(), s.session)
		} else {
			s.w.StreamDown(s.at(), s.session)
		}
	case "session":
		id := uint64(number(t, arg(1)))
		switch arg(0) {
		case "start":
			s.start(id)
		case "ended":
			s.w.SessionEnded(s.at(), id)
		case "resolved":
			s.w.SessionResolved(s.at(), id)
		case "denied":
			s.w.SessionDenied(s.at(), id)
		}
	case "denied":
		s.w.Denied(s.at(), "no binding")
	case "drain":
		s.w.Drain(s.at())
	case "abort":
		s.w.Abort(s.at())
	case "state":
		return s.state()
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	return s.effects("")
}

func (s *script) append(t *testing.T, d *datadriven.TestData) {
	share := "default"
	d.MaybeScanArgs(t, "share", &share)
	var batches []*Batch
	for line := range strings.Lines(d.Input) {
		f := strings.Fields(line)
		o := recordtest.Options{Records: 1, Time: unixStart}
		b := &Batch{Share: share, Partition: topic.Partition{Topic: topic.ID{1}, Index: int32(number(t, f[1]))}}
		for _, one := range f[2:] {
			k, v, _ := strings.Cut(one, "=")
			switch k {
			case "pid":
				o.Idempotent, o.ProducerID = true, number(t, v)
			case "epoch":
				o.Epoch = int16(number(t, v))
			case "seq":
				o.Sequence = int32(number(t, v))
			case "records":
				o.Records = int(number(t, v))
			case "size":
				o.Size = int(number(t, v))
			case "stamp":
				b.AppendTime = true
			case "patience":
				b.Patience = duration(t, v)
			default:
				t.Fatalf("%s: unknown setting %q", d.Pos, k)
			}
		}
		b.Bytes = recordtest.Batch(o)
		s.names[b] = f[0]
		batches = append(batches, b)
	}
	s.w.Append(s.at(), batches...)
}

// wait advances to each moment that the writer asked for, and then to the end.
func (s *script) wait(d time.Duration) string {
	end := s.now + d
	var out strings.Builder
	for n := 0; ; n++ {
		at, ok := s.w.Wake()
		if !ok || at > end {
			break
		}
		if n > 1000 {
			return out.String() + "the writer never sleeps\n"
		}
		s.now = max(s.now, at)
		s.w.Tick(s.at())
		out.WriteString(s.effects(fmt.Sprintf("%v ", s.now)))
	}
	s.now = end
	return out.String()
}

func (s *script) put(t *testing.T, name, result string) {
	var n segment.Nonce
	binary.BigEndian.PutUint64(n[4:], uint64(number(t, strings.TrimPrefix(name, "n"))))
	for r := PutStored; r <= PutUnknown; r++ {
		if r.String() == result {
			s.w.PutDone(s.at(), n, r)
			return
		}
	}
	t.Fatalf("unknown result %q", result)
}

// fly makes the writer learn how long uploads take.
func (s *script) fly(t *testing.T, d *datadriven.TestData) {
	size := 100
	d.MaybeScanArgs(t, "size", &size)
	for range number(t, d.CmdArgs[0].Key) {
		b := &Batch{Share: "default", Bytes: recordtest.Batch(recordtest.Options{Size: size})}
		s.w.Append(s.at(), b)
		for sent := false; !sent; {
			at, _ := s.w.Wake()
			s.now = max(s.now, at)
			s.w.Tick(s.at())
			sent = s.flown()
		}
		s.now += s.w.cfg.FlushInterval
	}
}

func (s *script) flown() (sent bool) {
	for _, e := range s.w.Effects(nil) {
		switch e.Kind {
		case Upload:
			s.now += 100 * time.Millisecond
			s.w.PutDone(s.at(), e.Put.Object.Nonce, PutStored)
			s.flown()
			sent = true
		case Send:
			s.w.Reply(s.at(), &segment.Reply{Session: s.session, Share: e.Commit.Share, Sequence: e.Commit.Sequence,
				Outcome: segment.Answered, Answers: make([]segment.Answer, len(e.Commit.Manifest.Rows))})
			s.flown()
		}
	}
	return sent
}

func (s *script) reply(t *testing.T, d *datadriven.TestData) *segment.Reply {
	share, seq, _ := strings.Cut(d.CmdArgs[0].Key, "/")
	r := &segment.Reply{Session: s.session, Share: share, Sequence: uint64(number(t, seq))}
	for _, a := range d.CmdArgs[1:] {
		said(t, r, a.String())
	}
	return r
}

// said adds one word of a reply command to r.
func said(t *testing.T, r *segment.Reply, word string) {
	k, v, _ := strings.Cut(word, "=")
	at, offset, placed := strings.Cut(word, "@")
	a := segment.Answer{Offset: topic.NoOffset, LogStart: 0}
	switch {
	case placed && at == "":
		a.Verdict, a.Offset = segment.Placed, topic.Offset(number(t, offset))
	case placed && at == "dup":
		a.Verdict, a.Offset = segment.Duplicate, topic.Offset(number(t, offset))
	case word == "dup46":
		a.Verdict, a.Code = segment.Duplicate, 46
	case k == "err":
		a.Verdict, a.Code = segment.Refused, int16(number(t, v))
	case k == "session":
		r.Session = uint64(number(t, v))
		return
	case k == "last":
		r.Last = uint64(number(t, v))
		return
	default:
		outcomes := map[string]segment.Outcome{"answered": segment.Answered, "gone": segment.Gone, "ended": segment.SessionEnded,
			"out-of-order": segment.OutOfOrder, "unauthorized": segment.Unauthorized}
		if r.Outcome = outcomes[word]; r.Outcome == 0 {
			t.Fatalf("unknown outcome %q", word)
		}
		return
	}
	r.Answers = append(r.Answers, a)
}

func (s *script) effects(prefix string) string {
	var out strings.Builder
	for _, e := range s.w.Effects(nil) {
		fmt.Fprintf(&out, "%s%s\n", prefix, s.print(e))
	}
	return out.String()
}

func (s *script) print(e Effect) string {
	switch e.Kind {
	case Upload:
		kind := "upload"
		if e.Put.Hedge {
			kind = "hedge"
		}
		return fmt.Sprintf("%s %s/%d as %s: %s", kind, e.Put.Object.Share, e.Put.Object.ID.Sequence, nonceName(e.Put.Object.Nonce), rows(e.Put.Sealed.Manifest))
	case CancelUpload:
		return fmt.Sprintf("cancel upload %s", nonceName(e.Put.Object.Nonce))
	case Send:
		return printCommit(e.Commit)
	case Respond:
		return fmt.Sprintf("answer %s: %s", s.names[e.Batch], printAnswer(e.Answer))
	case Disconnect:
		return fmt.Sprintf("disconnect %s", s.names[e.Batch])
	case Release:
		return fmt.Sprintf("release %s", s.names[e.Batch])
	case OpenStream:
		return fmt.Sprintf("open stream of session %d", e.Session)
	case CloseStream:
		return fmt.Sprintf("close stream of session %d", e.Session)
	case AskEnd:
		return fmt.Sprintf("ask for the end of session %d", e.Session)
	case Login:
		return "log in"
	case Tell:
		return "tell: " + printReport(e.Report)
	case Drained:
		return "drained"
	}
	return fmt.Sprintf("effect %d", e.Kind)
}

func printCommit(c *segment.Commit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "send %s/%d after %d", c.Share, c.Sequence, c.After)
	if len(c.Abandoned) > 0 {
		fmt.Fprintf(&b, " abandoned %v", c.Abandoned)
	}
	if c.Acked > 0 {
		fmt.Fprintf(&b, " acked %d", c.Acked)
	}
	if c.Empty() {
		return b.String() + " empty"
	}
	fmt.Fprintf(&b, " stored as %s", nonceName(c.Nonce))
	for i, n := range c.Losers {
		if i == 0 {
			b.WriteString(" not")
		}
		b.WriteString(" " + nonceName(n))
	}
	return b.String() + ": " + rows(c.Manifest)
}

func nonceName(n segment.Nonce) string { return fmt.Sprintf("n%d", binary.BigEndian.Uint64(n[4:])) }

// rows prints partition×records of plain rows and partition×records(pid.epoch:first) of the others.
func rows(m segment.Manifest) string {
	var out []string
	for _, r := range m.Rows {
		one := fmt.Sprintf("%d×%d", r.Partition.Index, r.Records)
		if r.Producer.ID != segment.NoProducer {
			one += fmt.Sprintf("(%d.%d:%d)", r.Producer.ID, r.Producer.Epoch, r.Producer.First)
		}
		out = append(out, one)
	}
	if len(out) > 12 {
		return fmt.Sprintf("%d rows", len(out))
	}
	return strings.Join(out, " ")
}

func printAnswer(a Answer) string {
	if a.Code != 0 {
		return fmt.Sprintf("error %d, %s", a.Code, a.Text)
	}
	out := fmt.Sprintf("offset %d", a.Offset)
	if a.AppendTime != NoTimestamp {
		out += fmt.Sprintf(" at %dms", a.AppendTime-unixStart)
	}
	return out
}

func printReport(r *Report) string {
	where := fmt.Sprintf("%s/%d", r.Share, r.Segment.Sequence)
	switch r.Kind {
	case SegmentStored:
		return where + " is stored"
	case SegmentAbandoned:
		return where + " is abandoned: " + r.Text
	case SegmentAnswered:
		return where + " is answered"
	case HedgeStarted:
		return where + " is slow and hedged"
	case HedgeWon:
		return where + " was won by the hedge"
	case HedgeRefused:
		return where + " is slow, but the budget is spent"
	case ForeignObject:
		return where + ": foreign object under " + nonceName(r.Nonce)
	case ClientsDisconnected:
		return where + ": clients disconnected: " + r.Text
	case Protocol:
		return where + ": " + r.Text
	case Ended:
		return "session is over: " + r.Text
	}
	return "?"
}

func (s *script) state() string {
	var out strings.Builder
	phases := map[phase]string{loggingIn: "logging in", live: "live", asking: "asking", resolving: "resolving"}
	fmt.Fprintf(&out, "%s, %d unanswered\n", phases[s.w.phase], s.w.unanswered)
	states := map[segState]string{uploading: "uploading", stored: "stored", sent: "sent", done: "done", abandoned: "abandoned", named: "named"}
	for _, sh := range s.w.order {
		fmt.Fprintf(&out, "%s: acked %d, last sent %d, next %d, open %d\n", sh.name, sh.acked, sh.lastSent, sh.next, len(sh.open.batches))
		for _, g := range sh.segs {
			fmt.Fprintf(&out, "  %d %s, %d left\n", g.id.Sequence, states[g.state], g.left)
		}
	}
	return out.String()
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
