package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmusdata/isthmus/internal/cost"
)

// costOf runs the command and returns what it printed on either side.
func costOf(t *testing.T, args ...string) (out, warnings string, err error) {
	t.Helper()
	var o, e strings.Builder
	root := newRoot()
	root.SetOut(&o)
	root.SetErr(&e)
	root.SetArgs(append([]string{"cost"}, args...))
	err = root.ExecuteContext(t.Context())
	return o.String(), e.String(), err
}

// TestCost: the table and the JSON say the same, for the load that the flags describe.
func TestCost(t *testing.T) {
	load := []string{"--write", "50", "--fanout", "4", "--retention", "36h", "--zones", "2", "--region", "eu-west-1", "--compression", "2", "--flush-interval", "250ms", "--segment-size", "8MiB"}
	raw, _, err := costOf(t, append(load, "--output", "json")...)
	if err != nil {
		t.Fatal(err)
	}
	var e cost.Estimate
	if err := json.Unmarshal([]byte(raw), &e); err != nil {
		t.Fatal(err)
	}
	if w := e.Workload; w.Write != 50 || w.Read != 200 || w.Retention.Hours() != 36 || w.SegmentMiB != 8 || w.Flush.Milliseconds() != 250 || e.Written != 25*2628000.0/1024 {
		t.Errorf("of %+v, %v GiB", w, e.Written)
	}
	table, warnings, err := costOf(t, load...)
	if err != nil || warnings != "" {
		t.Fatal(err, warnings)
	}
	for _, b := range append(e.Bills, e.Ways...) {
		if !strings.Contains(table, b.System) || !strings.Contains(table, dollars(b.Total)) {
			t.Errorf("the table has no %s of %.2f:\n%s", b.System, b.Total, table)
		}
	}
}

// TestCostFlags: what cannot be reckoned is a fault of usage that names it, and a --read that disagrees with --fanout is said.
func TestCostFlags(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"--region mars-1", "mars-1"}, {"--write -1", "write"}, {"--retention soon", "soon"}, {"--zones 9", "zones"},
		{"--flush-interval 1ms", "flush interval"}, {"--prices no-such-file", "no-such-file"},
	} {
		if _, _, err := costOf(t, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
	if _, warnings, err := costOf(t, "--write", "10", "--read", "10", "--fanout", "3"); err != nil || !strings.Contains(warnings, "--read 10 counts") {
		t.Errorf("%v: %q", err, warnings)
	}
}

// TestCostPrices: the printed file can be changed and given back, and a wrong key is refused by its name.
func TestCostPrices(t *testing.T) {
	file, _, err := costOf(t, "prices")
	if err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(t.TempDir(), "mine.yaml")
	write := func(text string) {
		if err := os.WriteFile(mine, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.ReplaceAll(file, "  us-east-1:", "  the-moon:"))
	out, _, err := costOf(t, "--prices", mine, "--region", "the-moon")
	if err != nil || !strings.Contains(out, "the-moon") {
		t.Errorf("%v\n%s", err, out)
	}
	write(strings.Replace(file, "cross_zone_gb:", "cross_zon_gb:", 1))
	if _, _, err := costOf(t, "--prices", mine); err == nil || !strings.Contains(err.Error(), `"cross_zone_gb"`) {
		t.Errorf("a wrong key: %v", err)
	}
}
