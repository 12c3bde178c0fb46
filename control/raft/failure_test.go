package raft

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// faulty is a log whose disk is full once it is told so.
type faulty struct {
	hraft.LogStore
	full atomic.Bool
}

var errFull = errors.New("no space left on device")

func (f *faulty) StoreLogs(logs []*hraft.Log) error {
	if f.full.Load() {
		return errFull
	}
	return f.LogStore.StoreLogs(logs)
}

// TestFullDiskEndsTheNode: nothing is answered that the log does not hold (I3), the node says why, and
// a restart on a disk with room has everything that was answered.
func TestFullDiskEndsTheNode(t *testing.T) {
	b := newBed(t)
	disk := &faulty{}
	b.config.wrapLog = func(l hraft.LogStore) hraft.LogStore {
		disk.LogStore = l
		return disk
	}
	n := b.lead()
	b.propose(n, createShare("a"))
	disk.full.Store(true)
	if r, err := n.Propose(t.Context(), createShare("b")); err == nil {
		t.Fatalf("answered %v from a full disk", r)
	} else if !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, errFull) {
		t.Errorf("the caller is told %v", err)
	}
	<-n.Done()
	if err := n.Err(); !errors.Is(err, errFull) || !errors.Is(err, ErrStopped) {
		t.Errorf("the node says %v", err)
	}
	if err := n.Confirm(t.Context()); err == nil {
		t.Error("a failed node confirms reads")
	}
	n.Close()
	disk.full.Store(false)
	if got := fmt.Sprint(shares(b.lead())); got != "[a]" {
		t.Errorf("after a restart there are shares %s", got)
	}
}

// TestUnwritableVoteEndsTheNode: raft alone would panic when it cannot store its term.
func TestUnwritableVoteEndsTheNode(t *testing.T) {
	failed := make(chan error, 1)
	s := newVoteStore(hraft.NewInmemStore(), "log.db", func(err error) { failed <- err })
	s.armAfter(1)
	s.StableStore = broken{}
	if err := s.SetUint64(nil, 1); !errors.Is(err, errFull) {
		t.Fatalf("the first write, of NewRaft: %v", err)
	}
	ended := make(chan bool, 1)
	go func() {
		defer func() { ended <- recover() == nil }()
		s.SetUint64(nil, 2)
		ended <- false // not reached
	}()
	if !<-ended {
		t.Error("the goroutine went on, or panicked")
	}
	if err := <-failed; !errors.Is(err, errFull) {
		t.Error(err)
	}
}

type broken struct{ hraft.StableStore }

func (broken) SetUint64([]byte, uint64) error { return errFull }

// TestEntryOfAnotherTermIsVoid logs what a proposer wrote that had not noticed its deposition.
func TestEntryOfAnotherTermIsVoid(t *testing.T) {
	b := newBed(t)
	n := b.lead()
	entry, err := proto.Marshal(&controlpb.Entry{Term: n.raft.CurrentTerm() - 1, Commands: []*controlpb.Command{createShare("a")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outcome(n.raft.Apply(entry, 0), n.await); !errors.Is(err, ErrNotLeader) {
		t.Errorf("answered %v", err)
	}
	if got := shares(n); len(got) > 0 {
		t.Errorf("applied: %v", got)
	}
}

// TestUnreadableEntryEndsTheNode: an entry of a later version must not be skipped.
func TestUnreadableEntryEndsTheNode(t *testing.T) {
	b := newBed(t)
	n := b.lead()
	if _, err := outcome(n.raft.Apply([]byte{0xff}, 0), n.await); err == nil {
		t.Error("answered")
	}
	<-n.Done()
	n.Close()
	if n, err := b.open(); err == nil {
		<-n.Done() // it stops again at its replay
		n.Close()
	}
}

func TestSnapshotsAreDueByBytesAndByAge(t *testing.T) {
	b := newBed(t)
	b.config.SnapshotBytes, b.config.SnapshotAge = 4096, 10*time.Hour
	n := b.lead()
	b.propose(n, createShare("a"))
	now := n.mono()
	if n.due(now) || !n.due(now+11*time.Hour) {
		t.Error("age does not decide")
	}
	for range 20 {
		c := createShare("b")
		c.GetCreateShare().Share.Bucket = strings.Repeat("x", 400)
		b.propose(n, c)
	}
	if !n.due(now) {
		t.Error("bytes do not decide")
	}
	if err := n.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n.due(now + 11*time.Hour) {
		t.Error("due again, with nothing applied since")
	}
}
