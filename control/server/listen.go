package server

import (
	"fmt"
	"net"
	"sync"

	"github.com/isthmusdata/isthmus/internal/units"
)

// checkListen reports what is no address to listen on.
func checkListen(addr string) error {
	if _, err := units.Loopback(addr); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

func checkOutside(addr string) error {
	if addr == "" {
		return nil
	}
	return checkListen(addr)
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
