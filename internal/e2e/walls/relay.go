//go:build e2e && linux

package walls

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// Relay is a second address of a server in a VPC, which can be taken away while the server goes on. Ceph has one process for
// S3 and STS: behind a relay STS is away alone.
type Relay struct {
	vpc      VPC
	port     int
	upstream string

	mu       sync.Mutex
	listener net.Listener // nil: away
	conns    map[net.Conn]bool
}

// NewRelay listens at a port of the VPC and hands all to an address in it.
func NewRelay(vpc VPC, port int, upstream string) (*Relay, error) {
	r := &Relay{vpc: vpc, port: port, upstream: upstream, conns: map[net.Conn]bool{}}
	return r, r.Back()
}

// Address is where it is reached.
func (r *Relay) Address() string { return r.vpc.At(r.port) }

// Away ends all connections and refuses new ones.
func (r *Relay) Away() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		_ = r.listener.Close() // it has nothing to lose
		r.listener = nil
	}
	for conn := range r.conns {
		conn.Close()
	}
}

// Back listens again.
func (r *Relay) Back() error {
	listener, err := r.vpc.Listen(r.port)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listener = listener
	go r.accept(listener)
	return nil
}

func (r *Relay) accept(listener net.Listener) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return // away
		}
		go r.carry(near, listener)
	}
}

func (r *Relay) carry(near net.Conn, through net.Listener) {
	defer near.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	far, err := r.vpc.Dial(ctx, "tcp", r.upstream)
	if err != nil {
		return // as a server that is not there
	}
	defer far.Close()
	if !r.keep(through, near, far) {
		return
	}
	defer r.forget(near, far)
	var both sync.WaitGroup
	half := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // it ends with either side; the other one sees it
		to.Close()
		from.Close()
	}
	both.Go(func() { half(far, near) })
	both.Go(func() { half(near, far) })
	both.Wait()
}

// keep notes connections to be ended, unless their listener is away already.
func (r *Relay) keep(through net.Listener, conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != through {
		return false
	}
	for _, conn := range conns {
		r.conns[conn] = true
	}
	return true
}

func (r *Relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		delete(r.conns, conn)
	}
}
