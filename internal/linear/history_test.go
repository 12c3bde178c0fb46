package linear

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

// never is when an operation returns whose outcome is not known: it may take effect at any time.
const never = math.MaxInt64

// history is what the clients of one run did and saw.
type history struct {
	start time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

func newHistory() *history { return &history{start: time.Now()} }

// now is a moment of the run.
func (h *history) now() int64 { return int64(time.Since(h.start)) }

// add notes an operation that began at call and has returned.
func (h *history) add(client int, call int64, in, out any) { h.put(client, call, h.now(), in, out) }

// open notes one whose outcome its caller does not know.
func (h *history) open(client int, call int64, in, out any) { h.put(client, call, never, in, out) }

func (h *history) put(client int, call, back int64, in, out any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: back})
}

// checkTime is how long an order is looked for. A run's history takes a few milliseconds.
const checkTime = time.Minute

// explained looks for an order of the operations that explains what each returned.
func explained(m porcupine.Model, ops []porcupine.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(m, ops, checkTime)
}

// hold fails the test unless the history has an explanation.
func (h *history) hold(t *testing.T, m porcupine.Model) {
	t.Helper()
	for _, part := range m.Partition(h.ops) {
		switch explained(m, part) {
		case porcupine.Ok:
		case porcupine.Unknown:
			t.Errorf("no explanation was found within %s, and none was excluded:\n%s", checkTime, printed(m, part))
		default:
			t.Errorf("nothing explains what these clients saw:\n%s", printed(m, part))
		}
	}
}

// doubt fails the test if the history has an explanation, though what gave it was wrong.
func (h *history) doubt(t *testing.T, m porcupine.Model) {
	t.Helper()
	if explained(m, h.ops) != porcupine.Illegal {
		t.Errorf("%d operations of a wrong arrangement are explained", len(h.ops))
	}
}

// printed is a history for a person, by the time at which operations began.
func printed(m porcupine.Model, ops []porcupine.Operation) string {
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var out strings.Builder
	for _, o := range ops {
		until := "open"
		if o.Return != never {
			until = fmt.Sprintf("%.3fs", time.Duration(o.Return).Seconds())
		}
		fmt.Fprintf(&out, "%8.3fs to %8s client %d: %s\n", time.Duration(o.Call).Seconds(), until, o.ClientId, m.DescribeOperation(o.Input, o.Output))
	}
	return out.String()
}

// byKey divides a history by what an operation is about.
func byKey[K comparable](key func(in any) K) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(ops []porcupine.Operation) [][]porcupine.Operation {
		at := map[K]int{}
		var parts [][]porcupine.Operation
		for _, o := range ops {
			k := key(o.Input)
			i, ok := at[k]
			if !ok {
				i = len(parts)
				at[k], parts = i, append(parts, nil)
			}
			parts[i] = append(parts[i], o)
		}
		return parts
	}
}

func copyBucket(t *testing.T, to, from *memstore.Store) {
	t.Helper()
	ctx := context.Background()
	page, more, err := from.List(ctx, "", "", 1000)
	if err != nil || more {
		t.Fatalf("list the bucket: %v, more: %v", err, more)
	}
	for _, o := range page {
		body, err := from.GetRange(ctx, o.Key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if err := to.PutNew(ctx, o.Key, [][]byte{body}, checksum(body)); err != nil {
			t.Fatal(err)
		}
	}
}
