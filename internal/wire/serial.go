package wire

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Serial is a Handler for requests that are answered one at a time per connection, off its reader,
// in the order in which they came; all Serial handlers of a connection share that one line, so that
// an offset commit cannot be overtaken by the leave that follows it. An error closes the connection.
func Serial(serve func(ctx context.Context, r *Request) (kmsg.Response, error)) Handler {
	return HandlerFunc(func(ctx context.Context, r *Request, reply func(Reply)) {
		r.Conn.serial.push(func() {
			body, err := serve(ctx, r)
			if err != nil {
				if ctx.Err() == nil {
					r.Conn.server.rate.Warn("failed "+r.name()+" "+r.Conn.remote, "connection closed after failed request", "request", r.name(),
						"version", r.Version, "client_id", r.ClientID, "remote", r.Conn.remote, "error", err)
				}
				reply(Reply{Close: true})
				return
			}
			reply(Reply{Body: body})
		})
	})
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
