package cost

import (
	"math"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/meter"
)

// uses is an hour in which ten minutes were busy: 60 GiB written in 4 MiB objects, read by two groups, one PUT in ten hedged.
func uses() []Use {
	const gib = 1 << 30
	var prod, analytics, billing meter.Counts
	prod[meter.Requests(meter.Put, meter.OK)], prod[meter.Requests(meter.Put, meter.Canceled)], prod[meter.Requests(meter.Put, meter.Throttled)] = 15360, 1500, 36
	prod[meter.HedgedPuts], prod[meter.PutBytes], prod[meter.ProduceBytes], prod[meter.ProduceRequests] = 1536, 60*gib, 60*gib, 1000
	analytics[meter.Requests(meter.Get, meter.OK)], analytics[meter.GetBytes], analytics[meter.FetchBytes], analytics[meter.FetchRequests] = 15360, 60*gib, 120*gib, 500
	billing[meter.Requests(meter.Get, meter.Failed)], billing[meter.Requests(meter.List, meter.OK)], billing[meter.FetchBytes] = 10, 4, gib
	return []Use{{"analytics", "orders", analytics, 10 * time.Minute}, {"billing", "orders", billing, time.Minute}, {"prod", "orders", prod, 10 * time.Minute}}
}

func TestMeasure(t *testing.T) {
	until := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	kept := []Kept{{"logs", 0, 0}, {"orders", 60 << 30, 15360}}
	m, err := Measure(until.Add(-time.Hour), until, uses(), kept, DefaultWorkload(), prices(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Spent{
		"analytics": {Group: "analytics", Share: "orders", Kafka: 500, Out: 120, Gets: 15360, Read: 60, Cost: 15.360 * 0.0004, Month: 15.360 * 0.0004 * 730, Cents: 100 * 15.360 * 0.0004 / 120},
		"billing":   {Group: "billing", Share: "orders", Out: 1, Gets: 10, Lists: 4, Failed: 10, Cost: (10*0.0004 + 4*0.005) / 1000, Month: 0.73 * (10*0.0004 + 4*0.005), Cents: 0.1 * (10*0.0004 + 4*0.005)},
		"prod": {Group: "prod", Share: "orders", Kafka: 1000, In: 60, Puts: 16896, Hedged: 1536, Throttled: 36, Stored: 60, Cost: 16.896 * 0.005,
			Month: 16.896 * 0.005 * 730, Cents: 100 * 16.896 * 0.005 / 60},
	}
	sum := 0.0
	for _, s := range m.Spent {
		w := want[s.Group]
		if !near(s.Cost, w.Cost) || !near(s.Month, w.Month) || !near(s.Cents, w.Cents) {
			t.Errorf("%+v, wanted %+v", s, w)
		}
		sum += s.Cost
		s.Cost, s.Month, s.Cents = w.Cost, w.Month, w.Cents
		if s != w {
			t.Errorf("%+v, wanted %+v", s, w)
		}
	}
	if !near(m.All.Cost, sum) || m.All.In != 60 || m.All.Out != 121 || !near(m.All.Cents, 100*sum/60) {
		t.Errorf("in all %+v, the sum is %v", m.All, sum)
	}
	if len(m.Storage) != 2 || !near(m.Storage[1].Month, 60*0.023) || m.Storage[0].Month != 0 {
		t.Errorf("%+v", m.Storage)
	}
	if m.Load.Write != 60*1024/600.0 || m.Load.ReadGroups != 2 || m.Load.Shares != 1 {
		t.Errorf("the model is asked for %+v", m.Load)
	}
	// 102.4 MiB/s is written in full objects of 4 MiB, with hedges: as the model has it, but that not every zone of every group reads.
	for _, b := range m.Beside[:1] {
		if math.Abs(b.Measured-b.Model) > 1 {
			t.Errorf("%+v", b)
		}
	}
}

// TestMeasureNothing: a cluster that did nothing, or of which nothing is known yet, is no fault and divides by nothing.
func TestMeasureNothing(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	idle := []Use{{Group: "prod", Share: "orders"}}
	for _, u := range [][]Use{nil, idle, uses()[:2]} {
		m, err := Measure(at, at, u, nil, DefaultWorkload(), prices(t))
		if err != nil || len(m.Beside) != 0 || m.All.Month != 0 || math.IsNaN(m.All.Cents) {
			t.Errorf("%+v, %v", m, err)
		}
	}
	w := DefaultWorkload()
	w.Region = "mars-1"
	if _, err := Measure(at, at, nil, nil, w, prices(t)); err == nil {
		t.Error("prices of a region that is unknown")
	}
}
