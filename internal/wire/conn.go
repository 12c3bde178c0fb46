package wire

import (
	"context"
	"net"
	"sync"
	"time"
)

// Anonymous is the principal of a connection that proved nothing.
const Anonymous = "User:ANONYMOUS"

// Conn is one client's connection.
type Conn struct {
	server *Server
	id     uint64
	raw    net.Conn
	remote string
	ctx    context.Context
	cancel context.CancelFunc
	queue  queue
	serial serialQueue
	owed   owed
	proven [classes]bool // of which a whole request has been read; the reader's alone

	mu       sync.Mutex // guards what follows
	software [2]string
	values   map[any]any
	muted    time.Time // until then nothing is read, for a quota is overdrawn
	atEnd    []func()
	over     bool // atEnd was called
}

// ID is unique within the process.
func (c *Conn) ID() uint64 { return c.id }

// RemoteHost is the address of the peer, without its port.
func (c *Conn) RemoteHost() string { return c.remote }

// LocalAddr is the address that the peer connected to.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// Principal is who the peer proved to be, as Kafka writes it.
func (c *Conn) Principal() string { return Anonymous }

// Done is closed when the connection is.
func (c *Conn) Done() <-chan struct{} { return c.ctx.Done() }

// Draining is closed when the listener begins to drain: a handler that would wait long answers now.
func (c *Conn) Draining() <-chan struct{} { return c.server.draining }

// Software is the name and version by which the client introduced itself, if it did.
func (c *Conn) Software() (name, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.software[0], c.software[1]
}

func (c *Conn) setSoftware(name, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.software = [2]string{name, version}
}

// Value is what was stored under key, or nil. Keys are types of the package that stores, as with
// context.WithValue.
func (c *Conn) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.values[key]
}

// SetValue stores v under key for as long as the connection lives.
func (c *Conn) SetValue(key, v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		c.values = make(map[any]any)
	}
	c.values[key] = v
}

// AtEnd has f called when the connection has ended and nothing more is answered on it, at once if it
// has; no lock of the connection is held meanwhile.
func (c *Conn) AtEnd(f func()) {
	c.mu.Lock()
	over := c.over
	if !over {
		c.atEnd = append(c.atEnd, f)
	}
	c.mu.Unlock()
	if over {
		f()
	}
}

func (c *Conn) ended() {
	c.mu.Lock()
	all := c.atEnd
	c.atEnd, c.over = nil, true
	c.mu.Unlock()
	for _, f := range all {
		f()
	}
}

func newConn(s *Server, id uint64, raw net.Conn) *Conn {
	c := &Conn{server: s, id: id, raw: raw, remote: raw.RemoteAddr().String()}
	if host, _, err := net.SplitHostPort(c.remote); err == nil {
		c.remote = host
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.queue.init(s.cfg.MaxInFlight)
	c.owed = owed{debts: &s.debts, written: make(chan struct{}, 1)}
	return c
}

// run reads on this goroutine and writes on another, until both have ended.
func (c *Conn) run() {
	defer c.server.forget(c)
	defer c.ended()
	defer c.close()
	if err := c.server.handshake(c.ctx, c.raw); err != nil {
		if c.ctx.Err() == nil {
			c.server.metrics.accepted.WithLabelValues("handshake").Inc()
			c.server.rate.Warn("tls "+c.remote, "tls handshake failed", "remote", c.remote, "error", err)
		}
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	if c.read() {
		// What was read is answered; then the peer reads our end before the socket closes, for
		// closing over unread bytes would reset it and could take the last answers along.
		c.queue.finish()
		c.discard(written)
	}
	c.close()
	<-written
}

// lingerTime is how long a peer that was told the end may take to close its side.
const lingerTime = time.Second

// discard reads and forgets until the writer is done and the peer has closed or lingerTime is over.
func (c *Conn) discard(written <-chan struct{}) {
	_ = c.raw.SetReadDeadline(time.Time{}) // fails only on a closed socket, as the read then does
	go func() {
		<-written
		if w, ok := c.raw.(interface{ CloseWrite() error }); !ok || w.CloseWrite() != nil {
			c.close()
			return
		}
		_ = c.raw.SetReadDeadline(time.Now().Add(lingerTime))
	}()
	buf := make([]byte, 4<<10)
	for {
		if _, err := c.raw.Read(buf); err != nil {
			return
		}
	}
}

// stopReading makes the reader end; what was read is still answered.
func (c *Conn) stopReading() {
	_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed socket
}

// Abort ends the connection at once, for a client that can be told of a fault in no other way;
// what is unanswered is given up.
func (c *Conn) Abort() { c.close() }

// close ends the connection at once; what is unanswered is given up.
func (c *Conn) close() {
	c.cancel()
	_ = c.raw.Close() // the peer is told nothing more either way
	for _, s := range c.queue.close() {
		s.release()
	}
}
