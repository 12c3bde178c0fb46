//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestOpenTelemetry ships logs and spans with one collector (OTLP in, kafkaexporter) through the produce-only
// group, and takes them with another (kafkareceiver, OTLP out) from the fetch-only one: each arrives once, also when the
// second collector is stopped and started again in the middle.
func TestOpenTelemetry(t *testing.T) {
	t.Parallel() // after all that do not say this: its install takes longest, and nobody is to wait for it
	otel := openDriver(t, "otel")
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	c.isthmus("topic", "create", "otlp_logs", "--partitions", "3")
	c.isthmus("topic", "create", "otlp_spans", "--partitions", "3")

	sink := newSink(t)
	in := freeAddress(t)
	collector(t, otel, "ship.yaml", c.prod, in)
	receiver := collector(t, otel, "receive.yaml", c.analytics, sink.address)
	eventually(t, "the collector listens", func() error { return dial(in) })

	sendTelemetry(t, in, 0, 300)
	sink.has(300)
	receiver.signal(syscall.SIGTERM)
	receiver.ends()
	sendTelemetry(t, in, 300, 600)
	receiver.start()
	sink.has(600)

	record(t, "OpenTelemetry collector", otel.version, "kafkaexporter: logs and traces to the produce-only group", works)
	record(t, "OpenTelemetry collector", otel.version, "kafkareceiver: logs and traces from the fetch-only group", works)
	record(t, "OpenTelemetry collector", otel.version, "kafkareceiver: stopped and started again, resumes without repeating", works)
}

func collector(t *testing.T, otel driver, config string, agents []*agent, address string) *process {
	t.Helper()
	return start(t, []string{"BROKERS=[" + brokers(agents) + "]", "OTLP_ADDRESS=" + address}, otel.path, "--config", filepath.Join("clients", "otel", config))
}

// telemetry is OTLP as JSON, as far as this test looks at it.
type telemetry struct {
	ResourceLogs []struct {
		ScopeLogs []struct {
			LogRecords []struct {
				Body struct{ StringValue string }
			}
		}
	}
	ResourceSpans []struct {
		ScopeSpans []struct {
			Spans []struct{ Name string }
		}
	}
}

// sendTelemetry sends the logs and spans numbered from..to, in requests of 50.
func sendTelemetry(t *testing.T, address string, from, to int) {
	t.Helper()
	post := func(path, body string) {
		response, err := http.Post("http://"+address+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatalf("send to the collector: %v", err)
		}
		defer response.Body.Close()
		if answer, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("the collector answered %s: %q (%v)", response.Status, answer, err)
		}
	}
	const at = "1700000000000000000"
	for ; from < to; from += 50 {
		var logs, spans []string
		for i := from; i < min(from+50, to); i++ {
			logs = append(logs, fmt.Sprintf(`{"timeUnixNano":%q,"severityText":"INFO","body":{"stringValue":"log %d"}}`, at, i))
			spans = append(spans, fmt.Sprintf(`{"traceId":"%032x","spanId":"%016x","name":"span %d","startTimeUnixNano":%q,"endTimeUnixNano":%q}`, i+1, i+1, i, at, at))
		}
		post("/v1/logs", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[`+strings.Join(logs, ",")+`]}]}]}`)
		post("/v1/traces", `{"resourceSpans":[{"scopeSpans":[{"spans":[`+strings.Join(spans, ",")+`]}]}]}`)
	}
}

// sink is an OTLP server that counts what it is sent.
type sink struct {
	t       *testing.T
	address string
	mu      sync.Mutex
	seen    map[string]int // bodies of logs and names of spans
}

func newSink(t *testing.T) *sink {
	s := &sink{t: t, seen: make(map[string]int)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.address = server.Listener.Addr().String()
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var sent telemetry
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
		s.t.Errorf("the collector sent what is no OTLP: %v", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range sent.ResourceLogs {
		for _, scope := range resource.ScopeLogs {
			for _, one := range scope.LogRecords {
				s.seen[one.Body.StringValue]++
			}
		}
	}
	for _, resource := range sent.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, one := range scope.Spans {
				s.seen[one.Name]++
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, "{}")
}

// has waits for as many logs and as many spans, and looks that each came once.
func (s *sink) has(many int) {
	s.t.Helper()
	eventually(s.t, "the logs and spans arrive", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range many {
			if s.seen[fmt.Sprintf("log %d", i)] == 0 || s.seen[fmt.Sprintf("span %d", i)] == 0 {
				return fmt.Errorf("log or span %d is not there yet; %d of %d are", i, len(s.seen), 2*many)
			}
		}
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) != 2*many {
		s.t.Errorf("%d different logs and spans arrived, want %d", len(s.seen), 2*many)
	}
	for one, times := range s.seen {
		if times != 1 {
			s.t.Errorf("%s arrived %d times", one, times)
		}
	}
}
