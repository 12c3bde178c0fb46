//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// clients are the libraries of the matrix: scripts/clients/NAME.sh installs one, and leaves its
// driver in .cache/clients/NAME.
var clients = []string{
	"java", "java-2.8",
	"confluent-kafka", "confluent-kafka-2.0", "kafka-python", "kafka-python-2.0", "aiokafka",
	"kafkajs", "platformatic",
	"franz-go", "sarama", "kafka-go",
}

// features are what the matrix asks of every client, in the order of a client's life.
var features = []struct {
	name string
	ask  func(*testing.T, subject) string // the result for the page
}{
	{"produce, no compression", producesCodec("none")},
	{"produce, gzip", producesCodec("gzip")},
	{"produce, snappy", producesCodec("snappy")},
	{"produce, lz4", producesCodec("lz4")},
	{"produce, zstd", producesCodec("zstd")},
	{"consume with a group", consumesAll},
	{"commit and resume", resumes},
	{"rebalance when a member leaves", rebalances},
	{"seek to a time", seeksToTime},
	{"message of 950,000 bytes", carriesLarge},
	{"message of 2 MiB", isRefusedTooLarge},
	{"produce at a group that may not", isRefusedProduce},
	{"fetch at a group that may not", isRefusedFetch},
}

// subject is the client that is looked at, and the cluster that it is looked at with.
type subject struct {
	driver
	*matrix
	name string
}

// matrix is one cluster for all clients. Beside its two groups stand two agents, each a group of its own, for
// clients to be refused by, one client at a time: what these count is that client's doing.
type matrix struct {
	*cluster
	noProduce, noFetch strangers
}

// strangers is an agent that refuses what its clients came for.
type strangers struct {
	sync.Mutex
	*agent
}

// TestClients runs every feature with every client: it produces at the produce-only group and
// reads at the fetch-only group, and is looked at when it turns to the wrong one.
func TestClients(t *testing.T) {
	m := &matrix{cluster: startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))}
	m.noProduce.agent, m.noFetch.agent = m.startAgent("readers-only", "fetch"), m.startAgent("writers-only", "produce")
	for _, a := range []*agent{m.noProduce.agent, m.noFetch.agent} {
		ready(t, "agent", a.http)
	}
	for _, name := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := subject{driver: openDriver(t, name), matrix: m, name: name}
			m.isthmus("topic", "create", s.topic("codecs"), "--partitions", "2")
			for _, f := range features {
				t.Run(f.name, func(t *testing.T) { record(t, s.library, s.version, f.name, f.ask(t, s)) })
			}
		})
	}
}

// topic is a topic or group of this client alone.
func (s subject) topic(purpose string) string { return s.name + "-" + purpose }

func (s subject) newTopic(purpose string, partitions int) string {
	s.isthmus("topic", "create", s.topic(purpose), "--partitions", fmt.Sprint(partitions))
	return s.topic(purpose)
}

// notOffered is the result for what a client has no means to do.
func notOffered(message string) string {
	return notOfferedMark + strings.ReplaceAll(message, "|", "/")
}

const (
	codecRecords = 60
	recordSize   = 1000
)

// produce sends records through the produce-only group, all of which must be acknowledged.
func (s subject) produce(t *testing.T, topic, tag string, count, size int, more ...string) (unsupportedBecause string) {
	t.Helper()
	lines := s.run(t, append([]string{"produce", "--bootstrap", brokers(s.prod), "--topic", topic, "--tag", tag,
		"--count", fmt.Sprint(count), "--size", fmt.Sprint(size), "--timeout", "80s"}, more...)...)
	if because := unsupported(lines); because != "" {
		return because
	}
	if done := events(lines, "done"); len(done) != 1 || done[0].Acked != count || done[0].Failed != 0 {
		t.Fatalf("producing %d records ended with %v %v, want all acknowledged", count, done, events(lines, "error"))
	}
	return ""
}

func brokers(agents []*agent) string { return strings.Join(bootstrap(agents), ",") }

// producesCodec: what is stored carries the codec that was asked for, batch by batch, and holds what was sent.
func producesCodec(codec string) func(*testing.T, subject) string {
	return func(t *testing.T, s subject) string {
		topic, tag := s.topic("codecs"), codec
		if because := s.produce(t, topic, tag, codecRecords, recordSize, "--codec", codec); because != "" {
			return notOffered(because)
		}
		found := make(map[string]int)
		for _, b := range s.stored(t, topic) {
			mine := false
			for _, r := range b.records {
				if strings.HasPrefix(r.key, tag+"-") {
					mine = true
					found[r.key]++
					if r.value != r.key+strings.Repeat("x", recordSize-len(r.key)) {
						t.Errorf("record %s was stored with another value: %.80q, %d bytes", r.key, r.value, len(r.value))
					}
				}
			}
			if mine && b.codec != codec {
				t.Errorf("a batch of %d records at offset %d of partition %d was stored as %s, not %s", len(b.records), b.base, b.partition, b.codec, codec)
			}
		}
		wantOnce(t, found, tag, codecRecords)
		return works
	}
}

// wantOnce checks that tag-0 to tag-(count-1) were found once each.
func wantOnce(t *testing.T, found map[string]int, tag string, count int) {
	t.Helper()
	for i := range count {
		if n := found[numbered(tag, i)]; n != 1 {
			t.Errorf("%s was found %d times, want once", numbered(tag, i), n)
		}
	}
}

// keys counts the records that a consumer read, by key, and checks each against its key.
func keys(t *testing.T, lines []line, size int) map[string]int {
	t.Helper()
	found := make(map[string]int)
	for _, r := range events(lines, "") {
		found[r.Key]++
		if r.Value != r.Key || r.Size != size {
			t.Errorf("record %q came with the value %q of %d bytes, want %d bytes", r.Key, r.Value, r.Size, size)
		}
	}
	return found
}

// consume reads count records through the fetch-only group.
func (s subject) consume(t *testing.T, topic string, count int, more ...string) []line {
	t.Helper()
	lines := s.run(t, append([]string{"consume", "--bootstrap", brokers(s.analytics), "--topic", topic,
		"--count", fmt.Sprint(count), "--timeout", "80s"}, more...)...)
	if done := events(lines, "done"); len(done) != 1 || done[0].Read != count || len(events(lines, "")) != count {
		t.Fatalf("consuming %d records of %s ended with %d records, %v %v %v", count, topic, len(events(lines, "")), done,
			events(lines, "timeout"), events(lines, "error"))
	}
	return lines
}

// consumesAll reads what was stored in every codec that the client could produce.
func consumesAll(t *testing.T, s subject) string {
	topic := s.topic("codecs")
	want := make(map[string]int)
	for _, b := range s.stored(t, topic) {
		for _, r := range b.records {
			want[r.key]++
		}
	}
	if len(want) == 0 {
		t.Fatal("nothing is stored to be consumed")
	}
	lines := s.consume(t, topic, len(want), "--group", s.topic("readers"))
	found := keys(t, lines, recordSize)
	for key := range want {
		if found[key] != 1 {
			t.Errorf("%s was read %d times, want once", key, found[key])
		}
	}
	if len(events(lines, "assigned")) == 0 {
		t.Error("no partition was assigned to the only member of the group")
	}
	return works
}

// resumes: a member reads half, commits and leaves; the next one reads the other half, and no record of the first.
func resumes(t *testing.T, s subject) string {
	const half = 20
	topic, group := s.newTopic("resume", 2), s.topic("resumers")
	s.produce(t, topic, "resume", 2*half, 100)
	found := make(map[string]int)
	for run := range 2 {
		lines := s.consume(t, topic, half, "--group", group, "--from", "committed")
		for key, n := range keys(t, lines, 100) {
			found[key] += n
		}
		if len(events(lines, "committed")) == 0 {
			t.Error("the client did not commit what it had read")
		}
		if got := s.committed(t, group, topic); got != int64((run+1)*half) {
			t.Errorf("after %d records the group's offsets add up to %d", (run+1)*half, got)
		}
	}
	wantOnce(t, found, "resume", 2*half)
	return works
}

// rebalances: two members share four partitions; one is told to end while records arrive, and the other gets
// all partitions and misses nothing.
func rebalances(t *testing.T, s subject) string {
	const count = 100
	topic, group := s.newTopic("rebalance", 4), s.topic("sharers")
	join := func() *conversation {
		return s.start(t, "consume", "--bootstrap", brokers(s.analytics), "--topic", topic, "--group", group, "--stay", "true")
	}
	stays := join()
	shares := func(c *conversation, want int) {
		t.Helper()
		eventually(t, fmt.Sprintf("a member has %d partitions", want), func() error {
			select {
			case <-c.done:
				t.Fatalf("the member has ended: %v", c.err)
			default:
			}
			if has := held(c.said()); len(has) != want {
				return fmt.Errorf("it has %v", has)
			}
			return nil
		})
	}
	shares(stays, 4)
	leaves := join()
	shares(stays, 2)
	shares(leaves, 2)
	s.produce(t, topic, "before", count, 100)
	leaves.terminate()
	s.produce(t, topic, "after", count, 100)
	shares(stays, 4)

	missing := func() error {
		read := make(map[string]bool)
		for _, r := range append(events(stays.said(), ""), events(leaves.said(), "")...) {
			read[r.Key] = true
		}
		var absent []string
		for i := range count {
			for _, tag := range []string{"before", "after"} {
				if !read[numbered(tag, i)] {
					absent = append(absent, numbered(tag, i))
				}
			}
		}
		if len(absent) > 0 {
			return fmt.Errorf("%d records have not been read, among them %s", len(absent), absent[0])
		}
		return nil
	}
	eventually(t, "nothing is lost between the two members", missing)
	if wrong := events(leaves.said(), "error"); len(wrong) > 0 {
		t.Errorf("the member that left was told %v", wrong[0])
	}
	stays.terminate()
	return works
}

// seeksToTime: the client asks for the offsets of a moment between two halves, and reads the second half from there.
func seeksToTime(t *testing.T, s subject) string {
	const half = 20
	topic := s.newTopic("times", 2)
	s.produce(t, topic, "early", half, 100)
	early := s.stored(t, topic)
	moment := time.Now().UnixMilli()
	for _, b := range early {
		moment = max(moment, b.latest+1)
	}
	for time.Now().UnixMilli() < moment {
		time.Sleep(time.Millisecond) // clients stamp in milliseconds
	}
	s.produce(t, topic, "late", half, 100)

	lines := s.run(t, "seek", "--bootstrap", brokers(s.analytics), "--topic", topic, "--timestamp", fmt.Sprint(moment),
		"--count", fmt.Sprint(half), "--timeout", "80s")
	if because := unsupported(lines); because != "" {
		return notOffered(because)
	}
	want := s.offsetsAfter(t, topic, 2, moment)
	for _, l := range events(lines, "offset") {
		if l.Offset != want[l.Partition] {
			t.Errorf("partition %d: the client found offset %d for the moment, want %d", l.Partition, l.Offset, want[l.Partition])
		}
	}
	if n := len(events(lines, "offset")); n != len(want) {
		t.Errorf("the client was told offsets of %d partitions, want %d", n, len(want))
	}
	found := keys(t, lines, 100)
	wantOnce(t, found, "late", half)
	if len(found) != half {
		t.Errorf("%d records were read from the moment on, want %d", len(found), half)
	}
	for _, r := range events(lines, "") {
		if r.Timestamp < moment {
			t.Errorf("record %s is of %d, before the moment %d", r.Key, r.Timestamp, moment)
		}
	}
	return works
}

// carriesLarge: a message just below the default limit of 1 MiB goes through whole.
func carriesLarge(t *testing.T, s subject) string {
	const size, count = 950_000, 3
	topic := s.newTopic("large", 1)
	s.produce(t, topic, "large", count, size)
	wantOnce(t, keys(t, s.consume(t, topic, count, "--group", s.topic("large-readers")), size), "large", count)
	return works
}

// isRefusedTooLarge: one above the limit is refused, by whoever looks first, and the topic stays as it was.
func isRefusedTooLarge(t *testing.T, s subject) string {
	topic := s.newTopic("too-large", 1)
	lines := s.run(t, "produce", "--bootstrap", brokers(s.prod), "--topic", topic, "--tag", "huge", "--count", "1",
		"--size", fmt.Sprint(2<<20), "--timeout", "30s")
	if because := unsupported(lines); because != "" {
		return notOffered(because)
	}
	done, wrong := events(lines, "done"), events(lines, "error")
	if len(done) != 1 || done[0].Acked != 0 || done[0].Failed != 1 || len(wrong) == 0 {
		t.Fatalf("a message of 2 MiB ended with %v %v, want an error", done, wrong)
	}
	if stored := s.stored(t, topic); len(stored) != 0 {
		t.Errorf("%d batches were stored", len(stored))
	}
	if wrong[0].Code != 10 {
		return "refused by the client itself"
	}
	return "refused: MESSAGE_TOO_LARGE (10)"
}

// calmRate is how many requests a second a client that is refused may send; calmBurst is what it may send in any case.
const calmRate, calmBurst = 25, 60

// calm bounds the requests of a client that is refused.
func calm(t *testing.T, a *strangers, during func()) {
	t.Helper()
	a.Lock()
	defer a.Unlock()
	before, began := requestsOf(t, a.agent), time.Now()
	during()
	seconds := time.Since(began).Seconds()
	count := 0.0
	var by []string
	for api, n := range requestsOf(t, a.agent) {
		if n -= before[api]; n > 0 {
			count += n
			by = append(by, fmt.Sprintf("%s %.0f", api, n))
		}
	}
	slices.Sort(by)
	t.Logf("%.0f requests in %.1f s: %s", count, seconds, strings.Join(by, ", "))
	if count == 0 {
		t.Error("the agent that refuses was not asked anything")
	}
	if count > max(calmBurst, calmRate*seconds) {
		t.Errorf("the refused client sent %.0f requests in %.1f s: %s", count, seconds, strings.Join(by, ", "))
	}
}

// isRefusedProduce: every record fails with 44 and nothing is tried for long.
func isRefusedProduce(t *testing.T, s subject) string {
	const count = 20
	topic := s.newTopic("refused", 2)
	var lines []line
	calm(t, &s.noProduce, func() {
		lines = s.run(t, "produce", "--bootstrap", s.noProduce.kafka, "--topic", topic, "--tag", "no", "--count", fmt.Sprint(count),
			"--size", "100", "--timeout", "20s")
	})
	done, wrong := events(lines, "done"), events(lines, "error")
	if len(done) != 1 || done[0].Acked != 0 || done[0].Failed != count {
		t.Errorf("producing ended with %v, want %d failures", done, count)
	}
	if stored := s.stored(t, topic); len(stored) != 0 {
		t.Errorf("%d batches were stored", len(stored))
	}
	told, err := refusedWith(wrong, 44)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(told, `agents of group "readers-only"`) {
		return "refused: POLICY_VIOLATION (44), and the client shows why"
	}
	return "refused: POLICY_VIOLATION (44)"
}

// isRefusedFetch: the consumer is told 29, in a group and without one, and does not ask without pause.
func isRefusedFetch(t *testing.T, s subject) string {
	for _, group := range [][]string{{"--group", s.topic("refused-readers")}, nil} {
		var lines []line
		calm(t, &s.noFetch, func() {
			lines = s.run(t, append([]string{"consume", "--bootstrap", s.noFetch.kafka, "--topic", s.topic("codecs"),
				"--count", "1", "--timeout", "10s"}, group...)...)
		})
		if records := events(lines, ""); len(records) != 0 {
			t.Errorf("%d records were read", len(records))
		}
		if _, err := refusedWith(events(lines, "error"), 29); err != nil {
			t.Errorf("%v: %v", group, err)
		}
	}
	return "refused: TOPIC_AUTHORIZATION_FAILED (29)"
}

// refusedWith returns what a client was told with a code.
func refusedWith(wrong []line, code int) (string, error) {
	for _, l := range wrong {
		if l.Code == code {
			return l.Message, nil
		}
	}
	return "", fmt.Errorf("the client did not show code %d, but %v", code, wrong)
}
