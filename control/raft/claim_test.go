package raft

import (
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

const clusterKey = "main/meta/cluster"

// hooked lets a test decide what becomes of a put.
type hooked struct {
	Claims
	put  func(put func() error) error
	head func() error // nil: always found
}

func (h *hooked) Head(ctx context.Context, key string) (objstore.Info, error) {
	if h.head != nil {
		if err := h.head(); err != nil {
			return objstore.Info{}, err
		}
	}
	return h.Claims.Head(ctx, key)
}

func (h *hooked) PutNew(ctx context.Context, key string, body [][]byte, sum uint32) error {
	return h.put(func() error { return h.Claims.PutNew(ctx, key, body, sum) })
}

func read(t *testing.T, s *memstore.Store) (c claimed) {
	t.Helper()
	raw, err := s.GetRange(t.Context(), clusterKey, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func checksum(body string) uint32 {
	return crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))
}

func rewrite(t *testing.T, s *memstore.Store, c claimed) {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), clusterKey); err != nil {
		t.Fatal(err)
	}
	if err := s.PutNew(t.Context(), clusterKey, [][]byte{raw}, checksum(string(raw))); err != nil {
		t.Fatal(err)
	}
}

// refused starts a node and wants an error that holds all words.
func (b *bed) refused(words ...string) error {
	b.t.Helper()
	n, err := b.open()
	if err == nil {
		n.Close()
		b.t.Fatalf("the node started; an error with %q is due", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			b.t.Errorf("error %q does not say %q", err, w)
		}
	}
	return err
}

func TestBootstrapWritesTheClaim(t *testing.T) {
	b := newBed(t)
	id := b.lead().Identity()
	got := read(t, b.store)
	if got.Cluster != "main" || got.ClusterID != id.ClusterID || got.Incarnation != 1 || len(id.ClusterID) != 22 {
		t.Errorf("the bucket says %+v, the node %+v", got, id)
	}
	if _, err := time.Parse(time.RFC3339, got.Created); err != nil {
		t.Error(err)
	}
}

// TestCrashDuringBootstrap interrupts the first start at each of its steps; the next one goes on.
func TestCrashDuringBootstrap(t *testing.T) {
	crash := errors.New("crash")
	for name, put := range map[string]func(func() error) error{
		"between the fsync and the put":     func(func() error) error { return crash },
		"between the put and its answer":    func(put func() error) error { return errors.Join(put(), crash) },
		"put stored and its answer unknown": func(put func() error) error { return errors.Join(put(), objstore.ErrUnknownOutcome, crash) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.deps.Store = &hooked{Claims: b.store, put: put}
			n, err := b.open()
			if err == nil { // read back: the put was ours
				id := n.Identity()
				b.close(n)
				if read(t, b.store).ClusterID != id.ClusterID {
					t.Fatal("started without a claim")
				}
			} else if !errors.Is(err, crash) {
				t.Fatal(err)
			}
			drawn, err := (&dataDir{path: b.config.Dir}).load()
			if err != nil {
				t.Fatal(err)
			}
			b.deps.Store = b.store
			n = b.lead()
			if got := read(t, b.store).ClusterID; got != drawn.ClusterID || n.Identity().ClusterID != drawn.ClusterID {
				t.Errorf("drawn %s, in the bucket %s, started as %s", drawn.ClusterID, got, n.Identity().ClusterID)
			}
		})
	}
}

// TestCrashBeforeReady: the claim and the log are there, and node.json does not know it yet.
func TestCrashBeforeReady(t *testing.T) {
	b := newBed(t)
	n := b.lead()
	id := n.Identity()
	b.close(n)
	id.Ready = false
	if err := (&dataDir{path: b.config.Dir}).store(id); err != nil {
		t.Fatal(err)
	}
	if got := b.lead().Identity(); !got.Ready || got.ClusterID != id.ClusterID {
		t.Errorf("started as %+v", got)
	}
}

func TestBucketOutageDelaysBootstrap(t *testing.T) {
	b := newBed(t)
	failures := 0
	b.deps.Store = &hooked{Claims: b.store, put: func(put func() error) error {
		if failures++; failures < 3 {
			return objstore.ErrUnavailable
		}
		return put()
	}}
	b.lead()
	if failures != 4 { // and one for the turn
		t.Errorf("%d puts", failures)
	}
}

// TestElectionWaitsForTheBucket: a node that cannot ask whose the prefix is does not lead, and does not
// give up; it says what it waits for.
func TestElectionWaitsForTheBucket(t *testing.T) {
	b := newBed(t)
	var looked atomic.Int64
	var waits atomic.Value
	var node atomic.Pointer[Node]
	b.deps.Store = &hooked{Claims: b.store, put: func(put func() error) error { return put() }, head: func() error {
		if n := node.Load(); n != nil {
			waits.Store(n.Ready().Error())
		}
		if looked.Add(1) < 3 {
			return objstore.ErrDenied
		}
		return nil
	}}
	elected := make(chan struct{})
	b.deps.Elected = func(context.Context) { close(elected) }
	n, err := b.open()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	node.Store(n)
	<-elected
	if looked.Load() != 3 || !strings.Contains(waits.Load().(string), clusterKey) {
		t.Errorf("looked %d times, waiting for %q", looked.Load(), waits.Load())
	}
}

func TestForeignPrefixIsRefused(t *testing.T) {
	b := newBed(t)
	b.close(b.lead())
	other := newBed(t)
	other.deps.Store = b.store
	err := other.refused("another bucket prefix", "data directory of that cluster", "backup", read(t, b.store).ClusterID)
	if !errors.Is(err, ErrSuperseded) {
		t.Error(err)
	}
	other.refused("another bucket prefix") // nor at the second try
	b.lead()                               // and the owner is not disturbed
}

func TestOtherLivesAreRefused(t *testing.T) {
	b := newBed(t)
	b.close(b.lead())
	was := read(t, b.store)
	newer, older := was, was
	newer.Incarnation, older.Incarnation = 2, 0
	rewrite(t, b.store, newer)
	b.refused("incarnation 2", "restored elsewhere")
	rewrite(t, b.store, older)
	b.refused("older life")
	if err := b.store.Delete(t.Context(), clusterKey); err != nil {
		t.Fatal(err)
	}
	b.refused("is gone", b.config.Dir, "--bucket")
	rewrite(t, b.store, was)
	b.lead()
}

func TestLeaderThatFindsALaterLifeStops(t *testing.T) {
	b := newBed(t)
	n := b.lead()
	later := read(t, b.store)
	later.Incarnation++
	rewrite(t, b.store, later)
	if err := n.Snapshot(t.Context()); !errors.Is(err, ErrSuperseded) {
		t.Fatal(err)
	}
	<-n.Done()
	if _, err := n.Propose(t.Context(), createShare("a")); !errors.Is(err, ErrStopped) || !errors.Is(err, ErrSuperseded) {
		t.Errorf("a leader of an earlier life answers %v", err)
	}
}

func TestJunkUnderTheClaimIsRefused(t *testing.T) {
	for name, junk := range map[string]string{"no JSON": "<html>", "no id": "{}", "large": strings.Repeat("x", maxClaim+1)} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			body := [][]byte{[]byte(junk)}
			if err := b.store.PutNew(t.Context(), clusterKey, body, checksum(junk)); err != nil {
				t.Fatal(err)
			}
			b.refused(clusterKey, "use another prefix")
		})
	}
}

func TestDataDirectoryIsLocked(t *testing.T) {
	b := newBed(t)
	b.lead()
	b.refused(b.config.Dir, "in use by another process", "--data-dir")
}

func TestDataDirectoryOfAnotherCluster(t *testing.T) {
	b := newBed(t)
	b.close(b.lead())
	b.deps.Cluster = "other"
	b.refused(b.config.Dir, `"main"`, "--cluster main")
	b.deps.Cluster, b.config.NodeID = "main", "2"
	b.refused(b.config.Dir, "--id 1")
}

func TestDamagedDataDirectory(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(dir string) error
		words  []string
	}{
		"log lost":       {func(dir string) error { return os.Remove(filepath.Join(dir, "log.db")) }, []string{"has lost its log"}},
		"node.json lost": {func(dir string) error { return os.Remove(filepath.Join(dir, "node.json")) }, []string{"no node.json"}},
		"node.json torn": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "node.json"), []byte("{"), 0o600) }, []string{"node.json"}},
		"later format": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "node.json"), []byte(`{"format":9}`), 0o600)
		}, []string{"format 9"}},
		"log cut short":   {func(dir string) error { return os.Truncate(filepath.Join(dir, "log.db"), 1<<13) }, []string{"log.db", "damaged"}},
		"log overwritten": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "log.db"), make([]byte, 1<<16), 0o600) }, []string{"log.db"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			n := b.lead()
			b.propose(n, createShare("a"))
			b.close(n)
			if err := c.damage(b.config.Dir); err != nil {
				t.Fatal(err)
			}
			b.refused(append(c.words, b.config.Dir)...)
		})
	}
}

// TestSnapshotLost: the log begins behind the snapshot that is gone.
func TestSnapshotLost(t *testing.T) {
	b := newBed(t)
	b.config.TrailingEntries = 0
	n := b.lead()
	b.propose(n, createShare("a"))
	if err := n.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.propose(n, createShare("b"))
	b.close(n)
	if err := os.RemoveAll(filepath.Join(b.config.Dir, "snapshots")); err != nil {
		t.Fatal(err)
	}
	b.refused(b.config.Dir, "is damaged", "restore")
}

func TestMissingParent(t *testing.T) {
	b := newBed(t)
	b.config.Dir = filepath.Join(b.config.Dir, "a", "b")
	b.refused(b.config.Dir, "--data-dir")
}

func TestPeersAreRefused(t *testing.T) {
	b := newBed(t)
	b.config.Peers = []string{"2=host:7400"}
	b.refused("2=host:7400", "cannot join")
}
