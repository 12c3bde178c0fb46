package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

//go:embed demo.html
var demoHTML []byte

// demoPage serves the page and the stream of numbers behind it, and takes the orders that it
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
	mux.HandleFunc("POST /analytics/revoke", func(w http.ResponseWriter, r *http.Request) { demoOrder(w, r, d.revoke()) })
	mux.HandleFunc("POST /analytics/restore", func(w http.ResponseWriter, r *http.Request) { demoOrder(w, r, d.restore()) })
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

// demoSnapshot is what the page shows.
type demoSnapshot struct {
	demoResult
	Elapsed     float64        `json:"elapsed_seconds"`
	Done        bool           `json:"done"`
	ProduceRate float64        `json:"produce_rate"`
	ConsumeRate float64        `json:"consume_rate"`
	Lag         int64          `json:"lag"`
	Stored      int64          `json:"stored_bytes"`
	Bucket      string         `json:"bucket"`
	Objects     []storedObject `json:"objects"`
	Agents      []agentState   `json:"agents"`
	Attempts    []thiefRow     `json:"attempts"` // the thief's last round
	Revoked     bool           `json:"analytics_revoked"`
	Prod        string         `json:"bootstrap_prod"`
	Analytics   string         `json:"bootstrap_analytics"`
}

func (d *demo) snapshot() demoSnapshot {
	s := demoSnapshot{
		demoResult: d.result(), Bucket: d.cluster.bucket, Agents: d.cluster.states(),
		Attempts: d.thief.last(), Revoked: d.revoked(),
		Prod: d.cluster.bootstrap("prod"), Analytics: d.cluster.bootstrap("analytics"),
	}
	s.Objects, s.Stored = d.cluster.recent()
	s.Lag = max(s.Produced-s.Consumed, 0)
	if !d.start.IsZero() {
		s.Elapsed = time.Since(d.start).Seconds()
	}
	s.ProduceRate, s.ConsumeRate = d.rates.add(time.Now(), s.Produced, s.Consumed)
	select {
	case <-d.over:
		s.Done = true
	default:
	}
	return s
}

// rates turns counts into rates over the last two seconds.
type rates struct {
	mu      sync.Mutex
	samples []rateSample
}

type rateSample struct {
	at                 time.Time
	produced, consumed int64
}

func (r *rates) add(now time.Time, produced, consumed int64) (produceRate, consumeRate float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, rateSample{now, produced, consumed})
	for len(r.samples) > 2 && now.Sub(r.samples[0].at) > 2*time.Second {
		r.samples = r.samples[1:]
	}
	first := r.samples[0]
	seconds := now.Sub(first.at).Seconds()
	if seconds < 0.1 {
		return 0, 0
	}
	return float64(produced-first.produced) / seconds, float64(consumed-first.consumed) / seconds
}
