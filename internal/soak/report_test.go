package soak

import (
	"strings"
	"testing"
	"time"
)

// TestFaultsAreJudgedByWhatTheyExplain measures a fault of 30 s with gaps of many lengths.
func TestFaultsAreJudgedByWhatTheyExplain(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	end := begin.Add(30 * time.Second)
	at := func(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }
	for name, c := range map[string]struct {
		explains explained
		from, to float64
		back     float64
		verdict  string
		wrong    string
	}{
		"nobody can help":                 {whole, 0, 35, 5, asExplained, ""},
		"nobody could, and it stays away": {whole, 0, 49, 19, tooLong, ""},
		"slow to return":                  {few, 29, 41, 11, tooLong, ""},
		"others take over":                {handed, 0, 18, 0, asExplained, ""},
		"others do not":                   {handed, 0, 31, 1, tooLong, ""},
		"a few seconds":                   {few, 1, 10, 0, asExplained, ""},
		"short, and long after":           {few, 39, 41, 11, slowToBack, ""},
		"far too long":                    {few, 0, 56, 26, tooLong, "more than the fault explains"},
		"never":                           {whole, 25, 91, 61, tooLong, "after its end"},
		"nothing":                         {few, 31, 31.5, 0, asExplained, ""},
	} {
		f := fault{kind: "trouble", produce: c.explains, read: few}
		s, wrong := measure(f, begin, end, []gap{{from: at(c.from), to: at(c.to)}})
		if s.Back != c.back || s.Verdict != c.verdict || (wrong == "") != (c.wrong == "") || !strings.Contains(wrong, c.wrong) {
			t.Errorf("%s: back after %v, %s, %q; want %v, %s, %q", name, s.Back, s.Verdict, wrong, c.back, c.verdict, c.wrong)
		}
		if s.ProduceOne != c.to-c.from || s.ReadOne+s.ReadAll+s.ProduceAll != 0 {
			t.Errorf("%s: %+v", name, s.Outage)
		}
	}
}

// TestReportIsSoundOnlyIfNothingIsWrong sets each of its counts, and nothing else, to something else than 0.
func TestReportIsSoundOnlyIfNothingIsWrong(t *testing.T) {
	good := func() *Report {
		return &Report{Sent: 10, Acked: 10, Read: 10, Groups: map[string]GroupPart{"g": {}}, Rest: []Rest{{Process: "p"}}}
	}
	r := good()
	if r.decide(); !r.Sound() {
		t.Fatalf("a good report is wrong: %v", r.Wrong)
	}
	for what, spoil := range map[string]func(*Report){
		"lost":         func(r *Report) { r.Lost = 1 },
		"duplicated":   func(r *Report) { r.Duplicated = 1 },
		"out of order": func(r *Report) { r.Live.Reordered = 1 },
		"hold nothing": func(r *Report) { r.Holes = 1 },
		"answered":     func(r *Report) { r.Sent = 11 },
		"an error":     func(r *Report) { r.Refused, r.Sent, r.FirstError = 1, 11, "no" },
		"skipped":      func(r *Report) { r.Groups["g"] = GroupPart{groupCounts: groupCounts{Skipped: 1}} },
		"forgotten":    func(r *Report) { r.Groups["g"] = GroupPart{groupCounts: groupCounts{Rewound: 1}} },
		"never read":   func(r *Report) { r.Groups["g"] = GroupPart{Unread: 1} },
		"leaks":        func(r *Report) { r.Rest[0].After.Files = 1000; r.Rest[0].judge() },
		"acknowledged": func(r *Report) { r.Sent, r.Acked = 0, 0 },
	} {
		r := good()
		spoil(r)
		if r.decide(); r.Sound() || !strings.Contains(strings.Join(r.Wrong, "\n"), what) {
			t.Errorf("%s: %q", what, r.Wrong)
		}
	}
}
