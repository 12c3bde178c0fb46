package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// TestKeysOfAGroupAreRotatedWhileItServes: gossip goes on in every phase, neighbours go on reading each other's caches, and
// in the end the old key and the old certificates are worth nothing.
func TestKeysOfAGroupAreRotatedWhileItServes(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	l.create("news", 4)
	producer := l.client("prod")
	keys := func() (found *controlpb.GossipKeys) {
		l.control.node.Peek(func(st *control.State) { found, _ = st.GossipKeys("analytics") })
		return found
	}
	before, old := keys(), l.running("analytics-1").certificate.Current()
	l.operate("group", "rotate", "analytics")
	written := 0
	eventually(t, "the rotation ends", func() bool {
		l.produce(producer, texts("news", numbered("n", 1)...)...)
		written++
		for _, name := range []string{"analytics-1", "analytics-2"} {
			if n := len(l.running(name).group.Members()); n != 2 {
				t.Fatalf("%s sees %d members", name, n)
			}
		}
		now := keys()
		return now.GetEpoch() >= before.GetEpoch()+3 && len(now.GetKeys()) == 1
	})
	after := keys()
	if string(after.GetKeys()[0]) == string(before.GetKeys()[0]) || after.GetLeastCertificate() != before.GetEpoch()+1 {
		t.Errorf("after the rotation: least certificate %d, epoch %d", after.GetLeastCertificate(), after.GetEpoch())
	}
	eventually(t, "agents refuse old certificates and have new ones", func() bool {
		for _, name := range []string{"analytics-1", "analytics-2"} {
			c := l.running(name).certificate
			if c.Least() < after.GetLeastCertificate() || c.Current() == old {
				return false
			}
		}
		return true
	})
	l.read("news", written)
	for _, name := range []string{"analytics-1", "analytics-2"} {
		if n := len(l.running(name).group.Members()); n != 2 {
			t.Errorf("%s sees %d members in the end", name, n)
		}
	}
	// One that comes later knows the new key alone, and is one of them.
	l.addAgent("analytics-3", "analytics", rolesOf("fetch"))
	eventually(t, "the three see each other", func() bool {
		return len(l.running("analytics-1").group.Members()) == 3 && len(l.running("analytics-3").group.Members()) == 3
	})
}

// companyCA is an authority that is none of the cluster's: it signs for the trust domain corp.example.
type companyCA struct {
	t   *testing.T
	dir string
	key *ecdsa.PrivateKey
	ca  *x509.Certificate
}

func newCompanyCA(t *testing.T) *companyCA {
	t.Helper()
	c := &companyCA{t: t, dir: t.TempDir()}
	var err error
	if c.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "corp"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &c.key.PublicKey, c.key)
	if err != nil {
		t.Fatal(err)
	}
	if c.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	c.write("ca.crt", "CERTIFICATE", der)
	return c
}

func (c *companyCA) write(name, kind string, der []byte) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// issue signs for spiffe://corp.example/NAME.
func (c *companyCA) issue(name string) (cert, key string) {
	c.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), URIs: []*url.URL{{Scheme: "spiffe", Host: "corp.example", Path: "/" + name}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.ca, &private.PublicKey, c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.write(name+".crt", "CERTIFICATE", der), c.write(name+".key", "PRIVATE KEY", pkcs)
}

// TestAgentsLogInByACompanysCertificates: beyond loopback, each into its own group and no other; one whose binding is
// removed is out at once, and back when it is made again.
func TestAgentsLogInByACompanysCertificates(t *testing.T) {
	t.Parallel()
	corp := newCompanyCA(t)
	l, address, admin := startControlEverywhere(t, func(c *controlConfig) {
		c.Admission.ClientCAs = []string{"corp.example=" + filepath.Join(corp.dir, "ca.crt")}
	})
	operate := func(args ...string) {
		t.Helper()
		if code, _, stderr := command(t, append(args, asAdmin(address, admin)...)...); code != 0 {
			t.Fatalf("isthmus %s: %s", strings.Join(args, " "), stderr)
		}
	}
	bindAnalytics := []string{"binding", "create", "analytics", "--uri", "spiffe://corp.example/analytics", "--group", "analytics", "--roles", "fetch"}
	operate("binding", "create", "ops", "--uri", "spiffe://corp.example/ops", "--admin")
	operate("binding", "create", "prod", "--uri", "spiffe://corp.example/prod", "--group", "prod", "--roles", "produce")
	operate(bindAnalytics...)
	operate("grant", "create", "--group", "prod", "--access", "produce", "--share", "default", "--create-topics")
	operate("grant", "create", "--group", "analytics", "--access", "fetch", "--share", "default")
	login := func(name string) func(*agentConfig) {
		cert, key := corp.issue(name)
		return func(c *agentConfig) {
			c.Login.Addresses, c.Login.Pin, c.Login.Cert, c.Login.Key = []string{address}, l.control.node.Pin(), cert, key
		}
	}
	l.addAgent("prod-1", "prod", rolesOf("produce"), login("prod"))
	l.addAgent("analytics-1", "analytics", rolesOf("fetch"), login("analytics"))
	cert, key := corp.issue("ops")
	if code, _, stderr := command(t, "topic", "list", "--control", address, "--control-pin", l.control.node.Pin(), "--login-cert", cert, "--login-key", key); code != 0 {
		t.Errorf("an operator by a binding: %s", stderr)
	}
	cert, key = corp.issue("analytics")
	refusal(t, 1, []string{
		"agent", "--control", address, "--control-pin", l.control.node.Pin(), "--login-cert", cert, "--login-key", key,
		"--group", "prod", "--roles", "produce", "--kafka", "127.0.0.1:0", "--gossip", "127.0.0.1:0", "--http", "",
	}, `is bound by analytics to group "analytics", and not to prod`)

	producer := l.client("prod", kgo.AllowAutoTopicCreation())
	l.produce(producer, texts("letters", "a")...)
	if got := l.read("letters", 1); string(got[0].Value) != "a" {
		t.Errorf("read %q", got[0].Value)
	}
	operate("binding", "delete", "analytics")
	eventually(t, "the agent is out", func() bool { return len(l.sessions("analytics")) == 0 && l.running("analytics-1").readiness() != nil })
	l.produce(producer, texts("letters", "b")...)
	operate(bindAnalytics...)
	eventually(t, "the agent is back", func() bool { return len(l.sessions("analytics")) == 1 && l.running("analytics-1").readiness() == nil })
	if got := l.read("letters", 2); string(got[1].Value) != "b" {
		t.Errorf("read %q", got[1].Value)
	}
}
