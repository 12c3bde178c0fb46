package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// told are the events of some kinds, as an operator reads them.
func (w *walled) told(kinds ...string) (all []string) {
	w.t.Helper()
	for after := uint64(0); ; {
		events, more, err := w.op.Audit(w.t.Context(), client.AuditQuery{After: after, Limit: 3})
		must(w.t, err)
		for _, e := range events {
			after = e.Number
			if slices.Contains(kinds, e.Kind) {
				all = append(all, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s %s %s %s %dB %d %s", e.Kind, e.Identity, e.Group, e.Agent, e.Share, e.Topic, e.Grant, e.Bytes, e.Records, e.Detail)), " "))
			}
		}
		if !more {
			return all
		}
	}
}

// TestTheAuditTellsWhatWasMovedAndDenied: by whom, of what, by which grant; and a node that stops writes down what it has counted.
func TestTheAuditTellsWhatWasMovedAndDenied(t *testing.T) {
	w := newWalled(t)
	ctx := t.Context()
	s := w.prod.commits(t)
	for i, c := range []*segment.Commit{w.in("default", 1, "events"), w.in("default", 2, "events"), w.in("default", 2, "events"), w.in("secret", 1, "hidden"), w.in("default", 3, "hidden")} {
		if r := send(t, s, c); r.Outcome != segment.Answered || (r.Answers[0].Verdict == segment.Placed) != (i < 4) {
			t.Fatalf("commit %d: %+v", i, r)
		}
	}
	used := []client.Usage{{Topic: w.topics["events"].ID, Bytes: 300, Records: 3}, {Topic: topic.ID{9}, Bytes: 7, Records: 1}}
	for range 2 {
		if _, err := w.reading.Heartbeat(ctx, w.reading.grant.Session, 0, used...); err != nil {
			t.Fatal(err)
		}
	}
	// The thief's: a producer plans, a reader plans what it is not granted, commits, deletes a topic, and reads the walls.
	if _, err := w.prod.Plan(ctx, []segment.PlanQuery{{Partition: w.at("events")}}); !errors.Is(err, client.ErrDenied) {
		t.Fatal(err)
	}
	for range 3 {
		if plans, err := w.reading.Plan(ctx, []segment.PlanQuery{{Partition: w.at("hidden"), MaxBytes: 1}}); err != nil || plans[0].Code != 29 {
			t.Fatal(plans, err)
		}
	}
	if _, err := w.reading.Walls(ctx); !errors.Is(err, client.ErrDenied) {
		t.Fatal(err)
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{"events"}
	req.SetVersion(3)
	if _, err := w.reading.Call(ctx, client.TunnelCall{Key: req.Key(), Version: req.GetVersion(), Body: req.AppendTo(nil)}); err != nil {
		t.Fatal(err)
	}
	stranger := w.dial()
	if _, err := stranger.Walls(ctx); err == nil {
		t.Fatal("a stranger reads the walls")
	}
	w.bed.stop()
	w.start()

	length := w.prod.commit(1, w.at("events"), 1).Manifest.Rows[0].Length
	want := []string{
		"fetch analytics's analytics 14B 2 of topic " + topic.ID{9}.String() + ", which is gone",
		"fetch analytics's analytics default events a1 600B 6",
		fmt.Sprintf("produce prod's prod default events p1 %dB 2", 2*length),
		fmt.Sprintf("produce prod's prod secret hidden p2 %dB 1", length),
	}
	if got := w.told("produce", "fetch"); !slices.Equal(got, want) {
		t.Errorf("moved:\n%s\nwanted\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	denied := w.told("denied")
	for _, words := range [][]string{
		{"prod's prod p1", "Plan:"}, {"analytics's analytics a1 secret hidden", "Plan:", "(3 times)"}, {"analytics's analytics a1", "Walls:"},
		{"analytics's analytics a1", "events", "DeleteTopics:"}, {"prod's prod p1 default hidden", "Commit:"}, {"0B 0 Walls:", "no token"},
	} {
		if !slices.ContainsFunc(denied, func(line string) bool {
			return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
		}) {
			t.Errorf("no denial of %q among\n%s", words, strings.Join(denied, "\n"))
		}
	}
}

// TestTheAuditIsWrittenWhileTheNodeRuns: what was written once is not written again.
func TestTheAuditIsWrittenWhileTheNodeRuns(t *testing.T) {
	w := newWalled(t)
	w.bed.stop()
	w.config.AuditInterval = 20 * time.Millisecond
	w.start()
	for range 2 {
		before := len(w.told("fetch"))
		if _, err := w.reading.Heartbeat(t.Context(), w.reading.grant.Session, 0, client.Usage{Topic: w.topics["events"].ID, Bytes: 300, Records: 3}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "what was served is in the audit", func() bool { return len(w.told("fetch")) > before })
	}
	if got := w.told("fetch"); len(got) != 2 || got[0] != got[1] {
		t.Errorf("%q", got)
	}
}
