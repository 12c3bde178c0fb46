package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"slices"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
)

// tlsRecord is the first byte of a TLS handshake. That of HTTP/2 is P.
const tlsRecord = 0x16

// transport is how connections begin: with TLS, or in plain text where that is allowed. Which of the two it is
// shows in a client's first byte.
type transport struct {
	credentials.TransportCredentials      // TLS
	plain                            bool // plain text from other machines too
}

// newTransport takes any certificate that a client shows, once it has proven its key: whose it is, and who has signed
// it, is asked by whoever lets in by it.
func newTransport(certificate func() (*tls.Certificate, error), plain bool) credentials.TransportCredentials {
	return &transport{plain: plain, TransportCredentials: credentials.NewTLS(&tls.Config{
		MinVersion:             tls.VersionTLS13,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() },
		ClientAuth:             tls.RequestClientCert,
		SessionTicketsDisabled: true, // who returns proves itself again
	})}
}

var errPlain = errors.New("a caller speaks plain text to a listener that is reached from beyond this machine: it needs TLS (--control-ca, --control-pin)")

// ServerHandshake implements credentials.TransportCredentials. The server has set a deadline.
func (t *transport) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	var first [1]byte
	if _, err := conn.Read(first[:]); err != nil {
		return nil, nil, err
	}
	_, outside := conn.RemoteAddr().(outsider)
	conn = &unread{Conn: conn, first: first[:]}
	switch {
	case first[0] == tlsRecord:
		return t.TransportCredentials.ServerHandshake(conn)
	case t.plain || !outside:
		return insecure.NewCredentials().ServerHandshake(conn)
	}
	return nil, nil, errPlain
}

// Clone implements credentials.TransportCredentials.
func (t *transport) Clone() credentials.TransportCredentials {
	return &transport{t.TransportCredentials.Clone(), t.plain}
}

// unread is a connection whose first byte has been looked at. It is read by one goroutine.
type unread struct {
	net.Conn
	first []byte
}

func (c *unread) Read(b []byte) (int, error) {
	if len(c.first) > 0 && len(b) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// peerCertificates are what the caller has shown, and proven the key of; none in plain text.
func peerCertificates(ctx context.Context) []*x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil
	}
	return info.State.PeerCertificates
}

// outside is a listener that other machines reach. Its connections say so, for as long as they live.
type outside struct{ net.Listener }

// mark makes a listener tell what comes from outside.
func mark(l net.Listener) net.Listener {
	if ownMachine(l.Addr()) {
		return l
	}
	return outside{l}
}

func (o outside) Accept() (net.Conn, error) {
	c, err := o.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return outsideConn{c}, nil
}

type outsideConn struct{ net.Conn }

func (c outsideConn) RemoteAddr() net.Addr { return outsider{c.Conn.RemoteAddr()} }

// outsider is the address of a caller that has come to a listener which other machines reach.
type outsider struct{ net.Addr }

// fromOutside says whether a caller may be on another machine. Whoever is not known is.
func fromOutside(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return true
	}
	_, outside := p.Addr.(outsider)
	return outside
}

// ownMachine says whether only this machine reaches a listener.
func ownMachine(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return !ok || t.IP.IsLoopback() // what is no TCP lies within this process
}

// hosts are the names and addresses that a certificate for listeners holds: this machine's own, where they listen, and
// what it is known as elsewhere.
func hosts(listens []net.Addr, advertised []string) ([]string, error) {
	all := []string{"localhost", "127.0.0.1", "::1"}
	add := func(host string) {
		if host != "" && !slices.Contains(all, host) {
			all = append(all, host)
		}
	}
	for _, a := range listens {
		t, ok := a.(*net.TCPAddr)
		switch {
		case !ok:
		case !t.IP.IsUnspecified():
			add(t.IP.String())
		default:
			own, err := net.InterfaceAddrs()
			if err != nil {
				return nil, err
			}
			for _, o := range own {
				if n, ok := o.(*net.IPNet); ok {
					add(n.IP.String())
				}
			}
			if name, err := os.Hostname(); err == nil { // without one, addresses have to do
				add(name)
			}
		}
	}
	for _, host := range advertised {
		add(host)
	}
	return all, nil
}
