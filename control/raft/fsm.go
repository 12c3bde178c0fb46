package raft

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// machine is raft's view of the state. Apply holds the lock while it changes the state and while it
// hands the events on, so that whoever holds the lock for reading sees the state and the stream of
// events at the same point: a watch registers and reads its ends in one step.
type machine struct {
	limits  control.Limits
	applied func(*control.State, control.Result) // called under the lock, in order
	restore func()                               // called under the lock, when the state was replaced
	fail    func(error)
	m       *metrics
	mono    func() time.Duration // the wall clock may jump while an entry waits for its snapshot

	mu     sync.RWMutex
	state  *control.State
	broken error // set for good when an entry cannot be understood

	index   atomic.Uint64 // last applied entry
	bytes   atomic.Int64  // log applied since the last snapshot
	pending atomic.Int64  // when the oldest entry since then was applied, by mono; 0: none
	size    atomic.Int64  // bytes of the last snapshot written or read
}

// read runs f under the lock.
func (f *machine) read(read func(*control.State)) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	read(f.state)
}

// Apply implements raft.FSM.
func (f *machine) Apply(l *hraft.Log) any { return f.ApplyBatch([]*hraft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. An answer is []control.Result, or an error.
func (f *machine) ApplyBatch(logs []*hraft.Log) []any {
	answers := make([]any, len(logs))
	for i, l := range logs {
		if l.Type == hraft.LogCommand {
			answers[i] = f.entry(l)
		}
	}
	return answers
}

// entry applies one entry, or none of it.
//
// An entry carries the term in which it was proposed. If raft logged it in another one, its proposer
// had lost leadership and won it again without having noticed: its stamps are of an old clock and it
// came before the barrier of the new term. It is void, on every node and at every replay.
func (f *machine) entry(l *hraft.Log) any {
	start := time.Now()
	entry := &controlpb.Entry{}
	err := proto.Unmarshal(l.Data, entry)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return f.broken
	}
	if err != nil {
		f.broken = fmt.Errorf("read entry %d of the log: %w (was it written by a newer version?)", l.Index, err)
		f.fail(f.broken)
		return f.broken
	}
	if entry.GetTerm() != l.Term {
		return ErrNotLeader
	}
	results := make([]control.Result, len(entry.GetCommands()))
	for i, c := range entry.GetCommands() {
		results[i] = f.state.Apply(c)
		f.applied(f.state, results[i])
	}
	f.index.Store(l.Index)
	f.bytes.Add(int64(len(l.Data)))
	f.pending.CompareAndSwap(0, int64(f.mono()))
	f.m.applied.Set(float64(l.Index))
	f.m.unsnapshotted.Set(float64(f.bytes.Load()))
	f.m.apply.Observe(time.Since(start).Seconds())
	return results
}

// Snapshot implements raft.FSM: it only marks.
func (f *machine) Snapshot() (hraft.FSMSnapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, f.broken
	}
	return &frozen{snapshot: f.state.Snapshot(), machine: f, bytes: f.bytes.Load(), pending: f.pending.Swap(0)}, nil
}

// Restore implements raft.FSM.
func (f *machine) Restore(r io.ReadCloser) error {
	counted := &countedReader{r: r}
	state, err := control.ReadState(counted, f.limits)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = state
	f.bytes.Store(0)
	f.pending.Store(0)
	f.size.Store(counted.n)
	f.restore()
	return nil
}

// countedReader counts what is read.
type countedReader struct {
	r io.Reader
	n int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// frozen is a snapshot between its mark and its end.
type frozen struct {
	snapshot *control.Snapshot
	machine  *machine
	bytes    int64
	pending  int64
	stored   bool
}

// Persist implements raft.FSMSnapshot.
func (s *frozen) Persist(sink hraft.SnapshotSink) error {
	n, err := s.snapshot.WriteTo(sink)
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	s.stored = true
	s.machine.size.Store(n)
	return nil
}

// Release implements raft.FSMSnapshot. What was marked and not written counts again.
func (s *frozen) Release() {
	s.snapshot.Release()
	if s.stored {
		s.machine.bytes.Add(-s.bytes)
		s.machine.m.unsnapshotted.Set(float64(s.machine.bytes.Load()))
		return
	}
	if s.pending != 0 {
		s.machine.pending.Store(s.pending)
	}
}
