package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

// TestClientsSpeakTLSWhereTheListenerHasACertificate runs an agent that any machine may reach, which
// it may be only with a certificate.
func TestClientsSpeakTLSWhereTheListenerHasACertificate(t *testing.T) {
	t.Parallel()
	cert, key, trust := certificate(t, "127.0.0.1")
	t.Cleanup(func() { memstore.Forget(t.Name()) }) // a second run begins with an empty bucket
	l := startControlAlone(t, t.TempDir(), "mem://"+t.Name())
	l.addAgent("sealed-1", "sealed", rolesOf("produce", "fetch"), func(c *agentConfig) {
		c.Kafka, c.Advertise, c.TLSCert, c.TLSKey = "0.0.0.0:0", "", cert, key
	})
	address := net.JoinHostPort("127.0.0.1", port(t, l.running("sealed-1").kafka.Addr().String()))
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: trust, ServerName: "127.0.0.1"}}
	conn, err := dialer.DialContext(l.ctx, "tcp", address)
	l.must(err)
	defer conn.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.AllowAutoTopicCreation(), kgo.DialTLSConfig(&tls.Config{RootCAs: trust, ServerName: "127.0.0.1"}), kgo.ConsumeTopics("sealed"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	l.must(err)
	defer client.Close()
	l.produce(client, texts("sealed", "letter")...)
	if got := l.poll(client, 1); string(got[0].Value) != "letter" {
		t.Errorf("read %q", got[0].Value)
	}
	plain := dialKafka(t, address)
	if _, err := plain.conn.Write(plain.format.AppendRequest(nil, allTopics(), 1)); err != nil {
		t.Fatal(err)
	}
	// A server that speaks TLS may send an alert before it ends the connection.
	if n, err := plain.conn.Read(make([]byte, 100)); err == nil && n > 10 {
		t.Errorf("a plain-text client was answered with %d bytes", n)
	}
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// certificate writes a self-signed certificate for an IP address and its key.
func certificate(t *testing.T, ip string) (certFile, keyFile string, trust *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(ip)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	trust = x509.NewCertPool()
	pemCert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	trust.AppendCertsFromPEM(pemCert)
	for file, content := range map[string][]byte{certFile: pemCert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile, trust
}
