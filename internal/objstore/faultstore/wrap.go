package faultstore

import (
	"bytes"
	"context"
	"math/rand/v2"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// Options are what the wrappers take from outside.
type Options struct {
	Seed  uint64
	Now   func() time.Time                                 // nil: time.Now
	Sleep func(ctx context.Context, d time.Duration) error // nil: a timer; ends early with the context's error
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o Options) rng(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(o.Seed, stream)) }

// The operations, as faults name them.
const (
	opPut       = "put"
	opGet       = "get"
	opHead      = "head"
	opDelete    = "delete"
	opList      = "list"
	opMultipart = "multipart"
)

// call is one request on its way.
type call struct {
	op     string
	key    string
	write  bool
	repeat bool  // it may be carried out twice without harm, so its answer may be lost
	size   int64 // bytes sent
	// late keeps what the request needs, and returns the request to carry out once its caller has
	// gone; nil where that cannot be.
	late func() func(context.Context) error
}

// hook stands around every request. do carries it out and returns the bytes that came back.
type hook interface {
	around(ctx context.Context, c call, do func(context.Context) (int64, error)) error
	close()
}

// Store is a store with a hook around every request.
type Store struct {
	inner objstore.Store
	hook  hook
}

// PutNew implements objstore.Putter.
func (s *Store) PutNew(ctx context.Context, key string, body [][]byte, crc32c uint32) error {
	c := call{op: opPut, key: key, write: true, repeat: true, size: objstore.Size(body)}
	c.late = func() func(context.Context) error {
		own := [][]byte{bytes.Join(body, nil)} // the caller has its slices back by then
		return func(ctx context.Context) error { return s.inner.PutNew(ctx, key, own, crc32c) }
	}
	return s.hook.around(ctx, c, func(ctx context.Context) (int64, error) {
		return 0, s.inner.PutNew(ctx, key, body, crc32c)
	})
}

// GetRange implements objstore.Getter.
func (s *Store) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	var b []byte
	err := s.hook.around(ctx, call{op: opGet, key: key, repeat: true}, func(ctx context.Context) (n int64, err error) {
		b, err = s.inner.GetRange(ctx, key, position, length)
		return int64(len(b)), err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Head implements objstore.Store.
func (s *Store) Head(ctx context.Context, key string) (objstore.Info, error) {
	var info objstore.Info
	err := s.hook.around(ctx, call{op: opHead, key: key, repeat: true}, func(ctx context.Context) (n int64, err error) {
		info, err = s.inner.Head(ctx, key)
		return 0, err
	})
	if err != nil {
		return objstore.Info{}, err
	}
	return info, nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.hook.around(ctx, call{op: opDelete, key: key, write: true, repeat: true}, func(ctx context.Context) (int64, error) {
		return 0, s.inner.Delete(ctx, key)
	})
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) (page []objstore.Info, more bool, err error) {
	err = s.hook.around(ctx, call{op: opList, key: prefix, repeat: true}, func(ctx context.Context) (n int64, err error) {
		page, more, err = s.inner.List(ctx, prefix, after, limit)
		return 0, err
	})
	if err != nil {
		return nil, false, err
	}
	return page, more, nil
}

// Multipart implements objstore.Store.
func (s *Store) Multipart(ctx context.Context, key string) (objstore.Multipart, error) {
	var inner objstore.Multipart
	err := s.hook.around(ctx, call{op: opMultipart, key: key, write: true}, func(ctx context.Context) (n int64, err error) {
		inner, err = s.inner.Multipart(ctx, key)
		return 0, err
	})
	if err != nil {
		return nil, err
	}
	return &upload{store: s, key: key, inner: inner}, nil
}

// Clock implements objstore.Clocked; the clock has no faults, only those of the store inside.
func (s *Store) Clock(ctx context.Context) (time.Time, error) { return objstore.Clock(ctx, s.inner) }

// Close implements objstore.Store. It waits for what was to be carried out late.
func (s *Store) Close() error {
	s.hook.close()
	return s.inner.Close()
}

// upload is an upload in parts with the hook around each request. The answer of a part is never lost: sent again it
// would be another part.
type upload struct {
	store *Store
	key   string
	inner objstore.Multipart
}

func (u *upload) Part(ctx context.Context, body [][]byte) error {
	c := call{op: opMultipart, key: u.key, write: true, size: objstore.Size(body)}
	return u.store.hook.around(ctx, c, func(ctx context.Context) (int64, error) { return 0, u.inner.Part(ctx, body) })
}

func (u *upload) Complete(ctx context.Context) error {
	c := call{op: opMultipart, key: u.key, write: true, repeat: true}
	return u.store.hook.around(ctx, c, func(ctx context.Context) (int64, error) { return 0, u.inner.Complete(ctx) })
}

func (u *upload) Abort(ctx context.Context) error { return u.inner.Abort(ctx) }
