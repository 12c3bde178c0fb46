// Package memstore is a bucket in memory, for tests, the simulation and a playground that
// keeps nothing.
//
// It promises what every store does (package objstore), at once and without failing; objects are
// gone when the process ends. Stores opened by the same name share their objects, as processes share
// a bucket: an agent that is killed and returns finds what it wrote. It has no metrics.
package memstore

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// Store is a bucket in memory.
type Store struct {
	now func() time.Time

	mu      sync.RWMutex
	objects btree.Map[string, object]
}

type object struct {
	body     []byte // never changed
	modified time.Time
}

// New makes an empty store of its own. now is its clock, time.Now when nil.
func New(now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{now: now}
}

// named are the stores that share by name. It is the one place where state must be the
// process's: whoever opens mem://name twice means one bucket.
var named = struct {
	sync.Mutex
	stores map[string]*Store
}{stores: map[string]*Store{}}

// Open finds or makes the store of this name.
func Open(name string) *Store {
	named.Lock()
	defer named.Unlock()
	s, ok := named.stores[name]
	if !ok {
		s = New(nil)
		named.stores[name] = s
	}
	return s
}

// Forget lets the name go; who has the store open keeps it.
func Forget(name string) {
	named.Lock()
	defer named.Unlock()
	delete(named.stores, name)
}

// PutNew implements objstore.Putter.
func (s *Store) PutNew(ctx context.Context, key string, body [][]byte, crc32c uint32) error {
	if err := objstore.Check(ctx, "put", key); err != nil {
		return err
	}
	whole := bytes.Join(body, nil)
	if err := objstore.Invalid("put", key, objstore.CheckSum(crc32.Checksum(whole, objstore.Castagnoli), crc32c)); err != nil {
		return err
	}
	return s.insert("put", key, whole)
}

func (s *Store) insert(op, key string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects.Get(key); ok {
		return &objstore.Error{Op: op, Name: key, Class: objstore.ErrExists}
	}
	s.objects.Set(key, object{body: body, modified: s.now()})
	return nil
}

// find returns an object, or why there is none.
func (s *Store) find(ctx context.Context, op, key string) (object, error) {
	if err := objstore.Check(ctx, op, key); err != nil {
		return object{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.objects.Get(key)
	if !ok {
		return object{}, &objstore.Error{Op: op, Name: key, Class: objstore.ErrNotFound}
	}
	return o, nil
}

// GetRange implements objstore.Getter.
func (s *Store) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	if err := objstore.Invalid("get", key, objstore.CheckRange(position, length)); err != nil {
		return nil, err
	}
	o, err := s.find(ctx, "get", key)
	if err != nil {
		return nil, err
	}
	n, err := objstore.ClipRange(position, length, int64(len(o.body)))
	if err != nil {
		return nil, objstore.Invalid("get", key, err)
	}
	b := objstore.Room(ctx, n)
	copy(b, o.body[position:])
	return b, nil
}

// Head implements objstore.Store.
func (s *Store) Head(ctx context.Context, key string) (objstore.Info, error) {
	o, err := s.find(ctx, "head", key)
	if err != nil {
		return objstore.Info{}, err
	}
	return objstore.Info{Key: key, Size: int64(len(o.body)), Modified: o.modified}, nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := objstore.Check(ctx, "delete", key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects.Delete(key)
	return nil
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) (page []objstore.Info, more bool, err error) {
	if err := objstore.Invalid("list", prefix, objstore.CheckList(prefix, after, limit)); err != nil {
		return nil, false, err
	}
	if err := objstore.Ended(ctx, "list", prefix); err != nil {
		return nil, false, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.objects.Ascend(max(prefix, after), func(key string, o object) bool {
		switch {
		case key <= after:
			return true
		case !strings.HasPrefix(key, prefix):
			return false
		case len(page) == limit:
			more = true
			return false
		}
		page = append(page, objstore.Info{Key: key, Size: int64(len(o.body)), Modified: o.modified})
		return true
	})
	return page, more, nil
}

// Clock implements objstore.Clocked.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	if err := objstore.Ended(ctx, "clock", "mem"); err != nil {
		return time.Time{}, err
	}
	return s.now(), nil
}

// Close implements objstore.Store; the objects stay for who opens the name again.
func (s *Store) Close() error { return nil }

// String names the store for logs.
func (s *Store) String() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return fmt.Sprintf("memory (%d objects)", s.objects.Len())
}
