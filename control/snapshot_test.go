package control

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/tidwall/btree"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/cow"
)

// derived names the fields that follow from others: they are rebuilt when a snapshot is read, and
// may differ. A field that is new is compared, and must be in the snapshot, until it is listed here.
var derived = map[string][]string{
	"State": {
		"gen", // of the snapshots taken
		"wordOf", "topicByID", "producerAt", "idAt", "agenda",
		// Lists and tables are compared entry by entry below.
		"shares", "topics", "partitions", "dying", "blocks", "segments", "dead", "producers", "producerIDs",
		"sessions", "nodes", "groups", "agentGroups", "grants", "bindings", "joinTokens", "gossip", "audit", "meter", "told",
		"grantsOf", "liveOf", "ownIDs",
	},
	"topicEntry": {"places", "passes"},
	"share":      {"pb"}, // by itself, as the others of protobuf
	"grant":      {"pb"},
	"binding":    {"pb"},
	"partition":  {"links", "head", "full", "tail", "tailLen", "tailMax"}, // where its entries lie
	"producer":   {"links", "elder", "sibling"},
	"idEntry":    {"links", "first"},
	"session":    {"gen"},
	"group":      {"gen", "offsets"},
}

// TestI4SnapshotHoldsEveryField: whatever is in the state is in a state read from its snapshot.
// The replay test finds what decides an answer in its commands; this one finds the rest.
func TestI4SnapshotHoldsEveryField(t *testing.T) {
	for seed := range uint64(12) {
		l := testLimits()
		s := NewState(l)
		c := newChaos(seed + 200)
		for step := range 400 {
			s.Apply(c.command(s))
			if step%40 == 39 {
				compareStates(t, fmt.Sprintf("seed %d step %d", seed, step), s, restored(t, snapshotOf(t, s), l))
			}
		}
	}
}

func compareStates(t *testing.T, at string, a, b *State) {
	t.Helper()
	x, y := entries(a), entries(b)
	if len(x) != len(y) {
		t.Fatalf("%s: %d entries in the state, %d in its snapshot", at, len(x), len(y))
	}
	for i := range x {
		compareFields(t, fmt.Sprintf("%s: entry %d", at, i), reflect.ValueOf(x[i]).Elem(), reflect.ValueOf(y[i]).Elem())
	}
}

func compareFields(t *testing.T, at string, a, b reflect.Value) {
	t.Helper()
	if a.Type() != b.Type() {
		t.Fatalf("%s is %s in the state, %s in its snapshot", at, a.Type(), b.Type())
	}
	for i := range a.NumField() {
		f := a.Type().Field(i)
		if slices.Contains(derived[a.Type().Name()], f.Name) {
			continue
		}
		if x, y := fmt.Sprintf("%+v", a.Field(i)), fmt.Sprintf("%+v", b.Field(i)); x != y {
			t.Fatalf("%s: %s.%s is %s, in the snapshot %s", at, a.Type().Name(), f.Name, x, y)
		}
	}
}

// entries lists pointers to all that the state holds, in the order that counts.
func entries(s *State) []any {
	out := []any{s}
	type named[T any] struct {
		Name  string
		Value T
	}
	s.shares.Scan(func(name string, v share) bool {
		out = append(out, &v, &named[string]{name, fmt.Sprintf("%+v", v.pb)})
		return true
	})
	s.agentGroups.Scan(func(name string, v *controlpb.AgentGroup) bool {
		out = append(out, &named[string]{name, fmt.Sprintf("%+v", v)})
		return true
	})
	s.grants.Scan(func(name string, v *grant) bool {
		out = append(out, v, &named[string]{name, fmt.Sprintf("%+v", v.pb)})
		return true
	})
	s.bindings.Scan(func(name string, v *binding) bool {
		out = append(out, v, &named[string]{name, fmt.Sprintf("%+v", v.pb)})
		return true
	})
	s.joinTokens.Scan(func(name string, v *controlpb.JoinToken) bool {
		out = append(out, &named[string]{name, fmt.Sprintf("%+v", v)})
		return true
	})
	s.gossip.Scan(func(name string, v *gossipKeys) bool { out = append(out, v, &named[string]{name, ""}); return true })
	s.audit.Scan(func(number uint64, v *controlpb.AuditEvent) bool {
		out = append(out, &named[string]{fmt.Sprint(number), fmt.Sprintf("%+v", v)})
		return true
	})
	for _, m := range []*btree.Map[string, []int64]{&s.meter, &s.told} {
		m.Scan(func(key string, v []int64) bool { out = append(out, &named[[]int64]{key, v}); return true })
	}
	for w := range s.words {
		out = append(out, &named[stored]{s.words[w], s.segments.storedOf(uint16(w))})
	}
	s.nodes.Scan(func(name string, v node) bool { out = append(out, &named[node]{name, v}); return true })
	s.dead.Scan(func(_ uint64, v DeadObject) bool { out = append(out, &v); return true })
	s.sessions.Scan(func(_ uint64, v *session) bool { out = append(out, v); return true })
	s.groups.Scan(func(_ string, g *group) bool {
		out = append(out, g)
		g.offsets.Scan(func(k string, o CommittedOffset) bool { out = append(out, &named[CommittedOffset]{k, o}); return true })
		return true
	})
	for i := range s.segments.slab.Len() {
		out = append(out, s.segments.at(uint32(i)))
	}
	for i := s.producers.First(); i != cow.None; i = s.producers.At(i).links.Next {
		out = append(out, s.producers.At(i))
	}
	for i := s.producerIDs.First(); i != cow.None; i = s.producerIDs.At(i).links.Next {
		out = append(out, s.producerIDs.At(i))
	}
	place := func(i uint32) {
		p := s.partitions.At(i)
		out = append(out, p)
		for j := range p.entries {
			out = append(out, p.entry(&s.blocks, j))
		}
	}
	s.topics.Scan(func(_ string, v *topicEntry) bool {
		out = append(out, v)
		for _, i := range v.places {
			place(i)
		}
		return true
	})
	for _, i := range s.dying {
		place(i)
	}
	return out
}
