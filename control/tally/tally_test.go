package tally

import (
	"fmt"
	"strings"
	"testing"

	"github.com/isthmusdata/isthmus/internal/topic"
)

var (
	orders = topic.ID{15: 1}
	gone   = topic.ID{15: 9}
	prod   = Who{"arn:aws:iam::222222222222:role/prod", "prod-east", "prod"}
)

func named(kind string, who Who, id topic.ID) (Named, bool) {
	return Named{Topic: "orders", Share: "shared", Grant: who.Group + "-" + kind}, id == orders
}

// lines are the events as one reads them.
func lines(t *Tally) (all []string) {
	for _, e := range t.Take(named) {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s %s/%s %s %dB %d %s", e.GetKind(), e.GetGroup(), e.GetAgent(), e.GetShare(), e.GetTopic(), e.GetGrant(), e.GetBytes(), e.GetRecords(), e.GetDetail())))
	}
	return all
}

func TestSums(t *testing.T) {
	var tally Tally
	if got := lines(&tally); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
	tally.Moved(Produce, prod, orders, 10, 1)
	tally.Moved(Produce, prod, orders, 20, 2)
	tally.Moved(Produce, prod, orders, 0, 0)
	tally.Moved(Produce, prod, orders, -5, -5)
	tally.Moved(Fetch, Who{Group: "analytics"}, orders, 7, 1)
	tally.Moved(Fetch, Who{Group: "analytics"}, gone, 3, 1)
	for range 3 {
		tally.Denied(Denial{Who: Who{Group: "thief"}, Agent: "a1", Call: "Plan", Topic: "orders", Reason: "no grant"})
	}
	tally.Denied(Denial{Who: Who{Group: "thief"}, Agent: "a1", Call: "Login", Reason: "no binding"})
	want := []string{
		"denied thief a1 /  0B 0 Login: no binding",
		"denied thief a1 /orders  0B 0 Plan: no grant (3 times)",
		"fetch analytics  /  3B 1 of topic " + gone.String() + ", which is gone",
		"fetch analytics  shared/orders analytics-fetch 7B 1",
		"produce prod  shared/orders prod-produce 30B 3",
	}
	if got := lines(&tally); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%s\nwanted\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := lines(&tally); len(got) != 0 {
		t.Errorf("taken twice: %q", got)
	}
}

// TestBounds: whoever makes up groups, topics and calls without end takes little memory, and no byte is lost.
func TestBounds(t *testing.T) {
	var tally Tally
	const n = 3 * mostMoved
	for i := range n {
		tally.Moved(Fetch, Who{Group: fmt.Sprint("g", i)}, topic.ID{0: 1, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}, 1, 1)
		tally.Denied(Denial{Who: Who{Group: fmt.Sprint("g", i)}, Call: "Plan", Reason: strings.Repeat("x", 1<<12)})
	}
	bytes, denials, size := int64(0), 0, 0
	for _, e := range tally.Take(named) {
		bytes += e.GetBytes()
		size += len(e.GetDetail())
		if e.GetKind() == Denied {
			denials++
		}
	}
	if bytes != n || denials != mostDenied+1 || size > 2<<20 {
		t.Errorf("%d bytes of %d, %d denials, %d bytes of text", bytes, n, denials, size)
	}
}
