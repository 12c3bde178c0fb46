//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestSparkStructuredStreaming reads the fetch-only group with a streaming query that keeps counts and sums, and
// writes what has changed through the produce-only group. It is killed with -9 in the middle; a second run goes on from its
// checkpoint, counts nothing twice, and writes again at most what one batch had written.
func TestSparkStructuredStreaming(t *testing.T) {
	spark := openDriver(t, "spark")
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	c.isthmus("topic", "create", "events", "--partitions", "4")
	c.isthmus("topic", "create", "totals", "--partitions", "1")
	run := func(checkpoint string) *process {
		return spark.job(t, "UserCount", brokers(c.analytics), brokers(c.prod), checkpoint)
	}

	const records, users = 4000, 5
	want, checkpoint := make(map[string]tally), filepath.Join(t.TempDir(), "checkpoint")
	sendEvents(t, c, want, 0, records, users)
	job := run(checkpoint)
	eventually(t, "Spark has written of two batches", func() error {
		if n := len(readAll(t, c.analytics, "totals")); n < 2*users {
			return fmt.Errorf("%d records", n)
		}
		return nil
	})
	job.kill()
	if killed, _ := totalsOf(t, readAll(t, c.analytics, "totals")); maps.Equal(killed, want) {
		t.Errorf("Spark was killed when it had counted all")
	}
	sendEvents(t, c, want, records, records+1000, users)
	run(checkpoint).ends()

	got, again := totalsOf(t, readAll(t, c.analytics, "totals"))
	if !maps.Equal(got, want) {
		t.Errorf("Spark counted %v\nwant %v", got, want)
	}
	if again > users {
		t.Errorf("Spark wrote %d records again, want those of one batch at most: %d", again, users)
	}
	record(t, "Apache Spark", spark.version, "structured streaming: counts over the fetch-only group, results to the produce-only one", works)
	record(t, "Apache Spark", spark.version, "structured streaming: killed with -9, resumes from its checkpoint", works)
}

// totalsOf is the last tally of each user, and how many were written again.
func totalsOf(t *testing.T, written []*kgo.Record) (last map[string]tally, again int) {
	t.Helper()
	last = make(map[string]tally)
	for _, record := range written {
		var one tally
		if err := json.Unmarshal(record.Value, &one); err != nil || one.User != string(record.Key) {
			t.Fatalf("Spark wrote %q: %q: %v", record.Key, record.Value, err)
		}
		switch before := last[one.User]; {
		case one == before:
			again++
		case one.Count <= before.Count:
			t.Errorf("Spark counted %+v, then %+v", before, one)
		}
		last[one.User] = one
	}
	return last, again
}
