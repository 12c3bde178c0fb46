package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// leftBehind are the files in a temporary folder that the test gives to what it runs. Such a test
// does not run beside others.
func leftBehind(t *testing.T) func() []string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
}

// playing is a playground that runs.
type playing struct {
	*process
	kafka, control string
}

// play starts a playground on a free port and reads what it prints.
func play(t *testing.T, args ...string) *playing {
	t.Helper()
	p := &playing{process: startProcess(t, append([]string{"playground", "--kafka", "127.0.0.1:0"}, args...)...)}
	told := regexp.MustCompile(`(?s)bootstrap\.servers=(\S+).*control plane +(\S+).*Ctrl-C stops it`)
	eventually(t, "the playground says where it is", func() bool {
		m := told.FindStringSubmatch(p.stdout.String())
		if m != nil {
			p.kafka, p.control = m[1], m[2]
		}
		return m != nil
	})
	return p
}

func (p *playing) client(options ...kgo.Opt) *kgo.Client {
	p.t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(p.kafka))...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(client.Close)
	return client
}

// TestAPlaygroundWithAFolderSurvivesARestart finds topics, configs, records, producers and committed
// offsets where it left them.
func TestAPlaygroundWithAFolderSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "play") // it is made
	ctx := t.Context()
	all := numbered("kept", 30)
	for life := range 3 {
		p := play(t, "--dir", dir)
		if life == 0 {
			refusal(t, 1, []string{"playground", "--dir", dir, "--kafka", "127.0.0.1:0"}, "another playground", dir, "--dir")
			retention := "1234567890"
			if answer, err := kadm.NewClient(p.client()).CreateTopic(ctx, 1, -1, map[string]*string{"retention.ms": &retention}, "kept"); err != nil || answer.Err != nil {
				t.Fatalf("create: %v, %v", err, answer.Err)
			}
		}
		if err := p.client().ProduceSync(ctx, texts("kept", all[10*life:10*life+10]...)...).FirstErr(); err != nil {
			t.Fatalf("life %d: produce: %v", life, err)
		}
		reader := p.client(kgo.ConsumerGroup("keepers"), kgo.ConsumeTopics("kept"), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		var got []*kgo.Record
		for len(got) < 10 {
			fetches := reader.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatalf("life %d: consume: %v", life, err)
			}
			got = append(got, fetches.Records()...)
		}
		if !slices.Equal(values(got), all[10*life:10*life+10]) {
			t.Errorf("life %d: the group goes on with %v", life, values(got))
		}
		if err := reader.CommitRecords(ctx, got...); err != nil {
			t.Errorf("life %d: commit: %v", life, err)
		}
		reader.Close()
		if code, out, stderr := command(t, "topic", "describe", "kept", "--control", p.control); code != 0 || !strings.Contains(out, "retention.ms=1234567890") {
			t.Errorf("life %d: describe: code %d, %s%s", life, code, out, stderr)
		}
		p.stops()
	}
}

// TestAPlaygroundWithoutAFolderLeavesNothing looks into the folder of temporary files afterwards.
func TestAPlaygroundWithoutAFolderLeavesNothing(t *testing.T) {
	left := leftBehind(t)
	p := play(t)
	if err := p.client(kgo.AllowAutoTopicCreation()).ProduceSync(t.Context(), texts("passing", "hello")...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kcat -P -b " + p.kafka, `p.put("bootstrap.servers", "` + p.kafka, `kgo.SeedBrokers("` + p.kafka, "isthmus topic list --control " + p.control} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("it does not tell %q:\n%s", want, p.stdout.String())
		}
	}
	if len(left()) == 0 {
		t.Error("it keeps its data where the test does not look")
	}
	p.stops()
	if found := left(); len(found) > 0 {
		t.Errorf("it has left %v", found)
	}
	busy := freeAddress(t)
	taken := play(t, "--http", busy)
	refusal(t, 1, []string{"playground", "--kafka", taken.kafka}, taken.kafka, "--kafka")
	taken.stops()
	if found := left(); len(found) > 0 {
		t.Errorf("one that could not start has left %v", found)
	}
}

// TestBenchmarksMeasureAndCheck runs the three loads against two groups.
func TestBenchmarksMeasureAndCheck(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	prod, analytics := l.bootstrap("prod"), l.bootstrap("analytics")
	common := []string{"--topic", "bench", "--partitions", "4", "--output", "json"}
	load := []string{"--for", "2s", "--warmup", "0s", "--record-size", "200B", "--rate", "2000", "--compression", "lz4", "--clients", "2"}
	for _, q := range []struct {
		args   []string
		fields []string
	}{
		{slices.Concat([]string{"produce", "--brokers", prod}, load), []string{"produced_records", "produced_records_per_second", "produced_mb_per_second", "acked"}},
		{[]string{"fetch", "--brokers", analytics, "--for", "90s"}, []string{"consumed_records", "consumed_records_per_second", "consumed_mb_per_second"}},
		{slices.Concat([]string{"e2e", "--brokers", prod, "--consume-brokers", analytics}, load), []string{"produced_records", "consumed_records", "acked"}},
		{slices.Concat([]string{"e2e", "--brokers", prod, "--consume-brokers", analytics, "--idempotent=false"}, load), []string{"acked"}},
	} {
		code, stdout, stderr := command(t, append(append([]string{"bench"}, q.args...), common...)...)
		var result map[string]any
		if err := json.Unmarshal([]byte(stdout), &result); err != nil || code != 0 {
			t.Fatalf("bench %v: code %d, %v\n%s%s", q.args, code, err, stdout, stderr)
		}
		for _, field := range q.fields {
			if n, ok := result[field].(float64); !ok || n <= 0 {
				t.Errorf("bench %s: %s is %v, want more than 0", q.args[0], field, result[field])
			}
		}
		for _, field := range []string{"errors", "lost", "duplicated", "reordered"} {
			if n, ok := result[field].(float64); !ok || n != 0 {
				t.Errorf("bench %s: %s is %v, want 0", q.args[0], field, result[field])
			}
		}
		for _, field := range []string{"produce_ms", "e2e_ms"} {
			if p, ok := result[field].(map[string]any); !ok || len(p) < 4 {
				t.Errorf("bench %s: %s holds no percentiles: %v", q.args[0], field, result[field])
			}
		}
		if q.args[0] != "fetch" && !strings.Contains(stderr, "produced") { // a fetch has read what there was before
			t.Errorf("bench %s shows no progress", q.args[0])
		}
	}
	if code, stdout, _ := command(t, append([]string{"bench", "produce", "--brokers", prod}, "--for", "300ms", "--warmup", "0s", "--rate", "100", "--topic", "bench-table")...); code != 0 || !strings.Contains(stdout, "p99.9") {
		t.Errorf("the table: code %d\n%s", code, stdout)
	}
	refusal(t, 1, []string{"bench", "fetch", "--brokers", analytics, "--topic", "never-filled"}, "never-filled", "run the produce benchmark first")
}

// TestTheDemoIsSoundAndLeavesNothing runs the demo as scripts do, kills an agent through its page, and
// reads the object that it prints.
func TestTheDemoIsSoundAndLeavesNothing(t *testing.T) {
	left := leftBehind(t)
	page := freeAddress(t)
	d := startProcess(t, "demo", "--for", "12s", "--open=false", "--output", "json", "--http", page)
	eventually(t, "the page is served", func() bool {
		status, body := get(page, "/")
		return status == http.StatusOK && strings.Contains(body, "EventSource")
	})
	moving := demoEvents(t, page)
	eventually(t, "events flow from one account to the other", func() bool { s := moving(); return s.Produced > 100 && s.Consumed > 100 && s.Puts > 0 && s.Gets > 0 })
	order := func(what string) int {
		response, err := http.Post("http://"+page+"/agents/prod-1/"+what, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if got := order("kill"); got != http.StatusNoContent {
		t.Errorf("kill: status %d", got)
	}
	if got := order("kill"); got != http.StatusConflict {
		t.Errorf("kill it again: status %d, want 409", got)
	}
	up := func() bool {
		return slices.ContainsFunc(moving().Agents, func(a agentState) bool { return a.Name == "prod-1" && a.Up })
	}
	if up() {
		t.Error("the page shows a killed agent as running")
	}
	if got := order("return"); got != http.StatusNoContent || !up() {
		t.Errorf("return: status %d", got)
	}
	open := func(what string) int {
		response, err := http.Post("http://"+page+"/analytics/"+what, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if got := open("revoke"); got != http.StatusNoContent || !moving().Revoked {
		t.Errorf("revoke: status %d", got)
	}
	if got := open("revoke"); got != http.StatusConflict {
		t.Errorf("revoke it again: status %d, want 409", got)
	}
	eventually(t, "production goes on, and analytics stalls", func() bool { s := moving(); return s.Lag > 100 && s.ConsumeRate == 0 && s.ProduceRate > 0 })
	if got := open("restore"); got != http.StatusNoContent || moving().Revoked {
		t.Errorf("restore: status %d", got)
	}
	if code := <-d.ended; code != 0 {
		t.Errorf("exit code %d\n%s", code, d.stderr.String())
	}
	d.ended <- 0
	checkDemoResult(t, d.stdout.String())
	if found := left(); len(found) > 0 {
		t.Errorf("it has left %v", found)
	}
}

// demoEvents follows the page's stream of numbers; each call reads the next.
func demoEvents(t *testing.T, page string) func() demoSnapshot {
	t.Helper()
	response, err := http.Get("http://" + page + "/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	lines := bufio.NewScanner(response.Body)
	return func() (s demoSnapshot) {
		for lines.Scan() {
			data, found := strings.CutPrefix(lines.Text(), "data: ")
			if !found {
				continue
			}
			if err := json.Unmarshal([]byte(data), &s); err != nil {
				t.Fatalf("an event does not read: %v: %s", err, data)
			}
			return s
		}
		t.Fatalf("the stream has ended: %v", lines.Err())
		return s
	}
}

func checkDemoResult(t *testing.T, stdout string) {
	t.Helper()
	var printed map[string]any
	if err := json.Unmarshal([]byte(stdout), &printed); err != nil {
		t.Fatalf("standard output is no object: %v\n%s", err, stdout)
	}
	result := map[string]float64{}
	for name, value := range printed {
		if n, ok := value.(float64); ok {
			result[name] = n
		}
	}
	var walls demoResult
	if err := json.Unmarshal([]byte(stdout), &walls); err != nil {
		t.Fatal(err)
	}
	if thief := walls.Thief; thief.Attempts < 16 || thief.Denied != thief.Attempts {
		t.Errorf("of %d attempts of the thief %d were denied", thief.Attempts, thief.Denied)
	}
	if walls.Revocation.Count != 1 {
		t.Errorf("revoked %d times, want once", walls.Revocation.Count)
	}
	for _, field := range []string{"lost", "duplicated", "reordered"} {
		if n, known := result[field]; !known || n != 0 {
			t.Errorf("%s is %v, want 0", field, n)
		}
	}
	for _, field := range []string{"produced", "consumed", "produce_p50_ms", "produce_p99_ms", "e2e_p50_ms", "e2e_p99_ms", "puts", "gets"} {
		if result[field] <= 0 {
			t.Errorf("%s is %v, want more than 0", field, result[field])
		}
	}
	if result["produced"] != result["consumed"] {
		t.Errorf("%v events were produced and %v consumed", result["produced"], result["consumed"])
	}
}
