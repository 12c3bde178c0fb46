package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// writePair writes a self-signed certificate with the serial number, and its key.
func writePair(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"kafka"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		// Files written within one tick of the file system's clock look the same otherwise.
		at := time.Unix(1_000_000+serial, 0)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestTLS serves over TLS, takes up a renewed certificate, and keeps the last good one.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writePair(t, dir, 1)
	var logs logBuffer
	cert, err := LoadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, Default(), nil, heartbeats(HandlerFunc(func(_ context.Context, r *Request, reply func(Reply)) {
		b := beatAnswer(r)
		b.SetVersion(r.Version)
		reply(Reply{Gathered: net.Buffers{b.AppendTo(nil)}})
	})))
	ln, err := Listen("127.0.0.1:0", cert)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.Server.Serve(ln) }()
	serial := func() int64 {
		t.Helper()
		c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(beat(3)); err != nil {
			t.Fatal(err)
		}
		if id, _, err := answer(c); err != nil || id != 3 {
			t.Fatalf("answer over TLS: %d, %v", id, err)
		}
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("serial %d, want 1", got)
	}
	writePair(t, dir, 2)
	if got := serial(); got != 2 {
		t.Errorf("serial %d after renewal, want 2", got)
	}
	if err := os.WriteFile(keyFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 2 {
		t.Errorf("serial %d with a broken key, want 2", got)
	}
	if !strings.Contains(logs.String(), "the last good one is served") {
		t.Errorf("log: %s", logs.String())
	}

	plain, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	mustSend(t, plain, beat(1))
	readAll(t, plain)
	r.Server.Close()
	<-served
	if !strings.Contains(r.logs.String(), "does not speak TLS") || testutil.ToFloat64(r.metrics.accepted.WithLabelValues("handshake")) != 1 {
		t.Errorf("log: %s", r.logs)
	}
}

// TestLoadCertificate names the file that is wrong.
func TestLoadCertificate(t *testing.T) {
	if _, err := LoadCertificate("/nowhere/tls.crt", "/nowhere/tls.key", slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "/nowhere/tls.crt") || !strings.Contains(err.Error(), "/nowhere/tls.key") {
		t.Errorf("error: %v", err)
	}
	dir := t.TempDir()
	cert, _ := writePair(t, dir, 1)
	if _, err := LoadCertificate(cert, cert, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), cert) {
		t.Errorf("error: %v", err)
	}
}

// TestRateLog writes once a period for each key, and counts what it kept back.
func TestRateLog(t *testing.T) {
	l := NewRateLog(slog.New(slog.DiscardHandler), time.Minute)
	at := time.Unix(0, 0)
	for _, step := range []struct {
		key   string
		after time.Duration
		held  int
		ok    bool
	}{
		{"a", 0, 0, true}, {"a", time.Second, 0, false}, {"b", 0, 0, true}, {"a", time.Second, 0, false},
		{"a", time.Minute, 2, true}, {"a", time.Minute, 0, true},
	} {
		at = at.Add(step.after)
		if held, ok := l.admit(step.key, at); held != step.held || ok != step.ok {
			t.Errorf("%s at %s: %d, %v, want %d, %v", step.key, at, held, ok, step.held, step.ok)
		}
	}
	for i := range 3 * rateLogKeys {
		l.admit(time.Duration(i).String(), at)
	}
	if len(l.last) > rateLogKeys {
		t.Errorf("%d keys are remembered", len(l.last))
	}
}
