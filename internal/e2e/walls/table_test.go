package walls

import (
	"strings"
	"testing"
)

func sample() *Table {
	table := new(Table)
	table.Add(Row{Actor: "produce", Attempt: "put under its own prefix", Layer: Nobody, Held: true, Evidence: "200"})
	table.Add(Row{Actor: "produce", Attempt: "get a segment", Layer: S3, Held: true, Evidence: "403 AccessDenied"})
	table.Add(Row{Actor: "fetch", Attempt: "commit | place", Layer: Control, Held: false, Evidence: "done:\nplaced"})
	return table
}

func TestLastLineCountsAttemptsAlone(t *testing.T) {
	got := Run{Table: sample(), Packets: 3, Revoked: 0.25}.String()
	want := "walls: 2 attempts, 1 denied; 3 packets between the VPCs; revoked in 0.25 s"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTableSaysWhatWasNotDenied(t *testing.T) {
	var text, page strings.Builder
	if err := sample().Print(&text); err != nil {
		t.Fatal(err)
	}
	if err := sample().Markdown(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"actor    attempt                   layer          outcome     evidence",
		"produce  get a segment             S3             denied      403 AccessDenied",
		"produce  put under its own prefix  allowed        works       200",
	} {
		if !strings.Contains(text.String(), want+"\n") {
			t.Errorf("no line %q in\n%s", want, text.String())
		}
	}
	for _, want := range []string{
		"| actor | attempt | layer | outcome | evidence |\n| --- | --- | --- | --- | --- |\n",
		"| fetch | commit \\| place | control plane | NOT DENIED | done: placed |\n",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, page.String())
		}
	}
}
