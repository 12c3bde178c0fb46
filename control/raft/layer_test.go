package raft

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/isthmusdata/isthmus/control/authority"
	"github.com/isthmusdata/isthmus/internal/certs"
)

// tally is a state that counts what was applied.
type tally struct {
	mu sync.Mutex
	n  int
}

func (c *tally) Apply(*hraft.Log) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

func (c *tally) Snapshot() (hraft.FSMSnapshot, error) { return nil, fmt.Errorf("none is taken") }
func (c *tally) Restore(r io.ReadCloser) error        { return r.Close() }

func (c *tally) applied() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func newAuthority(t *testing.T) *authority.Authority {
	t.Helper()
	a, err := authority.Open(authority.Options{Dir: t.TempDir(), Cluster: "main", ClusterID: "id-1"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// controlHolder is the certificate of a control node.
func controlHolder(t *testing.T, a *authority.Authority, node string) *certs.Holder {
	t.Helper()
	s, err := a.Server(node, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := s.Get()
	if err != nil {
		t.Fatal(err)
	}
	h := certs.NewHolder(certs.Control, time.Now)
	if err := h.Set(*pair, a.Certificate()); err != nil {
		t.Fatal(err)
	}
	return h
}

// voter is one of raft's nodes over a Layer, with its log in memory.
type voter struct {
	raft    *hraft.Raft
	layer   *Layer
	counter *tally
	config  *hraft.Config
}

// voters starts nodes of one cluster that vote.
func voters(t *testing.T, a *authority.Authority, n int) []*voter {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	var all []*voter
	var servers []hraft.Server
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint(i + 1)
		v := &voter{layer: NewLayer(l, l.Addr().String(), controlHolder(t, a, id).TLS()), counter: &tally{}, config: hraft.DefaultConfig()}
		v.config.LocalID, v.config.Logger = hraft.ServerID(id), raftLogger(quiet)
		v.config.HeartbeatTimeout, v.config.ElectionTimeout, v.config.LeaderLeaseTimeout = 200*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
		all = append(all, v)
		servers = append(servers, hraft.Server{ID: v.config.LocalID, Address: hraft.ServerAddress(l.Addr().String())})
	}
	for _, v := range all {
		logs, transport := hraft.NewInmemStore(), v.layer.Transport(10*time.Second, quiet)
		snapshots := hraft.NewInmemSnapshotStore()
		if err := hraft.BootstrapCluster(v.config, logs, logs, snapshots, transport, hraft.Configuration{Servers: servers}); err != nil {
			t.Fatal(err)
		}
		var err error
		if v.raft, err = hraft.NewRaft(v.config, v.counter, logs, logs, snapshots, transport); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := v.raft.Shutdown().Error(); err != nil {
				t.Error(err)
			}
			if err := transport.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return all
}

// leader waits for one of them to lead.
func leader(t *testing.T, among []*voter) *voter {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, v := range among {
			if v.raft.State() == hraft.Leader {
				return v
			}
		}
	}
	t.Fatal("nobody leads")
	return nil
}

func propose(t *testing.T, among []*voter) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		err := leader(t, among).raft.Apply([]byte("x"), time.Minute).Error()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestNodesVoteOverTLS: three nodes elect a leader and apply the same entries, and two go on without it.
func TestNodesVoteOverTLS(t *testing.T) {
	all := voters(t, newAuthority(t), 3)
	for range 5 {
		propose(t, all)
	}
	first := leader(t, all)
	if err := first.raft.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	var rest []*voter
	for _, v := range all {
		if v != first {
			rest = append(rest, v)
		}
	}
	propose(t, rest)
	for _, v := range rest {
		for deadline := time.Now().Add(time.Minute); v.counter.applied() < 6; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("node %s has applied %d entries of 6", v.config.LocalID, v.counter.applied())
			}
		}
	}
}

// TestStrangersDoNotVote: without a certificate, with an agent's or an operator's, or with one of another cluster's
// authority nobody is heard, and nobody is spoken to.
func TestStrangersDoNotVote(t *testing.T) {
	a := newAuthority(t)
	all := voters(t, a, 1)
	leader(t, all)
	address := hraft.ServerAddress(all[0].layer.Addr().String())
	crt, key, err := a.Admin("ada", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := tls.X509KeyPair(crt, key)
	if err != nil {
		t.Fatal(err)
	}
	for what, config := range map[string]*tls.Config{
		"nobody":       {InsecureSkipVerify: true},
		"an operator":  {InsecureSkipVerify: true, Certificates: []tls.Certificate{operator}},
		"another node": controlHolder(t, newAuthority(t), "1").TLS(),
	} {
		l := &Layer{config: config}
		conn, err := l.Dial(address, time.Minute)
		if err == nil { // with TLS 1.3 the refusal comes after the caller's side of the handshake
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if err == nil {
			t.Errorf("%s is heard", what)
		}
	}
	foreign, err := tls.Listen("tcp", "127.0.0.1:0", controlHolder(t, newAuthority(t), "2").TLS())
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := foreign.Accept(); err == nil {
			_, _ = c.Read(make([]byte, 1)) // the handshake, which fails
			c.Close()
		}
	}()
	if c, err := all[0].layer.Dial(hraft.ServerAddress(foreign.Addr().String()), time.Minute); err == nil {
		c.Close()
		t.Error("a node of another cluster is spoken to")
	}
	<-done
}
