package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/fetch"
	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/metered"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
	"github.com/isthmusdata/isthmus/produce"
)

// storeOpener opens a bucket by its URL.
type storeOpener func(ctx context.Context, url string) (objstore.Store, error)

func openStore(ctx context.Context, url string) (objstore.Store, error) { return open.Open(ctx, url) }

// checkBucket reports what is wrong with a bucket's URL, without asking the bucket.
func checkBucket(url string) error {
	_, err := open.Parse(url)
	return err
}

// stores are the buckets of the shares that an agent was told of, opened when first used.
type stores struct {
	open    storeOpener
	metrics *metered.Metrics
	watch   func(share string, store objstore.Store) objstore.Store

	mu      sync.Mutex
	buckets map[string]string // URL by share
	opened  map[string]*metered.Store
}

func newStores(deps agentDeps, shares []client.Share, watch func(string, objstore.Store) objstore.Store) (*stores, error) {
	metrics, err := metered.NewMetrics(deps.registry)
	if err != nil {
		return nil, fmt.Errorf("register the metrics of object storage: %w", err)
	}
	s := &stores{open: deps.open, metrics: metrics, watch: watch, buckets: map[string]string{}, opened: map[string]*metered.Store{}}
	s.learn(shares)
	return s, nil
}

// learn takes in the shares that are granted now. A share never moves to another bucket. One that is no longer granted
// is not opened any more; if it is open, the control plane and the bucket refuse what is asked of them.
func (s *stores) learn(shares []client.Share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.buckets)
	for _, share := range shares {
		s.buckets[share.Name] = share.Bucket
	}
}

func (s *stores) store(ctx context.Context, share string) (*metered.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if store := s.opened[share]; store != nil {
		return store, nil
	}
	url, ok := s.buckets[share]
	if !ok {
		return nil, fmt.Errorf("share %q is not granted to this agent's group, or it has not heard of it yet: %w", share, objstore.ErrDenied)
	}
	inner, err := s.open(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("open the bucket of share %s: %w", share, err)
	}
	s.opened[share] = metered.New(s.watch(share, inner), s.metrics)
	return s.opened[share], nil
}

// putOnly hides everything of a store but what produce may do.
type putOnly struct{ objstore.Putter }

// getOnly hides everything of a store but what fetch may do.
type getOnly struct{ objstore.Getter }

func (s *stores) putter(ctx context.Context, share string) (produce.Uploader, error) {
	store, err := s.store(ctx, share)
	if err != nil {
		return nil, err
	}
	return putOnly{store}, nil
}

func (s *stores) getter(share string) (fetch.Getter, error) {
	store, err := s.store(context.Background(), share)
	if err != nil {
		return nil, err
	}
	return getOnly{store}, nil
}

func (s *stores) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, store := range s.opened {
		_ = store.Close() // nothing is under way any more, and nothing is written at close
	}
}
