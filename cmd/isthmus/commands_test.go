package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
)

// openStore opens a bucket with the credentials that this process has.
func openStore(ctx context.Context, url string) (objstore.Store, error) { return open.Open(ctx, url) }

// TestAWrongCommandLineIsRefusedWithWhatToTry runs command lines that are wrong before anything has
// begun: exit code 2, and an error that names the thing and what to try.
func TestAWrongCommandLineIsRefusedWithWhatToTry(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "isthmus.yaml")
	if err := os.WriteFile(file, []byte("group: prod\nroles: produce\nflush-intervall: 100ms\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, words := range map[string][]string{
		"agnt":                                          {`"agnt"`, "did you mean agent?", "isthmus --help"},
		"topic lst":                                     {`"lst"`, "did you mean list?", "isthmus topic --help"},
		"topic create":                                  {"accepts 1 arg", "isthmus topic create --help"},
		"version now":                                   {`"now"`, "isthmus version --help"},
		"agent --flush-intervall 1s":                    {"--flush-intervall", "did you mean --flush-interval?", "isthmus agent --help"},
		"agent --group prod --roles produc":             {`"produc"`, `did you mean "produce"?`},
		"agent --group prod --roles jobs":               {"jobs", "does not exist yet", "produce, fetch or both"},
		"agent --roles produce":                         {"--group", "such as prod"},
		"agent --group prod":                            {"--roles", "produce,fetch"},
		"agent --group PROD --roles fetch":              {`--group "PROD"`, "lower-case"},
		"agent --config " + file:                        {file, `"flush-intervall"`, `did you mean "flush-interval"?`},
		"agent --config /no/such/file":                  {"/no/such/file"},
		"agent --group a --roles fetch --memory 1MiB":   {"--memory", "192MiB"},
		"agent --group a --roles fetch --memory lots":   {"--memory", "lots"},
		"agent --group a --roles fetch --cache 1GiB":    {"--cache", "half of --memory"},
		"agent --group a --roles fetch --tls-cert x":    {"--tls-cert", "--tls-key", "both or neither"},
		"agent --group a --roles fetch --advertise x":   {"--advertise", "HOST:PORT"},
		"agent --group a --roles fetch --kafka x":       {"--kafka", "HOST:PORT"},
		"agent --group a --roles produce --validate x":  {"headers", "deep"},
		"agent --group a --roles fetch --log-level all": {"--log-level", "debug, info, warn or error"},
		"agent --group a --roles produce --flush-interval 5s --flush-bytes 1KiB": {"flush interval", "25ms to 1s", "flush bytes", "64KiB"},
		"agent --group a --roles fetch --kafka 0.0.0.0:9092":                     {"--kafka 0.0.0.0:9092", "plain text", "--tls-cert", "--insecure"},
		"agent --group a --roles fetch --kafka :9092":                            {"plain text", "--insecure"},
		"agent --group a --roles fetch --http 0.0.0.0:1":                         {"--http 0.0.0.0:1", "loopback", "--insecure"},
		"control":                                               {"--data-dir", "--bucket"},
		"control --data-dir d --bucket s4://b":                  {`"s4"`, "did you mean s3://"},
		"control --data-dir d --bucket /var/bucket":             {"no scheme", "file:///var/bucket"},
		"control --data-dir d --bucket file:///b?fautls=lost:1": {"fautls", "did you mean faults"},
		"control --data-dir d --bucket s3://me:secret@b":        {"credentials", "AWS_ACCESS_KEY_ID"},
		"control --data-dir d --bucket file:///b --cluster A/B": {"cluster", "A/B"},
		"playground --kafka 0.0.0.0:9092":                       {"--kafka 0.0.0.0:9092", "loopback"},
		"playground --bucket nonsense":                          {"no scheme", "file:///"},
		"demo --http 0.0.0.0:80":                                {"--http 0.0.0.0:80", "loopback"},
		"demo --output xml":                                     {`"xml"`, "table or json"},
		"bench produce --compression lz5 --clients 0":           {`"lz5"`, "lz4", "clients: 0"},
		"topic create x --config retention":                     {"--config", "KEY=VALUE"},
		"topic alter x":                                         {"--partitions", "--config"},
		"segment dump s3://bucket/what":                         {"s3://bucket/what", "/data/"},
	} {
		refusal(t, 2, strings.Fields(line), words...)
	}
	if _, _, stderr := command(t, "control", "--data-dir", "d", "--bucket", "s3://me:secret@b"); strings.Contains(stderr, "secret") {
		t.Errorf("the error shows the secret: %s", stderr)
	}
}

// TestCommandsPrintWhatWasAskedFor looks at help, version and configuration.
func TestCommandsPrintWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := command(t, "version", "--output", "json")
	var b build
	if err := json.Unmarshal([]byte(stdout), &b); err != nil || code != 0 || stderr != "" || b.Version != version || b.Go == "" || b.Platform == "" {
		t.Errorf("version: code %d, %v, %s%s", code, err, stdout, stderr)
	}
	if _, stdout, _ := command(t, "version"); !strings.HasPrefix(stdout, "isthmus "+version) {
		t.Errorf("version prints %q", stdout)
	}
	if code, stdout, _ := command(t); code != 0 || !strings.Contains(stdout, "isthmus demo") {
		t.Errorf("without arguments: code %d, %s", code, stdout)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, stdout, _ := command(t, "completion", shell); code != 0 || !strings.Contains(stdout, "isthmus") {
			t.Errorf("completion %s: code %d, %d bytes", shell, code, len(stdout))
		}
	}
	code, stdout, _ = command(t, "agent", "--group", "prod", "--roles", "produce,fetch", "--flush-interval", "50ms", "--memory", "2GiB", "--print-config")
	for _, want := range []string{"group: prod", "roles: produce,fetch", "flush-interval: 50ms", "memory: 2GiB", "# flag", "# default", "cache: 256MiB"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("agent --print-config: code %d, lacks %q:\n%s", code, want, stdout)
		}
	}
	everyHelp(t)
}

// everyHelp looks at --help of every command that does something.
func everyHelp(t *testing.T) {
	t.Helper()
	for _, line := range []string{
		"demo", "playground", "control", "control status", "agent", "topic create", "topic list", "topic describe", "topic alter", "topic delete",
		"consumer-group list", "consumer-group describe", "consumer-group reset", "bench produce", "bench fetch", "bench e2e", "segment dump", "segment verify", "version",
	} {
		code, stdout, _ := command(t, append(strings.Fields(line), "--help")...)
		if code != 0 || !strings.Contains(stdout, "Examples:") || !strings.Contains(stdout, "isthmus "+line) {
			t.Errorf("isthmus %s --help: code %d, without an example:\n%s", line, code, stdout)
		}
	}
}

// TestOperatorsSeeTheClusterAndItsObjects asks the control plane for its state, and looks into an
// object that an agent has stored.
func TestOperatorsSeeTheClusterAndItsObjects(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	l.create("looked-at", 3)
	l.produce(l.client("prod", kgo.ProducerBatchCompression(kgo.ZstdCompression())), texts("looked-at", numbered("event", 50)...)...)
	var status struct {
		Cluster    string
		ClusterID  string
		Topics     int
		Partitions int
		Agents     []struct{ Group string }
	}
	if err := json.Unmarshal([]byte(l.operate("control", "status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	if status.Cluster != "isthmus" || status.ClusterID == "" || status.Topics < 1 || status.Partitions < 3 || len(status.Agents) != 4 {
		t.Errorf("status: %+v", status)
	}
	if table := l.operate("control", "status"); !strings.Contains(table, "analytics") || !strings.Contains(table, "prod") {
		t.Errorf("status:\n%s", table)
	}
	file := l.anObject()
	code, dump, stderr := command(t, "segment", "dump", file)
	if code != 0 || !strings.Contains(dump, "isthmus") || !strings.Contains(dump, "default") {
		t.Errorf("dump: code %d, %s\n%s", code, stderr, dump)
	}
	key := strings.TrimPrefix(file, filepath.Join(l.dir, "bucket")+"/")
	for _, object := range []string{file, l.bucket + "/" + key} {
		if code, stdout, stderr := command(t, "segment", "verify", object); code != 0 || !strings.Contains(stdout, "sound") {
			t.Errorf("verify %s: code %d, %s%s", object, code, stdout, stderr)
		}
	}
	l.damaged(file)
}

// anObject is the file of one segment in the bucket.
func (l *lands) anObject() string {
	l.t.Helper()
	store, err := openStore(l.ctx, l.bucket)
	l.must(err)
	defer store.Close()
	page, _, err := store.List(l.ctx, "isthmus/data/", "", 1)
	l.must(err)
	if len(page) == 0 {
		l.t.Fatal("the bucket holds no segment")
	}
	if err := objstore.CheckKey(page[0].Key); err != nil {
		l.t.Fatal(err)
	}
	return filepath.Join(l.dir, "bucket", filepath.FromSlash(page[0].Key))
}

// damaged flips one byte of an object in turn and expects verify to see it.
func (l *lands) damaged(file string) {
	l.t.Helper()
	whole, err := os.ReadFile(file)
	l.must(err)
	broken := filepath.Join(l.t.TempDir(), "broken")
	for at := 0; at < len(whole); at += 1 + len(whole)/40 {
		b := append([]byte{}, whole...)
		b[at] ^= 0x40
		l.must(os.WriteFile(broken, b, 0o600))
		if code, stdout, _ := command(l.t, "segment", "verify", broken); code != 1 {
			l.t.Errorf("byte %d of %d is wrong and verify says %s", at, len(whole), stdout)
		}
	}
	refusal(l.t, 1, []string{"segment", "verify", filepath.Join(l.dir, "no-such-file")}, "no-such-file")
}

// TestAnOperatorIsToldWhatIsWaitedFor runs a command without a control plane, and gives up on it.
func TestAnOperatorIsToldWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	nobody := freeAddress(t)
	p := startProcess(t, "topic", "list", "--control", nobody)
	eventually(t, "it says what it waits for", func() bool {
		return strings.Contains(p.stderr.String(), "waiting for the control plane at "+nobody)
	})
	p.interrupt()
	if code := <-p.ended; code != 1 || p.stdout.String() != "" {
		t.Errorf("interrupted: code %d, %q, %s", code, p.stdout.String(), p.stderr.String())
	}
}
