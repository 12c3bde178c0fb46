package fetch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// TestSessions runs scripts against the session cache (KIP-227). Commands:
//
//	new sessions=N partitions=N idle=SECONDS
//	fetch id=ID epoch=E [version=V] [as=PRINCIPAL] [want=(topic/index@offset,...)] [forget=(topic/index,...)]
//	say id=ID topic/index high=H [start=S] [records=BYTES] [code=C]     what an answer would mention
//	at seconds=N                                                           the time from now on
//	show
//
// Ids are drawn 101, 102, …
func TestSessions(t *testing.T) {
	var ss *sessions
	var now time.Duration
	next := int32(100)
	draw := func() int32 { next++; return next }
	datadriven.RunTest(t, "testdata/sessions", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "new":
			cfg := Default()
			idle := 0
			d.ScanArgs(t, "sessions", &cfg.MaxSessions)
			d.ScanArgs(t, "partitions", &cfg.MaxSessionPartitions)
			d.ScanArgs(t, "idle", &idle)
			cfg.SessionIdle = time.Duration(idle) * time.Second
			ss, now = newSessions(&cfg), 0
			return ""
		case "at":
			seconds := 0
			d.ScanArgs(t, "seconds", &seconds)
			now = time.Duration(seconds) * time.Second
			return ""
		case "fetch":
			as, req := sessionRequest(t, d)
			s, incremental, code := ss.begin(now, client{principal: as}, req, draw)
			if code != 0 {
				return fmt.Sprintf("code %d", code)
			}
			if s == nil {
				return "no session"
			}
			kind := "full"
			if incremental {
				kind = "incremental"
			}
			var wants []string
			for _, w := range s.wants() {
				wants = append(wants, fmt.Sprintf("%s/%d@%d", w.name, w.index, w.offset))
			}
			return fmt.Sprintf("session %d %s: %s", s.id, kind, strings.Join(wants, " "))
		case "say":
			var id int32
			var high, start int64
			var records, code int
			d.ScanArgs(t, "id", &id)
			d.ScanArgs(t, "high", &high)
			d.MaybeScanArgs(t, "start", &start)
			d.MaybeScanArgs(t, "records", &records)
			d.MaybeScanArgs(t, "code", &code)
			name, index, _ := place(t, d.CmdArgs[1].Key)
			if ss.byID[id].say(ref{name: name, index: index}, int16(code), topic.Offset(high), topic.Offset(start), records) {
				return "said"
			}
			return "left out"
		case "show":
			var out []string
			for e := ss.recent.Front(); e != nil; e = e.Next() {
				s := e.Value.(*session)
				out = append(out, fmt.Sprintf("%d next epoch %d, %d partitions", s.id, s.next, s.order.Len()))
			}
			return fmt.Sprintf("%d partitions\n%s", ss.parts, strings.Join(out, "\n"))
		}
		t.Fatalf("unknown command %s", d.Cmd)
		return ""
	})
}

// sessionRequest reads what the command fetch asks, and who asks it.
func sessionRequest(t *testing.T, d *datadriven.TestData) (as string, req *kmsg.FetchRequest) {
	t.Helper()
	req = kmsg.NewPtrFetchRequest()
	as = "alice"
	version := 12
	d.ScanArgs(t, "id", &req.SessionID)
	d.ScanArgs(t, "epoch", &req.SessionEpoch)
	d.MaybeScanArgs(t, "as", &as)
	d.MaybeScanArgs(t, "version", &version)
	req.Version = int16(version)
	for _, arg := range d.CmdArgs {
		if arg.Key != "want" && arg.Key != "forget" {
			continue
		}
		for _, v := range arg.Vals {
			name, index, offset := place(t, v)
			switch arg.Key {
			case "want":
				rt := kmsg.NewFetchRequestTopic()
				rt.Topic = name
				rp := kmsg.NewFetchRequestTopicPartition()
				rp.Partition, rp.FetchOffset = index, offset
				rt.Partitions = append(rt.Partitions, rp)
				req.Topics = append(req.Topics, rt)
			case "forget":
				rt := kmsg.NewFetchRequestForgottenTopic()
				rt.Topic, rt.Partitions = name, []int32{index}
				req.ForgottenTopics = append(req.ForgottenTopics, rt)
			}
		}
	}
	return as, req
}

// place reads topic/index[@offset].
func place(t *testing.T, s string) (name string, index int32, offset int64) {
	name, rest, _ := strings.Cut(s, "/")
	number, at, _ := strings.Cut(rest, "@")
	if _, err := fmt.Sscan(number, &index); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	if at != "" {
		if _, err := fmt.Sscan(at, &offset); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return name, index, offset
}

// TestSessionCounts: whatever requests come, the bounds hold and the counts are what is there.
func TestSessionCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Default()
		cfg.MaxSessions, cfg.MaxSessionPartitions, cfg.SessionIdle = 3, 12, 5*time.Second
		ss := newSessions(&cfg)
		id := int32(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			req := kmsg.NewPtrFetchRequest()
			req.Version = 12
			req.SessionID = rapid.Int32Range(0, id+1).Draw(t, "id")
			req.SessionEpoch = rapid.Int32Range(-1, 3).Draw(t, "epoch")
			for _, i := range rapid.SliceOfN(rapid.Int32Range(0, 5), 0, 4).Draw(t, "wants") {
				rt := kmsg.NewFetchRequestTopic()
				rt.Topic, rt.Partitions = "a", []kmsg.FetchRequestTopicPartition{{Partition: i}}
				req.Topics = append(req.Topics, rt)
			}
			if f := rapid.SliceOfN(rapid.Int32Range(0, 5), 0, 2).Draw(t, "forgets"); len(f) > 0 {
				req.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "a", Partitions: f}}
			}
			now := time.Duration(rapid.IntRange(0, 100).Draw(t, "now")) * time.Second
			ss.begin(now, client{principal: "p"}, req, func() int32 { id++; return id })
			parts := 0
			for _, s := range ss.byID {
				parts += s.order.Len()
				if s.order.Len() != len(s.parts) || s.order.Len() == 0 {
					t.Fatalf("session %d: %d in order, %d by name", s.id, s.order.Len(), len(s.parts))
				}
			}
			if parts != ss.parts || len(ss.byID) > cfg.MaxSessions || len(ss.byID) != ss.recent.Len() {
				t.Fatalf("%d partitions counted, %d there; %d sessions", ss.parts, parts, len(ss.byID))
			}
		}
	})
}

// TestSessionAnswers: an incremental answer mentions what has changed, over the whole path.
func TestSessionAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, "events")
		h := w.handler()
		all := []ask{{"events", 0, 0, 1 << 20}, {"events", 1, 0, 1 << 20}, {"events", 2, 0, 1 << 20}}
		req := w.request(12, 10, 1, 1<<20, all...)
		req.SessionEpoch = 0
		resp := serve(t, h, req)
		id := resp.SessionID
		if id == 0 || len(resp.Topics[0].Partitions) != 3 {
			t.Fatalf("session %d, %+v", id, resp.Topics)
		}
		next := func(epoch int32, asks ...ask) string {
			req := w.request(12, 10, 1, 1<<20, asks...)
			req.SessionID, req.SessionEpoch = id, epoch
			resp := serve(t, h, req)
			var said []string
			for _, rt := range resp.Topics {
				for _, p := range rt.Partitions {
					said = append(said, fmt.Sprintf("%d:%d", p.Partition, len(p.RecordBatches)))
				}
			}
			slices.Sort(said)
			return fmt.Sprintf("%d %d %s", resp.ErrorCode, resp.SessionID, strings.Join(said, " "))
		}
		for i, want := range []string{
			fmt.Sprintf("0 %d ", id),
			fmt.Sprintf("0 %d 1:%d", id, len(batchOf(1, 1, 50))),
			fmt.Sprintf("0 %d ", id),
		} {
			var asks []ask
			switch i {
			case 1:
				w.produce(frame{w.partition("events", 1), batches(batchOf(1, 1, 50))})
			case 2:
				asks = []ask{{"events", 1, 1, 1 << 20}}
			}
			if got := next(int32(i+1), asks...); got != want {
				t.Errorf("epoch %d: %q, wanted %q", i+1, got, want)
			}
		}
		if got := next(9); !strings.HasPrefix(got, "71 0") {
			t.Errorf("wrong epoch: %q", got)
		}
		id++
		if got := next(1); !strings.HasPrefix(got, "70 0") {
			t.Errorf("wrong id: %q", got)
		}
	})
}
