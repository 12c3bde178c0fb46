// Package obs is what the person on call sees of a process: its log, and an HTTP address
// that serves
//
//	/metrics       Prometheus metrics; each package lists its own in its doc
//	/healthz       200 while the process lives
//	/readyz        200 once it can do its work, else 503 with what it waits for
//	/debug/pprof   Go profiles
package obs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/term"
)

// NewLogger logs to w: for people when w is a terminal, as JSON lines otherwise.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	options.ReplaceAttr = readable
	return slog.New(slog.NewJSONHandler(w, options))
}

// readable has values say in JSON what they say to people: durations with their unit, ids as text.
func readable(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case time.Duration:
		a.Value = slog.StringValue(v.String())
	case time.Time, error, *slog.Source: // these the handler knows
	case fmt.Stringer:
		a.Value = slog.StringValue(v.String())
	}
	return a
}

// NewRegistry returns a registry that already holds the process and Go runtime metrics.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Ready says what a process still waits for: nil when it can do its work.
type Ready func() error

// Server is the HTTP address of one process.
type Server struct {
	listener net.Listener
	mux      *http.ServeMux
	http     *http.Server
	done     chan error
}

// Serve listens on addr and serves until Close.
func Serve(addr string, gatherer prometheus.Gatherer, ready Ready) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP on %s: %w (choose another address with --http)", addr, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			answer(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	s := &Server{
		listener: listener,
		mux:      mux,
		http:     &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second},
		done:     make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// answer writes one line. A client that went away meanwhile has no use for an error.
func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n") //nolint:errcheck // see above
}

// Handle adds a page of the process's own. It may be called while the server serves.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Addr is the address that the server listens on, with its real port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops the server; streams that never end are cut.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	if served := <-s.done; err == nil && !errors.Is(served, http.ErrServerClosed) {
		err = served
	}
	return err
}
