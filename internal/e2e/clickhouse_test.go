//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestClickHouse feeds a table from the fetch-only group through ClickHouse's Kafka engine and a materialized view:
// every user's count and sum are those of what was sent, and a second run goes on where the first has committed.
func TestClickHouse(t *testing.T) {
	t.Parallel() // after all that do not say this: its install takes long, and nobody is to wait for it
	clickhouse := openDriver(t, "clickhouse")
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	c.isthmus("topic", "create", "events", "--partitions", "4")
	folder := filepath.Join(t.TempDir(), "clickhouse")

	const records, users = 2000, 5
	want := make(map[string]tally)
	for run := range 2 {
		sendEvents(t, c, want, run*records, (run+1)*records, users)
		read := exec.Command(clickhouse.path, "count", "--bootstrap", brokers(c.analytics), "--topic", "events", "--group", "clickhouse",
			"--folder", folder, "--records", fmt.Sprint((run+1)*records))
		var stderr strings.Builder
		read.Stderr = &stderr
		out, err := read.Output()
		if err != nil {
			t.Fatalf("ClickHouse: %v\n%s", err, stderr.String())
		}
		got := make(map[string]tally)
		for line := range strings.Lines(strings.TrimSpace(string(out))) {
			var one tally
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatalf("ClickHouse said %q: %v", line, err)
			}
			got[one.User] = one
		}
		if !maps.Equal(got, want) {
			t.Errorf("after %d runs ClickHouse counted %v\nwant %v", run+1, got, want)
		}
	}
	record(t, "ClickHouse", clickhouse.version, "Kafka engine: a table fed from the fetch-only group", works)
	record(t, "ClickHouse", clickhouse.version, "Kafka engine: a second run goes on where the first has committed", works)
}

// sendEvents produces the events numbered from..to of users in turns, and adds them to what is to be counted.
func sendEvents(t *testing.T, c *cluster, counted map[string]tally, from, to, users int) {
	t.Helper()
	var sent []*kgo.Record
	for i := from; i < to; i++ {
		user := fmt.Sprintf("p%d", i%users)
		sent = append(sent, &kgo.Record{Topic: "events", Value: fmt.Appendf(nil, `{"u":%q,"n":%d}`, user, i)})
		old := counted[user]
		counted[user] = tally{User: user, Count: old.Count + 1, Sum: old.Sum + i}
	}
	write(t, c.prod, sent...)
}
