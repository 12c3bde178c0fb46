package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func someResult(scale float64) *Result {
	r := &Result{Commit: "c0ffee"}
	for round := 1; round <= 3; round++ {
		for _, name := range []string{"produce-large", "tail-1"} {
			r.Samples = append(r.Samples,
				Sample{Case: name, System: Isthmus, Round: round, Seconds: 1, MBPerCPUSecond: scale * float64(300+round), ResidentMB: 100},
				Sample{Case: name, System: KafkaRF1, Round: round, Seconds: 1, MBPerCPUSecond: 150 + float64(round)})
		}
	}
	r.Samples = append(r.Samples, Sample{Case: "idle", System: Isthmus, Round: 1, Seconds: 60, Extra: map[string]float64{"core_percent": 0.5}})
	return r
}

// TestLatestIsFlat: every goal has a number of its own in latest.json, or null where its case was not run, and the runs are beside them.
func TestLatestIsFlat(t *testing.T) {
	folder := t.TempDir()
	if _, err := someResult(1).Write(folder); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "latest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var flat map[string]any
	if err := json.Unmarshal(text, &flat); err != nil {
		t.Fatal(err)
	}
	if len(flat) != reflect.TypeFor[Latest]().NumField() {
		t.Errorf("%d keys", len(flat))
	}
	for name, value := range flat {
		_, number := value.(float64)
		ran := name == "produce_large_vs_kafka_rf1" || name == "tail_fanout1_vs_kafka" || strings.HasPrefix(name, "in_out") || strings.HasPrefix(name, "idle_")
		if name != "commit" && name != "runs" && (number != ran || !number && value != nil) {
			t.Errorf("%s is %v", name, value)
		}
	}
	if got, want := flat["produce_large_vs_kafka_rf1"].(float64), 302.0/152; got != want {
		t.Errorf("ratio %v, wanted that of the medians, %v", got, want)
	}
}

// TestCompare: the same figures differ by nothing, and twice as many by a ratio of 2.
func TestCompare(t *testing.T) {
	var out bytes.Buffer
	if err := compare(&out, someResult(1), someResult(2)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"302", "604", "2.00", "1.00", "n=3+3"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

// TestPage: a run writes its tables between the marks and nothing else; a page without them is left alone.
func TestPage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("head\n"+pageBegin+"\nold\n"+pageEnd+"\ntail\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := someResult(1).WritePage(file); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"head\n" + pageBegin, pageEnd + "\ntail\n", "| produce-large", "core percent 0.5"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Error("the old table is still there")
	}
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := someResult(1).WritePage(file); err == nil {
		t.Error("a page without marks was written")
	}
}

// TestReadBenchmarks reads what go test prints.
func TestReadBenchmarks(t *testing.T) {
	got := readBenchmarks("goos: linux\nBenchmarkPlaceExtents-2 \t 3000\t 400000 ns/op\t 2500000 placements/s\nPASS\n")
	if got["PlaceExtents placements/s"] != 2.5e6 || got["PlaceExtents ns/op"] != 400000 {
		t.Errorf("read %v", got)
	}
}

// TestARunOfSomeCasesKeepsTheOthers: latest.json has each case as it was found last, and the runs of which anything counts.
func TestARunOfSomeCasesKeepsTheOthers(t *testing.T) {
	folder := t.TempDir()
	if _, err := someResult(1).Write(folder); err != nil {
		t.Fatal(err)
	}
	again := &Result{Commit: "d00d1e", Samples: []Sample{{Case: "idle", System: Isthmus, Round: 1, Seconds: 60, Gets: 7}}}
	all, err := again.Write(folder)
	if err != nil {
		t.Fatal(err)
	}
	latest := all.Latest()
	if latest.IdleGets == nil || *latest.IdleGets != 7 || latest.ProduceLargeVsRF1 == nil || len(all.Samples) != 13 {
		t.Errorf("%d samples, %+v", len(all.Samples), latest)
	}
	text, err := os.ReadFile(filepath.Join(folder, "latest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &latest); err != nil || len(latest.Runs) != 2 {
		t.Errorf("%d runs: %v", len(latest.Runs), err)
	}
	all, err = someResult(2).Write(folder) // has all cases
	if err != nil || len(all.Samples) != 13 {
		t.Fatalf("%d samples: %v", len(all.Samples), err)
	}
}
