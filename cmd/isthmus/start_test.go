package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A bucket prefix is claimed for good, so nothing that can fail by itself may come after the claim.
func TestBusyHTTPPortCostsNoPrefix(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	bucket := filepath.Join(dir, "bucket")
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"control", "--data-dir", filepath.Join(dir, "control"), "--bucket", "file://" + bucket,
		"--listen", "127.0.0.1:0", "--http", taken.Addr().String()}, io.Discard, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "--http") {
		t.Errorf("code %d, %s; want 1 and an error that names --http", code, stderr.String())
	}
	if _, err := os.Stat(bucket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the bucket was touched: %v", err)
	}
}

// While the bucket is away, a control node says so at /readyz, and an interrupt ends it without a fault.
func TestControlWaitsForItsBucket(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	dir := t.TempDir()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"control", "--data-dir", filepath.Join(dir, "control"), "--bucket", "file://" + dir + "/bucket?faults=error:1",
			"--listen", "127.0.0.1:0", "--http", address}, io.Discard, io.Discard)
	}()
	eventually(t, "readyz to tell of the bucket", func() bool {
		response, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return err == nil && response.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(text), "bucket")
	})
	interrupt()
	if code := <-ended; code != 0 {
		t.Errorf("an interrupted wait ends with code %d", code)
	}
}

// An agent with nothing under way does not spend the time that is meant for that on a control plane
// which has been stopped before it.
func TestAgentStopsWithoutItsControlPlane(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	l.restartControl(func() {
		for _, name := range []string{"prod-1", "analytics-1"} {
			ctx, cancel := context.WithTimeout(l.ctx, drainTimeout)
			if err := l.running(name).stop(ctx); err != nil {
				t.Errorf("stop %s: %v", name, err)
			}
			if ctx.Err() != nil {
				t.Errorf("%s stopped only because its time was up", name)
			}
			cancel()
		}
	})
}
