package desk

import (
	"errors"
	"fmt"
	"testing"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/coordinator"
)

// alone is a desk with a group of one member, a, that has just been told of generation 1.
func alone(t *testing.T) *Desk {
	t.Helper()
	d := New(coordinator.Default(), func(group string, code int16, err error) {
		t.Logf("group %s is not stored: %d %v", group, code, err)
	})
	told := false
	d.Park(0, func(r coordinator.Reply, ok bool) { told = ok && r.Join.Code == 0 && r.Join.Generation == 1 }, func(m *coordinator.Machine, id coordinator.RequestID) {
		m.Join(0, coordinator.Join{
			Request: id, Group: "g", ClientID: "a", Random: "1", SessionTimeoutMs: 10_000, RebalanceTimeoutMs: 10_000,
			ProtocolType: "consumer", Protocols: []coordinator.Protocol{{Name: "range"}},
		})
	})
	for at, ok := d.Next(); ok && !told; at, ok = d.Next() {
		d.With(at, func(m *coordinator.Machine) { m.Tick(at) })
	}
	if !told {
		t.Fatal("the member is not told of generation 1")
	}
	return d
}

// sync has a assign to itself; the answer goes to heard.
func (d *Desk) syncAlone(heard func(coordinator.Reply, bool)) {
	d.Park(0, heard, func(m *coordinator.Machine, id coordinator.RequestID) {
		m.Sync(0, coordinator.Sync{Request: id, Group: "g", Member: "a-1", Generation: 1, Assignments: []coordinator.Assignment{{Member: "a-1", Data: []byte("x")}}})
	})
}

func offset(n int64) []*controlpb.GroupOffset {
	return []*controlpb.GroupOffset{{Group: "g", Offset: n}}
}

// TestOrderOfTheQueue: an assignment and commits reach the log as they were accepted, each hears of its own
// results, and the member of its assignment only when that is stored.
func TestOrderOfTheQueue(t *testing.T) {
	d := alone(t)
	assigned := ""
	d.syncAlone(func(r coordinator.Reply, ok bool) {
		assigned = fmt.Sprintf("%v %d %s", ok, r.Sync.Code, r.Sync.Assignment)
	})
	who := coordinator.Identity{Group: "g", Member: "a-1", Generation: 1}
	if code := d.Commit(0, who, 22, offset(1), nil); code != 27 {
		t.Fatalf("a commit before the assignment is stored: code %d", code)
	}
	first := d.Take(1 << 20)
	if c := first.Commands(); len(c) != 1 || c[0].GetSyncGroup() == nil || assigned != "" {
		t.Fatalf("queued: %v, the member has heard %q", c, assigned)
	}
	d.Settle(0, first, make([]control.Result, 1), nil)
	if assigned != "true 0 x" {
		t.Fatalf("the member has heard %q", assigned)
	}
	var heard []string
	hear := func(name string) func([]control.Result, error) {
		return func(rs []control.Result, err error) {
			heard = append(heard, fmt.Sprintf("%s %d %d %v", name, len(rs), rs[0].Code, err))
		}
	}
	if code := d.Commit(0, who, 22, append(offset(2), make([]*controlpb.GroupOffset, offsetsPerCommand)...), hear("two")); code != 0 {
		t.Fatalf("commit: code %d", code)
	}
	d.Enqueue([]*controlpb.Command{{}}, hear("one"))
	batch := d.Take(1) // one job at least, whatever its size
	if len(batch.Commands()) != 2 || !d.Queued() || d.Bytes() == 0 {
		t.Fatalf("the first batch has %d commands", len(batch.Commands()))
	}
	d.Settle(0, batch, []control.Result{{Code: 7}, {}}, nil)
	d.Settle(0, d.Take(1), []control.Result{{Code: 8}}, nil)
	if fmt.Sprint(heard) != "[two 2 7 <nil> one 1 8 <nil>]" || d.Queued() || d.Bytes() != 0 {
		t.Errorf("heard %v, %d B are left", heard, d.Bytes())
	}
	if code := d.Commit(0, coordinator.Identity{Group: "g", Member: "b", Generation: 1}, 22, offset(3), nil); code != 25 || d.Queued() {
		t.Errorf("a commit of nobody: code %d, queued: %v", code, d.Queued())
	}
}

// TestEndAnswersEveryone: what is parked and what is queued is told, once.
func TestEndAnswersEveryone(t *testing.T) {
	d := alone(t)
	var told []bool
	d.syncAlone(func(_ coordinator.Reply, ok bool) { told = append(told, ok) })
	why := errors.New("another leads")
	var heard []error
	d.Enqueue([]*controlpb.Command{{}}, func(_ []control.Result, err error) { heard = append(heard, err) })
	if d.Waiting() != 1 {
		t.Fatalf("%d are parked", d.Waiting())
	}
	d.End(why)
	if fmt.Sprint(told) != "[false]" || len(heard) != 1 || !errors.Is(heard[0], why) {
		t.Errorf("told %v, heard %v", told, heard)
	}
}

// TestUnstoredAssignmentIsTold: the log does not take it, and the member joins again.
func TestUnstoredAssignmentIsTold(t *testing.T) {
	d := alone(t)
	code := int16(-1)
	d.syncAlone(func(r coordinator.Reply, _ bool) { code = r.Sync.Code })
	lost := ""
	d.lost = func(group string, code int16, err error) { lost = fmt.Sprintf("%s %d %v", group, code, err) }
	d.Settle(0, d.Take(1<<20), nil, errors.New("no quorum"))
	if code != notAvailable || lost != "g 15 no quorum" {
		t.Errorf("the member hears %d, the log says %q", code, lost)
	}
}
