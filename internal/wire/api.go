package wire

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// API is one request of Kafka's protocol as this listener speaks it. Min to Max is advertised, the
// same on every agent whatever its role; ServeMin to Max is served. Versions below ServeMin are
// advertised only because old clients draw conclusions from them.
type API struct {
	Key      int16
	Min, Max int16
	ServeMin int16
	Handler  Handler
	// Weight is how much more memory than a decoded request its handler may take to answer it, as a
	// factor; 0 is 1. What is charged in the end is never more than for decoding.
	Weight int
}

// Ranges of the two requests that depend on an agent's role: whoever answers them, or refuses them,
// advertises the same.
const (
	// ProduceMin is advertised, not served: librdkafka before 2.11 turns compression off without it.
	ProduceMin int16 = 0
	// ProduceServeMin is the first version that carries record batches.
	ProduceServeMin int16 = 3
	// ProduceMax stays below 12 until transactions of the second kind are served.
	ProduceMax int16 = 11
	FetchMin   int16 = 4
	FetchMax   int16 = 17
)

// fetchWeight: a partition is some 100 bytes in a decoded request, and some 500 while it is looked at.
const fetchWeight = 6

// ProduceAPI is API 0 answered by h.
func ProduceAPI(h Handler) API {
	return API{Key: int16(kmsg.Produce), Min: ProduceMin, Max: ProduceMax, ServeMin: ProduceServeMin, Handler: h}
}

// FetchAPI is API 1 answered by h.
func FetchAPI(h Handler) API {
	return API{Key: int16(kmsg.Fetch), Min: FetchMin, Max: FetchMax, ServeMin: FetchMin, Handler: h, Weight: fetchWeight}
}

// Handler answers the requests of one API.
type Handler interface {
	// Serve is called in the order in which requests were read, on the connection's reader: while
	// it runs, nothing more is read from that connection. It calls reply exactly once, at once or
	// later, from any goroutine; reply does not block. ctx ends when the connection does.
	Serve(ctx context.Context, r *Request, reply func(Reply))
}

// HandlerFunc is a Handler that is one function.
type HandlerFunc func(ctx context.Context, r *Request, reply func(Reply))

// Serve calls f.
func (f HandlerFunc) Serve(ctx context.Context, r *Request, reply func(Reply)) { f(ctx, r, reply) }

// Request is one frame understood. Byte slices inside Body (records, group metadata) are parts of
// the frame, which counts against the memory cap until the answer is written and every Hold released. Those of a
// Produce request must not be read after that, for the memory is used again; those of any other stay valid for as
// long as they are referenced.
type Request struct {
	Key           int16
	Version       int16
	CorrelationID int32
	ClientID      string
	Body          kmsg.Request // of the kmsg type of Key, its version set
	Conn          *Conn
	Size          int // bytes of the frame
	Read          time.Time

	charge *charge
}

// Hold keeps the request's bytes, and has them counted against the memory cap, beyond its answer, until release
// is called; calling release again does nothing. Hold itself is called before reply is.
func (r *Request) Hold() (release func()) {
	if r.charge == nil {
		return func() {}
	}
	r.charge.hold()
	return sync.OnceFunc(r.charge.release)
}

// Forget stops counting the request against the memory cap before its answer: its body is no longer
// used, and what the handler keeps of it is bounded by the handler. It may be called from any goroutine.
func (r *Request) Forget() {
	if r.charge != nil {
		r.charge.shrink(0)
	}
}

// Reply is the answer to one request.
type Reply struct {
	// Body is encoded in the version of the request.
	Body kmsg.Response
	// Gathered is used instead of Body: an answer already encoded, without its header, written
	// without copying. It must not change until Done.
	Gathered net.Buffers
	// Throttle: Gathered begins with throttle_time_ms, in which the listener says how long to wait.
	Throttle bool
	// None: the protocol knows no answer to this request (acks=0).
	None bool
	// Close closes the connection after what is due has been written, this answer included.
	Close bool
	// Awaited reports whether others wait for memory that the answer holds: a peer that takes nothing of
	// it is then not waited for. Nil: nobody ever waits.
	Awaited func() bool
	// Done is called once, after the answer is written or given up; nil for nothing to do.
	Done func()
}
