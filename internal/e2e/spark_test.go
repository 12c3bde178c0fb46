//go:build e2e

package e2e

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"testing"
)

// TestSparkStructuredStreaming reads the fetch-only group with a streaming query that keeps counts and sums, and
// writes what has changed through the produce-only group. A second run of it goes on from the checkpoint of the first.
func TestSparkStructuredStreaming(t *testing.T) {
	spark := openDriver(t, "spark")
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	c.isthmus("topic", "create", "events", "--partitions", "4")
	c.isthmus("topic", "create", "totals", "--partitions", "1")
	checkpoint := filepath.Join(t.TempDir(), "checkpoint")

	const records, users = 2000, 5
	want := make(map[string]tally)
	for run := range 2 {
		sendEvents(t, c, want, run*records, (run+1)*records, users)

		spark.job(t, "UserCount", brokers(c.analytics), brokers(c.prod), checkpoint).ends()

		got := make(map[string]tally)
		written := readAll(t, c.analytics, "totals")
		for _, record := range written {
			var one tally
			if err := json.Unmarshal(record.Value, &one); err != nil || one.User != string(record.Key) {
				t.Fatalf("Spark wrote %q: %q: %v", record.Key, record.Value, err)
			}
			got[one.User] = one
		}
		if len(written) != (run+1)*users {
			t.Errorf("after %d runs Spark has written %d records, want one for each of %d users a run", run+1, len(written), users)
		}
		if !maps.Equal(got, want) {
			t.Errorf("after %d runs Spark counted %v\nwant %v", run+1, got, want)
		}
	}
	record(t, "Apache Spark", spark.version, "structured streaming: counts over the fetch-only group, results to the produce-only one", works)
	record(t, "Apache Spark", spark.version, "structured streaming: a second run goes on from the checkpoint", works)
}
