package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Holder is one process's certificate among its own kind: the agents of a group, or the control nodes of a
// cluster. It is replaced while connections live, and the least epoch rises. Its methods may be called
// concurrently.
type Holder struct {
	kind Kind
	now  func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	name    Name
	roots   *x509.CertPool
	least   uint64
}

// NewHolder makes a holder without a certificate: until Set, nobody is let in and nobody is reached.
func NewHolder(kind Kind, now func() time.Time) *Holder { return &Holder{kind: kind, now: now} }

// Set takes a certificate with its key, and the authority that both ends are signed by. A least epoch that was
// set stays.
func (h *Holder) Set(certificate tls.Certificate, authority []byte) error {
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	ca, err := x509.ParseCertificate(authority)
	if err != nil {
		return fmt.Errorf("read the authority's certificate: %w", err)
	}
	name, err := Of(leaf)
	if err != nil {
		return err
	}
	if name.Kind != h.kind {
		return fmt.Errorf("the certificate %s is not for %s", name, h.kind)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	certificate.Leaf = leaf
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current, h.name, h.roots = &certificate, name, roots
	return nil
}

// Refuse lets in nobody whose certificate is of an epoch below least. It only ever rises.
func (h *Holder) Refuse(least uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.least = max(h.least, least)
}

// Least is the least epoch that is let in.
func (h *Holder) Least() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.least
}

var errNoCertificate = errors.New("this process has no certificate of its cluster yet")

// TLS is the configuration of both ends. Either checks the other as Check does, once it has proven its key.
func (h *Holder) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // a name in the place of a host's: VerifyConnection checks it on both ends
		SessionTicketsDisabled: true, // an epoch may have risen since
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return h.get() },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return h.get() },
		VerifyConnection:       h.Check,
	}
}

// Current is the certificate, or nil while there is none that holds.
func (h *Holder) Current() *tls.Certificate {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current == nil || h.now().After(h.current.Leaf.NotAfter) {
		return nil
	}
	return h.current
}

func (h *Holder) get() (*tls.Certificate, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current == nil {
		return nil, errNoCertificate
	}
	return h.current, nil
}

// Check says whether the other end of a connection is still one of the same group, or cluster. Connections that
// live are asked about again, for an epoch may rise and a certificate expire under them.
func (h *Holder) Check(c tls.ConnectionState) error {
	h.mu.Lock()
	me, roots, least, known := h.name, h.roots, h.least, h.current != nil
	h.mu.Unlock()
	if !known {
		return errNoCertificate
	}
	if len(c.PeerCertificates) == 0 {
		return errors.New("the other end has shown no certificate")
	}
	leaf := c.PeerCertificates[0]
	usage := x509.ExtKeyUsageClientAuth // of either end: see the package
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: h.now(), KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		return fmt.Errorf("the certificate of the other end: %w", err)
	}
	name, err := Of(leaf)
	switch {
	case err != nil:
		return err
	case name.Kind != me.Kind || name.Cluster != me.Cluster || name.Group != me.Group:
		return fmt.Errorf("the certificate of the other end is %s, and this one %s", name, me)
	case Epoch(leaf) < least:
		return fmt.Errorf("the certificate of %s is of epoch %d, and the least is %d", name, Epoch(leaf), least)
	}
	return nil
}
