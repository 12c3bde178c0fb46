package agentgroup

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/topic"
)

const settle = 10 * time.Second

func drawMembers(t *rapid.T) []Member {
	ids := rapid.SliceOfNDistinct(rapid.Int32Range(0, 50), 1, 12, rapid.ID).Draw(t, "ids")
	var members []Member
	for _, id := range ids {
		members = append(members, Member{
			NodeID: id, Agent: fmt.Sprint("agent-", id), Gossip: fmt.Sprint("10.0.0.", id, ":7946"), Peer: fmt.Sprint("10.0.0.", id, ":7950"),
			Zone:    rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "zone"),
			Roles:   rapid.SampledFrom([][]string{{"produce"}, {"fetch"}, {"produce", "fetch"}}).Draw(t, "roles"),
			Settled: rapid.Bool().Draw(t, "settled"),
		})
	}
	return members
}

func partitions() (ps []topic.Partition) {
	for i := range int32(40) {
		ps = append(ps, topic.Partition{Topic: topic.ID{1, byte(i % 3)}, Index: i})
	}
	return ps
}

// leaders are the node ids that lead, for every partition, zone and role; -1 is nobody.
func leaders(r *Ring, now time.Duration) map[string]int32 {
	out := map[string]int32{}
	for _, p := range partitions() {
		for _, zone := range []string{"", "a", "b", "c", "elsewhere"} {
			for _, role := range []string{"produce", "fetch"} {
				id := int32(-1)
				if m, ok := r.Leader(now, p, zone, role); ok {
					id = m.NodeID
				}
				out[fmt.Sprint(p, zone, role)] = id
			}
		}
	}
	return out
}

// TestRingPrefersRoleThenZone: a leader has the role; it is in the zone if anyone with the role
// is; it is settled if anyone as near is; and there is one if anyone has the role.
func TestRingPrefersRoleThenZone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t)
		r := NewRing(settle).With(0, members)
		zone := rapid.SampledFrom([]string{"", "a", "b", "elsewhere"}).Draw(t, "asked zone")
		role := rapid.SampledFrom([]string{"produce", "fetch"}).Draw(t, "asked role")
		anyone := func(f func(Member) bool) bool {
			return slices.ContainsFunc(members, func(m Member) bool { return m.HasRole(role) && f(m) })
		}
		for _, p := range partitions() {
			m, ok := r.Leader(0, p, zone, role)
			if ok != anyone(func(Member) bool { return true }) {
				t.Fatalf("leader: %v", ok)
			}
			if !ok {
				continue
			}
			near := func(x Member) bool { return zone == "" || x.Zone == zone }
			if !m.HasRole(role) || !near(m) && anyone(near) {
				t.Fatalf("%+v leads for %s in %q", m, role, zone)
			}
			if !m.Settled && anyone(func(x Member) bool { return near(x) == near(m) && x.Settled }) {
				t.Fatalf("unsettled %+v leads before a settled one", m)
			}
		}
	})
}

// TestRingPassesOverThoseCutOff: while at most half of those with a role are cut off, none of these leads, in
// whatever zone, and everything else stays where it was; when more are, nothing moves.
func TestRingPassesOverThoseCutOff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t)
		before := NewRing(settle).With(0, members)
		cut, all := map[string]int{}, map[string]int{}
		off := map[int32]bool{}
		members = slices.Clone(members)
		for i := range members {
			m := &members[i]
			m.Cut = rapid.Bool().Draw(t, "cut")
			off[m.NodeID] = m.Cut
			for _, role := range m.Roles {
				all[role]++
				if m.Cut {
					cut[role]++
				}
			}
		}
		after := before.With(time.Second, members)
		for _, p := range partitions() {
			for _, role := range []string{"produce", "fetch"} {
				was, had := before.Leader(time.Second, p, "a", role)
				is, has := after.Leader(time.Second, p, "a", role)
				if had != has {
					t.Fatalf("a leader of %s: %v, then %v", role, had, has)
				}
				if !has {
					continue
				}
				exception := 2*cut[role] <= all[role]
				if exception && is.Cut {
					t.Fatalf("%d leads for %s, cut off, with %d of %d", is.NodeID, role, cut[role], all[role])
				}
				if (!exception || !off[was.NodeID]) && is.NodeID != was.NodeID {
					t.Fatalf("%s moves from %d to %d, with %d of %d cut off", role, was.NodeID, is.NodeID, cut[role], all[role])
				}
			}
		}
		for _, chunk := range []string{"a", "b", "c"} {
			was, _ := before.Owner(time.Second, chunk, "a")
			if is, _ := after.Owner(time.Second, chunk, "a"); is.NodeID != was.NodeID {
				t.Fatalf("chunk %s moves from %d to %d", chunk, was.NodeID, is.NodeID)
			}
		}
	})
}

// TestRingsAgree: agents that heard the same members, in whatever order, draw the same ring.
func TestRingsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t)
		at := NewRing(settle).With(0, members)
		byAndBy := NewRing(settle)
		shuffled := rapid.Permutation(members).Draw(t, "order")
		for i := range shuffled {
			byAndBy = byAndBy.With(time.Duration(i), shuffled[:i+1])
		}
		a, b := leaders(at, time.Minute), leaders(byAndBy, time.Hour)
		for key := range a {
			if a[key] != b[key] {
				t.Fatalf("%s: %d and %d", key, a[key], b[key])
			}
		}
	})
}

// TestRingMovesLittle: when a member goes, only what it led moves; when a settled one comes,
// what moves, moves to it.
func TestRingMovesLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t)
		one := rapid.SampledFrom(members).Draw(t, "one")
		without := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.NodeID == one.NodeID })
		all := NewRing(settle).With(0, members)
		before, after := leaders(all, 0), leaders(all.With(1, without), 1)
		for key := range before {
			if before[key] != after[key] && before[key] != one.NodeID {
				t.Fatalf("%s moved from %d to %d when %d went", key, before[key], after[key], one.NodeID)
			}
			if after[key] == one.NodeID {
				t.Fatalf("%s is led by %d, which went", key, one.NodeID)
			}
		}
		few := NewRing(settle).With(0, without)
		before, after = leaders(few, 0), leaders(few.With(1, members), 1)
		for key := range before {
			if before[key] != after[key] && after[key] != one.NodeID {
				t.Fatalf("%s moved from %d to %d when %d came", key, before[key], after[key], one.NodeID)
			}
		}
	})
}

func named(id int32, settled bool) Member {
	return Member{NodeID: id, Agent: fmt.Sprint(id), Gossip: fmt.Sprint(id), Peer: fmt.Sprint("peer-", id),
		Zone: "a", Roles: []string{"produce", "fetch"}, Settled: settled}
}

// led counts the partitions that each node leads.
func led(r *Ring, now time.Duration) map[int32]int {
	counts := map[int32]int{}
	for _, p := range partitions() {
		m, _ := r.Leader(now, p, "a", "produce")
		counts[m.NodeID]++
	}
	return counts
}

// TestHysteresis follows one member through coming, settling, a crash and its return.
func TestHysteresis(t *testing.T) {
	r := NewRing(settle).With(0, []Member{named(1, true), named(2, true), named(3, false)})
	if n := led(r, 0)[3]; n != 0 {
		t.Errorf("a newcomer leads %d partitions before it has settled", n)
	}
	r = r.With(settle, []Member{named(1, true), named(2, true), named(3, true)})
	settledShare := led(r, settle)[3]
	if settledShare == 0 {
		t.Error("a settled member leads nothing")
	}
	gone := settle + time.Second
	r = r.With(gone, []Member{named(1, true), named(2, true)})
	if n := led(r, gone)[3]; n != 0 {
		t.Errorf("a member that went leads %d partitions", n)
	}
	back := gone + time.Second
	r = r.With(back, []Member{named(1, true), named(2, true), named(3, true)})
	r = r.With(back+1, []Member{named(1, true), named(2, true), named(3, true)}) // other news do not shorten it
	if n := led(r, back+settle-1)[3]; n != 0 {
		t.Errorf("a member that came back leads %d partitions before it has settled again", n)
	}
	if n := led(r, back+settle)[3]; n != settledShare {
		t.Errorf("a member that settled again leads %d partitions, had %d before", n, settledShare)
	}
	fresh := NewRing(settle).With(0, []Member{named(1, false), named(2, false)})
	if counts := led(fresh, 0); counts[1] == 0 || counts[2] == 0 {
		t.Errorf("a group that has just started is led by %v", counts)
	}
}

func TestOwner(t *testing.T) {
	members := []Member{named(1, true), named(2, true), named(3, false)}
	far, mute, producer := named(4, true), named(5, true), named(6, true)
	far.Zone, mute.Peer, producer.Roles = "b", "", []string{"produce"}
	r := NewRing(settle).With(0, append(members, far, mute, producer))
	owned := map[int32]int{}
	for i := range 1000 {
		m, ok := r.Owner(0, fmt.Sprint("chunk ", i), "a")
		if !ok {
			t.Fatal("nobody owns a chunk")
		}
		owned[m.NodeID]++
	}
	if len(owned) != 2 || math.Abs(float64(owned[1]-owned[2])) > 150 {
		t.Errorf("1000 chunks are owned by %v", owned)
	}
	if _, ok := r.Owner(0, "chunk", "elsewhere"); ok {
		t.Error("a chunk is owned in a zone without members")
	}
}

// TestWeightsSpread: with eight members, each leads about an eighth of many partitions.
func TestWeightsSpread(t *testing.T) {
	var members []Member
	for id := range int32(8) {
		members = append(members, named(id, true))
	}
	r := NewRing(settle).With(0, members)
	counts := map[int32]int{}
	for i := range int32(8000) {
		m, _ := r.Leader(0, topic.Partition{Topic: topic.ID{7}, Index: i}, "", "fetch")
		counts[m.NodeID]++
	}
	for id, n := range counts {
		if n < 850 || n > 1150 {
			t.Errorf("node %d leads %d of 8000", id, n)
		}
	}
}

func TestResolve(t *testing.T) {
	old, restarted, other := named(1, true), named(1, false), named(2, true)
	old.Session, restarted.Session, other.Session = 5, 9, 7
	old.Agent, old.Gossip = "first life", "elsewhere"
	got := resolve([]Member{other, old, restarted})
	if len(got) != 2 || got[0].Session != 9 || got[1].NodeID != 2 {
		t.Errorf("one node id twice: %+v", got)
	}
	moved := named(3, false)
	moved.Session, moved.Gossip = 11, other.Gossip
	got = resolve([]Member{other, moved})
	if len(got) != 1 || got[0].NodeID != 3 {
		t.Errorf("one address twice: %+v", got)
	}
}

// TestRingRemembersElectorates: what a ring has found once is what it would find again, at whatever time it is asked.
func TestRingRemembersElectorates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewRing(settle)
		now := time.Duration(0)
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			var members []Member
			for id := range int32(6) {
				if rapid.Bool().Draw(t, "lives") {
					m := named(id, rapid.Bool().Draw(t, "settled"))
					m.Zone = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone")
					m.Roles = rapid.SampledFrom([][]string{{"produce"}, {"fetch"}, {"produce", "fetch"}}).Draw(t, "roles")
					m.Cut, m.Peer = rapid.Bool().Draw(t, "cut"), rapid.SampledFrom([]string{"", "peer"}).Draw(t, "peer")
					members = append(members, m)
				}
			}
			now += time.Duration(rapid.Int64Range(0, int64(settle)).Draw(t, "later"))
			r = r.With(now, members)
			for range 20 {
				at := now + time.Duration(rapid.Int64Range(-int64(settle), 2*int64(settle)).Draw(t, "at"))
				p := topic.Partition{Topic: topic.ID{1}, Index: rapid.Int32Range(0, 50).Draw(t, "partition")}
				zone, role := rapid.SampledFrom([]string{"", "a", "b", "nowhere"}).Draw(t, "asked"), rapid.SampledFrom([]string{"produce", "fetch", "jobs", ""}).Draw(t, "role")
				fresh := &Ring{members: r.members, settle: r.settle, gone: r.gone, back: r.back, zones: r.zones}
				got, ok := r.Leader(at, p, zone, role)
				want, wanted := fresh.Leader(at, p, zone, role)
				if ok != wanted || got.NodeID != want.NodeID {
					t.Fatalf("leader of %v for %q and %q at %v: node %d (%v), afresh %d (%v)", p, zone, role, at, got.NodeID, ok, want.NodeID, wanted)
				}
				got, ok = r.Owner(at, "chunk"+zone, zone)
				want, wanted = fresh.Owner(at, "chunk"+zone, zone)
				if ok != wanted || got.NodeID != want.NodeID {
					t.Fatalf("owner for %q at %v: node %d (%v), afresh %d (%v)", zone, at, got.NodeID, ok, want.NodeID, wanted)
				}
			}
		}
	})
}

func BenchmarkLeader(b *testing.B) {
	for _, n := range []int32{30, 500} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			var members []Member
			for id := range n {
				members = append(members, named(id, true))
			}
			r := NewRing(settle).With(0, members)
			p := topic.Partition{Topic: topic.ID{1}}
			for b.Loop() {
				p.Index++
				r.Leader(0, p, "a", "produce")
			}
		})
	}
}
