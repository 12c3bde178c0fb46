package cost

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

type fataler interface{ Fatal(args ...any) }

func prices(t fataler) *Prices {
	p, err := DefaultPrices()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func reckon(t fataler, w Workload) *Estimate {
	e, err := Reckon(w, prices(t))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestBills prices loads: reckon [write=MiB/s] [read=MiB/s] [retention=DURATION] [zones=N] [region=NAME] [compression=N]
// [partitions=N] [shares=N] [groups=N] [flush=DURATION] [segment=MiB] [anywhere]
//
// It answers with every line of every bill. anywhere is for clients that do not look for their zone.
func TestBills(t *testing.T) {
	datadriven.RunTest(t, "testdata/bills", func(t *testing.T, d *datadriven.TestData) string {
		w := DefaultWorkload()
		scan := func(key string, into any) {
			if d.HasArg(key) {
				d.ScanArgs(t, key, into)
			}
		}
		number := func(key string, into *float64) {
			var text string
			if scan(key, &text); text != "" {
				if _, err := fmt.Sscan(text, into); err != nil {
					t.Fatalf("%s=%s: %v", key, text, err)
				}
			}
		}
		span := func(key string, into *time.Duration) {
			var text string
			if scan(key, &text); text != "" {
				var err error
				if *into, err = time.ParseDuration(text); err != nil {
					t.Fatal(err)
				}
			}
		}
		number("write", &w.Write)
		number("read", &w.Read)
		number("compression", &w.Compression)
		number("segment", &w.SegmentMiB)
		span("retention", &w.Retention)
		span("flush", &w.Flush)
		scan("zones", &w.Zones)
		scan("region", &w.Region)
		scan("partitions", &w.Partitions)
		scan("shares", &w.Shares)
		scan("groups", &w.ReadGroups)
		w.ZoneAware = !d.HasArg("anywhere")
		e, err := Reckon(w, prices(t))
		if err != nil {
			return "error: " + err.Error() + "\n"
		}
		var b strings.Builder
		for _, bill := range append(e.Bills, e.Ways...) {
			fmt.Fprintf(&b, "%s: %.2f, %.3f cents\n", bill.System, bill.Total, bill.Cents)
			for _, l := range bill.Lines {
				fmt.Fprintf(&b, "  %-9s %-32s %14.3f %-13s x %-9.5g = %.2f\n", l.Kind, l.Name, l.Quantity, l.Unit, l.Price, l.Month)
			}
		}
		return b.String()
	})
}

var anyLoad = rapid.Custom(func(t *rapid.T) Workload {
	w := DefaultWorkload()
	rate := rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(0, 1), rapid.Float64Range(0, 20_000))
	w.Write, w.Read = rate.Draw(t, "write"), rate.Draw(t, "read")
	w.Retention = time.Duration(rapid.IntRange(0, 400*24).Draw(t, "hours")) * time.Hour
	w.Zones = rapid.IntRange(1, 6).Draw(t, "zones")
	w.Region = rapid.SampledFrom([]string{"us-east-1", "eu-west-1", "eu-central-1", "ap-southeast-1"}).Draw(t, "region")
	w.Compression = rapid.Float64Range(0.5, 20).Draw(t, "compression")
	w.Partitions = rapid.IntRange(1, 10_000).Draw(t, "partitions")
	w.Shares = rapid.IntRange(1, 20).Draw(t, "shares")
	w.ReadGroups = rapid.IntRange(1, 5).Draw(t, "groups")
	w.Flush = time.Duration(rapid.IntRange(25, 1000).Draw(t, "flush ms")) * time.Millisecond
	w.SegmentMiB = rapid.Float64Range(1, 16).Draw(t, "segment")
	w.ZoneAware = rapid.Bool().Draw(t, "zone aware")
	return w
})

func all(e *Estimate) []Bill { return append(append([]Bill{}, e.Bills...), e.Ways...) }

// TestSums: a line is its quantity times its price, a bill the sum of its lines, and the kinds make it up.
func TestSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyLoad.Draw(t, "load")
		for _, b := range all(reckon(t, w)) {
			sum, kinds := 0.0, 0.0
			for _, l := range b.Lines {
				if l.Month < 0 || l.Quantity < 0 || math.IsNaN(l.Month) || !near(l.Quantity*l.Price, l.Month) {
					t.Fatalf("%s, %s: %v x %v = %v", b.System, l.Name, l.Quantity, l.Price, l.Month)
				}
				sum += l.Month
			}
			for _, kind := range Kinds() {
				kinds += b.Of(kind)
			}
			if !near(sum, b.Total) || !near(kinds, b.Total) {
				t.Fatalf("%s: lines are %v, kinds %v, the total %v", b.System, sum, kinds, b.Total)
			}
		}
	})
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6+1e-9*max(math.Abs(a), math.Abs(b)) }

// TestMoreCostsMore: nothing gets cheaper by writing, reading or keeping more.
func TestMoreCostsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyLoad.Draw(t, "load")
		more := w
		factor := rapid.Float64Range(1, 10).Draw(t, "factor")
		switch rapid.SampledFrom([]string{"write", "read", "retention", "both"}).Draw(t, "what") {
		case "write":
			more.Write *= factor
		case "read":
			more.Read *= factor
		case "retention":
			more.Retention = time.Duration(float64(more.Retention) * min(factor, 2))
		default:
			more.Write, more.Read = more.Write*factor, more.Read*factor
		}
		before, after := all(reckon(t, w)), all(reckon(t, more))
		for i := range before {
			if after[i].Total < before[i].Total-1e-6 {
				t.Fatalf("%s: %v for\n%+v\nand %v for\n%+v", before[i].System, before[i].Total, w, after[i].Total, more)
			}
		}
	})
}

// TestNothingCostsTheFixedParts: without a load there are machines, their disks and a licence, and nothing that is counted.
func TestNothingCostsTheFixedParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyLoad.Draw(t, "load")
		w.Write, w.Read = 0, 0
		e := reckon(t, w)
		for _, b := range e.Bills {
			for _, l := range b.Lines {
				fixed := l.Kind == Compute || strings.HasPrefix(l.Name, "control nodes' disks") || strings.HasPrefix(l.Name, "controllers' disks") || l.Name == "cluster, tier Pro"
				if !fixed && l.Month != 0 {
					t.Fatalf("%s: %s costs %v for nothing", b.System, l.Name, l.Month)
				}
			}
			if b.Total <= 0 || b.Cents != 0 {
				t.Fatalf("%s: %v, %v cents", b.System, b.Total, b.Cents)
			}
		}
		if again := reckon(t, DefaultWorkload()); again.Bills[0].Total <= e.Bills[0].Total && w.Region == "us-east-1" && w.Zones <= 3 && w.ReadGroups == 1 {
			t.Fatalf("nothing costs %v, a load %v", e.Bills[0].Total, again.Bills[0].Total)
		}
	})
}

// TestRequestCents holds what requests cost against the goals of the segment sizes, in us-east-1.
func TestRequestCents(t *testing.T) {
	for name, c := range map[string]struct {
		flush   time.Duration
		segment float64
		most    float64
	}{"defaults": {200 * time.Millisecond, 4, 0.176}, "economy": {250 * time.Millisecond, 8, 0.088}} {
		w := DefaultWorkload()
		w.Flush, w.SegmentMiB = c.flush, c.segment
		e := reckon(t, w)
		if got := RequestCents(&e.Bills[0], e.Written); got <= 0 || got > c.most {
			t.Errorf("%s: %.4f cents a GiB for requests", name, got)
		}
	}
}

func TestWorkloadFaults(t *testing.T) {
	w := Workload{Write: -1, Read: math.NaN(), Retention: -1, Flush: 1, Region: "us-east-1"}
	err := w.Validate()
	for _, word := range []string{"write", "read", "retention", "zones", "compression", "partitions", "shares", "read groups", "flush interval", "segment size"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say what is wrong with %s", err, word)
		}
	}
	w = DefaultWorkload()
	w.Region = "mars-1"
	if _, err := Reckon(w, prices(t)); err == nil || !strings.Contains(err.Error(), `"mars-1"`) || !strings.Contains(err.Error(), "us-east-1") {
		t.Errorf("of an unknown region: %v", err)
	}
}
