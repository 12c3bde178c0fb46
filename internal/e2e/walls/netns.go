//go:build e2e && linux

package walls

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Network is the two VPCs, the services beside them and the router, as scripts/netns.sh makes them.
type Network struct {
	script, prefix string
	A, B, Services VPC
}

// VPC is one network namespace.
type VPC struct {
	Name    string // of the namespace
	Address string // where processes in it listen
}

// Up makes the network, under a prefix of its own.
func Up(script, prefix string) (*Network, error) {
	n := &Network{script: script, prefix: prefix,
		A:        VPC{prefix + "a", "10.101.0.2"},
		B:        VPC{prefix + "b", "10.102.0.2"},
		Services: VPC{prefix + "svc", "10.103.0.2"},
	}
	_, err := n.run("up")
	return n, err
}

// Down ends all processes in it and removes it.
func (n *Network) Down() error {
	_, err := n.run("down")
	return err
}

func (n *Network) run(args ...string) (string, error) {
	cmd := exec.Command(n.script, args...)
	cmd.Env = append(os.Environ(), "NETNS_PREFIX="+n.prefix)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("netns.sh %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(complaints.Bytes()))
	}
	return out.String(), nil
}

// Counter counts packets between A and B, in one direction at one place.
type Counter struct {
	Name           string
	Packets, Bytes int64
}

// Counters are all of them: where packets are sent, enter the router, are dropped, leave it, arrive.
func (n *Network) Counters() ([]Counter, error) {
	out, err := n.run("counters")
	if err != nil {
		return nil, err
	}
	var all []Counter
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		var c Counter
		if _, err := fmt.Sscan(lines.Text(), &c.Name, &c.Packets, &c.Bytes); err != nil {
			return nil, fmt.Errorf("netns.sh counters printed %q: %w", lines.Text(), err)
		}
		all = append(all, c)
	}
	if len(all) != 10 {
		return nil, fmt.Errorf("netns.sh counters printed %d counters, want 10: %q", len(all), out)
	}
	return all, nil
}

// Reset sets the counters to 0.
func (n *Network) Reset() error {
	_, err := n.run("reset")
	return err
}

// Cut drops all packets of one VPC at the router, until Heal.
func (n *Network) Cut(v VPC) error {
	_, err := n.run("cut", strings.TrimPrefix(v.Name, n.prefix))
	return err
}

// Heal ends every cut.
func (n *Network) Heal() error {
	_, err := n.run("heal")
	return err
}

// The main goroutine keeps the main thread to itself: that thread cannot end, and the process would be counted to a
// namespace that it was left in.
func init() { runtime.LockOSThread() }

// inside runs f on a thread that is in the namespace: sockets that f makes belong to it for good.
func (v VPC) inside(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, so that no other goroutine finds itself in the namespace.
		runtime.LockOSThread()
		namespace, err := os.Open(filepath.Join("/run/netns", v.Name))
		if err != nil {
			result <- fmt.Errorf("enter a VPC: %w", err)
			return
		}
		defer namespace.Close()
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("enter namespace %s: %w", v.Name, err)
			return
		}
		result <- f()
	}()
	return <-result
}

// Dial connects from inside the VPC. The address must be of digits: there are no names in a VPC.
func (v VPC) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if host, _, err := net.SplitHostPort(address); err != nil || net.ParseIP(host) == nil {
		return nil, fmt.Errorf("dial %q from %s: want an address of digits and a port", address, v.Name)
	}
	err = v.inside(func() (err error) {
		dialer := net.Dialer{Timeout: 10 * time.Second}
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens inside the VPC, at its address.
func (v VPC) Listen(port int) (listener net.Listener, err error) {
	err = v.inside(func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf("%s:%d", v.Address, port))
		return err
	})
	return listener, err
}

// Client is an HTTP client inside the VPC, which trusts the authorities of the run; nil: those of the machine.
func (v VPC) Client(roots *x509.CertPool) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: v.Dial, MaxIdleConnsPerHost: 4, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}
}

// Command is how a program is run inside the VPC: it becomes the program, with the same process id.
func (v VPC) Command(name string, args ...string) []string {
	return append([]string{"ip", "netns", "exec", v.Name, name}, args...)
}

// At is an address in the VPC.
func (v VPC) At(port int) string { return fmt.Sprintf("%s:%d", v.Address, port) }

// Probe tries to get from one VPC into the other over TCP and UDP, where something listens. That nothing arrives is proof
// of the filter, if the counters have seen what was dropped; they are returned as they are afterwards.
func (n *Network) Probe(ctx context.Context) ([]Counter, error) {
	for _, way := range []struct{ from, to VPC }{{n.A, n.B}, {n.B, n.A}} {
		if err := n.probe(ctx, way.from, way.to); err != nil {
			return nil, err
		}
	}
	return n.Counters()
}

func (n *Network) probe(ctx context.Context, from, to VPC) error {
	listener, err := to.Listen(0)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // nothing is lost with it
	address := listener.Addr().String()

	// From its own VPC the listener is reached, so that silence means the filter.
	own, err := to.Dial(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("reach %s from its own VPC: %w", address, err)
	}
	own.Close()

	short, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	stranger, err := from.Dial(short, "tcp", address)
	if err == nil {
		stranger.Close()
		return fmt.Errorf("%s reaches %s in %s: the filter does not work", from.Name, address, to.Name)
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		return fmt.Errorf("probe from %s to %s: %w, want silence", from.Name, address, err)
	}
	datagrams, err := from.Dial(ctx, "udp", address)
	if err != nil {
		return err
	}
	defer datagrams.Close()
	if _, err := datagrams.Write([]byte("probe")); err != nil {
		return fmt.Errorf("send a datagram from %s to %s: %w", from.Name, address, err)
	}
	return nil
}
