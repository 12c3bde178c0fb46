package raft

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// layerGreeting bounds a handshake between control nodes: whoever cannot make it keeps no connection.
const layerGreeting = 10 * time.Second

// Layer carries raft between the control nodes of one cluster, over TLS on both ends. Who may speak is said by the
// configuration: that of a certs.Holder lets in control nodes of the own cluster and nobody else.
type Layer struct {
	net.Listener
	advertise hraft.ServerAddress
	config    *tls.Config
}

// NewLayer takes a listener that is known to others by an address.
func NewLayer(l net.Listener, advertise string, config *tls.Config) *Layer {
	return &Layer{Listener: l, advertise: hraft.ServerAddress(advertise), config: config}
}

// Transport is raft's over the layer. Close ends it, and the listener.
func (l *Layer) Transport(timeout time.Duration, log *slog.Logger) *hraft.NetworkTransport {
	return hraft.NewNetworkTransportWithConfig(&hraft.NetworkTransportConfig{Stream: l, MaxPool: 3, Timeout: timeout, Logger: raftLogger(log)})
}

// Accept implements net.Listener. The handshake is made by whoever reads first, so that one caller cannot keep the
// next one waiting.
func (l *Layer) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &greeted{Conn: tls.Server(c, l.config)}, nil
}

// Dial implements hraft.StreamLayer.
func (l *Layer) Dial(address hraft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: timeout}, Config: l.config}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", string(address))
	if err != nil {
		return nil, fmt.Errorf("reach control node %s: %w", address, err)
	}
	return c, nil
}

// Addr implements net.Listener: raft tells it to the others.
func (l *Layer) Addr() net.Addr { return layerAddr(l.advertise) }

type layerAddr string

func (layerAddr) Network() string  { return "tcp" }
func (a layerAddr) String() string { return string(a) }

// greeted is a connection that was accepted and makes its handshake before it is read.
type greeted struct {
	*tls.Conn
	once sync.Once
	err  error
}

func (c *greeted) Read(b []byte) (int, error) {
	c.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), layerGreeting)
		defer cancel()
		c.err = c.HandshakeContext(ctx)
	})
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(b)
}
