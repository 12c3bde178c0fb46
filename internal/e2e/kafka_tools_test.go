//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// tools are Apache Kafka's own command-line tools and a cluster of two groups: what writes is
// pointed at the produce-only group, what reads at the fetch-only group, what administers at either.
type tools struct {
	*cluster
	home    string // of the jars
	version string
}

// TestKafkaTools runs Apache Kafka's own tools, by the classes that its scripts run.
func TestKafkaTools(t *testing.T) {
	java := openDriver(t, "java")
	k := &tools{cluster: startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket")), home: filepath.Dir(java.path), version: java.version}
	for _, f := range []struct {
		name string
		ask  func(*testing.T, *tools) string
	}{
		{"kafka-topics: create, list, describe, alter, delete", usesTopics},
		{"kafka-verifiable-producer and -consumer", verifies},
		{"kafka-verifiable-consumer: cooperative rebalancing", cooperates},
		{"kafka-verifiable-consumer: a static member returns", returns},
		{"kafka-producer-perf-test and kafka-consumer-perf-test", measures},
		{"kafka-console-producer and -consumer", talks},
		{"kafka-consumer-groups: list, describe, reset to earliest and to a time, delete offsets, delete", looksAfterGroups},
		{"kafka-get-offsets: latest, earliest, a time, max-timestamp", getsOffsets},
		{"kafka-configs: describe, alter, delete a topic's", configures},
		{"transactions", refusesTransactions},
		{"group.protocol=consumer (KIP-848)", refusesConsumerProtocol},
		{"SASL", refusesLogins},
		{"kafka-acls", refuses("DESCRIBE_ACLS", "org.apache.kafka.tools.AclCommand", "--list")},
		{"kafka-configs: quotas of users", refuses("DESCRIBE_CLIENT_QUOTAS", "kafka.admin.ConfigCommand", "--entity-type", "users", "--describe")},
		{"kafka-log-dirs", refuses("DESCRIBE_LOG_DIRS", "org.apache.kafka.tools.LogDirsCommand", "--describe")},
		{"kafka-delete-records", refusesDeletingRecords},
	} {
		t.Run(f.name, func(t *testing.T) { record(t, "Apache Kafka's tools", k.version, f.name, f.ask(t, k)) })
	}
}

// attempt runs one tool, by the name of its class, and returns what it printed on standard output and what went wrong.
func (k *tools) attempt(input string, bootstrap []*agent, class string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "java", k.command(bootstrap, class, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s%s", class, strings.Join(args, " "), err, stdout.String(), stderr.String())
	} else if complaint.MatchString(stderr.String()) {
		err = fmt.Errorf("%s %s complains:\n%s%s", class, strings.Join(args, " "), stdout.String(), stderr.String())
	}
	return stdout.String(), err
}

// command are the arguments that java runs a tool with.
func (k *tools) command(bootstrap []*agent, class string, args ...string) []string {
	return append([]string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-Dlog4j2.configurationFile=" + filepath.Join(k.home, "log4j2.properties"), "-cp", filepath.Join(k.home, "jars", "*"), class,
		"--bootstrap-server", brokers(bootstrap)}, args...)
}

// complaint is what a tool that ends well has no reason to print on its standard error.
var complaint = regexp.MustCompile("WARN|ERROR|Exception")

// run runs a tool that must end well and complain of nothing.
func (k *tools) run(t *testing.T, bootstrap []*agent, class string, args ...string) string {
	t.Helper()
	out, err := k.attempt("", bootstrap, class, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (k *tools) topics(t *testing.T, bootstrap []*agent, args ...string) string {
	t.Helper()
	return k.run(t, bootstrap, "org.apache.kafka.tools.TopicCommand", args...)
}

func (k *tools) groups(t *testing.T, args ...string) string {
	t.Helper()
	return k.run(t, k.analytics, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", args...)
}

// wantMatch checks a tool's output.
func wantMatch(t *testing.T, what, output, pattern string) {
	t.Helper()
	if !regexp.MustCompile("(?m)" + pattern).MatchString(output) {
		t.Errorf("%s printed\n%s\nwant a match of %s", what, output, pattern)
	}
}

func wantNoMatch(t *testing.T, what, output, pattern string) {
	t.Helper()
	if regexp.MustCompile("(?m)" + pattern).MatchString(output) {
		t.Errorf("%s printed\n%s\nwant no match of %s", what, output, pattern)
	}
}

func usesTopics(t *testing.T, k *tools) string {
	wantMatch(t, "create", k.topics(t, k.prod, "--create", "--topic", "plans", "--partitions", "2", "--replication-factor", "3", "--config", "retention.ms=3600000"),
		`^Created topic plans\.$`)
	wantMatch(t, "list", k.topics(t, k.analytics, "--list"), `^plans$`)
	k.topics(t, k.analytics, "--alter", "--topic", "plans", "--partitions", "4")
	described := k.topics(t, k.prod, "--describe", "--topic", "plans")
	wantMatch(t, "describe", described, `^Topic: plans\s+TopicId: \S+\s+PartitionCount: 4\s.*Configs: retention\.ms=3600000$`)
	wantMatch(t, "describe", described, `^\s+Topic: plans\s+Partition: 3\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+`)
	k.topics(t, k.prod, "--delete", "--topic", "plans")
	wantNoMatch(t, "list", k.topics(t, k.analytics, "--list"), `^plans$`)
	return works
}

// toolEvent is a line of the verifiable producer or consumer.
type toolEvent struct {
	Name       string
	Partition  int32
	Offset     int64
	Value      string
	Partitions []struct {
		Partition int32
		Count     int
	}
	Success bool
}

// toolEvents are the events of one name, or all.
func toolEvents(t *testing.T, output, name string) []toolEvent {
	t.Helper()
	var all []toolEvent
	for text := range strings.Lines(output) {
		var e toolEvent
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatalf("a tool printed %q: %v", text, err)
		}
		if name == "" || e.Name == name {
			all = append(all, e)
		}
	}
	return all
}

// verifies: the consumer reads at each offset what the producer was told that it stored there.
func verifies(t *testing.T, k *tools) string {
	const count = 500
	k.isthmus("topic", "create", "verified", "--partitions", "3")
	produced := k.run(t, k.prod, "org.apache.kafka.tools.VerifiableProducer", "--topic", "verified", "--max-messages", fmt.Sprint(count), "--acks", "-1")
	consumed := k.run(t, k.analytics, "org.apache.kafka.tools.VerifiableConsumer", "--topic", "verified", "--group-id", "verifiers",
		"--max-messages", fmt.Sprint(count), "--verbose")
	type place struct {
		partition int32
		offset    int64
	}
	stored := make(map[place]string)
	for _, e := range toolEvents(t, produced, "producer_send_success") {
		stored[place{e.Partition, e.Offset}] = e.Value
	}
	if len(stored) != count {
		t.Errorf("the producer was told %d places, want %d", len(stored), count)
	}
	read := toolEvents(t, consumed, "record_data")
	for _, e := range read {
		if at := (place{e.Partition, e.Offset}); stored[at] != e.Value {
			t.Errorf("the consumer read %q at %v, where the producer put %q", e.Value, at, stored[at])
		}
	}
	if len(read) != count {
		t.Errorf("the consumer read %d records, want %d", len(read), count)
	}
	commits := toolEvents(t, consumed, "offsets_committed")
	if len(commits) == 0 || !commits[len(commits)-1].Success {
		t.Errorf("the consumer's commits ended with %v", commits)
	}
	return works
}

func measures(t *testing.T, k *tools) string {
	const count = 20_000
	k.isthmus("topic", "create", "measured", "--partitions", "3")
	wantMatch(t, "ProducerPerformance", k.run(t, k.prod, "org.apache.kafka.tools.ProducerPerformance", "--topic", "measured",
		"--num-records", fmt.Sprint(count), "--record-size", "200", "--throughput", "-1"), fmt.Sprintf(`^%d records sent, `, count))
	wantMatch(t, "ConsumerPerformance", k.run(t, k.analytics, "org.apache.kafka.tools.ConsumerPerformance", "--topic", "measured",
		"--num-records", fmt.Sprint(count)), fmt.Sprintf(`^\S+ \S+, \S+ \S+, [\d.]+, [\d.]+, %d, `, count))
	return works
}

func talks(t *testing.T, k *tools) string {
	k.isthmus("topic", "create", "talk")
	said := "greeting:hello\nquestion:how are you?\nanswer:grüß Gott\n"
	if _, err := k.attempt(said, k.prod, "org.apache.kafka.tools.ConsoleProducer", "--topic", "talk",
		"--reader-property", "parse.key=true", "--reader-property", "key.separator=:"); err != nil {
		t.Fatal(err)
	}
	heard, err := k.attempt("", k.analytics, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", "talk", "--from-beginning", "--max-messages", "3",
		"--formatter-property", "print.key=true", "--formatter-property", "key.separator=:")
	if err != nil {
		t.Fatal(err)
	}
	if heard != said {
		t.Errorf("the consumer printed %q, want %q", heard, said)
	}
	return works
}

// threeTimes stores three records whose times are not in order, the second being the latest.
func threeTimes(t *testing.T, k *tools, topic string) (times [3]time.Time) {
	t.Helper()
	k.isthmus("topic", "create", topic)
	now := time.Now().Truncate(time.Second).UTC()
	times = [3]time.Time{now.Add(-30 * time.Second), now.Add(-10 * time.Second), now.Add(-20 * time.Second)}
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap(k.prod)...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, at := range times {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Timestamp: at, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatalf("produce to %s: %v", topic, err)
		}
	}
	return times
}

func looksAfterGroups(t *testing.T, k *tools) string {
	times := threeTimes(t, k, "looked-after")
	k.run(t, k.analytics, "org.apache.kafka.tools.VerifiableConsumer", "--topic", "looked-after", "--group-id", "keepers", "--max-messages", "3")

	wantMatch(t, "list", k.groups(t, "--list"), `^keepers$`)
	offset := func(current int) string {
		return fmt.Sprintf(`^keepers\s+looked-after\s+0\s+%d\s+3\s+%d\s`, current, 3-current)
	}
	wantMatch(t, "describe", k.groups(t, "--describe", "--group", "keepers"), offset(3))
	wantMatch(t, "describe --state", k.groups(t, "--describe", "--group", "keepers", "--state"), `^keepers\s.*\sEmpty\s+0`)

	reset := []string{"--reset-offsets", "--group", "keepers", "--topic", "looked-after", "--execute"}
	k.groups(t, append(reset, "--to-earliest")...)
	wantMatch(t, "describe after a reset to the earliest", k.groups(t, "--describe", "--group", "keepers"), offset(0))
	k.groups(t, append(reset, "--to-datetime", times[0].Add(time.Second).Format("2006-01-02T15:04:05.000")+"Z")...)
	wantMatch(t, "describe after a reset to a time", k.groups(t, "--describe", "--group", "keepers"), offset(1))

	wantMatch(t, "delete offsets", k.groups(t, "--delete-offsets", "--group", "keepers", "--topic", "looked-after"), `^looked-after\s+0\s+Successful`)
	wantNoMatch(t, "describe without offsets", k.groups(t, "--describe", "--group", "keepers"), `looked-after`)
	wantMatch(t, "delete", k.groups(t, "--delete", "--group", "keepers"), `'keepers'.*successful`)
	wantNoMatch(t, "list", k.groups(t, "--list"), `^keepers$`)
	return works
}

func getsOffsets(t *testing.T, k *tools) string {
	times := threeTimes(t, k, "offsets")
	for when, want := range map[string]int{
		"latest": 3, "earliest": 0, "max-timestamp": 1,
		fmt.Sprint(times[0].UnixMilli()): 0, fmt.Sprint(times[0].UnixMilli() + 1): 1,
	} {
		at := k.prod // any agent knows where topics end
		if want == 1 {
			at = k.analytics
		}
		if out := k.run(t, at, "org.apache.kafka.tools.GetOffsetShell", "--topic", "offsets", "--time", when); out != fmt.Sprintf("offsets:0:%d\n", want) {
			t.Errorf("the offset at %s is printed as %q, want %d", when, out, want)
		}
	}
	return works
}

func configures(t *testing.T, k *tools) string {
	k.isthmus("topic", "create", "configured")
	configs := func(args ...string) string {
		t.Helper()
		return k.run(t, k.analytics, "kafka.admin.ConfigCommand", append([]string{"--entity-type", "topics", "--entity-name", "configured"}, args...)...)
	}
	configs("--alter", "--add-config", "retention.ms=3600000,max.message.bytes=2000000")
	described := configs("--describe")
	wantMatch(t, "describe", described, `^\s+retention\.ms=3600000 .*DYNAMIC_TOPIC_CONFIG:retention\.ms=3600000`)
	wantMatch(t, "describe", described, `^\s+max\.message\.bytes=2000000 `)
	configs("--alter", "--delete-config", "retention.ms")
	described = configs("--describe")
	wantNoMatch(t, "describe", described, `retention\.ms`)
	wantMatch(t, "describe", described, `^\s+max\.message\.bytes=2000000 `)
	return works
}

// wantRefused checks that a tool fails with these words.
func wantRefused(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("the tool ended with: %v\nwant an error with %q", err, words)
	}
}

// refuses: the tool says at once which request it misses.
func refuses(request, class string, args ...string) func(*testing.T, *tools) string {
	return func(t *testing.T, k *tools) string {
		_, err := k.attempt("", k.analytics, class, args...)
		wantRefused(t, err, "The node does not support "+request)
		return "refused: the node does not support " + request
	}
}

func refusesTransactions(t *testing.T, k *tools) string {
	k.isthmus("topic", "create", "transacted")
	_, err := k.attempt("", k.prod, "org.apache.kafka.tools.ProducerPerformance", "--topic", "transacted", "--num-records", "10", "--record-size", "10",
		"--throughput", "-1", "--transactional-id", "e2e")
	wantRefused(t, err, "TransactionalIdAuthorizationException")
	return "refused: TRANSACTIONAL_ID_AUTHORIZATION_FAILED (53)"
}

func refusesConsumerProtocol(t *testing.T, k *tools) string {
	k.isthmus("topic", "create", "protocol")
	_, err := k.attempt("", k.analytics, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", "protocol", "--from-beginning",
		"--max-messages", "1", "--timeout-ms", "30000", "--command-property", "group.protocol=consumer")
	wantRefused(t, err, "Set group.protocol=classic")
	return "refused: the client tells to use the classic protocol"
}

func refusesLogins(t *testing.T, k *tools) string {
	login := filepath.Join(t.TempDir(), "login.properties")
	config := `security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="e2e" password="e2e";
default.api.timeout.ms=5000
request.timeout.ms=5000
`
	if err := os.WriteFile(login, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := k.attempt("", k.analytics, "org.apache.kafka.tools.TopicCommand", "--list", "--command-config", login)
	wantRefused(t, err, "terminated during authentication")
	return "refused: the connection is closed"
}

func refusesDeletingRecords(t *testing.T, k *tools) string {
	k.isthmus("topic", "create", "kept")
	offsets := filepath.Join(t.TempDir(), "offsets.json")
	if err := os.WriteFile(offsets, []byte(`{"partitions":[{"topic":"kept","partition":0,"offset":1}],"version":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := k.attempt("", k.prod, "org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", offsets)
	wantRefused(t, fmt.Errorf("%s: %w", out, err), "The node does not support DELETE_RECORDS")
	return "refused: the node does not support DELETE_RECORDS"
}
