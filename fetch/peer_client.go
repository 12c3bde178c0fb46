package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// peerSlowest is the rate, in bytes a second, below which an answer that has begun is given up.
const peerSlowest = 8 << 20

// peerClient asks chunks' owners. It keeps a few idle connections to each, and leaves an agent
// alone for a while after it failed, so that a dead owner costs one timeout and not one a read.
type peerClient struct {
	cfg *Config
	tls *tls.Config

	mu     sync.Mutex
	peers  map[string]*peer
	closed bool
}

type peer struct {
	idle    []net.Conn
	badTill time.Time
}

// mostPeers bounds the peers remembered: a group's zone has far fewer.
const mostPeers = 1024

func newPeerClient(cfg *Config, tlsConfig *tls.Config) *peerClient {
	return &peerClient{cfg: cfg, tls: tlsConfig, peers: map[string]*peer{}}
}

// usable reports whether the agent at addr has not failed a moment ago.
func (c *peerClient) usable(addr string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[addr]
	return p == nil || time.Now().After(p.badTill)
}

// get asks the owner of a load for its pieces, and returns the bytes of each.
func (c *peerClient) get(ctx context.Context, l *load) ([][]byte, error) {
	q := peerRequest{class: l.class, wait: c.cfg.PeerTimeout, object: l.object, size: uint32(l.size)}
	want := int64(0)
	for _, p := range l.pieces {
		q.spans = append(q.spans, p.span)
		want += p.size()
	}
	if want > peerMaxBytes {
		return nil, fmt.Errorf("ask peer %s for %d bytes: at most %d", l.peer, want, peerMaxBytes)
	}
	frame, err := appendPeerRequest(nil, &q)
	if err != nil {
		return nil, err
	}
	b, err := c.ask(ctx, l.peer, frame, want)
	if err != nil {
		return nil, fmt.Errorf("ask peer %s: %w", l.peer, err)
	}
	out := make([][]byte, len(l.pieces))
	for i, p := range l.pieces {
		out[i], b = b[:p.size():p.size()], b[p.size():]
	}
	return out, nil
}

// ask sends a frame over an idle connection or a new one. An idle connection that the peer has
// closed meanwhile says nothing about the peer: a new one is tried.
func (c *peerClient) ask(ctx context.Context, addr string, frame []byte, want int64) ([]byte, error) {
	if conn := c.take(addr); conn != nil {
		b, err := c.exchange(ctx, addr, conn, frame, want)
		var timeout net.Error
		if err == nil || ctx.Err() != nil || isRefusal(err) || errors.As(err, &timeout) && timeout.Timeout() {
			return b, c.judge(addr, err)
		}
	}
	conn, err := c.dial(ctx, addr)
	if err != nil {
		return nil, c.judge(addr, err)
	}
	b, err := c.exchange(ctx, addr, conn, frame, want)
	return b, c.judge(addr, err)
}

func (c *peerClient) dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: c.cfg.PeerDialTimeout}
	if c.tls != nil {
		return (&tls.Dialer{NetDialer: &d, Config: c.tls}).DialContext(ctx, "tcp", addr)
	}
	return d.DialContext(ctx, "tcp", addr)
}

// exchange sends one request and reads its answer; the connection is kept if it is still good.
func (c *peerClient) exchange(ctx context.Context, addr string, conn net.Conn, frame []byte, want int64) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // fails only on a closed socket
	_ = conn.SetDeadline(time.Now().Add(c.cfg.PeerTimeout))
	_, err := conn.Write(frame)
	var b []byte
	if err == nil {
		b, err = readPeerAnswer(conn, want, func() {
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

func isRefusal(err error) bool {
	var r *peerRefusal
	return errors.As(err, &r)
}

// judge remembers that a peer failed, unless it answered that it could not.
func (c *peerClient) judge(addr string, err error) error {
	if err == nil || isRefusal(err) || errors.Is(err, context.Canceled) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer(addr).badTill = time.Now().Add(c.cfg.PeerCooldown)
	return err
}

// peer returns what is remembered of addr. The lock is held.
func (c *peerClient) peer(addr string) *peer {
	p := c.peers[addr]
	if p == nil {
		if len(c.peers) >= mostPeers {
			c.closeIdle()
		}
		p = &peer{}
		c.peers[addr] = p
	}
	return p
}

func (c *peerClient) take(addr string) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[addr]
	if p == nil || len(p.idle) == 0 {
		return nil
	}
	conn := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return conn
}

func (c *peerClient) give(addr string, conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peer(addr)
	if c.closed || len(p.idle) >= c.cfg.PeerConns {
		_ = conn.Close()
		return
	}
	p.idle = append(p.idle, conn)
}

func (c *peerClient) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.closeIdle()
}

func (c *peerClient) closeIdle() {
	for _, p := range c.peers {
		for _, conn := range p.idle {
			_ = conn.Close()
		}
	}
	clear(c.peers)
}
