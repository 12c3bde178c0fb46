// Package wiretest helps tests to talk to a wire.Server without a network.
//
// Pipes promises a listener in memory: it follows the virtual time of testing/synctest, which real
// sockets do not. The package has no metrics.
package wiretest

import (
	"net"
	"sync"
)

// Pipes is a listener whose connections are pipes in memory.
type Pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// NewPipes returns an open listener.
func NewPipes() *Pipes { return &Pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

// Dial returns a client's end once the other is accepted, or one that is closed when the listener is.
func (p *Pipes) Dial() net.Conn {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
	case <-p.done:
		_ = server.Close() // as a refused connection
	}
	return client
}

// Accept implements net.Listener.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *Pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr implements net.Listener; there is none to tell.
func (p *Pipes) Addr() net.Addr { return &net.TCPAddr{} }
