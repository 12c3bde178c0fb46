package linear

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy is a network that fails: it passes connections on to the node as it is reached now, and each of
// them has its fate drawn from the seed and the number of the connection.
type proxy struct {
	t        *testing.T
	seed     uint64
	listener net.Listener
	target   atomic.Pointer[string] // nil: nobody listens there
	calm     atomic.Bool            // new connections are left alone
	number   atomic.Uint64
	broken   atomic.Int64 // connections that met their fate
	work     sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
	shut bool
}

// fate is what becomes of a connection when so many bytes have passed one way.
type fate struct {
	kind  fateKind
	down  bool // on the way to the client: answers
	after int64
	lasts time.Duration
}

type fateKind int

const (
	spared  fateKind = iota
	cut              // both sides are reset
	half             // one side hears the end, the other nothing; reset later
	swallow          // what is sent that way is lost, as if on a link that is gone; reset later
	slow             // every piece waits
	fates
)

// drawFate is the fate of the n-th connection of a seed.
func drawFate(seed, n uint64) fate {
	r := rand.New(rand.NewPCG(seed, n))
	return fate{
		kind: fateKind(r.IntN(int(fates))), down: r.IntN(3) > 0, // lost answers are what is hard
		after: 300 + r.Int64N(3000), lasts: time.Duration(5+r.IntN(60)) * time.Millisecond,
	}
}

func newProxy(t *testing.T, seed uint64) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, seed: seed, listener: l, open: map[net.Conn]bool{}}
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(client) })
	}
}

// serve carries one connection to its end.
func (p *proxy) serve(client net.Conn) {
	target := p.target.Load()
	if !p.hold(client) || target == nil {
		reset(client)
		return
	}
	defer p.drop(client)
	node, err := net.Dial("tcp", *target)
	if err != nil {
		reset(client)
		return
	}
	defer p.drop(node)
	if !p.hold(node) {
		return
	}
	f := drawFate(p.seed, p.number.Add(1))
	if p.calm.Load() {
		f.kind = spared
	}
	end := sync.OnceFunc(func() { reset(client); reset(node) })
	var ways sync.WaitGroup
	ways.Go(func() { p.carry(node, client, f, !f.down, end) })
	ways.Go(func() { p.carry(client, node, f, f.down, end) })
	ways.Wait()
	end()
}

// carry copies one way until it ends or meets its fate.
func (p *proxy) carry(to, from net.Conn, f fate, mine bool, end func()) {
	buf := make([]byte, 16<<10)
	for passed := int64(0); ; {
		n, err := from.Read(buf)
		if n > 0 {
			passed += int64(n)
			met := mine && passed >= f.after
			switch {
			case met && f.kind != spared && f.kind != slow:
				p.broken.Add(1)
				p.meet(to, from, f, end)
				return
			case f.kind == slow:
				time.Sleep(f.lasts / 16) // the fault itself, not a wait for anything
			}
			if _, err := to.Write(buf[:n]); err != nil {
				end()
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				end()
			} else if c, ok := to.(*net.TCPConn); ok && c.CloseWrite() != nil {
				end()
			}
			return
		}
	}
}

// meet is what happens to a connection whose time has come. The piece that brought it there is lost.
func (p *proxy) meet(to, from net.Conn, f fate, end func()) {
	defer end()
	if f.kind == cut {
		return
	}
	if c, ok := to.(*net.TCPConn); ok && f.kind == half && c.CloseWrite() != nil {
		return
	}
	if from.SetReadDeadline(time.Now().Add(f.lasts)) == nil {
		_, _ = io.Copy(io.Discard, from) // ends by the deadline, or because the connection has ended
	}
}

// reset closes a connection so that its other end sees an error, not an end.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // it may be closed already
	}
	_ = c.Close()
}

func (p *proxy) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return !p.shut
}

func (p *proxy) drop(c net.Conn) {
	reset(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// cutAll resets every connection; the next ones are made to whatever target is then.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		reset(c)
	}
}

func (p *proxy) close() {
	p.mu.Lock()
	p.shut = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.cutAll()
	p.work.Wait()
}

// TestFatesFollowFromTheSeed: the same seed breaks the same connections, and every kind comes up.
func TestFatesFollowFromTheSeed(t *testing.T) {
	met := map[fateKind]int{}
	for n := range uint64(100) {
		f := drawFate(7, n)
		if f != drawFate(7, n) {
			t.Fatalf("connection %d has two fates", n)
		}
		met[f.kind]++
	}
	for k := spared; k < fates; k++ {
		if met[k] == 0 {
			t.Errorf("no connection of 100 has fate %d", k)
		}
	}
}
