package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

// testCA signs certificates of clients.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(name string, key *ecdsa.PrivateKey) testCA {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: start.Add(-time.Hour), NotAfter: start.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	return testCA{cert: made(x509.ParseCertificate(made(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)))), key: key}
}

func (a testCA) sign(change func(*x509.Certificate), uris ...string) *x509.Certificate {
	c := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: start.Add(-time.Minute), NotAfter: start.Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, u := range uris {
		c.URIs = append(c.URIs, made(url.Parse(u)))
	}
	if change != nil {
		change(c)
	}
	return made(x509.ParseCertificate(made(x509.CreateCertificate(rand.Reader, c, a.cert, &testKeys().p256.PublicKey, a.key))))
}

func pool(of testCA) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(of.cert)
	return p
}

func TestACertificateIsProof(t *testing.T) {
	const uri = "spiffe://prod-cluster-01/group/prod-east/agent/agent-1"
	own, other := newCA("own", testKeys().p384), newCA("other", testKeys().p384b)
	m := NewMTLS(map[string]*x509.CertPool{"prod-cluster-01": pool(own), "corp.example": pool(other)}, func() time.Time { return start })
	login := func(proof string, shown ...*x509.Certificate) (Proven, error) {
		return m.Authenticate(context.Background(), challenge(1), []byte(proof), Peer{Address: "192.0.2.7:1", Certificates: shown})
	}
	cert := own.sign(nil, uri)
	got, err := login("", cert)
	if want := (Proven{Method: MethodMTLS, URI: uri, Bound: true, Expires: cert.NotAfter}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := login("", other.sign(nil, "spiffe://corp.example/agents/a")); err != nil {
		t.Errorf("the other authority in its own domain: %v", err)
	}
	proof, err := NewCertificate().Proof(context.Background(), challenge(1))
	if err != nil || len(proof) != 0 {
		t.Errorf("the agent sends %q, %v", proof, err)
	}

	p, err := login("something", cert)
	refused(t, p, err, ErrMalformed, "there is none")
	p, err = login("")
	refused(t, p, err, ErrRefused, "no client certificate")
	for name, c := range map[string]struct {
		cert *x509.Certificate
		says string
	}{
		"another authority's":      {other.sign(nil, uri), "unknown authority"},
		"its own authority":        {newCA("own", testKeys().p384b).sign(nil, uri), "unknown authority"},
		"an authority's own":       {own.cert, "no agent's"},
		"an unknown trust domain":  {own.sign(nil, "spiffe://elsewhere/x"), "is not one of this control plane's"},
		"two names":                {own.sign(nil, uri, "spiffe://prod-cluster-01/admin/root"), "2 URIs"},
		"no name":                  {own.sign(nil), "0 URIs"},
		"a name of a server":       {own.sign(func(c *x509.Certificate) { c.DNSNames = []string{"prod-cluster-01"} }), "0 URIs"},
		"a certificate of servers": {own.sign(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, uri), "key usage"},
		"expired":                  {own.sign(func(c *x509.Certificate) { c.NotAfter = start.Add(-time.Second) }, uri), "expired"},
		"not valid yet":            {own.sign(func(c *x509.Certificate) { c.NotBefore = start.Add(time.Second) }, uri), "not yet valid"},
		"another scheme":           {own.sign(nil, "https://prod-cluster-01/group/prod-east"), "spiffe://DOMAIN/PATH"},
		"a path that goes up":      {own.sign(nil, "spiffe://prod-cluster-01/group/x/../../admin/root"), "segments"},
		"an escaped path":          {own.sign(nil, "spiffe://prod-cluster-01/group/%2e%2e/admin"), "segments"},
		"an escaped slash":         {own.sign(nil, "spiffe://prod-cluster-01/group%2fadmin"), "segments"},
		"two slashes":              {own.sign(nil, "spiffe://prod-cluster-01//admin"), "segments"},
		"a slash behind":           {own.sign(nil, "spiffe://prod-cluster-01/admin/"), "segments"},
		"a query":                  {own.sign(nil, "spiffe://prod-cluster-01/group?admin"), "segments"},
		"a fragment":               {own.sign(nil, "spiffe://prod-cluster-01/group#admin"), "segments"},
		"a user":                   {own.sign(nil, "spiffe://root@prod-cluster-01/group"), "trust domain"},
		"a port":                   {own.sign(nil, "spiffe://prod-cluster-01:1/group"), "trust domain"},
		"a domain in large":        {own.sign(nil, "spiffe://PROD-cluster-01/group"), "trust domain"},
		"a domain alone":           {own.sign(nil, "spiffe://prod-cluster-01"), "trust domain"},
		"an opaque name":           {own.sign(nil, "spiffe:prod-cluster-01"), "spiffe://DOMAIN/PATH"},
		"a huge name":              {own.sign(nil, "spiffe://prod-cluster-01/"+strings.Repeat("a", 2048)), "spiffe://DOMAIN/PATH"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := login("", c.cert)
			refused(t, p, err, ErrRefused, c.says)
		})
	}
}
