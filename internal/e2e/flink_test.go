//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// tally is what an engine says of one user.
type tally struct {
	Window string `json:"w"`
	User   string `json:"u"`
	Count  int    `json:"c"`
	Sum    int    `json:"s"`
}

// TestFlinkSQL reads the fetch-only group from the earliest offset with a SQL job, counts in windows of event
// time, and writes through the produce-only group: every window's count and sum are those of what was sent. The job names
// a zone in its client ids, and keeps to the agents there.
func TestFlinkSQL(t *testing.T) {
	flink := openDriver(t, "flink")
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	far := append(slices.Clone(c.prod), c.analytics...)
	c.prod = append(c.prod, c.startAgent("prod", "produce", "--zone", "near"))
	c.analytics = append(c.analytics, c.startAgent("analytics", "fetch", "--zone", "near"))
	allKnown(t, c.prod)
	allKnown(t, c.analytics)
	c.isthmus("topic", "create", "events", "--partitions", "4")
	c.isthmus("topic", "create", "counts", "--partitions", "1")

	const records, users = 2000, 5
	began := time.Now().Truncate(time.Second).Add(-10 * time.Second)
	want := make(map[string]tally)
	var sent []*kgo.Record
	for i := range records {
		at, user := began.Add(time.Duration(i)*2500*time.Microsecond), fmt.Sprintf("p%d", i%users)
		sent = append(sent, &kgo.Record{Topic: "events", Timestamp: at, Value: fmt.Appendf(nil, `{"u":%q,"n":%d}`, user, i)})
		window := at.UTC().Format(time.DateTime)
		old := want[window+user]
		want[window+user] = tally{window, user, old.Count + 1, old.Sum + i}
	}
	write(t, c.prod, sent...)

	before := dataRequests(t, far)
	flink.job(t, "WindowCount", brokers(c.analytics), brokers(c.prod), "near").ends()
	if n := dataRequests(t, far) - before; n != 0 {
		t.Errorf("Flink sent %v Produce and Fetch requests to agents of another zone", n)
	}

	got := make(map[string]tally)
	for _, record := range readAll(t, c.analytics, "counts") {
		var one tally
		if err := json.Unmarshal(record.Value, &one); err != nil {
			t.Fatalf("Flink wrote %q: %v", record.Value, err)
		}
		if before, twice := got[one.Window+one.User]; twice {
			t.Errorf("Flink wrote %+v and %+v", before, one)
		}
		got[one.Window+one.User] = one
	}
	if !maps.Equal(got, want) {
		t.Errorf("Flink counted %v\nwant %v", got, want)
	}
	record(t, "Apache Flink", flink.version, "SQL: windows over the fetch-only group, results to the produce-only one", works)
	record(t, "Apache Flink", flink.version, "SQL: zone= in the client ids keeps to the agents of a zone", works)
}

// dataRequests counts the requests for records that agents have had.
func dataRequests(t *testing.T, agents []*agent) (n float64) {
	t.Helper()
	for _, a := range agents {
		requests := requestsOf(t, a)
		n += requests["Produce"] + requests["Fetch"]
	}
	return n
}

// allKnown waits until each agent tells its clients of all.
func allKnown(t *testing.T, agents []*agent) {
	t.Helper()
	for _, a := range agents {
		client := newClient(t, []*agent{a})
		eventually(t, a.kafka+" knows its group", func() error {
			members, err := kadm.NewClient(client).ListBrokers(t.Context())
			if err == nil && len(members) != len(agents) {
				err = fmt.Errorf("it tells of %d members of %d", len(members), len(agents))
			}
			return err
		})
	}
}

// TestFlinkResumes kills a job that counts in state with -9 while records arrive, and starts it again from its
// newest checkpoint: each count goes on without a gap, and only what was written after that checkpoint is written again.
// A job that is stopped with a savepoint writes nothing twice.
func TestFlinkResumes(t *testing.T) {
	flink := openDriver(t, "flink")
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	c.isthmus("topic", "create", "clicks", "--partitions", "4")
	c.isthmus("topic", "create", "totals", "--partitions", "1")
	state := t.TempDir()
	run := func(from ...string) *process {
		return flink.job(t, append([]string{"RunningCount", brokers(c.analytics), brokers(c.prod), "AT_LEAST_ONCE", "file://" + state}, from...)...)
	}
	totals := func() []*kgo.Record { return readAll(t, c.analytics, "totals") }

	feeder := feed(t, c.prod, "clicks")
	job := run()
	eventually(t, "Flink has kept a checkpoint, and has written more since", func() error {
		if covered, written := c.committed(t, "flink-counts", "clicks"), len(totals()); covered < 200 || int64(written) < covered+50 {
			return fmt.Errorf("the checkpoint covers %d records, %d are written", covered, written)
		}
		return nil
	})
	job.kill()
	killed := len(totals())
	checkpoint, err := newestCheckpoint(state)
	if err != nil {
		t.Fatal(err)
	}

	job = run("file://" + checkpoint)
	eventually(t, "Flink has gone on", func() error {
		if n := len(totals()); n < killed+200 {
			return fmt.Errorf("%d records, %d of them before the kill", n, killed)
		}
		return nil
	})
	sent := feeder.stop()
	counted(t, c, sent)
	eventually(t, "Flink has committed the end of what it read", func() error {
		if n := c.committed(t, "flink-counts", "clicks"); n != int64(sum(sent)) {
			return fmt.Errorf("%d of %d records", n, sum(sent))
		}
		return nil
	})
	savepoint := stopWithSavepoint(job)
	before := totals()
	again := rewinds(t, before, 1)
	if again >= killed {
		t.Errorf("Flink wrote %d records before it was killed, and %d of them again: it did not resume, it began anew", killed, again)
	}
	t.Logf("killed after %d records, resumed from %s: %d records in, %d out, %d of them again", killed, filepath.Base(checkpoint), sum(sent), len(before), again)

	feeder = feed(t, c.prod, "clicks")
	job = run(savepoint)
	eventually(t, "Flink has gone on from the savepoint", func() error {
		if n := len(totals()); n < len(before)+200 {
			return fmt.Errorf("%d records, %d of them before", n, len(before))
		}
		return nil
	})
	for value, n := range feeder.stop() {
		sent[value] += n
	}
	counted(t, c, sent)
	stopWithSavepoint(job)
	if after := totals(); rewinds(t, after, 1) != again {
		t.Errorf("after a savepoint Flink wrote again what it had written: %d records in, %d out, %d of them again", sum(sent), len(after), rewinds(t, after, 1))
	}
	record(t, "Apache Flink", flink.version, "DataStream: killed with -9, resumes from its newest checkpoint", works)
	record(t, "Apache Flink", flink.version, "DataStream: stopped with a savepoint, resumes without repeating", works)
	record(t, "Apache Flink", flink.version, "commits offsets at checkpoints, outside of a group", works)
}

// TestFlinkRunsOn kills what a running job depends on, and gives its topic more partitions: the job runs on, counts
// all, and writes nothing twice.
func TestFlinkRunsOn(t *testing.T) {
	flink := openDriver(t, "flink")
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	c.isthmus("topic", "create", "clicks", "--partitions", "2")
	c.isthmus("topic", "create", "totals", "--partitions", "1")
	feeder := feed(t, c.prod, "clicks")
	job := flink.job(t, "RunningCount", brokers(c.analytics), brokers(c.prod), "AT_LEAST_ONCE", "file://"+t.TempDir())
	goesOn := func(after string) {
		t.Helper()
		before := len(readAll(t, c.analytics, "totals"))
		eventually(t, "Flink goes on after "+after, func() error {
			if n := len(readAll(t, c.analytics, "totals")); n < before+200 {
				return fmt.Errorf("%d records, %d of them before", n, before)
			}
			return nil
		})
	}
	goesOn("its start")
	for _, victim := range []struct {
		what string
		*process
	}{
		{"a fetch-only agent was killed", c.analytics[0].process}, {"a produce-only agent was killed", c.prod[0].process},
		{"the control plane was killed", c.control}, {"the other fetch-only agent was killed", c.analytics[1].process},
		{"the other produce-only agent was killed", c.prod[1].process},
	} {
		victim.kill()
		victim.start()
		goesOn(victim.what)
	}
	sent := feeder.stop()

	c.isthmus("topic", "alter", "clicks", "--partitions", "6")
	feeder = feed(t, c.prod, "clicks")
	goesOn("its topic grew")
	for value, n := range feeder.stop() {
		sent[value] += n
	}
	counted(t, c, sent)
	rewinds(t, readAll(t, c.analytics, "totals"), 0)
	stopWithSavepoint(job)
	record(t, "Apache Flink", flink.version, "DataStream: runs on while agents and the control plane are killed", works)
	record(t, "Apache Flink", flink.version, "DataStream: finds partitions that are added", works)
}

// TestFlinkIsRefused asks for what a group does not do, or isthmus does not: the job fails by itself, and its error
// says what is wrong.
func TestFlinkIsRefused(t *testing.T) {
	flink := openDriver(t, "flink")
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	c.isthmus("topic", "create", "clicks", "--partitions", "1")
	c.isthmus("topic", "create", "totals", "--partitions", "1")
	write(t, c.prod, &kgo.Record{Topic: "clicks", Value: []byte("v")})
	for _, refusal := range []struct {
		feature         string
		source, sink    []*agent
		guarantee       string
		exception, says string
		result          string
	}{
		{"source at a group that may not fetch", c.prod, c.prod, "AT_LEAST_ONCE", "TopicAuthorizationException", "[clicks]", "refused: TOPIC_AUTHORIZATION_FAILED (29)"},
		{"sink at a group that may not produce", c.analytics, c.analytics, "AT_LEAST_ONCE", "PolicyViolationException", `agents of group "analytics" have the roles [fetch]`, "refused: POLICY_VIOLATION (44), and the job's error says why"},
		{"exactly-once sink", c.analytics, c.prod, "EXACTLY_ONCE", "TransactionalIdAuthorizationException", "", "refused: TRANSACTIONAL_ID_AUTHORIZATION_FAILED (53), there are no transactions yet"},
	} {
		job := flink.job(t, "RunningCount", brokers(refusal.source), brokers(refusal.sink), refusal.guarantee, "file://"+t.TempDir())
		if err := job.wait(); err == nil {
			t.Errorf("%s: the job ended as if all were well", refusal.feature)
		}
		job.says("Caused by: org.apache.kafka.common.errors."+refusal.exception, 1)
		job.says(refusal.says, 1)
		record(t, "Apache Flink", flink.version, refusal.feature, refusal.result)
	}
}

// counted waits until the last count of each value is what was sent.
func counted(t *testing.T, c *cluster, sent map[string]int) {
	t.Helper()
	eventually(t, "Flink has counted all", func() error {
		if got := lastCounts(t, readAll(t, c.analytics, "totals")); !maps.Equal(got, sent) {
			return fmt.Errorf("counted %v, want %v", got, sent)
		}
		return nil
	})
}

// job starts one program of a Java driver.
func (d driver) job(t *testing.T, args ...string) *process {
	t.Helper()
	return start(t, []string{"JAVA_TOOL_OPTIONS=-Djava.io.tmpdir=" + t.TempDir()}, d.path, args...)
}

// ends waits until a process ends by itself, and well.
func (p *process) ends() {
	p.t.Helper()
	if err := p.wait(); err != nil {
		p.t.Fatalf("%s %s: %v", p.name, strings.Join(p.args, " "), err)
	}
}

// wait waits until a process ends by itself.
func (p *process) wait() error {
	p.t.Helper()
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case err := <-done:
		p.cmd = nil
		return err
	case <-time.After(3 * patience):
		p.t.Fatalf("%s %s has not ended", p.name, strings.Join(p.args, " "))
		return nil
	}
}

// stopWithSavepoint ends a RunningCount and returns where its savepoint lies.
func stopWithSavepoint(job *process) string {
	job.t.Helper()
	job.signal(syscall.SIGTERM)
	job.ends()
	log, err := os.ReadFile(job.log)
	if err != nil {
		job.t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if place, ok := strings.CutPrefix(line, "savepoint "); ok {
			return strings.TrimSpace(place)
		}
	}
	job.t.Fatal("Flink did not say where its savepoint lies")
	return ""
}

// newestCheckpoint is the newest that is whole: one that has metadata.
func newestCheckpoint(state string) (string, error) {
	var newest string
	var at time.Time
	whole, err := filepath.Glob(filepath.Join(state, "*", "chk-*", "_metadata"))
	if err != nil {
		return "", err
	}
	for _, file := range whole {
		info, err := os.Stat(file)
		if err != nil {
			return "", err // a newer one has replaced it meanwhile
		}
		if info.ModTime().After(at) {
			newest, at = filepath.Dir(file), info.ModTime()
		}
	}
	if newest == "" {
		return "", fmt.Errorf("no checkpoint under %s", state)
	}
	return newest, nil
}

// feeding writes records until it is stopped.
type feeding struct {
	quit chan struct{}
	done sync.WaitGroup
	sent map[string]int // by value; valid when done
}

// feed writes 200 records a second, of ten values, in batches that are acknowledged one after another.
func feed(t *testing.T, agents []*agent, topic string) *feeding {
	t.Helper()
	client := newClient(t, agents, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	f := &feeding{quit: make(chan struct{}), sent: make(map[string]int)}
	f.done.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			var batch []*kgo.Record
			for i := range 20 {
				batch = append(batch, &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "v%d", i%10)})
			}
			if err := client.ProduceSync(context.Background(), batch...).FirstErr(); err != nil {
				t.Errorf("feed %s: %v", topic, err)
				return
			}
			for _, record := range batch {
				f.sent[string(record.Value)]++
			}
			select {
			case <-f.quit:
				return
			case <-tick.C:
			}
		}
	})
	return f
}

func (f *feeding) stop() map[string]int {
	close(f.quit)
	f.done.Wait()
	return f.sent
}

func sum(counts map[string]int) int {
	all := 0
	for _, n := range counts {
		all += n
	}
	return all
}

// count is one record of RunningCount.
func count(t *testing.T, record *kgo.Record) (value string, n int) {
	t.Helper()
	if _, err := fmt.Sscanf(string(record.Value), "%s %d", &value, &n); err != nil {
		t.Fatalf("Flink wrote %q: %v", record.Value, err)
	}
	return value, n
}

func lastCounts(t *testing.T, totals []*kgo.Record) map[string]int {
	t.Helper()
	last := make(map[string]int)
	for _, record := range totals {
		value, n := count(t, record)
		last[value] = n
	}
	return last
}

// rewinds checks that every value was counted without a gap and that its count went back allowed times at most, and
// returns how many records were written again.
func rewinds(t *testing.T, totals []*kgo.Record, allowed int) int {
	t.Helper()
	last, back, again := make(map[string]int), make(map[string]int), 0
	for _, record := range totals {
		value, n := count(t, record)
		switch {
		case n > last[value]+1:
			t.Errorf("%s was counted to %d, then %d: %d are lost", value, last[value], n, n-last[value]-1)
		case n <= last[value]:
			back[value]++
			again += last[value] - n + 1
		}
		last[value] = n
	}
	for value, times := range back {
		if times > allowed {
			t.Errorf("the count of %s went back %d times, want %d at most", value, times, allowed)
		}
	}
	return again
}
