//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRsyslogShipsAFile ships a real log file with rsyslog (imfile, omkafka, lz4) into the
// produce-only group, and reads it with kcat from the fetch-only group: the same bytes in the
// same order, on the file store and on Ceph.
func TestRsyslogShipsAFile(t *testing.T) {
	t.Run("file store", func(t *testing.T) { shipLog(t, "file://"+filepath.Join(t.TempDir(), "bucket")) })
	t.Run("Ceph", func(t *testing.T) { shipLog(t, cephBucket(t), cephEnv(t)...) })
	record(t, "rsyslog", rsyslogVersion(t), "omkafka, lz4: a log file to the produce-only group", works)
}

func rsyslogVersion(t *testing.T) string {
	t.Helper()
	said, err := exec.Command(needProgram(t, "rsyslogd"), "-v").Output()
	words := strings.Fields(string(said))
	if err != nil || len(words) < 2 {
		t.Fatalf("rsyslogd -v: %v: %q", err, said)
	}
	return words[1]
}

// cephBucket is a bucket URL on the Ceph server that scripts/e2e.sh started, under a prefix of
// this test's own.
func cephBucket(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=us-east-1&path-style=true",
		need(t, "ISTHMUS_E2E_S3_BUCKET"), strings.NewReplacer("/", "-", " ", "-").Replace(strings.ToLower(t.Name())), need(t, "ISTHMUS_E2E_S3"))
}

func cephEnv(t *testing.T) []string {
	t.Helper()
	return []string{"AWS_ACCESS_KEY_ID=" + need(t, "AWS_ACCESS_KEY_ID"), "AWS_SECRET_ACCESS_KEY=" + need(t, "AWS_SECRET_ACCESS_KEY")}
}

func shipLog(t *testing.T, bucket string, env ...string) {
	rsyslogd, kcat := needProgram(t, "rsyslogd"), needProgram(t, "kcat")
	c := startCluster(t, bucket, env...)
	c.isthmus("topic", "create", "syslog", "--partitions", "1")

	want := realLog(t)
	dir := t.TempDir()
	source := filepath.Join(dir, "source.log")
	if err := os.WriteFile(source, want, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, nil, rsyslogd, "-n", "-f", rsyslogConfig(t, dir, source, c.prod[0].kafka), "-i", filepath.Join(dir, "pid"))

	lines := bytes.Count(want, []byte("\n"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	read := exec.CommandContext(ctx, kcat, "-C", "-q", "-b", c.analytics[0].kafka, "-t", "syslog", "-p", "0", "-o", "beginning",
		"-c", fmt.Sprint(lines), "-X", "check.crcs=true")
	var stderr bytes.Buffer
	read.Stderr = &stderr
	got, err := read.Output()
	if err != nil {
		t.Fatalf("kcat: %v\n%s\nread %d of %d bytes", err, stderr.String(), len(got), len(want))
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, want %d; first difference at byte %d", len(got), len(want), difference(got, want))
	}
}

// realLog is this machine's package log: real lines, always there on Debian.
func realLog(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("/var/log/dpkg.log")
	if err != nil || bytes.Count(text, []byte("\n")) < 100 {
		t.Fatalf("read a real log: %v (%d bytes)", err, len(text))
	}
	return text
}

func rsyslogConfig(t *testing.T, dir, source, kafka string, more ...string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(kafka)
	if err != nil {
		t.Fatal(err)
	}
	params := append([]string{"compression.codec=lz4", "enable.idempotence=true", "queue.buffering.max.ms=50"}, more...)
	config := fmt.Sprintf(`
global(workDirectory="%[1]s" maxMessageSize="64k")
module(load="imfile" mode="inotify")
module(load="omkafka")
template(name="line" type="string" string="%%msg%%")
input(type="imfile" File="%[2]s" Tag="e2e" freshStartTail="off")
action(type="omkafka" broker=["%[3]s:%[4]s"] topic="syslog" template="line" partitions.auto="on"
  confParam=[%[5]s]
  errorFile="%[1]s/kafka.errors" resubmitOnFailure="on")
`, dir, source, host, port, `"`+strings.Join(params, `", "`)+`"`)
	path := filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func difference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
