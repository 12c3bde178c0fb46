package faultnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Link forwards TCP connections to one address. Its methods may be called concurrently.
type Link struct {
	Address string // where it listens

	Carried atomic.Int64 // bytes, both ways

	mu       sync.Mutex
	target   string
	listener net.Listener  // nil while refusing
	silent   chan struct{} // closed when silence ends; nil: not silent
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

// Open listens at an address and forwards to another.
func Open(address, target string) (*Link, error) {
	l := &Link{Address: address, target: target, conns: map[net.Conn]bool{}}
	if err := l.accept(); err != nil {
		return nil, err
	}
	return l, nil
}

// accept lets connections in, after a refusal or at first.
func (l *Link) accept() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", l.Address)
	if err != nil {
		return fmt.Errorf("listen before %s: %w", l.target, err)
	}
	l.listener, l.Address = listener, listener.Addr().String()
	l.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed by Refuse
			}
			l.running.Go(func() { l.serve(conn) })
		}
	})
	return nil
}

// Refuse behaves as a host where nothing listens: connections are reset, new ones refused.
func (l *Link) Refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		_ = l.listener.Close() // it is not used any more, closed or not
		l.listener = nil
	}
	for conn := range l.conns {
		Reset(conn)
	}
	l.unmute()
}

// Mute behaves as a network that drops every packet: connections stay and carry nothing. What was sent
// meanwhile arrives when the silence ends, as TCP sees to it.
func (l *Link) Mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent == nil {
		l.silent = make(chan struct{})
	}
}

// Heal ends a cut of either kind.
func (l *Link) Heal() error {
	l.mu.Lock()
	l.unmute()
	l.mu.Unlock()
	return l.accept()
}

func (l *Link) unmute() {
	if l.silent != nil {
		close(l.silent)
		l.silent = nil
	}
}

// Close ends the link and everything on it.
func (l *Link) Close() {
	l.Refuse()
	l.running.Wait()
}

// pass waits while the link is silent.
func (l *Link) pass() {
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

// keep notes a connection, so that Refuse finds it; false: the link refuses already.
func (l *Link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil {
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *Link) drop(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	conn.Close()
}

func (l *Link) serve(from net.Conn) {
	defer l.drop(from)
	if !l.keep(from) {
		Reset(from)
		return
	}
	l.pass()
	to, err := net.Dial("tcp", l.target)
	if err != nil {
		Reset(from)
		return
	}
	defer l.drop(to)
	if !l.keep(to) {
		Reset(from)
		return
	}
	var back sync.WaitGroup
	back.Go(func() { l.pump(from, to) })
	l.pump(to, from)
	back.Wait()
}

// pump copies one direction, and says its end on the other side the way it came.
func (l *Link) pump(to, from net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		l.pass()
		l.Carried.Add(int64(n))
		if n > 0 {
			if _, werr := to.Write(buffer[:n]); werr != nil {
				Reset(from)
				return
			}
		}
		if errors.Is(err, io.EOF) {
			if half, ok := to.(*net.TCPConn); ok && half.CloseWrite() == nil {
				return
			}
		}
		if err != nil {
			Reset(to)
			return
		}
	}
}

// Reset closes a connection without a goodbye.
func Reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a connection that is closed
	}
	conn.Close()
}
