package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/certs"
)

const (
	// AgentLife is how long an agent's certificate holds. It is renewed with the token, long before.
	AgentLife = time.Hour
	// JoinedLife is how long the certificate holds of an agent that a join token let in. It has nothing else to prove
	// itself by, and may sleep; it dies before with its binding, or its group's epoch.
	JoinedLife = 30 * 24 * time.Hour
	// serverLife is how long a control node's certificate holds; the node renews it itself. It has held as long
	// already when it is made: a control plane whose clock has jumped is reached still.
	serverLife = 48 * time.Hour
	// skew is how far behind a clock may be that looks at a new certificate.
	skew = 5 * time.Minute
	// maxCSR bounds a certificate request: one of our agents' has a few hundred bytes.
	maxCSR = 8 << 10
)

// ErrCSR says that a certificate request cannot be read, or is not signed by its key.
var ErrCSR = errors.New("certificate request")

// IssueAgent signs the key of a request for an agent. Everything else in the certificate is what the control
// plane says: binding is the one by which the agent was let in, and stands in it so that the agent can be let in
// by it again for as long as the certificate holds.
func (a *Authority) IssueAgent(csr []byte, name certs.Name, binding string, epoch uint64, life time.Duration) ([]byte, error) {
	if name.Kind != certs.Agent {
		return nil, fmt.Errorf("a certificate for %s is not one of an agent", name)
	}
	key, err := requested(csr)
	if err != nil {
		return nil, err
	}
	return a.issue(name, key, pkix.Name{CommonName: name.ID, OrganizationalUnit: bindingUnit(binding)}, epoch, life, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
}

func bindingUnit(binding string) []string {
	if binding == "" {
		return nil
	}
	return []string{binding}
}

// BindingOf is the binding by which the owner of an agent's certificate was let in; empty: none.
func BindingOf(c *x509.Certificate) string {
	if len(c.Subject.OrganizationalUnit) != 1 {
		return ""
	}
	return c.Subject.OrganizationalUnit[0]
}

// CheckCSR reports a request for which no certificate would be given.
func CheckCSR(csr []byte) error {
	_, err := requested(csr)
	return err
}

// requested is the key of a request, whose owner has signed it.
func requested(csr []byte) (crypto.PublicKey, error) {
	if len(csr) > maxCSR {
		return nil, fmt.Errorf("%w of %d bytes: at most %d", ErrCSR, len(csr), maxCSR)
	}
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSR, err)
	}
	switch key := r.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("%w: its key is of curve %s; it is one of P-256 or Ed25519", ErrCSR, key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("%w: its key is a %T; it is one of P-256 or Ed25519", ErrCSR, key)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSR, err)
	}
	return r.PublicKey, nil
}

// Admin makes an operator's certificate and its key, both PEM.
func (a *Authority) Admin(id string, life time.Duration) (certificate, key []byte, err error) {
	name := certs.Name{Kind: certs.Admin, Cluster: a.cluster, ID: id}
	if life <= 0 || life > authorityLife {
		return nil, nil, fmt.Errorf("a certificate for %s: it cannot hold for %s", name, life)
	}
	signer, err := newECDSA()
	if err != nil {
		return nil, nil, fmt.Errorf("draw the key of %s: %w", name, err)
	}
	der, err := a.issue(name, signer.Public(), pkix.Name{CommonName: id}, 0, life, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the key of %s: %w", name, err)
	}
	return certificatePEM(der), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), nil
}

func (a *Authority) issue(name certs.Name, key crypto.PublicKey, subject pkix.Name, epoch uint64, life time.Duration, more func(*x509.Certificate)) ([]byte, error) {
	if name.Cluster == "" {
		name.Cluster = a.cluster
	}
	if err := name.Check(); err != nil {
		return nil, err
	}
	var random [10]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	now := a.now()
	template := &x509.Certificate{
		SerialNumber: certs.Serial(epoch, random), Subject: subject, URIs: []*url.URL{name.URI()},
		NotBefore: now.Add(-skew), NotAfter: now.Add(life), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	more(template)
	der, err := x509.CreateCertificate(rand.Reader, template, a.ca, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", name, err)
	}
	if _, err := x509.ParseCertificate(der); err != nil { // as its owner would find out
		return nil, fmt.Errorf("the certificate of %s cannot be read: %w", name, err)
	}
	return der, nil
}

// Server is a control node's certificate, renewed when half of its life is over.
type Server struct {
	authority *Authority
	name      certs.Name
	hosts     []string

	mu      sync.Mutex
	current *tls.Certificate
	renew   time.Time
}

// Server makes the certificate of a node that is reached under names and addresses.
func (a *Authority) Server(node string, hosts []string) (*Server, error) {
	s := &Server{authority: a, name: certs.Name{Kind: certs.Control, Cluster: a.cluster, ID: node}, hosts: hosts}
	_, err := s.Get()
	return s, err
}

// Get is the certificate as it is now, with the authority's behind it, for clients that know its pin.
func (s *Server) Get() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.authority.now()
	if s.current != nil && now.Before(s.renew) && !now.Before(s.current.Leaf.NotBefore) {
		return s.current, nil
	}
	key, err := newECDSA()
	if err != nil {
		return nil, fmt.Errorf("draw the key of %s: %w", s.name, err)
	}
	der, err := s.authority.issue(s.name, key.Public(), pkix.Name{CommonName: s.name.ID}, 0, serverLife, func(c *x509.Certificate) {
		// Of clients too: control nodes meet each other by it.
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		c.NotBefore = now.Add(-serverLife)
		for _, host := range s.hosts {
			if ip := net.ParseIP(host); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, host)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of %s: %w", s.name, err)
	}
	s.current = &tls.Certificate{Certificate: [][]byte{der, s.authority.ca.Raw}, PrivateKey: key, Leaf: leaf}
	s.renew = now.Add(serverLife / 2)
	return s.current, nil
}
