package agentgroup

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"

	"github.com/hashicorp/memberlist"
)

// Listener holds the gossip port before there is a group: an agent tells the control plane
// its gossip address at login, and only the answer carries the group's key.
type Listener struct {
	transport *memberlist.NetTransport
	address   string
	ip        net.IP
	port      int

	mu    sync.Mutex
	taken bool // a group has it, and closes it
}

// Listen binds cfg.Bind, over TCP and UDP on the same port.
func Listen(cfg Config, log *slog.Logger) (*Listener, error) {
	host, port, err := splitBind(cfg.Bind)
	if err != nil {
		return nil, err
	}
	t, err := bind(host, port, log)
	if err != nil {
		return nil, fmt.Errorf("listen for gossip on %s: %w (choose another address with --gossip)", cfg.Bind, err)
	}
	l := &Listener{transport: t}
	if l.ip, l.port, err = t.FinalAdvertiseAddr(cfg.Advertise, t.GetAutoBindPort()); err != nil {
		l.Close()
		return nil, fmt.Errorf("find the address to gossip from: %w (name one with --gossip IP:PORT)", err)
	}
	l.address = net.JoinHostPort(l.ip.String(), strconv.Itoa(l.port))
	return l, nil
}

// bind takes a port; a free one that TCP has found may be taken for UDP, so it tries a few.
func bind(host string, port int, log *slog.Logger) (t *memberlist.NetTransport, err error) {
	attempts := 1
	if port == 0 {
		attempts = 10
	}
	for range attempts {
		t, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{host}, BindPort: port, Logger: bridge(log),
		})
		if err == nil {
			return t, nil
		}
	}
	return nil, err
}

// Address is where other members reach this one, with the real port.
func (l *Listener) Address() string { return l.address }

// take hands the port to a group.
func (l *Listener) take() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken {
		return fmt.Errorf("gossip listener %s is in use or closed", l.address)
	}
	l.taken = true
	return nil
}

// Close gives the port back unless a group has taken it over.
func (l *Listener) Close() {
	if l.take() != nil {
		return
	}
	// The transport waits for its readers, and those for someone who takes what they have read.
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.transport.Shutdown() // it always returns nil
	}()
	for {
		select {
		case c := <-l.transport.StreamCh():
			_ = c.Close() // refused
		case <-l.transport.PacketCh():
		case <-done:
			return
		}
	}
}
