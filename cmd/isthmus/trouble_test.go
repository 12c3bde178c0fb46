package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
	"github.com/isthmusdata/isthmus/internal/obs"
)

// TestWhatCannotStartSaysWhyAndWhatToTry starts processes where something in the world is in the
// way: exit code 1, the thing by its name, and what to do about it.
func TestWhatCannotStartSaysWhyAndWhatToTry(t *testing.T) {
	t.Parallel()
	l := startControlAlone(t, t.TempDir(), "file://"+filepath.Join(t.TempDir(), "bucket"))
	t.Run("a busy port", func(t *testing.T) { l.in(t).busyPorts() })
	t.Run("a data directory in use by another process", func(t *testing.T) {
		dir := filepath.Join(l.dir, "control")
		refusal(t, 1, controlArgs(dir, l.bucket), dir, "in use by another process", "--data-dir")
	})
	t.Run("a bucket prefix of another cluster", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "control")
		for range 2 { // the second time as well: nothing was changed by the first
			refusal(t, 1, controlArgs(dir, l.bucket), "isthmus/meta/cluster", "belongs to cluster", "another bucket prefix", dir)
		}
	})
	t.Run("a data directory of another cluster", dirOfAnotherCluster)
	t.Run("a data directory that lost its log", dirWithoutLog)
	t.Run("a cluster object that is gone", clusterObjectGone)
	t.Run("a bucket that is missing", func(t *testing.T) {
		missing := filepath.Join(t.TempDir(), "no", "such")
		refusal(t, 1, controlArgs(filepath.Join(t.TempDir(), "control"), "file://"+missing), missing, "bucket not found", "mkdir -p")
	})
	t.Run("a bucket that is a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refusal(t, 1, controlArgs(filepath.Join(t.TempDir(), "control"), "file://"+file), file)
	})
	t.Run("a data directory that is a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refusal(t, 1, controlArgs(file, l.bucket), file, "folder")
	})
	t.Run("a bucket that denies", bucketDeniesBootstrap)
	t.Run("a certificate that does not exist", func(t *testing.T) {
		args := append(agentArgs("127.0.0.1:1"), "--tls-cert", "/no/cert.pem", "--tls-key", "/no/key.pem")
		refusal(t, 1, args, "/no/cert.pem")
	})
}

// controlArgs start a control node on free ports.
func controlArgs(dir, bucket string) []string {
	return []string{"control", "--data-dir", dir, "--bucket", bucket, "--listen", "127.0.0.1:0", "--http", "", "--log-level", "error"}
}

// agentArgs start an agent with both roles on free ports.
func agentArgs(control string) []string {
	return []string{
		"agent", "--control", control, "--group", "both", "--roles", "produce,fetch", "--kafka", "127.0.0.1:0", "--gossip", "127.0.0.1:0",
		"--http", "", "--log-level", "error",
	}
}

// busyPorts takes each port that a process asks for.
func (l *lands) busyPorts() {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	l.must(err)
	defer taken.Close()
	busy := taken.Addr().String()
	for _, flag := range []string{"--kafka", "--gossip", "--http", "--peer"} {
		refusal(l.t, 1, append(agentArgs(l.controlAddr()), flag, busy), busy, flag, "in use")
	}
	bucket := filepath.Join(l.t.TempDir(), "bucket")
	for _, flag := range []string{"--listen", "--http"} {
		refusal(l.t, 1, append(controlArgs(filepath.Join(l.t.TempDir(), "control"), "file://"+bucket), flag, busy), busy, flag, "in use")
	}
	if _, err := os.Stat(bucket); !errors.Is(err, os.ErrNotExist) {
		l.t.Errorf("a control node that could not start has claimed the bucket: %v", err)
	}
	refusal(l.t, 1, []string{"playground", "--kafka", busy}, busy, "--kafka", "in use")
	refusal(l.t, 1, []string{"playground", "--kafka", "127.0.0.1:0", "--http", busy}, busy, "--http", "in use")
	refusal(l.t, 1, []string{"demo", "--http", busy, "--open=false"}, busy, "--http", "in use")
}

// onceUp bootstraps a cluster and stops it again.
func onceUp(t *testing.T) (dir, bucket string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "control")
	bucket = filepath.Join(t.TempDir(), "bucket")
	config := defaultControlConfig()
	config.Raft.Dir, config.BucketURL, config.Listen, config.HTTP = dir, "file://"+bucket, "127.0.0.1:0", ""
	n, err := startControl(t.Context(), config, logOf(t), obs.NewRegistry(), openBucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.node.WaitReady(t.Context()), n.stop(t.Context())); err != nil {
		t.Fatal(err)
	}
	return dir, bucket
}

func dirOfAnotherCluster(t *testing.T) {
	dir, bucket := onceUp(t)
	refusal(t, 1, append(controlArgs(dir, "file://"+bucket), "--cluster", "other"), dir, `"isthmus"`, `"other"`, "--cluster isthmus", "--data-dir")
	refusal(t, 1, append(controlArgs(dir, "file://"+bucket), "--id", "node-9"), dir, "node-9", "--id")
}

func dirWithoutLog(t *testing.T) {
	dir, bucket := onceUp(t)
	if err := os.Remove(filepath.Join(dir, "log.db")); err != nil {
		t.Fatal(err)
	}
	refusal(t, 1, controlArgs(dir, "file://"+bucket), dir, "log")
}

func clusterObjectGone(t *testing.T) {
	dir, bucket := onceUp(t)
	if err := os.RemoveAll(filepath.Join(bucket, "isthmus")); err != nil {
		t.Fatal(err)
	}
	refusal(t, 1, controlArgs(dir, "file://"+bucket), "isthmus/meta/cluster", "is gone", dir, "--bucket")
}

// bucketDeniesBootstrap cannot take away rights portably, so the store denies by itself.
func bucketDeniesBootstrap(t *testing.T) {
	config := defaultControlConfig()
	config.Raft.Dir, config.BucketURL = filepath.Join(t.TempDir(), "control"), "file://"+filepath.Join(t.TempDir(), "bucket")
	config.Listen, config.HTTP = "127.0.0.1:0", ""
	var denied error = &objstore.Error{Op: "put", Name: "isthmus/meta/cluster", Class: objstore.ErrDenied, Try: "look at the role"}
	deny := func(ctx context.Context, url string, _ open.Access) (objstore.Store, error) {
		inner, err := openStore(ctx, url)
		s := &brokenStore{Store: inner}
		s.put.Store(&denied)
		return s, err
	}
	_, err := startControl(t.Context(), config, logOf(t), obs.NewRegistry(), deny)
	if !errors.Is(err, objstore.ErrDenied) || !strings.Contains(err.Error(), "look at the role") {
		t.Errorf("a bucket that denies: %v", err)
	}
}

// process is one command that runs until it is interrupted.
type process struct {
	t         *testing.T
	interrupt context.CancelFunc
	stdout    lockedBuffer
	stderr    lockedBuffer
	ended     chan int
}

func startProcess(t *testing.T, args ...string) *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{t: t, interrupt: cancel, ended: make(chan int, 1)}
	go func() { p.ended <- run(ctx, args, &p.stdout, &p.stderr) }()
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			t.Logf("isthmus %s\n%s", strings.Join(args, " "), p.stderr.String())
		}
	})
	return p
}

// stops interrupts the process as Ctrl-C does, and expects a clean end.
func (p *process) stops() {
	p.t.Helper()
	p.interrupt()
	if code := <-p.ended; code != 0 {
		p.t.Errorf("an interrupted process ends with code %d:\n%s", code, p.stderr.String())
	}
}

// freeAddress is a loopback address that nobody listens on just now. Its port is not one that the
// system hands out, for then the process that is told it could lose it to a connection of its own.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		free, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			defer free.Close()
			return free.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// get reads a page of a process; a process that does not listen yet has status 0.
func get(address, path string) (status int, body string) {
	response, err := http.Get("http://" + address + path)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, ""
	}
	return response.StatusCode, string(text)
}

// TestProcessesWaitForEachOtherAndStopCleanly starts a control node and agents as their commands do, the
// agents first, and looks at what they say of themselves over HTTP.
func TestProcessesWaitForEachOtherAndStopCleanly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	control, controlHTTP := freeAddress(t), freeAddress(t)
	prodHTTP, prodKafka, fetchHTTP, fetchKafka := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	prod := startProcess(t, "agent", "--control", control, "--group", "prod", "--roles", "produce", "--kafka", prodKafka, "--gossip", "127.0.0.1:0", "--http", prodHTTP)
	fetch := startProcess(t, "agent", "--control", control, "--group", "analytics", "--roles", "fetch", "--kafka", fetchKafka, "--gossip", "127.0.0.1:0", "--http", fetchHTTP)
	eventually(t, "an agent says what it waits for", func() bool {
		status, body := get(prodHTTP, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, control)
	})
	eventually(t, "and logs it", func() bool {
		return strings.Contains(prod.stderr.String(), "waiting for the control plane")
	})
	if status, _ := get(prodHTTP, "/healthz"); status != http.StatusOK {
		t.Errorf("a waiting agent's /healthz is %d, want 200: it lives", status)
	}
	node := startProcess(t, "control", "--data-dir", filepath.Join(dir, "control"), "--bucket", "file://"+filepath.Join(dir, "bucket"), "--listen", control, "--http", controlHTTP)
	for _, address := range []string{controlHTTP, prodHTTP, fetchHTTP} {
		eventually(t, "everybody is ready", func() bool {
			status, _ := get(address, "/readyz")
			return status == http.StatusOK
		})
		if status, body := get(address, "/metrics"); status != http.StatusOK || !strings.Contains(body, "\nisthmus_") || !strings.Contains(body, "\ngo_goroutines ") {
			t.Errorf("/metrics is %d with %d bytes", status, len(body))
		}
		if status, _ := get(address, "/debug/pprof/cmdline"); status != http.StatusOK {
			t.Errorf("/debug/pprof is %d", status)
		}
	}
	code, _, stderr := command(t, "bench", "e2e", "--brokers", prodKafka, "--consume-brokers", fetchKafka, "--for", "500ms", "--warmup", "100ms", "--rate", "500", "--partitions", "2")
	if code != 0 {
		t.Errorf("bench between the two: code %d\n%s", code, stderr)
	}
	prod.stops()
	fetch.stops()
	node.stops()
	for _, p := range []*process{prod, fetch, node} {
		if out := p.stdout.String(); out != "" {
			t.Errorf("logs belong on standard error, standard output has %q", out)
		}
		for line := range strings.Lines(p.stderr.String()) {
			if !strings.HasPrefix(line, "{") {
				t.Errorf("a line of the log is not JSON: %s", line)
			}
		}
	}
}
