package coordinator

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// TestScripts runs the scripts in testdata/scripts. Time stands still but for tick. The
// first random id is u1, the next u2. What is stored stays on its way until
// "persisted".
//
//	join r1 group=g client=c [member=ID] [instance=ID] [protocols=(range:meta,…)] [type=consumer]
//	        [session=MS] [rebalance=MS] [old]  (old: before v4, no round for the id) [skip] (v9)
//	sync r2 group=g member=ID generation=N [instance=ID] [protocol=P] [assign=(ID:text,…)]
//	heartbeat group=g member=ID generation=N [instance=ID]
//	commit group=g [member=ID] [generation=N] [instance=ID]
//	leave group=g [members=(ID,…)] [instances=(ID,…)]
//	tick MS | forget r1 | persisted [code=N] | failover | describe group=g | drop group=g
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		w := newScript()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			w.out.Reset()
			w.run(t, d)
			w.drain()
			if w.out.Len() == 0 {
				return "ok\n"
			}
			return w.out.String()
		})
	})
}

type script struct {
	cfg    Config
	m      *Machine
	now    int64
	random int
	names  map[RequestID]string
	ids    map[string]RequestID
	stores []Store
	term   uint64 // rises at a failover
	stored map[string]*controlpb.SyncGroupCommand
	order  []string
	out    strings.Builder
}

func newScript() *script {
	cfg := Default()
	cfg.InitialRebalanceDelay = 3 * time.Second
	cfg.MaxMembers = 4
	cfg.MaxGroups = 3
	return &script{
		cfg: cfg, m: New(cfg), names: map[RequestID]string{}, ids: map[string]RequestID{},
		stored: map[string]*controlpb.SyncGroupCommand{},
	}
}

func (w *script) run(t *testing.T, d *datadriven.TestData) {
	switch d.Cmd {
	case "join":
		w.random++
		w.m.Join(w.now, Join{
			Request: w.request(t, d), Group: arg(d, "group"), Member: arg(d, "member"), Instance: arg(d, "instance"),
			ClientID: arg(d, "client"), ClientHost: "/10.0.0.1", Random: fmt.Sprintf("u%d", w.random),
			RequireMember: !d.HasArg("old"), SkipAssignment: d.HasArg("skip"),
			SessionTimeoutMs: int32(number(t, d, "session", 10000)), RebalanceTimeoutMs: int32(number(t, d, "rebalance", 60000)),
			ProtocolType: or(arg(d, "type"), "consumer"), Protocols: protocols(d),
		})
	case "sync":
		s := Sync{
			Request: w.request(t, d), Group: arg(d, "group"), Member: arg(d, "member"), Instance: arg(d, "instance"),
			Generation: int32(number(t, d, "generation", -1)), Protocol: arg(d, "protocol"), ProtocolType: arg(d, "type"),
		}
		for _, a := range list(d, "assign") {
			id, data, _ := strings.Cut(a, ":")
			s.Assignments = append(s.Assignments, Assignment{Member: id, Data: []byte(data)})
		}
		w.m.Sync(w.now, s)
	case "heartbeat":
		fmt.Fprintf(&w.out, "code %d\n", w.m.Heartbeat(w.now, identity(t, d)))
	case "commit":
		fmt.Fprintf(&w.out, "code %d\n", w.m.CheckCommit(w.now, identity(t, d), codeIllegalGeneration))
	case "leave":
		var ls []Leaver
		for _, id := range list(d, "members") {
			ls = append(ls, Leaver{Member: id})
		}
		for _, id := range list(d, "instances") {
			ls = append(ls, Leaver{Instance: id})
		}
		code, codes := w.m.Leave(w.now, arg(d, "group"), ls)
		fmt.Fprintf(&w.out, "code %d %v\n", code, codes)
	case "tick":
		ms, err := strconv.Atoi(d.CmdArgs[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		w.tick(int64(ms))
	case "forget":
		w.m.Forget(w.now, w.ids[d.CmdArgs[0].Key])
	case "persisted":
		stores := w.stores
		w.stores = nil
		for _, s := range stores {
			code := int16(number(t, d, "code", 0))
			if code == 0 {
				w.stored[s.Command.GetGroup()] = s.Command
				w.order = append(w.order, s.Command.GetGroup())
			}
			w.m.Persisted(w.now, s.Token, code)
		}
	case "failover":
		w.m.Resign()
		w.drain()
		w.stores, w.m = nil, New(w.cfg)
		w.term++
		seen := map[string]bool{}
		for _, g := range w.order {
			if !seen[g] {
				w.m.Restore(w.now, w.term, w.stored[g])
			}
			seen[g] = true
		}
	case "drop":
		fmt.Fprintf(&w.out, "code %d\n", w.m.Drop(arg(d, "group")))
	case "describe":
		w.describe(arg(d, "group"))
	default:
		t.Fatalf("unknown command %s", d.Cmd)
	}
}

// tick lets the time pass as the edge does: from one deadline to the next.
func (w *script) tick(ms int64) {
	end := w.now + ms
	for at, ok := w.m.Next(); ok && at <= end; at, ok = w.m.Next() {
		w.now = max(w.now, at)
		w.m.Tick(w.now)
		w.drain()
	}
	w.now = end
	w.m.Tick(w.now)
}

func (w *script) drain() {
	out := w.m.Take()
	for _, r := range out.Replies {
		name := w.names[r.Request]
		if r.Join != nil {
			fmt.Fprintf(&w.out, "%s: %s\n", name, joinText(r.Join))
			continue
		}
		fmt.Fprintf(&w.out, "%s: sync code %d %s %q\n", name, r.Sync.Code, r.Sync.Protocol, r.Sync.Assignment)
	}
	for _, s := range out.Stores {
		c := s.Command
		fmt.Fprintf(&w.out, "store %s generation %d %s leader %s:", c.GetGroup(), c.GetGeneration(), c.GetProtocol(), c.GetLeader())
		for _, m := range c.GetMembers() {
			fmt.Fprintf(&w.out, " %s=%q", m.GetId(), m.GetAssignment())
		}
		fmt.Fprintln(&w.out)
	}
	w.stores = append(w.stores, out.Stores...)
}

func joinText(r *JoinReply) string {
	if r.Code != 0 {
		return fmt.Sprintf("join code %d member %q", r.Code, r.Member)
	}
	text := fmt.Sprintf("join generation %d %s leader %s member %s", r.Generation, r.Protocol, r.Leader, r.Member)
	for _, m := range r.Members {
		text += fmt.Sprintf(" [%s %s %s]", m.ID, m.Instance, m.Metadata)
	}
	if r.SkipAssignment {
		text += " skip"
	}
	return text
}

func (w *script) describe(name string) {
	d, ok := w.m.Describe(name)
	fmt.Fprintf(&w.out, "%s known=%v generation %d type %s protocol %s\n", d.State, ok, d.Generation, d.ProtocolType, d.Protocol)
	for _, m := range d.Members {
		fmt.Fprintf(&w.out, "  %s %s %s %q %q\n", m.ID, m.Instance, m.ClientHost, m.Metadata, m.Assignment)
	}
}

func (w *script) request(t *testing.T, d *datadriven.TestData) RequestID {
	t.Helper()
	name := d.CmdArgs[0].Key
	id := RequestID(len(w.names) + 1)
	w.names[id], w.ids[name] = name, id
	return id
}

func identity(t *testing.T, d *datadriven.TestData) Identity {
	return Identity{Group: arg(d, "group"), Member: arg(d, "member"), Instance: arg(d, "instance"), Generation: int32(number(t, d, "generation", -1))}
}

func protocols(d *datadriven.TestData) []Protocol {
	var out []Protocol
	given := list(d, "protocols")
	if len(given) == 1 && given[0] == "none" {
		return nil
	}
	if given == nil {
		given = []string{"range:t"}
	}
	for _, p := range given {
		name, meta, _ := strings.Cut(p, ":")
		out = append(out, Protocol{Name: name, Metadata: []byte(meta)})
	}
	return out
}

func list(d *datadriven.TestData, key string) []string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return a.Vals
		}
	}
	return nil
}

func arg(d *datadriven.TestData, key string) string {
	if vals := list(d, key); len(vals) > 0 {
		return vals[0]
	}
	return ""
}

func number(t *testing.T, d *datadriven.TestData, key string, otherwise int) int {
	t.Helper()
	s := arg(d, key)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
