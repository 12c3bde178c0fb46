package fetch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/sched"
)

// PeerTransport carries questions to the agents of the own group and zone.
type PeerTransport interface {
	// Ask sends the frame of a request to addr and returns the bytes it asked for, want of them.
	// An error is what the agent has answered, or says that it could not be asked.
	Ask(ctx context.Context, addr string, frame []byte, want int64) ([]byte, error)
}

// peerClient asks chunks' owners. It leaves an agent alone for a while after it failed, so that a
// dead owner costs one timeout and not one a read.
type peerClient struct {
	cfg       *Config
	sched     sched.Sched
	transport PeerTransport
	pool      *peerPool // the transport, where it is ours to close

	mu      sync.Mutex
	badTill map[string]time.Duration
}

// mostPeers bounds the peers remembered: a group's zone has far fewer.
const mostPeers = 1024

func newPeerClient(cfg *Config, d *Deps) *peerClient {
	c := &peerClient{cfg: cfg, sched: d.Sched, transport: d.Peers, badTill: map[string]time.Duration{}}
	if c.transport == nil {
		c.pool = newPeerPool(cfg, d.PeerTLS, d.PeerCheck)
		c.transport = c.pool
	}
	return c
}

// usable reports whether the agent at addr has not failed a moment ago.
func (c *peerClient) usable(addr string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	till, failed := c.badTill[addr]
	return !failed || c.sched.Now() > till
}

// get asks the owner of a load for its pieces, and returns the bytes of all, one after the other.
func (c *peerClient) get(ctx context.Context, l *load) ([]byte, error) {
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
	b, err := c.transport.Ask(ctx, l.peer, frame, want)
	if c.judge(l.peer, err); err != nil {
		return nil, fmt.Errorf("ask peer %s: %w", l.peer, err)
	}
	return b, nil
}

// judge remembers that a peer failed, unless it answered that it could not.
func (c *peerClient) judge(addr string, err error) {
	if err == nil || isRefusal(err) || errors.Is(err, context.Canceled) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.badTill) >= mostPeers {
		clear(c.badTill)
	}
	c.badTill[addr] = c.sched.Now() + c.cfg.PeerCooldown
}

func (c *peerClient) close() {
	if c.pool != nil {
		c.pool.close()
	}
}

func isRefusal(err error) bool {
	var r *peerRefusal
	return errors.As(err, &r)
}
