package soak

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// link forwards TCP connections to one address and can be cut. Clients know its address, so that
// a cut is theirs to notice as they would a network's.
type link struct {
	address string

	carried atomic.Int64 // bytes, both ways

	mu       sync.Mutex
	target   string
	listener net.Listener  // nil while refusing
	silent   chan struct{} // closed when silence ends; nil: not silent
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

// openLink listens and forwards.
func openLink(address, target string) (*link, error) {
	l := &link{address: address, target: target, conns: map[net.Conn]bool{}}
	if err := l.accept(); err != nil {
		return nil, err
	}
	return l, nil
}

// accept lets connections in, after a refusal or at first.
func (l *link) accept() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		return fmt.Errorf("listen before %s: %w", l.target, err)
	}
	l.listener = listener
	l.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed by refuse
			}
			l.running.Go(func() { l.serve(conn) })
		}
	})
	return nil
}

// refuse behaves as a host where nothing listens: connections are reset, new ones refused.
func (l *link) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		l.listener.Close()
		l.listener = nil
	}
	for conn := range l.conns {
		reset(conn)
	}
	l.unmute()
}

// mute behaves as a network that drops every packet: connections stay and carry nothing. What was sent
// meanwhile arrives when the silence ends, as TCP sees to it.
func (l *link) mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent == nil {
		l.silent = make(chan struct{})
	}
}

// heal ends a cut of either kind.
func (l *link) heal() error {
	l.mu.Lock()
	l.unmute()
	l.mu.Unlock()
	return l.accept()
}

func (l *link) unmute() {
	if l.silent != nil {
		close(l.silent)
		l.silent = nil
	}
}

// close ends the link and everything on it.
func (l *link) close() {
	l.refuse()
	l.running.Wait()
}

// pass waits while the link is silent.
func (l *link) pass() {
	for {
		l.mu.Lock()
		silent := l.silent
		l.mu.Unlock()
		if silent == nil {
			return
		}
		<-silent
	}
}

// keep notes a connection, so that refuse finds it; false: the link refuses already.
func (l *link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil {
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *link) drop(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	conn.Close()
}

func (l *link) serve(from net.Conn) {
	defer l.drop(from)
	if !l.keep(from) {
		reset(from)
		return
	}
	l.pass()
	to, err := net.Dial("tcp", l.target)
	if err != nil {
		reset(from)
		return
	}
	defer l.drop(to)
	if !l.keep(to) {
		reset(from)
		return
	}
	var back sync.WaitGroup
	back.Go(func() { l.pump(from, to) })
	l.pump(to, from)
	back.Wait()
}

// pump copies one direction, and says its end on the other side the way it came.
func (l *link) pump(to, from net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		l.pass()
		l.carried.Add(int64(n))
		if n > 0 {
			if _, werr := to.Write(buffer[:n]); werr != nil {
				reset(from)
				return
			}
		}
		if errors.Is(err, io.EOF) {
			if half, ok := to.(*net.TCPConn); ok && half.CloseWrite() == nil {
				return
			}
		}
		if err != nil {
			reset(to)
			return
		}
	}
}

// reset closes a connection without a goodbye.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a connection that is closed
	}
	conn.Close()
}
