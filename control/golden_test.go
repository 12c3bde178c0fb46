package control

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// TestGoldenLogs: logs that were written by this and by earlier versions are answered as they were, for what was acknowledged
// then must be so after every replay. A line is a command in hexadecimal and what it came to. log-1 is of the time before walls
// and is never written anew; log-2 has them, and is written anew (-update) only as long as no cluster has logged the like.
func TestGoldenLogs(t *testing.T) {
	for _, name := range []string{"log-1", "log-2"} {
		path := "testdata/" + name
		if *update && name == "log-2" {
			writeGoldenLog(t, path)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s, lines := NewState(testLimits()), bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		n := 0
		for ; lines.Scan(); n++ {
			encoded, want, _ := strings.Cut(lines.Text(), " ")
			b, err := hex.DecodeString(encoded)
			if err != nil {
				t.Fatalf("%s: line %d: %v", name, n+1, err)
			}
			c := &controlpb.Command{}
			if err := proto.Unmarshal(b, c); err != nil {
				t.Fatalf("%s: line %d: %v", name, n+1, err)
			}
			if got := goldenResult(s.Apply(c)); got != want {
				t.Fatalf("%s: line %d: %v is answered\n%s\nand was answered\n%s", name, n+1, c, got, want)
			}
		}
		if err := lines.Err(); err != nil || n < 500 {
			t.Fatalf("%s: %d lines, %v", name, n, err)
		}
	}
}

// goldenResult is what callers are told.
func goldenResult(r Result) string {
	return fmt.Sprintf("code %d %v outcome %d last %d %+v session %d node %d id %d epoch %d topic %s events %d",
		r.Code, r.Codes, r.Reply.Outcome, r.Reply.Last, r.Reply.Answers, r.Login.GetSession(), r.Login.GetNodeId(),
		r.ProducerID, r.ProducerEpoch, r.TopicID, len(r.Events))
}

func writeGoldenLog(t *testing.T, path string) {
	t.Helper()
	var b bytes.Buffer
	s, c := NewState(testLimits()), newChaos(345) // in which much is placed and much denied
	for range 800 {
		cmd := c.command(s)
		encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(cmd)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%x %s\n", encoded, goldenResult(s.Apply(cmd)))
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
