package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/certs"
)

// clock is a wall clock that a test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newClock() *clock { return &clock{time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)} }

func opened(t *testing.T, dir string, c *clock) *Authority {
	t.Helper()
	a, err := Open(Options{Dir: dir, Cluster: "Isthmus", ClusterID: "id-1", Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(t *testing.T, template *x509.CertificateRequest) (csr []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if csr, err = x509.CreateCertificateRequest(rand.Reader, template, key); err != nil {
		t.Fatal(err)
	}
	return csr, key
}

func agentName(agent string) certs.Name {
	return certs.Name{Kind: certs.Agent, Cluster: "isthmus", Group: "prod", ID: agent}
}

// TestRestartKeepsTheAuthority: tokens and certificates given before a restart hold after it, and the keys are
// nobody else's to read.
func TestRestartKeepsTheAuthority(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "ca"), newClock()
	before := opened(t, dir, c)
	token, want, err := before.Sign(Claims{Method: "mtls", Identity: "spiffe://isthmus/admin/ada", Admin: true})
	if err != nil {
		t.Fatal(err)
	}
	after := opened(t, dir, c)
	if after.Pin() != before.Pin() {
		t.Error("the authority is another one after a restart")
	}
	if got, err := after.Verify(token); err != nil || got.Identity != want.Identity || !got.Admin || got.Expires != want.Expires {
		t.Errorf("%+v, %v", got, err)
	}
	for _, name := range []string{"ca.key", "token.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestDamagedFolder: what is damaged, foreign or readable by others is said, and never replaced; a certificate
// that a crash has kept from being written is made again from its key.
func TestDamagedFolder(t *testing.T) {
	for what, c := range map[string]struct {
		harm func(dir string) error
		says string
	}{
		"key without PEM": {func(d string) error { return os.WriteFile(filepath.Join(d, "ca.key"), []byte("x"), 0o600) }, "ca.key"},
		"others may read": {func(d string) error { return os.Chmod(filepath.Join(d, "token.key"), 0o640) }, "chmod 600"},
		"foreign key": {func(d string) error {
			if err := os.Remove(filepath.Join(d, "ca.key")); err != nil {
				return err
			}
			return nil
		}, "ca.key is not its key"},
		"empty certificate": {func(d string) error { return os.WriteFile(filepath.Join(d, "ca.crt"), nil, 0o600) }, "no certificate"},
		"wrong kind of key": {func(d string) error {
			raw, err := os.ReadFile(filepath.Join(d, "ca.key"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(d, "token.key"), raw, 0o600)
		}, "not an Ed25519 key"},
	} {
		dir := filepath.Join(t.TempDir(), "ca")
		opened(t, dir, newClock())
		if err := c.harm(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Dir: dir, Cluster: "isthmus", ClusterID: "id-1"}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "ca")
	opened(t, dir, newClock())
	if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	opened(t, dir, newClock())
	if _, err := Load(Options{Dir: t.TempDir(), Cluster: "isthmus"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty folder is loaded: %v", err)
	}
}

// TestCertificateSaysWhatTheControlPlaneKnows: nothing of a request but its key stands in the certificate.
func TestCertificateSaysWhatTheControlPlaneKnows(t *testing.T) {
	c := newClock()
	a := opened(t, t.TempDir(), c)
	foreign, err := url.Parse("spiffe://isthmus/admin/mallory")
	if err != nil {
		t.Fatal(err)
	}
	csr, key := request(t, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "mallory", OrganizationalUnit: []string{"admins"}}, URIs: []*url.URL{foreign},
		DNSNames: []string{"control.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	der, err := a.IssueAgent(csr, agentName("a1"), "prod-east", 7, AgentLife)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	name, err := certs.Of(leaf)
	if err != nil || name != agentName("a1") {
		t.Errorf("named %v, %v", name, err)
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0 || leaf.IsCA || certs.Epoch(leaf) != 7 || BindingOf(leaf) != "prod-east" {
		t.Errorf("names %v %v, CA %v, epoch %d, binding %q", leaf.DNSNames, leaf.IPAddresses, leaf.IsCA, certs.Epoch(leaf), BindingOf(leaf))
	}
	if !key.PublicKey.Equal(leaf.PublicKey) || leaf.NotAfter.Sub(c.now) != AgentLife {
		t.Errorf("key %v, until %v", leaf.PublicKey, leaf.NotAfter)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Roots(), CurrentTime: c.now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
		t.Error("an agent's certificate serves as a control plane's")
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	a := opened(t, t.TempDir(), newClock())
	good, _ := request(t, &x509.CertificateRequest{})
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaCSR, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak)
	if err != nil {
		t.Fatal(err)
	}
	forged := append([]byte(nil), good...)
	forged[len(forged)-1] ^= 1
	for what, csr := range map[string][]byte{"empty": nil, "RSA": rsaCSR, "forged": forged, "long": make([]byte, maxCSR+1), "cut": good[:len(good)/2]} {
		if _, err := a.IssueAgent(csr, agentName("a1"), "", 0, AgentLife); !errors.Is(err, ErrCSR) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, name := range []certs.Name{agentName(""), agentName("a/b"), agentName(".."), {Kind: certs.Admin, Cluster: "isthmus", ID: "a"}} {
		if _, err := a.IssueAgent(good, name, "", 0, AgentLife); err == nil {
			t.Errorf("%s is issued", name)
		}
	}
}

// TestPeersMeet: agents of one group reach each other; those of another group, another cluster, an old epoch or
// with an operator's certificate do not, at either end, and neither does one whose certificate has expired.
func TestPeersMeet(t *testing.T) {
	c := newClock()
	a, other := opened(t, t.TempDir(), c), opened(t, t.TempDir(), c)
	holder := func(from *Authority, name certs.Name, epoch uint64) *certs.Holder {
		csr, key := request(t, &x509.CertificateRequest{})
		der, err := from.IssueAgent(csr, name, "", epoch, AgentLife)
		if err != nil {
			t.Fatal(err)
		}
		h := certs.NewHolder(certs.Agent, c.Now)
		if err := h.Set(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, from.Certificate()); err != nil {
			t.Fatal(err)
		}
		return h
	}
	foreign := agentName("a2")
	foreign.Group = "analytics"
	me := holder(a, agentName("a1"), 5)
	me.Refuse(4)
	me.Refuse(2) // it only rises
	if err := converse(t, me, holder(a, agentName("a2"), 4)); err != nil {
		t.Errorf("a neighbour: %v", err)
	}
	for what, h := range map[string]*certs.Holder{
		"another group": holder(a, foreign, 5), "another cluster": holder(other, agentName("a2"), 5),
		"an old epoch": holder(a, agentName("a2"), 3), "no certificate": certs.NewHolder(certs.Agent, c.Now),
	} {
		if err := converse(t, me, h); err == nil {
			t.Errorf("%s is let in", what)
		}
		if err := converse(t, h, me); err == nil {
			t.Errorf("%s is reached", what)
		}
	}
	crt, key, err := a.Admin("ada", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := certs.NewHolder(certs.Agent, c.Now).Set(pair, a.Certificate()); err == nil {
		t.Error("an operator's certificate is taken for an agent's")
	}
	late := holder(a, agentName("a2"), 5)
	c.now = c.now.Add(AgentLife + time.Minute)
	if err := converse(t, holder(a, agentName("a1"), 5), late); err == nil {
		t.Error("an expired certificate is taken")
	}
}

// converse lets a client send a byte to a server and read it back.
func converse(t *testing.T, server, client *certs.Holder) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server.TLS())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = io.CopyN(conn, conn, 1)
			err = errors.Join(err, conn.Close())
		}
		served <- err
	}()
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Minute}, Config: client.TLS()}
	conn, err := dialer.DialContext(t.Context(), "tcp", l.Addr().String())
	if err == nil {
		if _, err = conn.Write([]byte("x")); err == nil {
			_, err = io.ReadFull(conn, make([]byte, 1))
		}
		conn.Close()
	}
	return errors.Join(err, <-served)
}

// TestServerIsRenewed: a node's certificate is replaced when half of its life is over, or its clock went back, and
// clients find the authority behind it.
func TestServerIsRenewed(t *testing.T) {
	c := newClock()
	a := opened(t, t.TempDir(), c)
	s, err := a.Server("1", []string{"127.0.0.1", "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	get := func() *tls.Certificate {
		got, err := s.Get()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := got.Leaf.Verify(x509.VerifyOptions{Roots: a.Roots(), CurrentTime: c.now, DNSName: "127.0.0.1"}); err != nil {
			t.Error(err)
		}
		return got
	}
	first := get()
	if Pin(first.Certificate[len(first.Certificate)-1]) != a.Pin() {
		t.Error("the authority is not sent along")
	}
	c.now = c.now.Add(serverLife/2 - time.Second)
	if get() != first {
		t.Error("renewed too early")
	}
	c.now = c.now.Add(2 * time.Second)
	second := get()
	if second == first {
		t.Error("not renewed")
	}
	c.now = c.now.Add(-2 * serverLife)
	if get() == second {
		t.Error("a certificate of the future is served")
	}
}

// TestTokensThatAreRefused: of another cluster, expired, of the future, altered anywhere, and what is no token.
func TestTokensThatAreRefused(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	a := opened(t, dir, c)
	token, claims, err := a.Sign(Claims{Method: "aws-sigv4", Identity: "arn:aws:iam::222222222222:role/x", Binding: "b", Group: "prod", Agent: "a1", Roles: []string{"produce"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.Verify(token); err != nil || got.Group != "prod" || got.Expires != c.now.Add(TokenLife).UnixMilli() || claims.Expires != got.Expires {
		t.Fatalf("%+v, %v", got, err)
	}
	elsewhere, err := Open(Options{Dir: dir, Cluster: "isthmus", ClusterID: "id-2", Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.Verify(token); !errors.Is(err, ErrToken) {
		t.Errorf("another cluster takes it: %v", err)
	}
	body := strings.Split(strings.TrimPrefix(token, tokenPrefix), ".")
	forged := strings.Replace(string(decoded(t, body[0])), `"produce"`, `"fetch"`, 1)
	for what, s := range map[string]string{
		"empty": "", "prefix": tokenPrefix, "no signature": tokenPrefix + body[0] + ".", "no prefix": token[1:], "long": token + strings.Repeat("A", maxToken),
		"forged": tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(forged)) + "." + body[1], "trailing": token + ".", "newline": token + "\n",
		"swapped": tokenPrefix + body[1] + "." + body[0],
	} {
		if _, err := a.Verify(s); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	now := c.now
	c.now = now.Add(TokenLife)
	if _, err := a.Verify(token); !errors.Is(err, ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	c.now = now.Add(-time.Hour)
	if _, err := a.Verify(token); !errors.Is(err, ErrToken) {
		t.Errorf("of the future: %v", err)
	}
	if _, _, err := a.Sign(Claims{Identity: strings.Repeat("x", maxToken)}); err == nil {
		t.Error("a token that nobody would read is signed")
	}
}

func decoded(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzVerify: nothing but what was signed is taken.
func FuzzVerify(f *testing.F) {
	c := newClock()
	a, err := Open(Options{Dir: f.TempDir(), Cluster: "isthmus", ClusterID: "id-1", Now: c.Now})
	if err != nil {
		f.Fatal(err)
	}
	token, _, err := a.Sign(Claims{Method: "open", Open: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(tokenPrefix + "e30.AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := a.Verify(s); err == nil && s != token {
			t.Fatalf("%q is taken", s)
		}
	})
}

// TestNonceIsGoodOnce: for a minute, at the leader that gave it, for one proof.
func TestNonceIsGoodOnce(t *testing.T) {
	now := time.Hour
	mono := func() time.Duration { return now }
	newTerm := func() *Nonces {
		n, err := NewNonces(mono)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	give := func(n *Nonces) []byte {
		b, err := n.Give()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	n, next := newTerm(), newTerm()
	first := give(n)
	if err := next.Take(first); !errors.Is(err, ErrNonce) {
		t.Errorf("the next leader takes it: %v", err)
	}
	if err := n.Take(first); err != nil {
		t.Error(err)
	}
	if err := n.Take(first); !errors.Is(err, ErrNonce) {
		t.Errorf("taken twice: %v", err)
	}
	old, kept := give(n), give(n)
	now += nonceLife - 1
	if err := n.Take(kept); err != nil {
		t.Error(err)
	}
	now++
	if err := n.Take(old); !errors.Is(err, ErrNonce) {
		t.Errorf("taken after a minute: %v", err)
	}
	for i := range nonceBytes {
		b := give(n)
		b[i] ^= 1
		if err := n.Take(b); !errors.Is(err, ErrNonce) {
			t.Errorf("byte %d altered: %v", i, err)
		}
	}
	now += time.Minute
	if err := n.Take(give(n)); err != nil {
		t.Error(err)
	}
	if len(n.used) != 1 {
		t.Errorf("%d nonces are remembered", len(n.used))
	}
	for range maxUsed {
		if err := n.Take(give(n)); errors.Is(err, ErrBusy) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("what is remembered has no bound")
}
