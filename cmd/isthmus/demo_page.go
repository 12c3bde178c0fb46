package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

//go:embed demo.html
var demoHTML []byte

// demoPage serves the page and the stream of numbers behind it, and takes the two orders it
// gives. It listens on loopback only.
func demoPage(d *demo) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self' 'unsafe-inline'")
		// A browser that has gone needs no error.
		_, _ = w.Write(demoHTML)
	})
	mux.HandleFunc("GET /events", d.serveEvents)
	mux.HandleFunc("POST /agents/{name}/kill", func(w http.ResponseWriter, r *http.Request) {
		demoOrder(w, r, d.kill(r.PathValue("name")))
	})
	mux.HandleFunc("POST /agents/{name}/return", func(w http.ResponseWriter, r *http.Request) {
		demoOrder(w, r, d.restart(r.PathValue("name")))
	})
	// A page of another origin must not kill agents: http.CrossOriginProtection refuses it.
	return http.NewCrossOriginProtection().Handler(mux)
}

func demoOrder(w http.ResponseWriter, _ *http.Request, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// serveEvents sends the demo's numbers twice a second as server-sent events.
func (d *demo) serveEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flusher := http.NewResponseController(w)
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		snapshot := d.snapshot()
		line, err := json.Marshal(snapshot)
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", line); err != nil {
			return
		}
		if err := flusher.Flush(); err != nil {
			return
		}
		if snapshot.Done {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-d.over: // the numbers are final, and sent once more
		case <-ticker.C:
		}
	}
}
