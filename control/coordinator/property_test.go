package coordinator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// world is a machine under random members. Each client is a state machine of its
// own that follows the protocol, or does not.
type world struct {
	m       *Machine
	cfg     Config
	now     int64
	next    RequestID
	random  int
	parked  map[RequestID]*client // asked and not yet answered
	stores  []Store
	stored  map[string]*controlpb.SyncGroupCommand
	clients []*client
	term    uint64
	// leaders is who led each generation of each group. One that was not stored yet begins anew at a restart.
	leaders map[string]string
	reached map[string]int32 // the highest generation seen of each group
}

type client struct {
	n          int
	group      string
	instance   string
	member     string
	generation int32
	protocols  []Protocol
	old        bool
}

func newWorld() *world {
	cfg := Default()
	cfg.InitialRebalanceDelay = 100 * time.Millisecond
	cfg.MaxMembers = 5
	return &world{
		cfg: cfg, m: New(cfg), parked: map[RequestID]*client{}, stored: map[string]*controlpb.SyncGroupCommand{},
		leaders: map[string]string{}, reached: map[string]int32{},
	}
}

// TestMachine lets random events happen and checks after each what doc.go promises.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		for i := range 6 {
			c := &client{n: i, group: []string{"g", "h"}[i%2], generation: -1, old: i == 4}
			if i < 3 {
				c.instance = fmt.Sprintf("i%d", i/2) // two clients may claim one instance
			}
			c.protocols = []Protocol{{"range", []byte("t")}, {"sticky", []byte("t")}}
			w.clients = append(w.clients, c)
		}
		t.Repeat(map[string]func(*rapid.T){
			"join":      func(t *rapid.T) { w.join(w.pick(t), rapid.Bool().Draw(t, "changed")) },
			"sync":      func(t *rapid.T) { w.sync(w.pick(t)) },
			"heartbeat": func(t *rapid.T) { w.heartbeat(w.pick(t)) },
			"commit": func(t *rapid.T) {
				c := w.pick(t)
				w.m.CheckCommit(w.now, Identity{c.group, c.member, c.instance, c.generation}, 22)
			},
			"leave": func(t *rapid.T) {
				c := w.pick(t)
				w.m.Leave(w.now, c.group, []Leaver{{c.member, c.instance}})
			},
			"forget": func(t *rapid.T) {
				if len(w.parked) == 0 {
					t.Skip("nothing is parked")
				}
				id := rapid.SampledFrom(slices.Sorted(maps.Keys(w.parked))).Draw(t, "request")
				delete(w.parked, id)
				w.m.Forget(w.now, id)
			},
			"gather":  func(t *rapid.T) { w.gather(t, rapid.SampledFrom([]string{"g", "h"}).Draw(t, "group")) },
			"tick":    func(t *rapid.T) { w.tick(int64(rapid.IntRange(1, 20000).Draw(t, "ms"))) },
			"persist": func(t *rapid.T) { w.persist(rapid.Bool().Draw(t, "fails")) },
			"restart": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") == 0 {
					w.restart(t)
				}
			},
			"": func(t *rapid.T) { w.settle(t); w.check(t) },
		})
		w.end(t)
	})
}

func (w *world) pick(t *rapid.T) *client {
	return w.clients[rapid.IntRange(0, len(w.clients)-1).Draw(t, "client")]
}

func (w *world) request(c *client) RequestID {
	w.next++
	w.parked[w.next] = c
	return w.next
}

func (w *world) join(c *client, changed bool) {
	w.random++
	protocols := c.protocols
	if changed {
		protocols = []Protocol{{"range", fmt.Appendf(nil, "t%d", w.random)}}
	}
	w.m.Join(w.now, Join{
		Request: w.request(c), Group: c.group, Member: c.member, Instance: c.instance, ClientID: fmt.Sprintf("c%d", c.n),
		Random: fmt.Sprintf("u%d", w.random), RequireMember: !c.old, SkipAssignment: c.n%2 == 0,
		SessionTimeoutMs: 10000, RebalanceTimeoutMs: int32(4000 + 8000*(c.n%2)), ProtocolType: "consumer", Protocols: protocols,
	})
}

func (w *world) sync(c *client) {
	s := Sync{Request: w.request(c), Group: c.group, Member: c.member, Instance: c.instance, Generation: c.generation}
	for _, o := range w.clients {
		s.Assignments = append(s.Assignments, Assignment{o.member, fmt.Appendf(nil, "%d for %s", c.generation, o.member)})
	}
	w.m.Sync(w.now, s)
}

// gather lets all clients of a group do what the protocol asks of them, so that
// the group is likely to be stable afterwards.
func (w *world) gather(t *rapid.T, group string) {
	for _, c := range w.clients {
		if c.group != group {
			continue
		}
		w.join(c, false)
		w.settle(t)
		if c.member != "" && c.generation < 0 {
			w.join(c, false) // it was given its id
		}
	}
	for range 4 {
		w.tick(100)
		w.settle(t)
	}
	for _, c := range w.clients {
		if c.group == group && c.generation >= 0 {
			w.sync(c)
			w.settle(t)
		}
	}
	w.persist(false)
}

func (w *world) heartbeat(c *client) {
	if w.m.Heartbeat(w.now, Identity{c.group, c.member, c.instance, c.generation}) == codeUnknownMember {
		c.member, c.generation = "", -1
	}
}

func (w *world) tick(ms int64) {
	w.now += ms
	w.m.Tick(w.now)
}

func (w *world) persist(fails bool) {
	stores := w.stores
	w.stores = nil
	for _, s := range stores {
		code := int16(0)
		if fails {
			code = codeCoordinatorAway
		} else {
			w.stored[s.Command.GetGroup()] = s.Command
		}
		w.m.Persisted(w.now, s.Token, code)
	}
}

// restart is an election: what is parked is answered, and the machine is made of what is stored.
func (w *world) restart(t *rapid.T) {
	w.m.Resign()
	w.settle(t)
	if len(w.parked) > 0 {
		t.Fatalf("%d requests are not answered at the end of a term", len(w.parked))
	}
	w.m, w.stores = New(w.cfg), nil
	w.term++
	maps.DeleteFunc(w.leaders, func(key, _ string) bool {
		group, _, _ := strings.Cut(key, "/")
		return w.stored[group] == nil
	})
	clear(w.reached)
	for _, name := range slices.Sorted(maps.Keys(w.stored)) {
		w.m.Restore(w.now, w.term, w.stored[name])
		d, _ := w.m.Describe(name)
		if len(d.Members) > 0 && d.State != Stable {
			t.Fatalf("restored group %s is %s", name, d.State)
		}
		w.reached[name] = d.Generation
	}
}

// settle takes the machine's answers to the clients.
func (w *world) settle(t *rapid.T) {
	out := w.m.Take()
	w.stores = append(w.stores, out.Stores...)
	for _, r := range out.Replies {
		c := w.parked[r.Request]
		if c == nil {
			t.Fatalf("request %d is answered twice, or after it was forgotten", r.Request)
		}
		delete(w.parked, r.Request)
		if r.Join != nil {
			w.joined(t, c, r.Join)
			continue
		}
		w.synced(t, c, r.Sync)
	}
}

func (w *world) joined(t *rapid.T, c *client, r *JoinReply) {
	switch r.Code {
	case codeNone:
		c.member, c.generation = r.Member, r.Generation
		if r.Generation < w.reached[c.group] && r.Leader == r.Member && len(r.Members) > 0 && !r.SkipAssignment {
			t.Fatalf("generation %d of %s begins after %d", r.Generation, c.group, w.reached[c.group])
		}
		w.reached[c.group] = max(w.reached[c.group], r.Generation)
		if len(r.Members) > 0 && !r.SkipAssignment {
			key := fmt.Sprintf("%s/%d", c.group, r.Generation)
			if had := w.leaders[key]; had != "" && had != r.Member {
				t.Fatalf("%s is led by %s and by %s", key, had, r.Member)
			}
			w.leaders[key] = r.Member
		}
	case codeMemberIDRequired:
		c.member = r.Member
	case codeUnknownMember, codeFencedInstance, codeGroupMaxSize:
		c.member, c.generation = "", -1
	}
}

func (w *world) synced(t *rapid.T, c *client, r *SyncReply) {
	if r.Code != codeNone {
		return
	}
	if stored := w.stored[c.group]; stored == nil || stored.GetGeneration() < c.generation {
		t.Fatalf("an assignment of generation %d left before it was stored", c.generation)
	}
}

// check holds what must be true of every group at any time.
func (w *world) check(t *rapid.T) {
	total := 0
	for name, g := range w.m.groups {
		bytes, instances := 0, map[string]bool{}
		for _, mem := range g.members {
			bytes += mem.bytes
			if mem.bytes != memberBytes(mem) {
				t.Fatalf("%s counts %d bytes of member %s, it has %d", name, mem.bytes, mem.id, memberBytes(mem))
			}
			if g.byID[mem.id] != mem {
				t.Fatalf("%s does not find member %s by id", name, mem.id)
			}
			if mem.instance != "" && instances[mem.instance] {
				t.Fatalf("%s has two members with instance %s", name, mem.instance)
			}
			instances[mem.instance] = true
			if mem.join != 0 && g.state != PreparingRebalance {
				t.Fatalf("%s is %s and member %s waits to join", name, g.state, mem.id)
			}
			if mem.sync != 0 && g.state != CompletingRebalance {
				t.Fatalf("%s is %s and member %s waits to sync", name, g.state, mem.id)
			}
			if !mem.session.armed && !mem.joining && !mem.syncing {
				t.Fatalf("%s waits for nothing of member %s, and has no timer for it", name, mem.id)
			}
		}
		if bytes != g.bytes || len(g.byID) != len(g.members) {
			t.Fatalf("%s counts %d bytes and %d members, has %d and %d", name, g.bytes, len(g.byID), bytes, len(g.members))
		}
		if n := g.staying() + len(g.pending); n > w.cfg.MaxMembers || len(g.members) > 2*w.cfg.MaxMembers {
			t.Fatalf("%s has %d members, %d of which stay or are pending", name, len(g.members), n)
		}
		if (g.state == Empty) != (len(g.members) == 0) && g.state != PreparingRebalance {
			t.Fatalf("%s is %s with %d members", name, g.state, len(g.members))
		}
		if (g.state == Stable || g.state == CompletingRebalance) && g.byID[g.leader] == nil {
			t.Fatalf("%s is %s without a leader", name, g.state)
		}
		if g.state == PreparingRebalance && !g.joinTimer.armed {
			t.Fatalf("%s waits for members without a timer", name)
		}
		total += bytes
		for id := range g.pending {
			total += pendingBytes(id)
		}
	}
	if total != w.m.bytes {
		t.Fatalf("the machine counts %d bytes, there are %d", w.m.bytes, total)
	}
}

// end lets time pass without any client: every parked request is answered, and
// every group is empty.
func (w *world) end(t *rapid.T) {
	for range 200 {
		w.persist(false)
		at, ok := w.m.Next()
		if !ok {
			break
		}
		w.now = max(w.now, at)
		w.m.Tick(w.now)
		w.settle(t)
		w.check(t)
	}
	w.persist(false)
	w.settle(t)
	if len(w.parked) > 0 {
		t.Fatalf("%d requests are never answered", len(w.parked))
	}
	for _, d := range w.m.Groups() {
		if d.State != Empty {
			t.Fatalf("group %s is %s although all its members are gone", d.Group, d.State)
		}
	}
	if _, ok := w.m.Next(); ok {
		t.Fatal("timers are left")
	}
}
