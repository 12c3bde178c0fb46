//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestKafkaConnect ships a real log file with a worker of Kafka Connect (file source) through the produce-only group,
// and writes it to another file with a second worker (file sink) from the fetch-only one: the same bytes, also when
// both are stopped and started again in the middle.
func TestKafkaConnect(t *testing.T) {
	connect := openDriver(t, "connect")
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	c.isthmus("topic", "create", "lines", "--partitions", "1")
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	text := realLog(t)
	half := bytes.IndexByte(text[len(text)/2:], '\n') + len(text)/2 + 1
	appendTo(t, in, text[:half])

	source := startWorker(t, connect, brokers(c.prod), "source", "FileStreamSource", "file="+in, "topic=lines")
	sink := startWorker(t, connect, brokers(c.analytics), "sink", "FileStreamSink", "file="+out, "topics=lines")
	holds(t, out, text[:half])
	for _, worker := range []*process{source, sink} {
		worker.signal(syscall.SIGTERM)
		worker.wait() // its exit code is that of a process that a signal ended
	}
	appendTo(t, in, text[half:])
	source.start()
	sink.start()
	holds(t, out, text)

	record(t, "Kafka Connect", connect.version, "file source to the produce-only group", works)
	record(t, "Kafka Connect", connect.version, "file sink from the fetch-only group", works)
	record(t, "Kafka Connect", connect.version, "both stopped and started again, resume without repeating", works)
}

// TestKafkaConnectDistributed: workers that keep what they know in compacted topics are told that there are none yet.
func TestKafkaConnectDistributed(t *testing.T) {
	connect := openDriver(t, "connect")
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	settings := []string{
		"bootstrap.servers=" + brokers(c.prod),
		"group.id=connect",
		"key.converter=org.apache.kafka.connect.storage.StringConverter",
		"value.converter=org.apache.kafka.connect.storage.StringConverter",
		"plugin.discovery=service_load",
		"listeners=HTTP://" + freeAddress(t),
	}
	for _, kept := range []string{"offset", "config", "status"} {
		settings = append(settings, kept+".storage.topic=connect-"+kept, kept+".storage.replication.factor=1")
	}
	worker := connect.job(t, "org.apache.kafka.connect.cli.ConnectDistributed", properties(t, filepath.Join(t.TempDir(), "worker.properties"), settings...))
	worker.says("InvalidConfigurationException: invalid topic config: value \"compact\" for cleanup.policy: compaction is not served yet", 1)
	record(t, "Kafka Connect", connect.version, "distributed workers", "refused: INVALID_CONFIG (40), compaction is not served yet")
}

// startWorker starts a worker of its own with one connector, and waits until that runs.
func startWorker(t *testing.T, connect driver, brokers, name, class string, settings ...string) *process {
	t.Helper()
	dir, rest := t.TempDir(), freeAddress(t)
	worker := properties(t, filepath.Join(dir, "worker.properties"),
		"bootstrap.servers="+brokers,
		"key.converter=org.apache.kafka.connect.storage.StringConverter",
		"value.converter=org.apache.kafka.connect.storage.StringConverter",
		"offset.storage.file.filename="+filepath.Join(dir, "offsets"),
		"offset.flush.interval.ms=1000",
		"producer.linger.ms=50",
		"consumer.auto.offset.reset=earliest",
		"plugin.discovery=service_load",
		"listeners=HTTP://"+rest)
	connector := properties(t, filepath.Join(dir, name+".properties"), append(settings,
		"name="+name, "connector.class=org.apache.kafka.connect.file."+class+"Connector")...)
	p := connect.job(t, "org.apache.kafka.connect.cli.ConnectStandalone", worker, connector)
	eventually(t, "Connect runs the "+name, func() error { return runs("http://" + rest + "/connectors/" + name + "/status") })
	return p
}

// runs asks a worker whether a connector and its task run.
func runs(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	type state struct{ State, Trace string }
	var status struct {
		Connector state
		Tasks     []state
	}
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	if len(status.Tasks) != 1 || status.Connector.State != "RUNNING" || status.Tasks[0].State != "RUNNING" {
		return fmt.Errorf("%+v", status)
	}
	return nil
}

func properties(t *testing.T, path string, lines ...string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func appendTo(t *testing.T, path string, text []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = file.Write(text)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// holds waits until a file has as many bytes as it should, and compares them.
func holds(t *testing.T, path string, want []byte) {
	t.Helper()
	var got []byte
	eventually(t, path+" is complete", func() (err error) {
		if got, err = os.ReadFile(path); err == nil && len(got) < len(want) {
			err = fmt.Errorf("%d of %d bytes", len(got), len(want))
		}
		return err
	})
	if !bytes.Equal(got, want) {
		t.Fatalf("%s has %d bytes, want %d; first difference at byte %d", path, len(got), len(want), difference(got, want))
	}
}
