package server

import (
	"fmt"
	"net"
	"sync"

	"github.com/isthmusdata/isthmus/internal/units"
)

// checkListen refuses to serve without TLS beyond this machine, unless the operator says so.
func checkListen(addr string, insecure bool) error {
	loopback, err := units.Loopback(addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if insecure || loopback {
		return nil
	}
	return fmt.Errorf("listen on %s: that is beyond this machine and there is no TLS: anyone who reaches it could read and write; use 127.0.0.1, or --insecure on a network you trust", addr)
}

// bounded is a listener that lets only so many connections in; further ones wait in the backlog.
type bounded struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func bound(l net.Listener, n int) *bounded {
	return &bounded{Listener: l, places: make(chan struct{}, n), closed: make(chan struct{})}
}

func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.places <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.places
		return nil, err
	}
	return &placed{Conn: c, leave: func() { <-b.places }}, nil
}

func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

// placed is a connection that gives its place back once.
type placed struct {
	net.Conn
	once  sync.Once
	leave func()
}

func (c *placed) Close() error {
	defer c.once.Do(c.leave)
	return c.Conn.Close()
}
