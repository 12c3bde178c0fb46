package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/obs"
)

// The tests of this package look at whole clusters from outside: as Kafka's clients do, as
// operators do, and as people on call do. The agents of a cluster live in the test's process but
// speak over real sockets. What a request means in detail is tested where it is answered; here
// the question is whether the parts keep the promises together.

// patience bounds every wait of a test. Nothing depends on how long something took.
const patience = 90 * time.Second

// lands are the two accounts that an isthmus joins: the produce-only group prod (agents prod-1 and
// prod-2) and the fetch-only group analytics (analytics-1 and analytics-2). They share a bucket.
type lands struct {
	*localCluster
	t   *testing.T
	ctx context.Context // ends when patience does
	dir string          // holds control/ and bucket/
}

// startLands starts both groups. A change alters every agent's configuration.
func startLands(t *testing.T, changes ...func(*agentConfig)) *lands {
	t.Helper()
	dir := t.TempDir()
	return startLandsOn(t, dir, "file://"+filepath.Join(dir, "bucket"), changes...)
}

// startLandsOn starts both groups over a bucket of the test's choice.
func startLandsOn(t *testing.T, dir, bucket string, changes ...func(*agentConfig)) *lands {
	t.Helper()
	l := startControlAlone(t, dir, bucket)
	for _, name := range []string{"prod-1", "prod-2"} {
		l.addAgent(name, "prod", rolesOf("produce"), changes...)
	}
	for _, name := range []string{"analytics-1", "analytics-2"} {
		l.addAgent(name, "analytics", rolesOf("fetch"), changes...)
	}
	return l
}

// startControlAlone starts a control plane without agents.
func startControlAlone(t *testing.T, dir, bucket string, changes ...func(*controlConfig)) *lands {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c, err := startCluster(ctx, dir, bucket, logOf(t), changes...)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	c.poison = true
	t.Cleanup(func() {
		for _, a := range c.states() {
			if a.Up {
				_ = c.kill(a.Name) // quicker than a goodbye, which tests that care ask for
			}
		}
		if err := c.stop(ctx); err != nil {
			t.Errorf("stop the control plane: %v", err)
		}
		cancel()
	})
	return &lands{localCluster: c, t: t, ctx: ctx, dir: dir}
}

// addAgent starts one more agent, which flushes as often as it may so that tests are quick.
func (l *lands) addAgent(name, group string, has roles, changes ...func(*agentConfig)) {
	l.t.Helper()
	config := loopbackAgent(group, has)
	config.Produce.FlushInterval = 25 * time.Millisecond
	for _, change := range changes {
		change(&config)
	}
	if err := l.add(l.ctx, name, config); err != nil {
		l.t.Fatal(err)
	}
}

// running is an agent that was not killed.
func (l *lands) running(name string) *agent {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.agents[name]
	if a == nil || a.agent == nil {
		l.t.Fatalf("no agent %s is running", name)
	}
	return a.agent
}

// address is where an agent takes Kafka's clients.
func (l *lands) address(name string) string {
	l.t.Helper()
	return l.running(name).advertised()
}

// restartControl stops the control plane, calls meanwhile, and starts it again on the same data
// and address.
func (l *lands) restartControl(meanwhile func()) {
	l.t.Helper()
	address := l.controlAddr()
	if err := l.control.stop(l.ctx); err != nil {
		l.t.Fatalf("stop the control plane: %v", err)
	}
	meanwhile()
	config := defaultControlConfig()
	config.Raft.Dir, config.BucketURL, config.Listen, config.HTTP = filepath.Join(l.dir, "control"), l.bucket, address, ""
	var err error
	if l.control, err = startControl(l.ctx, config, l.log, obs.NewRegistry(), openBucket); err != nil {
		l.t.Fatalf("start the control plane again: %v", err)
	}
}

// client is franz-go's client of a group, patient enough for every fault of these tests and quick
// to ask again.
func (l *lands) client(group string, options ...kgo.Opt) *kgo.Client {
	l.t.Helper()
	all := append([]kgo.Opt{
		kgo.SeedBrokers(l.bootstraps(group)...), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.ProducerLinger(0),
	}, options...)
	client, err := kgo.NewClient(all...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(client.Close)
	return client
}

// admin is franz-go's administrator at a group.
func (l *lands) admin(group string) *kadm.Client { return kadm.NewClient(l.client(group)) }

// create creates a topic through an agent of prod. Settings are KEY=VALUE.
func (l *lands) create(name string, partitions int32, settings ...string) {
	l.t.Helper()
	configs := map[string]*string{}
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		configs[key] = kadm.StringPtr(value)
	}
	if answer, err := l.admin("prod").CreateTopic(l.ctx, partitions, -1, configs, name); err != nil || answer.Err != nil {
		l.t.Fatalf("create topic %s: %v, %v %s", name, err, answer.Err, answer.ErrMessage)
	}
}

// produce sends records in order and waits until all are acknowledged.
func (l *lands) produce(client *kgo.Client, records ...*kgo.Record) {
	l.t.Helper()
	if err := client.ProduceSync(l.ctx, records...).FirstErr(); err != nil {
		l.t.Fatalf("produce: %v", err)
	}
}

// texts are records with these values, for one topic's partition 0.
func texts(topic string, values ...string) []*kgo.Record {
	records := make([]*kgo.Record, len(values))
	for i, v := range values {
		records[i] = &kgo.Record{Topic: topic, Value: []byte(v)}
	}
	return records
}

// read consumes n records of a topic from its beginning, at group analytics.
func (l *lands) read(topic string, n int) []*kgo.Record {
	l.t.Helper()
	return l.poll(l.client("analytics", kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), n)
}

// poll consumes n records with a client.
func (l *lands) poll(client *kgo.Client, n int) []*kgo.Record {
	l.t.Helper()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollRecords(l.ctx, n-len(records))
		if err := fetches.Err0(); err != nil {
			l.t.Fatalf("consume: %v after %d of %d records", err, len(records), n)
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			l.t.Fatalf("consume %s/%d: %v after %d of %d records", topic, partition, err, len(records), n)
		})
		records = append(records, fetches.Records()...)
	}
	return records
}

// values are the records' values in their order.
func values(records []*kgo.Record) []string {
	all := make([]string, len(records))
	for i, r := range records {
		all[i] = string(r.Value)
	}
	return all
}

// eventually asks again and again until yes is true.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !yes() {
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("still not: %s", what)
		}
	}
}

// logOf collects what the processes of a test log, and shows it if the test fails.
func logOf(t *testing.T) *slog.Logger {
	var log lockedBuffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the cluster logged:\n%s", log.String())
		}
	})
	return slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// lockedBuffer is a buffer that several goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// command runs one command line as a terminal would, to its end.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, err lockedBuffer
	code = run(ctx, args, &out, &err)
	return code, out.String(), err.String()
}

// operate runs an operator's command against the cluster and expects it to work.
func (l *lands) operate(args ...string) (stdout string) {
	l.t.Helper()
	code, stdout, stderr := command(l.t, append(args, "--control", l.controlAddr())...)
	if code != 0 {
		l.t.Fatalf("isthmus %s: exit code %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// refusal runs a command that must fail with this exit code, and checks that its error has all of
// these words.
func refusal(t *testing.T, wantCode int, args []string, words ...string) {
	t.Helper()
	code, stdout, stderr := command(t, args...)
	line := "isthmus " + strings.Join(args, " ")
	if code != wantCode {
		t.Errorf("%s: exit code %d, want %d\n%s", line, code, wantCode, stderr)
	}
	if stdout != "" {
		t.Errorf("%s: an error belongs on standard error, standard output has:\n%s", line, stdout)
	}
	for _, word := range words {
		if !strings.Contains(stderr, word) {
			t.Errorf("%s: the error lacks %q:\n%s", line, word, stderr)
		}
	}
}

// numbered makes n different values.
func numbered(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%06d", prefix, i)
	}
	return all
}
