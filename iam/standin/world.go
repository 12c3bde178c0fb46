package standin

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options say how a world begins. The zero value is a good one.
type Options struct {
	Now       func() time.Time // nil: the machine's clock
	Moved     bool             // Now is moved on by a test: signatures may be as old as by the machine's clock, too
	Region    string           // of buckets that are made; empty: us-east-1
	Partition string           // empty: aws
	Org       string           // organization that all accounts are of; empty: none
	MaxBytes  int64            // of all objects and parts; 0: 1 GiB
	MaxObject int64            // of one; 0: 128 MiB

	// Observe is told of every request that has been decided, by the goroutine that answers it. It may be nil.
	Observe func(Event)
}

// Event is one decision.
type Event struct {
	At        time.Time
	Service   Service
	Principal string // ARN; empty: nobody signed it
	Action    string // such as s3:GetObject; the first one that was denied, else the first that was needed
	Resource  string // ARN
	Status    int
	Code      string // AWS's code of the error; empty: it was carried out
	By        string // what decided a denial, such as the statement's Sid
}

// Service is one of the two that stand in here.
type Service string

// The services.
const (
	S3  Service = "s3"
	STS Service = "sts"
)

// Bounds of a world besides those of Options.
const (
	maxCredentials = 20_000
	maxUploads     = 1_000
	maxKey         = 1024
	maxForm        = 64 << 10 // of a request to STS
	maxDocument    = 2 << 20  // of an XML body
)

// World is accounts, identities and buckets, and the HTTP handler that stands for AWS.
// Its methods may be called concurrently.
type World struct {
	opts Options

	mu          sync.Mutex
	accounts    map[string]*account
	principals  map[string]*principal  // by ARN
	credentials map[string]*credential // by access key id
	buckets     map[string]*bucket
	bytes       int64 // of all objects and parts
	troubles    map[Service]trouble
	issuer      issuer
}

type trouble struct {
	down bool
	slow time.Duration
}

// New makes a world without accounts.
func New(o Options) *World {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Partition == "" {
		o.Partition = "aws"
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	if o.MaxObject == 0 {
		o.MaxObject = 128 << 20
	}
	return &World{
		opts: o, accounts: map[string]*account{}, principals: map[string]*principal{}, credentials: map[string]*credential{},
		buckets: map[string]*bucket{}, troubles: map[Service]trouble{},
	}
}

// Down lets a service answer nothing: connections to it are cut, until it is called again with false.
func (w *World) Down(s Service, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.troubles[s]
	t.down = down
	w.troubles[s] = t
}

// Slow lets a service wait before each answer.
func (w *World) Slow(s Service, by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.troubles[s]
	t.slow = by
	w.troubles[s] = t
}

// ServeHTTP answers as S3 (in path style) and STS do, by what was asked.
func (w *World) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	id := requestID()
	rw.Header().Set("Date", w.opts.Now().UTC().Format(http.TimeFormat))
	if document := w.wellKnown(r.URL.Path); document != nil {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write(document) // whoever asked may be gone
		return
	}
	service := S3
	if r.Method == http.MethodPost && r.URL.Path == "/" || r.URL.Path == "/" && r.URL.Query().Has("Action") {
		service = STS
	}
	w.suffer(service, r)
	e := &Event{At: w.opts.Now(), Service: service}
	status := &statusWriter{ResponseWriter: rw}
	var f *fault
	if service == STS {
		rw.Header().Set("X-Amzn-Requestid", id)
		rw.Header().Set("Content-Type", "text/xml") // as STS has it, and who asks it for an identity insists
		if f = w.serveSTS(status, r, e); f != nil {
			stsFault(status, f)
		}
	} else {
		rw.Header().Set("X-Amz-Request-Id", id)
		if f = w.serveS3(status, r, e); f != nil {
			s3Fault(status, r, f)
		}
	}
	if f != nil {
		e.Code = f.code
	}
	if e.Status = status.status; e.Status == 0 {
		e.Status = http.StatusOK
	}
	if w.opts.Observe != nil {
		w.opts.Observe(*e)
	}
}

// suffer waits as long as the service is slow, and cuts the connection when it is down.
func (w *World) suffer(s Service, r *http.Request) {
	w.mu.Lock()
	t := w.troubles[s]
	w.mu.Unlock()
	if t.slow > 0 {
		timer := time.NewTimer(t.slow)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	if t.down {
		panic(http.ErrAbortHandler)
	}
}

// statusWriter remembers the status for the event.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// arn of something that has no region.
func (w *World) arn(service, account, resource string) string {
	return strings.Join([]string{"arn", w.opts.Partition, service, "", account, resource}, ":")
}

// take counts n more bytes, or says that there is no room for them.
func (w *World) take(n int64) bool {
	if w.bytes+n > w.opts.MaxBytes {
		return false
	}
	w.bytes += n
	return true
}
