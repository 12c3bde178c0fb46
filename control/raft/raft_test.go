package raft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/statetime"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

// bed is a data directory and a bucket in which nodes are started and stopped.
type bed struct {
	t      *testing.T
	config Config
	deps   Deps
	store  *memstore.Store
}

func newBed(t *testing.T) *bed {
	store := memstore.New(nil)
	b := &bed{t: t, store: store, config: Default()}
	b.config.Dir = t.TempDir()
	b.config.ElectionTimeout = 10 * time.Millisecond
	b.deps = Deps{
		Cluster: "main", Store: store, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Applied: func(*control.State, control.Result) {}, Restored: func() {}, Elected: func(context.Context) {},
	}
	return b
}

// open starts a node without waiting for it to lead.
func (b *bed) open() (*Node, error) {
	b.deps.Registerer = prometheus.NewRegistry()
	return Open(b.t.Context(), b.config, b.deps)
}

// lead starts a node and waits until it leads; it is stopped at the end of the test.
func (b *bed) lead() *Node {
	b.t.Helper()
	elected := make(chan struct{}, 8)
	b.deps.Elected = func(context.Context) { elected <- struct{}{} }
	n, err := b.open()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { n.Close() })
	select {
	case <-elected:
	case <-n.Done():
		b.t.Fatalf("node ended: %v", n.Err())
	}
	return n
}

func (b *bed) close(n *Node) {
	b.t.Helper()
	if err := n.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func createShare(name string) *controlpb.Command {
	return &controlpb.Command{Op: &controlpb.Command_CreateShare{CreateShare: &controlpb.CreateShareCommand{
		Share: &controlpb.Share{Name: name, Bucket: "mem://"},
	}}}
}

func (b *bed) propose(n *Node, commands ...*controlpb.Command) []control.Result {
	b.t.Helper()
	results, err := n.Propose(b.t.Context(), commands...)
	if err != nil {
		b.t.Fatal(err)
	}
	return results
}

func shares(n *Node) (names []string) {
	n.Peek(func(s *control.State) {
		s.EachShare(func(name, _ string) bool {
			names = append(names, name)
			return true
		})
	})
	return names
}

func TestRestartKeepsState(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		t.Run(fmt.Sprintf("snapshot=%v", snapshot), func(t *testing.T) {
			b := newBed(t)
			n := b.lead()
			b.propose(n, createShare("a"), createShare("b"))
			if snapshot {
				if err := n.Snapshot(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.propose(n, createShare("c"))
			}
			want, id := shares(n), n.Identity()
			b.close(n)
			if _, err := n.Propose(t.Context(), createShare("x")); !errors.Is(err, ErrStopped) {
				t.Errorf("a closed node answers %v", err)
			}
			n = b.lead()
			if got := shares(n); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("after a restart there are shares %v, before %v", got, want)
			}
			if n.Identity() != id || !id.Ready {
				t.Errorf("identity was %+v and is %+v", id, n.Identity())
			}
		})
	}
}

func TestEachCallerGetsItsOwnResult(t *testing.T) {
	b := newBed(t)
	n := b.lead()
	var callers sync.WaitGroup
	for i := range 50 {
		callers.Go(func() {
			name := fmt.Sprintf("s%d", i)
			// A share exists once; again with another bucket is refused, so the two results differ.
			other := createShare(name)
			other.GetCreateShare().Share.Bucket = "file:///other"
			results, err := n.Propose(t.Context(), createShare(name), other)
			if err != nil || len(results) != 2 || results[0].Code != 0 || results[1].Code == 0 {
				t.Errorf("%s: %v, %v", name, results, err)
			}
		})
	}
	callers.Wait()
}

// TestEntriesAreBounded proposes far more than an entry holds while the log is held up.
func TestEntriesAreBounded(t *testing.T) {
	b := newBed(t)
	b.config.EntryBytes = 64 << 10
	n := b.lead()
	var pending []*Pending
	for i := range 200 {
		c := createShare(fmt.Sprintf("s%d", i))
		c.GetCreateShare().Share.Bucket = string(make([]byte, 4000)) // too long: refused, but logged
		p, err := n.Enqueue(c)
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, p)
	}
	for _, p := range pending {
		if r, err := p.Wait(t.Context()); err != nil || r[0].Code == 0 {
			t.Fatal(r, err)
		}
	}
	last, err := n.store.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	for i := uint64(1); i <= last; i++ {
		if l := b.entry(n, i); len(l) > b.config.EntryBytes {
			t.Errorf("entry %d has %d B", i, len(l))
		} else if len(l) > 4000 {
			entries++
		}
	}
	if entries < 200*4000/(64<<10) || entries == 200 {
		t.Errorf("200 commands of 4 kB stand in %d entries", entries)
	}
	c := createShare("big")
	c.GetCreateShare().Share.Bucket = string(make([]byte, 64<<10))
	if _, err := n.Enqueue(c); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a command that fits into no entry: %v", err)
	}
	if _, err := n.Enqueue(createShare("\xff")); !errors.Is(err, ErrInvalid) {
		t.Errorf("a command that cannot be encoded: %v", err)
	}
}

func (b *bed) entry(n *Node, i uint64) []byte {
	var l logEntry
	if err := n.store.GetLog(i, &l); err != nil {
		b.t.Fatal(err)
	}
	return l.Data
}

func TestQueueIsBounded(t *testing.T) {
	c := Default()
	c.QueueBytes = c.EntryBytes
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	p := newProposer(c, statetime.New(func() time.Duration { return 0 }, nil), m, nil, nil, nil)
	if _, err := p.enqueue([]*controlpb.Command{createShare("a")}); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("before an election: %v", err)
	}
	p.start(1)
	first, err := p.enqueue([]*controlpb.Command{createShare("a")})
	for err == nil {
		_, err = p.enqueue([]*controlpb.Command{createShare("a")})
	}
	if !errors.Is(err, ErrOverloaded) {
		t.Fatal(err)
	}
	p.stop()
	if _, err := first.Wait(t.Context()); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("what was waiting when leadership was lost: %v", err)
	}
}

type logEntry = hraft.Log
