package raft

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	boltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/filestore"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

// copied is a bed on a copy of b's data directory as it is now, at the same bucket.
func (b *bed) copied() *bed {
	b.t.Helper()
	c := &bed{t: b.t, config: b.config, deps: b.deps, store: b.store}
	c.config.Dir = filepath.Join(b.t.TempDir(), "copy")
	if err := os.CopyFS(c.config.Dir, os.DirFS(b.config.Dir)); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// ends waits until the node ends because it may not lead, with all words in its error.
func (b *bed) ends(n *Node, words ...string) {
	b.t.Helper()
	<-n.Done()
	err := n.Err()
	if !errors.Is(err, ErrSuperseded) {
		b.t.Errorf("the node ended with %v", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			b.t.Errorf("error %q does not say %q", err, w)
		}
	}
	n.Close()
}

// deposed starts a node that must not come to lead.
func (b *bed) deposed(words ...string) {
	b.t.Helper()
	led := atomic.Bool{}
	b.deps.Elected = func(context.Context) { led.Store(true) }
	n, err := b.open()
	if err != nil {
		b.t.Fatal(err)
	}
	b.ends(n, words...)
	if led.Load() {
		b.t.Error("it led first")
	}
}

// turnsOf lists the turns in the bucket.
func turnsOf(t *testing.T, s interface {
	List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, bool, error)
},
) []string {
	t.Helper()
	page, _, err := s.List(t.Context(), "main/meta/1/turns/", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range page {
		names = append(names, strings.TrimPrefix(o.Key, "main/meta/1/turns/"))
	}
	return names
}

func TestEveryElectionTakesATurn(t *testing.T) {
	b := newBed(t)
	for range 3 {
		b.close(b.lead())
	}
	if got := fmt.Sprint(turnsOf(t, b.store)); got != "[0000000000000001 0000000000000002 0000000000000003]" {
		t.Errorf("turns %s", got)
	}
	raw, err := b.store.GetRange(t.Context(), "main/meta/1/turns/0000000000000003", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	var o turn
	if err := json.Unmarshal(raw, &o); err != nil || o.Node != "1" || o.Dir != b.config.Dir || o.Term < 3 || o.Host == "" {
		t.Errorf("turn %s: %+v %v", raw, o, err)
	}
}

// TestI12OlderCopyIsRefused: a copy of the data directory is put back that lacks what was placed since. It
// would give offsets twice.
func TestI12OlderCopyIsRefused(t *testing.T) {
	for name, open := range map[string]func() (objstore.Store, error){
		"in memory": func() (objstore.Store, error) { return memstore.New(nil), nil },
		"of files":  func() (objstore.Store, error) { return filestore.Open(t.TempDir()) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			store, err := open()
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			b.deps.Store = store
			n := b.lead()
			b.propose(n, createShare("a"))
			b.close(n)
			older := b.copied()
			n = b.lead()
			b.propose(n, createShare("b"))
			b.close(n)
			older.deposed(older.config.Dir, b.config.Dir, "turns/0000000000000002", "offsets twice", "newest directory")
			older.deposed("turns/0000000000000002") // nor at the second try
			if got := fmt.Sprint(shares(b.lead())); got != "[a b]" {
				t.Errorf("the newest directory, brought back, has shares %s", got)
			}
		})
	}
}

// TestI12CopyOfTheSameTermIsRefused: the copy was taken from a leader that went on for months without
// another election.
func TestI12CopyOfTheSameTermIsRefused(t *testing.T) {
	b := newBed(t)
	n := b.lead()
	older := b.copied()
	b.propose(n, createShare("a"))
	if err := n.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.close(n)
	older.deposed("older copy")
	b.close(b.lead())
}

// TestIdleLeaderAsksNothing: a leader looks because something is proposed, and for no other reason.
func TestIdleLeaderAsksNothing(t *testing.T) {
	b := newBed(t)
	b.config.TurnLook = 10 * time.Millisecond
	var asked atomic.Int64
	b.deps.Store = &hooked{
		Claims: b.store,
		put:    func(put func() error) error { asked.Add(1); return put() },
		head:   func() error { asked.Add(1); return nil },
	}
	n := b.lead()
	before := asked.Load()
	time.Sleep(10 * b.config.TurnLook) // nothing waits for anything: a leader that looks by a timer is seen here
	if got := asked.Load(); got != before {
		t.Errorf("an idle leader asked the bucket %d times", got-before)
	}
	b.propose(n, createShare("a"))
	if got := asked.Load(); got == before {
		t.Error("after a pause an entry was written without a look")
	}
	b.close(n)
	if got := turnsOf(t, b.store); len(got) != 1 {
		t.Errorf("turns %s", got)
	}
}

// TestI12SecondCopyEndsTheFirst: a copy of the directory of a leader that runs is started elsewhere. Nothing
// tells it from the original after a crash, so it leads, but not before the original had time to notice.
func TestI12SecondCopyEndsTheFirst(t *testing.T) {
	b := newBed(t)
	b.config.TurnLook = 10 * time.Millisecond
	first := b.lead()
	second := b.copied()
	second.config.TurnLook = time.Hour
	second.deps.Elected = func(context.Context) { t.Error("the copy leads at once") }
	n, err := second.open()
	if err != nil {
		t.Fatal(err)
	}
	waits := func() bool { return strings.Contains(n.Ready().Error(), "waiting 2h0m0s") }
	for !waits() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(2 * b.config.TurnLook) // what it looked before is too old to write by
	if _, err := first.Propose(t.Context(), createShare("b")); !errors.Is(err, ErrNotLeader) {
		t.Errorf("the original writes beside the copy: %v", err)
	}
	b.ends(first, second.config.Dir, "second one")
	n.Close()
	// A crash while it waited is no reason not to wait.
	n, err = second.open()
	if err != nil {
		t.Fatal(err)
	}
	for !waits() {
		time.Sleep(time.Millisecond)
	}
	n.Close()
	second.config.TurnLook = 10 * time.Millisecond
	n = second.lead()
	b.propose(n, createShare("a"))
	b.deposed("second one")
}

// TestMissingTurnIsNoDenial: a role that may list the control plane's folder alone is denied when it asks for an object that is
// missing. The leader knows from the list that nobody has taken its next turn, and complains of nothing.
func TestMissingTurnIsNoDenial(t *testing.T) {
	b := newBed(t)
	b.config.TurnLook = 10 * time.Millisecond
	asked, complaints := atomic.Int64{}, atomic.Int64{}
	b.deps.Store = &ownFolder{Claims: b.store, asked: &asked}
	b.deps.Logger = slog.New(counter{slog.DiscardHandler, &complaints})
	n := b.lead()
	defer n.Close()
	for began := asked.Load(); asked.Load() < began+3; {
		b.propose(n, createShare("a"))
	}
	if got := complaints.Load(); got != 0 {
		t.Errorf("the leader complained %d times of its bucket", got)
	}
}

// counter counts warnings and errors.
type counter struct {
	slog.Handler
	n *atomic.Int64
}

func (c counter) Enabled(context.Context, slog.Level) bool { return true }

func (c counter) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		c.n.Add(1)
	}
	return nil
}

// ownFolder answers as S3 does where s3:ListBucket is allowed under a condition on s3:prefix.
type ownFolder struct {
	Claims
	asked *atomic.Int64 // for what is missing
}

func (o *ownFolder) Head(ctx context.Context, key string) (objstore.Info, error) {
	info, err := o.Claims.Head(ctx, key)
	if errors.Is(err, objstore.ErrNotFound) {
		o.asked.Add(1)
		return info, &objstore.Error{Op: "head " + key, Class: objstore.ErrDenied, Cause: errors.New("403 Forbidden")}
	}
	return info, err
}

// TestI12CopiesThatStartAtOnce: whoever is first leads.
func TestI12CopiesThatStartAtOnce(t *testing.T) {
	b := newBed(t)
	b.config.TurnLook = 10 * time.Millisecond
	b.close(b.lead())
	beds := []*bed{b, b.copied(), b.copied()}
	var nodes []*Node
	led := make(chan int, len(beds))
	for i, c := range beds {
		c.deps.Elected = func(context.Context) { led <- i }
		n, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		nodes = append(nodes, n)
	}
	winner := <-led
	for i, n := range nodes {
		if i != winner {
			beds[i].ends(n)
		}
	}
	if err := nodes[winner].Confirm(t.Context()); err != nil {
		t.Errorf("the winner: %v", err)
	}
	if len(led) > 0 {
		t.Error("two have led")
	}
}

// TestCrashAroundATurn: the process dies at each step of taking its turn; the next start goes on.
func TestCrashAroundATurn(t *testing.T) {
	for name, c := range map[string]struct {
		stored bool
		turns  int // in the end
	}{
		"before the put":                 {false, 1},
		"between the put and its answer": {true, 2}, // the first one may be known to a copy: it is not led by
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			tried := make(chan struct{}, 8)
			b.deps.Store = &hooked{Claims: b.store, put: func(put func() error) error {
				if len(turnsOf(t, b.store)) > 0 || read1(t, b.store) == nil { // the cluster object comes first
					return put()
				}
				if c.stored {
					if err := put(); err != nil {
						return err
					}
				}
				tried <- struct{}{}
				return objstore.ErrUnavailable
			}, head: func() error {
				if len(turnsOf(t, b.store)) > 0 {
					return objstore.ErrUnavailable // so that it does not learn what became of it
				}
				return nil
			}}
			n, err := b.open()
			if err != nil {
				t.Fatal(err)
			}
			<-tried
			b.close(n)
			b.deps.Store = b.store
			b.close(b.lead())
			if got := turnsOf(t, b.store); len(got) != c.turns {
				t.Errorf("turns %s", got)
			}
			b.close(b.lead())
		})
	}
}

// read1 is the cluster object, or nil.
func read1(t *testing.T, s *memstore.Store) []byte {
	raw, err := s.GetRange(t.Context(), clusterKey, 0, -1)
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		t.Error(err)
	}
	return raw
}

// TestTurnOfUnknownOutcome: a put whose answer is lost is looked up, and made again if it is not there.
func TestTurnOfUnknownOutcome(t *testing.T) {
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprint("stored=", stored), func(t *testing.T) {
			b := newBed(t)
			b.close(b.lead())
			puts := 0
			b.deps.Store = &hooked{Claims: b.store, put: func(put func() error) error {
				if puts++; puts > 1 {
					return put()
				}
				if stored {
					return errors.Join(put(), objstore.ErrUnknownOutcome)
				}
				return objstore.ErrUnknownOutcome
			}}
			b.close(b.lead())
			if got := turnsOf(t, b.store); len(got) != 2 {
				t.Errorf("turns %s", got)
			}
		})
	}
}

// TestTurnThatIsNotOurs: what stands where turns are kept, and what is missing there.
func TestTurnThatIsNotOurs(t *testing.T) {
	last, next := "main/meta/1/turns/0000000000000001", "main/meta/1/turns/0000000000000002"
	for name, c := range map[string]struct {
		change func(s *memstore.Store) error
		words  []string
	}{
		"its last is gone":    {func(s *memstore.Store) error { return s.Delete(t.Context(), last) }, []string{last, "is gone", "--bucket"}},
		"its last is another": {func(s *memstore.Store) error { return overwrite(t, s, last, "{}") }, []string{last, "--bucket"}},
		"its last is junk":    {func(s *memstore.Store) error { return overwrite(t, s, last, "<html>") }, []string{last, "--bucket"}},
		"the next is junk":    {func(s *memstore.Store) error { return overwrite(t, s, next, "") }, []string{next, "another prefix"}},
		"of another cluster":  {func(s *memstore.Store) error { return overwrite(t, s, next, `{"cluster_id":"x"}`) }, []string{next, "another prefix"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.close(b.lead())
			if err := c.change(b.store); err != nil {
				t.Fatal(err)
			}
			b.deposed(c.words...)
		})
	}
}

func overwrite(t *testing.T, s *memstore.Store, key, body string) error {
	return errors.Join(s.Delete(t.Context(), key), s.PutNew(t.Context(), key, [][]byte{[]byte(body)}, checksum(body)))
}

// TestDirectoryWithoutTurns: one of an earlier version goes on, and is told from its copies from then on.
func TestDirectoryWithoutTurns(t *testing.T) {
	b := newBed(t)
	b.close(b.lead())
	if err := b.store.Delete(t.Context(), "main/meta/1/turns/0000000000000001"); err != nil {
		t.Fatal(err)
	}
	forgetTurns(t, b)
	before := b.copied()
	b.close(b.lead())
	before.deposed("turns/0000000000000001", "older copy")
}

func forgetTurns(t *testing.T, b *bed) {
	s, err := boltdb.NewBoltStore(filepath.Join(b.config.Dir, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Set(turnKey, []byte("{}")), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// forgetful is a disk that is full.
type forgetful struct{}

func (forgetful) Get([]byte) ([]byte, error) { return nil, boltdb.ErrKeyNotFound }
func (forgetful) Set(_, _ []byte) error      { return errFull }

// TestNonceIsOnDiskFirst: a turn that no directory would recognise is never put.
func TestNonceIsOnDiskFirst(t *testing.T) {
	b := newBed(t)
	n := b.lead()
	defer n.Close()
	was := len(turnsOf(t, b.store))
	full := &turns{claim: n.claim, disk: forgetful{}}
	if err := full.take(t.Context(), 1, time.Now()); !errors.Is(err, errFull) {
		t.Errorf("taken with %v", err)
	}
	if got := turnsOf(t, b.store); len(got) != was {
		t.Errorf("turns %s", got)
	}
}
