package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/faultnet"
)

// weather is what the way to the bucket is like. Shares are of requests, from 0 to 1.
type weather struct {
	cut    []string // processes that cannot reach it
	silent bool     // their requests vanish; else their connections are reset
	busy   float64  // answered 503 SlowDown, without being carried out
	lost   float64  // carried out, and the answer lost: the connection breaks, at once or after a while
	broken float64  // broken off in the middle of the request or of the answer
	rate   int64    // bytes a second of all bodies together; 0: no bound
}

// lateBreak is how long half of the lost answers are waited for: longer than an agent gives an upload.
const lateBreak = 6 * time.Second

// bucketProxy stands before the S3 server. It tells processes apart by the variable AWS_EXECUTION_ENV,
// which the SDK shows in its User-Agent, and leaves everything that is signed as it is.
type bucketProxy struct {
	upstream  *url.URL
	transport *http.Transport
	server    *http.Server
	listener  net.Listener

	mu      sync.Mutex
	rng     *rand.Rand
	now     weather
	changed chan struct{} // closed at the next change
	free    time.Time     // when the bytes let through so far have passed, under a rate
	counts  map[string]int64
}

func startBucketProxy(address, endpoint string, rng *rand.Rand) (*bucketProxy, error) {
	upstream, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("address of the S3 server: %w", err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen before the bucket: %w", err)
	}
	b := &bucketProxy{
		upstream: upstream, listener: listener, rng: rng, changed: make(chan struct{}), counts: map[string]int64{},
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: 20 * time.Second},
	}
	b.server = &http.Server{Handler: b}
	go b.server.Serve(listener) //nolint:errcheck // it ends when close ends it
	return b, nil
}

func (b *bucketProxy) close() {
	b.set(weather{})
	_ = b.server.Close() // of listeners and connections that nobody needs any more
	b.transport.CloseIdleConnections()
}

// set changes the weather.
func (b *bucketProxy) set(w weather) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now, b.free = w, time.Time{}
	close(b.changed)
	b.changed = make(chan struct{})
}

// seen is how often each thing was done to a request.
func (b *bucketProxy) seen() map[string]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.counts)
}

// fates of a request.
const (
	carried     = "carried out"
	cut         = "cut off"
	throttled   = "answered 503"
	answerLost  = "answer lost"
	requestTorn = "request torn"
	answerTorn  = "answer torn"
)

// fate draws what becomes of a request of a process.
func (b *bucketProxy) fate(who string) (what string, late bool, now weather, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	what = carried
	for _, c := range b.now.cut {
		if c == who {
			what = cut
		}
	}
	draw := b.rng.Float64()
	for _, f := range []struct {
		what  string
		share float64
	}{{throttled, b.now.busy}, {answerLost, b.now.lost}, {requestTorn, b.now.broken / 2}, {answerTorn, b.now.broken / 2}} {
		if what == carried && draw < f.share {
			what = f.what
		}
		draw -= f.share
	}
	b.counts[what]++
	return what, b.rng.IntN(2) == 0, b.now, b.changed
}

var executionEnv = regexp.MustCompile(`exec-env/(\S+)`)

// slowDown is S3's way of asking for patience.
const slowDown = `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`

// ServeHTTP implements http.Handler.
func (b *bucketProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var who string
	if found := executionEnv.FindStringSubmatch(r.UserAgent()); found != nil {
		who = found[1]
	}
	what, late, now, changed := b.fate(who)
	if what == cut {
		if now.silent {
			select {
			case <-changed:
			case <-r.Context().Done():
			}
		}
		hangUp(w)
		return
	}
	body, err := io.ReadAll(b.slowed(r.Context(), r.Body))
	if err != nil {
		hangUp(w) // the client has gone
		return
	}
	if what == throttled {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, slowDown) //nolint:errcheck // a client that has gone reads no answer
		return
	}
	b.forward(w, r, body, what, late)
}

// forward asks the S3 server and passes its answer on, or what the request's fate leaves of both.
func (b *bucketProxy) forward(w http.ResponseWriter, r *http.Request, body []byte, what string, late bool) {
	out := r.Clone(r.Context())
	if what == answerLost { // it is carried out even if the client goes away
		out = r.Clone(context.WithoutCancel(r.Context()))
	}
	out.URL.Scheme, out.URL.Host, out.RequestURI = b.upstream.Scheme, b.upstream.Host, ""
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if what == requestTorn {
		out.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), torn{}))
		if len(body) == 0 { // nothing to tear: it never arrives
			hangUp(w)
			return
		}
	}
	response, err := b.transport.RoundTrip(out)
	if err != nil {
		hangUp(w)
		return
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || what == requestTorn {
		hangUp(w)
		return
	}
	if what == answerLost {
		if late {
			pause(r.Context(), lateBreak)
		}
		hangUp(w)
		return
	}
	for name, values := range response.Header {
		if name != "Connection" && name != "Keep-Alive" {
			w.Header()[name] = values
		}
	}
	if r.Method != http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	}
	w.WriteHeader(response.StatusCode)
	if what == answerTorn {
		w.Write(answer[:len(answer)/2]) //nolint:errcheck // it is hung up upon anyway
		hangUp(w)
		return
	}
	io.Copy(w, b.slowed(r.Context(), bytes.NewReader(answer))) //nolint:errcheck // a client that has gone reads no answer
}

// torn is the end of a request that was broken off.
type torn struct{}

func (torn) Read([]byte) (int, error) { return 0, errors.New("torn") }

// hangUp resets the client's connection.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the server closes it
	}
	faultnet.Reset(conn)
}

// slowed reads no faster than the weather's rate, shared by all.
func (b *bucketProxy) slowed(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		b.mu.Lock()
		rate := b.now.rate
		b.mu.Unlock()
		if rate == 0 {
			return r.Read(p)
		}
		n, err := r.Read(p[:min(len(p), 8<<10)])
		b.mu.Lock()
		if now := time.Now(); b.free.Before(now) {
			b.free = now
		}
		b.free = b.free.Add(time.Duration(n) * time.Second / time.Duration(rate))
		wait := time.Until(b.free)
		b.mu.Unlock()
		pause(ctx, min(wait, time.Minute))
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
