//go:build e2e && linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/e2e/walls"
)

// TestWalls is the proof between two accounts: a production account that produces, and an analytics account that
// fetches, share a bucket role and nothing else. Its parts are told in the order in which they run.
func TestWalls(t *testing.T) {
	w := newWallsWorld(t)
	w.filterWorks()
	w.startServices()
	w.startAgents()

	w.shipsALog()
	w.operator("topic", "create", ownTopic, "--partitions", fmt.Sprint(flowPartitions), "--share", ownShare)
	w.operator("topic", "create", otherTopic, "--partitions", "1", "--share", otherShare)
	f := w.startFlow(ownTopic, "analytics-"+ownTopic, w.prod, w.analytics)
	f.moves("at the start", 100)
	w.thievesAtTheBucket()
	w.thievesAtEval()
	w.thievesAtTheControlPlane()
	w.thievesAmongClients()
	f.moves("after thieves", 100)
	revoked := w.revokes(f)
	w.stsAway(f)
	w.wrongEndpoints(f)
	w.rotatesKeys(f)
	w.restartsMidLogin(f)
	w.cloudAhead()
	f.end()

	w.report(revoked)
}

// filterWorks shows that what must not pass is dropped and seen, before the counters begin at 0.
func (w *wallsWorld) filterWorks() {
	w.t.Helper()
	seen, err := w.net.Probe(w.t.Context())
	w.check(err)
	for _, c := range seen {
		switch c.Name {
		case "a_to_b_sent", "b_to_a_sent", "a_to_b_entered", "b_to_a_entered", "a_to_b_dropped", "b_to_a_dropped":
			if c.Packets < 2 { // of TCP and UDP
				w.t.Errorf("the counter %s saw %d packets of the probe", c.Name, c.Packets)
			}
		default:
			if c.Packets != 0 {
				w.t.Errorf("%d packets of the probe got as far as %s", c.Packets, c.Name)
			}
		}
	}
	w.check(w.net.Reset())
}

// shipsALog ships a real log with rsyslog in A, and reads it in B with Kafka's own consumer.
func (w *wallsWorld) shipsALog() {
	w.t.Helper()
	java := openDriver(w.t, "java")
	w.operator("topic", "create", "syslog", "--partitions", "1", "--share", ownShare)
	want := realLog(w.t)
	dir := w.t.TempDir()
	source := filepath.Join(dir, "source.log")
	w.check(os.WriteFile(source, want, 0o600))
	w.startIn(w.net.A, nil, needProgram(w.t, "rsyslogd"), "-n", "-f", rsyslogConfig(w.t, dir, source, w.prod[0].kafka, "security.protocol=ssl", "ssl.ca.location="+w.ca.File()),
		"-i", filepath.Join(dir, "pid"))

	properties := filepath.Join(dir, "consumer.properties")
	w.check(os.WriteFile(properties, fmt.Appendf(nil, "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location=%s\n", w.ca.File()), 0o600))
	k := &tools{home: filepath.Dir(java.path)}
	run := w.net.B.Command("java", k.command(w.analytics, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", "syslog", "--group", "analytics-log",
		"--from-beginning", "--max-messages", fmt.Sprint(bytes.Count(want, []byte("\n"))), "--command-config", properties)...)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	read := exec.CommandContext(ctx, run[0], run[1:]...)
	var complaints bytes.Buffer
	read.Stderr = &complaints
	got, err := read.Output()
	if err != nil {
		w.t.Fatalf("Kafka's consumer: %v after %d of %d bytes\n%s", err, len(got), len(want), tail(complaints.String(), 40))
	}
	if !bytes.Equal(got, want) {
		w.t.Fatalf("read %d bytes of the log, want %d; first difference at byte %d", len(got), len(want), difference(got, want))
	}
	w.t.Logf("a log of %d bytes went from rsyslog in A to Kafka's consumer in B, whole and in order", len(want))
}

// report counts what passed between the VPCs in all the time, and leaves the table and the last line.
func (w *wallsWorld) report(revoked time.Duration) {
	w.t.Helper()
	counters, err := w.net.Counters()
	w.check(err)
	packets := int64(0)
	for _, c := range counters {
		w.t.Logf("%-16s %d packets", c.Name, c.Packets)
		packets = max(packets, c.Packets) // one packet is seen by several
	}
	if packets != 0 {
		w.t.Errorf("%d packets between the VPCs", packets)
	}
	run := walls.Run{Table: w.table, Packets: packets, Revoked: revoked.Seconds()}
	var text bytes.Buffer
	w.check(w.table.Print(&text))
	fmt.Fprintln(&text, run)
	w.t.Logf("\n%s", text.String())
	if file := os.Getenv("ISTHMUS_WALLS_REPORT"); file != "" {
		w.check(os.WriteFile(file, text.Bytes(), 0o600))
	}
	if attempts, denied := w.table.Count(); attempts < 30 || denied != attempts {
		w.t.Errorf("%d attempts, %d denied: want 30 at least, and all of them denied", attempts, denied)
	}
	w.comparePage()
}

// comparePage holds docs/proof.md to the table, or with ISTHMUS_WALLS=write writes the table into it.
func (w *wallsWorld) comparePage() {
	w.t.Helper()
	const path, mark = "../../docs/proof.md", "<!-- the thief's table, written by ISTHMUS_WALLS=write make e2e-walls -->\n"
	old, err := os.ReadFile(path)
	w.check(err)
	head, _, found := strings.Cut(string(old), mark)
	if !found {
		w.t.Fatalf("%s has no line %q", path, mark)
	}
	page := bytes.NewBufferString(head + mark)
	w.check(w.table.Markdown(page))
	switch {
	case page.String() == string(old) || w.t.Failed():
	case os.Getenv("ISTHMUS_WALLS") == "write":
		w.check(os.WriteFile(path, page.Bytes(), 0o644))
	default:
		w.t.Errorf("docs/proof.md tells another table (ISTHMUS_WALLS=write make e2e-walls writes it):\n%s", changedLines(string(old), page.String()))
	}
}
