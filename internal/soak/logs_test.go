package soak

import (
	"strings"
	"testing"
)

func TestReadLogFindsWhatShouldNotBeThere(t *testing.T) {
	complaints, wrong := readLog("control", []byte(strings.Join([]string{
		`{"level":"INFO","msg":"leading"}`,
		`{"level":"ERROR","msg":"control node stops","error":"disk full"}`,
		`{"level":"ERROR","msg":"control node stops","error":"disk full again"}`,
		`isthmus: control node has stopped`,
		`{"level":"ERROR","msg":"call panicked","panic":"index out of range"}`,
		`panic: runtime error`,
		`goroutine 1 [running]:`,
		`WARNING: DATA RACE`,
	}, "\n")))
	if len(complaints) != 2 || complaints[0].Times != 2 || complaints[0].Message != "control node stops" || complaints[1].Times != 1 {
		t.Errorf("complaints %+v", complaints)
	}
	if len(wrong) != 3 || !strings.Contains(wrong[0], "call panicked") || !strings.HasPrefix(wrong[2], "control: ") {
		t.Errorf("wrong %q", wrong)
	}
}
