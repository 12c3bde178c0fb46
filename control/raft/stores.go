package raft

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"
	boltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// openLog opens log.db. The free list is not kept on disk: it is rebuilt at the start, which costs
// a scan, instead of being written with every entry, which costs every commit.
func openLog(path string) (store *boltdb.BoltStore, err error) {
	// bbolt panics on pages it cannot make sense of, and maps the file: pages that are not there are faults.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			store, err = nil, fmt.Errorf("open %s: damaged: %v (restore the data directory from a copy)", path, p)
		}
	}()
	options := *bbolt.DefaultOptions
	options.Timeout = time.Second
	options.NoFreelistSync = true
	options.FreelistType = bbolt.FreelistMapType
	store, err = boltdb.New(boltdb.Options{Path: path, BoltOptions: &options})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w (the file must be readable and writable, and its disk not full)", path, err)
	}
	return store, nil
}

// logStore is raft's log. Its first failed write is its last: bbolt cannot say how much of it reached
// the disk, and raft would go on in a new term on top of entries that it believes are not there.
type logStore struct {
	hraft.LogStore
	path   string
	fail   func(error)
	m      *metrics
	broken atomic.Bool
}

func (s *logStore) StoreLog(l *hraft.Log) error { return s.StoreLogs([]*hraft.Log{l}) }

func (s *logStore) StoreLogs(logs []*hraft.Log) error {
	if s.broken.Load() {
		return ErrStopped
	}
	start := time.Now()
	if err := s.LogStore.StoreLogs(logs); err != nil {
		s.broken.Store(true)
		err = fmt.Errorf("write %s: %w (free its disk and start again: nothing unanswered is promised)", s.path, err)
		s.fail(err)
		return err
	}
	s.m.logged.Observe(time.Since(start).Seconds())
	return nil
}

// voteStore is raft's term and vote.
//
// raft panics when its term cannot be stored, and so would the process, in the middle of whatever
// else it does. Once raft runs, a failed write therefore ends the node and the goroutine that asked for
// it, which is raft's main loop: its deferred functions run, nobody leads any more, and the process
// stops in order. Before that, while NewRaft stores the term it has just read, the panic is NewRaft's
// caller's to recover.
type voteStore struct {
	hraft.StableStore
	path  string
	fail  func(error)
	quiet atomic.Int64 // writes to come that may fail with an error alone
}

func newVoteStore(s hraft.StableStore, path string, fail func(error)) *voteStore {
	v := &voteStore{StableStore: s, path: path, fail: fail}
	v.quiet.Store(1 << 62)
	return v
}

// armAfter lets n more writes fail with an error alone.
func (s *voteStore) armAfter(n int64) { s.quiet.Store(n) }

func (s *voteStore) Set(key, value []byte) error {
	return s.written(s.StableStore.Set(key, value))
}

func (s *voteStore) SetUint64(key []byte, value uint64) error {
	return s.written(s.StableStore.SetUint64(key, value))
}

func (s *voteStore) written(err error) error {
	quiet := s.quiet.Add(-1) >= 0
	if err == nil {
		return nil
	}
	err = fmt.Errorf("write %s: %w (free its disk and start again)", s.path, err)
	if quiet {
		return err
	}
	s.fail(err)
	runtime.Goexit()
	return err
}

// contiguous checks that the log goes on where the newest snapshot ends. raft itself would panic on
// a hole, or, with nothing but an old snapshot, begin an old life over again.
func contiguous(logs hraft.LogStore, snapshot uint64, dir string) error {
	first, err := logs.FirstIndex()
	if err != nil {
		return fmt.Errorf("read log of %s: %w", dir, err)
	}
	last, err := logs.LastIndex()
	if err != nil {
		return fmt.Errorf("read log of %s: %w", dir, err)
	}
	if last > snapshot && first > snapshot+1 {
		return fmt.Errorf("data directory %s is damaged: its newest readable snapshot ends at entry %d and its log begins at %d: restore the directory from a copy", dir, snapshot, first)
	}
	return nil
}
