package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// peerSlowest is the rate, in bytes a second, below which an answer that has begun is given up.
const peerSlowest = 8 << 20

// peerKept is how long an idle connection is kept: less than its peer waits for a request on it, and not
// for ever when the peer has come back elsewhere and nobody asks at this address again.
const peerKept = peerIdle / 3

// peerPool is the transport over TCP. It keeps a few idle connections to each agent for a while.
type peerPool struct {
	cfg *Config
	tls *tls.Config
	// check is asked of a connection that is used again; nil: nothing is.
	check func(tls.ConnectionState) error

	kept time.Duration

	mu     sync.Mutex
	idle   map[string][]*idleConn
	closed bool
}

// idleConn is a connection that waits for the next request, or for its end.
type idleConn struct {
	net.Conn
	expiry *time.Timer
}

func newPeerPool(cfg *Config, tlsConfig *tls.Config, check func(tls.ConnectionState) error) *peerPool {
	return &peerPool{cfg: cfg, tls: tlsConfig, check: check, kept: peerKept, idle: map[string][]*idleConn{}}
}

// Ask goes over an idle connection or a new one. An idle connection that the peer has closed
// meanwhile says nothing about the peer: a new one is tried.
func (c *peerPool) Ask(ctx context.Context, addr string, frame []byte, want int64) ([]byte, error) {
	if conn := c.take(addr); conn != nil {
		b, err := c.exchange(ctx, addr, conn, frame, want)
		var timeout net.Error
		if err == nil || ctx.Err() != nil || isRefusal(err) || errors.As(err, &timeout) && timeout.Timeout() {
			return b, err
		}
	}
	conn, err := c.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return c.exchange(ctx, addr, conn, frame, want)
}

func (c *peerPool) dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: c.cfg.PeerDialTimeout}
	if c.tls != nil {
		return (&tls.Dialer{NetDialer: &d, Config: c.tls}).DialContext(ctx, "tcp", addr)
	}
	return d.DialContext(ctx, "tcp", addr)
}

// exchange sends one request and reads its answer; the connection is kept if it is still good.
func (c *peerPool) exchange(ctx context.Context, addr string, conn net.Conn, frame []byte, want int64) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // fails only on a closed socket
	_ = conn.SetDeadline(time.Now().Add(c.cfg.PeerTimeout))
	_, err := conn.Write(frame)
	var b []byte
	if err == nil {
		b, err = ReadPeerAnswer(conn, want, func() {
			body := time.Duration(want) * time.Second / peerSlowest
			_ = conn.SetDeadline(time.Now().Add(c.cfg.PeerTimeout + body))
		})
	}
	if !stop() || err != nil && !isRefusal(err) {
		_ = conn.Close()
		return b, err
	}
	c.give(addr, conn)
	return b, err
}

func (c *peerPool) take(addr string) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	idle := c.idle[addr]
	if len(idle) == 0 {
		return nil
	}
	last := idle[len(idle)-1]
	last.expiry.Stop() // too late, it will not find the connection
	c.drop(addr, len(idle)-1)
	if stillPeer(last.Conn, c.check) != nil {
		_ = last.Conn.Close()
		return nil // a new handshake says what it is
	}
	return last.Conn
}

// drop takes a connection out of those that are idle. The caller holds mu.
func (c *peerPool) drop(addr string, i int) {
	if c.idle[addr] = slices.Delete(c.idle[addr], i, i+1); len(c.idle[addr]) == 0 {
		delete(c.idle, addr)
	}
}

func (c *peerPool) give(addr string, conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) >= mostPeers && c.idle[addr] == nil {
		c.closeIdle()
	}
	if c.closed || len(c.idle[addr]) >= c.cfg.PeerConns {
		_ = conn.Close()
		return
	}
	idle := &idleConn{Conn: conn}
	idle.expiry = time.AfterFunc(c.kept, func() { c.expire(addr, idle) })
	c.idle[addr] = append(c.idle[addr], idle)
}

// expire closes a connection that is idle still.
func (c *peerPool) expire(addr string, idle *idleConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.idle[addr], idle); i >= 0 {
		c.drop(addr, i)
		_ = idle.Close()
	}
}

func (c *peerPool) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.closeIdle()
}

func (c *peerPool) closeIdle() {
	for _, idle := range c.idle {
		for _, conn := range idle {
			conn.expiry.Stop()
			_ = conn.Close()
		}
	}
	clear(c.idle)
}
