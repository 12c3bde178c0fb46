package main

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

// startControlEverywhere starts a control plane that other machines can reach, and makes an operator's certificate.
func startControlEverywhere(t *testing.T, changes ...func(*controlConfig)) (l *lands, address, admin string) {
	t.Helper()
	t.Cleanup(func() { memstore.Forget(t.Name()) }) // a second run begins with an empty bucket
	dir := t.TempDir()
	l = startControlAlone(t, dir, "mem://"+t.Name(), append(changes, func(c *controlConfig) { c.Listen = "0.0.0.0:0" })...)
	admin = filepath.Join(dir, "admin")
	code, stdout, stderr := command(t, "control", "admin-cert", "--data-dir", filepath.Join(dir, "control"), "--out", admin)
	if code != 0 || !strings.Contains(stdout, l.control.node.Pin()) {
		t.Fatalf("admin-cert: exit code %d\n%s%s", code, stdout, stderr)
	}
	return l, net.JoinHostPort("127.0.0.1", port(t, l.controlAddr())), admin
}

// asAdmin are the flags of an operator with a certificate.
func asAdmin(address, admin string) []string {
	return []string{
		"--control", address, "--control-ca", filepath.Join(admin, "ca.crt"),
		"--login-cert", filepath.Join(admin, "admin.crt"), "--login-key", filepath.Join(admin, "admin.key"),
	}
}

// TestBeyondLoopbackTheControlPlaneWantsTLSAndALogin: nobody is admitted for the place they call from, plain text is
// not spoken, and an operator's certificate opens the door before there is any binding.
func TestBeyondLoopbackTheControlPlaneWantsTLSAndALogin(t *testing.T) {
	t.Parallel()
	l, address, admin := startControlEverywhere(t)
	pin := l.control.node.Pin()
	code, stdout, stderr := command(t, append([]string{"topic", "list"}, asAdmin(address, admin)...)...)
	if code != 0 {
		t.Errorf("an operator with a certificate: exit code %d\n%s%s", code, stdout, stderr)
	}
	refusal(t, 1, []string{"topic", "list", "--control", address, "--control-pin", pin}, "takes logins by mtls", "--login")
	refusal(t, 1, []string{"topic", "list", "--control", address, "--control-pin", pin, "--login", "open"}, "mtls", "--login")
	refusal(t, 1, []string{"topic", "list", "--control", address, "--control-pin", "sha256:" + strings.Repeat("ab", 32)}, "another certificate than the pinned one")
	foreign := adminOfAnother(t)
	refusal(t, 1, append([]string{"topic", "list"}, asAdmin(address, foreign)...), "not the control plane that was named")
	refusal(t, 1, []string{
		"topic", "list", "--control", address, "--control-pin", pin,
		"--login-cert", filepath.Join(foreign, "admin.crt"), "--login-key", filepath.Join(foreign, "admin.key"),
	}, "certificate")

	plain, err := net.Dial("tcp", address)
	l.must(err)
	defer plain.Close()
	l.must(plain.SetDeadline(time.Now().Add(patience)))
	_, err = plain.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	l.must(err)
	if n, err := plain.Read(make([]byte, 1)); err == nil {
		t.Errorf("plain text is answered with %d bytes", n)
	}
}

// adminOfAnother is an operator's certificate of another cluster of the same name.
func adminOfAnother(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	startControlAlone(t, dir, "file://"+filepath.Join(dir, "bucket"))
	admin := filepath.Join(dir, "admin")
	if code, _, stderr := command(t, "control", "admin-cert", "--data-dir", filepath.Join(dir, "control"), "--out", admin); code != 0 {
		t.Fatal(stderr)
	}
	return admin
}

// TestLoopbackSpeaksBoth: TLS, by pin and by authority, and plain text, on one port; and admits whoever calls.
func TestLoopbackSpeaksBoth(t *testing.T) {
	t.Parallel()
	t.Cleanup(func() { memstore.Forget(t.Name()) })
	dir := t.TempDir()
	l := startControlAlone(t, dir, "mem://"+t.Name())
	authority := filepath.Join(dir, "control", "ca", "ca.crt")
	for _, args := range [][]string{nil, {"--control-pin", l.control.node.Pin()}, {"--control-ca", authority}, {"--login", "open"}} {
		l.operate(append([]string{"control", "status"}, args...)...)
	}
	l.addAgent("one-1", "one", rolesOf("produce", "fetch"), func(c *agentConfig) { c.Login.Pin = l.control.node.Pin() })
	l.addAgent("one-2", "one", rolesOf("produce", "fetch"), func(c *agentConfig) { c.Login.CA = authority })
	client := l.client("one", kgo.ConsumeTopics("letters"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AllowAutoTopicCreation())
	l.produce(client, texts("letters", "a")...)
	if got := l.poll(client, 1); string(got[0].Value) != "a" {
		t.Errorf("read %q", got[0].Value)
	}
}

// TestListenerTakesACertificateFromFiles: where one is named, it is shown instead of the cluster's own, and a pin may
// be its own.
func TestListenerTakesACertificateFromFiles(t *testing.T) {
	t.Parallel()
	cert, key, _ := certificate(t, "127.0.0.1")
	l, address, admin := startControlEverywhere(t, func(c *controlConfig) { c.Admission.TLSCert, c.Admission.TLSKey = cert, key })
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	l.must(err)
	defer conn.Close()
	login := []string{"--login-cert", filepath.Join(admin, "admin.crt"), "--login-key", filepath.Join(admin, "admin.key"), "--control", address}
	if code, _, stderr := command(t, append([]string{"topic", "list", "--control-ca", cert}, login...)...); code != 0 {
		t.Errorf("by its authority: %s", stderr)
	}
	refusal(t, 1, append([]string{"topic", "list", "--control-pin", l.control.node.Pin()}, login...), "another certificate")
}

// TestChunksTravelUnderCertificates: agents of a group read each other's caches, and no one else reads them.
func TestChunksTravelUnderCertificates(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	l.create("chunks", 8)
	producer := l.client("prod", kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range int32(8) {
		l.produce(producer, &kgo.Record{Topic: "chunks", Partition: i, Value: []byte(strings.Repeat("x", 4096))})
	}
	served := func() (n float64) {
		for _, name := range []string{"analytics-1", "analytics-2"} {
			n += metric(t, l.running(name), "isthmus_fetch_peer_served_total", "result", "ok")
		}
		return n
	}
	for round := 0; served() == 0; round++ {
		if l.ctx.Err() != nil {
			t.Fatal("no agent has read another's cache")
		}
		l.produce(producer, &kgo.Record{Topic: "chunks", Partition: int32(round % 8), Value: []byte(strings.Repeat("y", 4096))})
		l.read("chunks", 8+round+1)
	}
	conn, err := tls.Dial("tcp", l.running("analytics-1").peers.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err == nil { // with TLS 1.3 the refusal comes after the client's side of the handshake
		defer conn.Close()
		l.must(conn.SetDeadline(time.Now().Add(patience)))
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a stranger without certificate: %v", err)
	}
}

// TestAdminCertNeedsADataDirectory: and says what it lacks.
func TestAdminCertNeedsADataDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	refusal(t, 2, []string{"control", "admin-cert", "--data-dir", dir}, "--out")
	refusal(t, 1, []string{"control", "admin-cert", "--data-dir", dir, "--out", filepath.Join(dir, "out")}, "node.json", "started once")
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Error("a folder was made for nothing")
	}
}
