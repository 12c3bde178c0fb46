package identity

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

const domainChars = "abcdefghijklmnopqrstuvwxyz" + digits + "._-"

// MTLS verifies certificates of clients. A trust domain has roots of its own, so that no authority speaks
// for another's domain.
type MTLS struct {
	domains map[string]*x509.CertPool
	now     func() time.Time
}

// NewMTLS takes the roots of each trust domain that certificates are taken of.
func NewMTLS(domains map[string]*x509.CertPool, now func() time.Time) *MTLS {
	return &MTLS{domains: domains, now: now}
}

func (m *MTLS) Method() string { return MethodMTLS }

// Authenticate wants an empty proof: the handshake was it.
func (m *MTLS) Authenticate(_ context.Context, c Challenge, proof []byte, peer Peer) (Proven, error) {
	if err := c.check(); err != nil {
		return Proven{}, err
	}
	if len(proof) != 0 {
		return Proven{}, failf(ErrMalformed, "", "a proof of %d bytes beside a certificate; by mtls there is none", len(proof))
	}
	if len(peer.Certificates) == 0 {
		return Proven{}, failf(ErrRefused, "give the agent a client certificate and its key", "no client certificate was shown")
	}
	leaf := peer.Certificates[0]
	id, err := spiffeOf(leaf)
	if err != nil {
		return Proven{}, causef(ErrRefused, err, "", "the client certificate")
	}
	roots, ok := m.domains[id.domain]
	if !ok {
		return Proven{}, failf(ErrRefused, "", "the trust domain %s of the client certificate is not one of this control plane's", id.domain)
	}
	between := x509.NewCertPool()
	for _, other := range peer.Certificates[1:] {
		between.AddCert(other)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: m.now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return Proven{}, causef(ErrRefused, err, "", "the client certificate of %s", id)
	}
	return Proven{Method: MethodMTLS, URI: id.String(), Bound: true, Expires: leaf.NotAfter}, nil
}

// spiffe is spiffe://domain/path.
type spiffe struct{ domain, path string }

func (s spiffe) String() string { return "spiffe://" + s.domain + s.path }

// spiffeOf wants one name in a certificate: with two, who looks at the other is misled.
func spiffeOf(cert *x509.Certificate) (spiffe, error) {
	if cert.IsCA {
		return spiffe{}, fmt.Errorf("it is an authority's, and no agent's")
	}
	if len(cert.URIs) != 1 {
		return spiffe{}, fmt.Errorf("it has %d URIs; it has one, spiffe://DOMAIN/PATH", len(cert.URIs))
	}
	return parseSPIFFE(cert.URIs[0].String())
}

// parseSPIFFE takes only what is written in the one way: no user, port, query, fragment, escape, empty segment, dot or
// trailing slash, so that two names are the same exactly when their bytes are.
func parseSPIFFE(s string) (spiffe, error) {
	rest, ok := strings.CutPrefix(s, "spiffe://")
	if !ok || len(s) > 2048 {
		return spiffe{}, fmt.Errorf("the URI %.140q is not spiffe://DOMAIN/PATH", s)
	}
	domain, path, ok := strings.Cut(rest, "/")
	if !ok || !only(domain, 1, 255, domainChars) {
		return spiffe{}, fmt.Errorf("the trust domain of %.140q is not 1 to 255 characters of [a-z0-9._-] before a path", s)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if !only(segment, 1, 255, nameChars) || segment == "." || segment == ".." {
			return spiffe{}, fmt.Errorf("the path of %.140q is not segments of [A-Za-z0-9._-] with one slash between them", s)
		}
	}
	return spiffe{domain: domain, path: "/" + path}, nil
}

// NewCertificate is the agent's side of mtls: the certificate is shown by TLS, and nothing is sent beside it.
func NewCertificate() Source { return certificate{} }

type certificate struct{}

func (certificate) Method() string { return MethodMTLS }

func (certificate) Proof(_ context.Context, c Challenge) ([]byte, error) { return nil, c.check() }
