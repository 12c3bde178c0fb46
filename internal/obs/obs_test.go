package obs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestServerTellsHealthReadinessAndMetrics(t *testing.T) {
	var waiting atomic.Bool
	waiting.Store(true)
	s, err := Serve("127.0.0.1:0", NewRegistry(), func() error {
		if waiting.Load() {
			return errors.New("waiting for the control plane")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	expect(t, s, "/healthz", 200, "ok")
	expect(t, s, "/readyz", 503, "waiting for the control plane")
	waiting.Store(false)
	expect(t, s, "/readyz", 200, "ready")
	expect(t, s, "/metrics", 200, "process_resident_memory_bytes")
	expect(t, s, "/debug/pprof/", 200, "goroutine")
}

func expect(t *testing.T, s *Server, path string, status int, text string) {
	t.Helper()
	response, err := http.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != status || !strings.Contains(string(body), text) {
		t.Errorf("GET %s: %d %.80q, want %d and %q", path, response.StatusCode, body, status, text)
	}
}

func TestBusyPortNamesTheFlag(t *testing.T) {
	first, err := Serve("127.0.0.1:0", NewRegistry(), func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close(context.Background())
	_, err = Serve(first.Addr(), NewRegistry(), func() error { return nil })
	if err == nil || !strings.Contains(err.Error(), "--http") {
		t.Errorf("second server on %s: %v, want an error that names --http", first.Addr(), err)
	}
}

func TestLogIsJSONWhenNobodyWatches(t *testing.T) {
	var out bytes.Buffer
	NewLogger(&out, slog.LevelInfo).Info("segment stored", "bytes", 42, "took", 1500*time.Millisecond, "from", net.IPv4(10, 0, 0, 1), "error", errors.New("none"))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["bytes"] != 42.0 || line["took"] != "1.5s" || line["from"] != "10.0.0.1" || line["error"] != "none" {
		t.Errorf("log line %q: %v", out.String(), err)
	}
}
