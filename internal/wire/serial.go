package wire

import (
	"context"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Serial is a Handler for requests that are answered one at a time per connection, off its reader,
// in the order in which they came; all Serial handlers of a connection share that one line, so that
// an offset commit cannot be overtaken by the leave that follows it. An error closes the connection.
//
// Answers are encoded at once and count against the memory for answers until they are written. While a
// connection has answers that its peer does not take, and they or those of all connections are more
// than may be, its next request waits: asking for much and reading nothing costs others nothing.
func Serial(serve func(ctx context.Context, r *Request) (kmsg.Response, error)) Handler {
	return SerialReply(func(ctx context.Context, r *Request) (Reply, error) {
		body, err := serve(ctx, r)
		return Reply{Body: body}, err
	})
}

// SerialReply is Serial for handlers that encode an answer themselves, as those do that give the same to many.
func SerialReply(serve func(ctx context.Context, r *Request) (Reply, error)) Handler {
	return HandlerFunc(func(ctx context.Context, r *Request, reply func(Reply)) {
		c := r.Conn
		c.serial.push(func() {
			if !c.owed.room(ctx) {
				reply(Reply{Close: true})
				return
			}
			answer, err := serve(ctx, r)
			if err != nil {
				if ctx.Err() == nil {
					c.server.rate.Warn("failed "+r.name()+" "+c.remote, "connection closed after failed request", "request", r.name(),
						"version", r.Version, "client_id", r.ClientID, "remote", c.remote, "error", err)
				}
				reply(Reply{Close: true})
				return
			}
			reply(c.owed.add(r, answer))
		})
	})
}

// owed are the encoded answers of one connection that are not written yet.
type owed struct {
	debts   *debts
	written chan struct{} // one element at most: some were written

	mu    sync.Mutex
	bytes int64
}

// debts are those of all connections.
type debts struct {
	limit int64

	mu    sync.Mutex
	bytes int64
}

// owedPerConnection is what one connection may owe before its next request waits.
const owedPerConnection = 256 << 10

// over reports whether all connections together owe more than they may.
func (d *debts) over() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bytes > d.limit
}

func (d *debts) change(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bytes += n
}

// room waits until the connection may owe another answer; false says that it is gone. One that owes
// nothing may always, for who reads its answers is not held up by who does not.
func (o *owed) room(ctx context.Context) bool {
	for {
		o.mu.Lock()
		bytes := o.bytes
		o.mu.Unlock()
		if bytes == 0 || bytes <= owedPerConnection && !o.debts.over() {
			return true
		}
		select {
		case <-o.written:
		case <-ctx.Done():
			return false
		}
	}
}

// add encodes an answer, and counts it until it is written or given up.
func (o *owed) add(r *Request, answer Reply) Reply {
	if answer.Body != nil && answer.Body.Key() == r.Key {
		answer.Body.SetVersion(r.Version)
		answer.Gathered, answer.Body = net.Buffers{answer.Body.AppendTo(nil)}, nil
	}
	n := int64(0)
	for _, b := range answer.Gathered {
		n += int64(len(b))
	}
	o.change(n)
	done := answer.Done
	answer.Done = func() {
		o.change(-n)
		if done != nil {
			done()
		}
	}
	return answer
}

func (o *owed) change(n int64) {
	o.mu.Lock()
	o.bytes += n
	o.mu.Unlock()
	o.debts.change(n)
	if n < 0 {
		select {
		case o.written <- struct{}{}:
		default:
		}
	}
}

// serialQueue runs functions one after another. Its length is bounded by the connection's
// requests in flight; no goroutine lives while it is empty.
type serialQueue struct {
	mu      sync.Mutex
	waiting []func()
	running bool
}

func (q *serialQueue) push(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, f)
	if !q.running {
		q.running = true
		go q.run()
	}
}

func (q *serialQueue) run() {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.running = false
			q.waiting = nil
			q.mu.Unlock()
			return
		}
		f := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
		f()
	}
}
