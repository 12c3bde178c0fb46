package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/fetch"
	"github.com/isthmusdata/isthmus/iam/creds"
	"github.com/isthmusdata/isthmus/internal/meter"
	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/metered"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
	"github.com/isthmusdata/isthmus/produce"
)

// storeOpener opens a bucket by its URL, reached as it is said.
type storeOpener func(ctx context.Context, url string, by open.Access) (objstore.Store, error)

func openBucket(ctx context.Context, url string, by open.Access) (objstore.Store, error) {
	spec, err := open.Parse(url)
	if err != nil {
		return nil, err
	}
	if spec, err = spec.By(by); err != nil {
		return nil, err
	}
	return spec.Open(ctx)
}

// checkBucket reports what is wrong with a bucket's URL, without asking the bucket.
func checkBucket(url string) error {
	_, err := open.Parse(url)
	return err
}

// storesDeps is what stores are made of.
type storesDeps struct {
	agentDeps
	Credentials credentialsConfig
	Cluster     string // first part of every key
	Group       string
	Agent       string
	Meter       *meter.Meter
	Life        context.Context // of the agent
	Spawn       func(func())    // runs a part of the agent

	// Cut is told when a bucket has fallen silent, Lost when access to it is refused, and both when that is over.
	Cut  func(share string, cut bool)
	Lost func(share, role string, why error) // nil: it is there again
	// Active says whether clients have fetched lately.
	Active func() bool
}

// stores are the buckets of the shares that an agent was told of, opened when first used: for each role of the agent by
// itself, with the credentials of that role alone.
type stores struct {
	storesDeps
	metrics *metered.Metrics
	iam     *creds.Metrics

	mu      sync.Mutex
	shares  map[string]client.Share
	opened  map[shareRole]*openedStore
	retired []*openedStore // reached otherwise by now; closed at the end, for they may be in use
}

type shareRole struct{ share, role string }

// reach is what makes it another store when it changes.
type reach struct{ bucket, region, account, kmsKey, arn, externalID string }

type openedStore struct {
	*metered.Store
	access *access
	reach  reach
	cancel context.CancelFunc // ends what runs for it
}

func newStores(deps storesDeps, shares []client.Share) (*stores, error) {
	metrics, err := metered.NewMetrics(deps.registry)
	if err != nil {
		return nil, fmt.Errorf("register the metrics of object storage: %w", err)
	}
	iam, err := creds.NewMetrics(deps.registry)
	if err != nil {
		return nil, err
	}
	s := &stores{storesDeps: deps, metrics: metrics, iam: iam, shares: map[string]client.Share{}, opened: map[shareRole]*openedStore{}}
	s.learn(shares)
	return s, nil
}

// learn takes in the shares that are granted now. A share never moves to another bucket, but it may be reached by another role.
// One that is no longer granted is not opened any more; if it is open, the control plane and the bucket refuse what is
// asked of them, and that is no loss of access.
func (s *stores) learn(shares []client.Share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.shares)
	for _, share := range shares {
		s.shares[share.Name] = share
	}
	for key, o := range s.opened {
		share, granted := s.shares[key.share]
		if !granted {
			o.access.forget()
			continue
		}
		o.access.remember()
		if o.reach != reachOf(share, s.roleOf(share, key.role)) {
			o.cancel()
			o.access.forget()
			s.retired = append(s.retired, o)
			delete(s.opened, key)
		}
	}
}

// roleOf is the IAM role by which this agent, in a role of its own, reaches a share.
func (s *stores) roleOf(share client.Share, role string) client.ShareRole {
	for _, r := range share.Roles {
		if r.Group == s.Group && r.Role == role {
			return r
		}
	}
	return client.ShareRole{Group: s.Group, Role: role}
}

func reachOf(s client.Share, r client.ShareRole) reach {
	return reach{bucket: s.Bucket, region: s.Region, account: s.Account, kmsKey: s.KMSKey, arn: r.ARN, externalID: r.ExternalID}
}

func (s *stores) store(ctx context.Context, name, role string) (*openedStore, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := shareRole{name, role}
	if o := s.opened[key]; o != nil {
		return o, nil
	}
	share, ok := s.shares[name]
	if !ok {
		return nil, fmt.Errorf("share %q is not granted to this agent's group, or it has not heard of it yet: %w", name, objstore.ErrDenied)
	}
	o, err := s.openShare(ctx, share, s.roleOf(share, role))
	if err != nil {
		return nil, fmt.Errorf("open the bucket of share %s to %s: %w", name, role, err)
	}
	s.opened[key] = o
	return o, nil
}

// openShare opens a share's bucket, and lets its credentials be renewed as long as it is reached by them.
func (s *stores) openShare(ctx context.Context, share client.Share, role client.ShareRole) (*openedStore, error) {
	spec, err := open.Parse(share.Bucket)
	if err != nil {
		return nil, err
	}
	by := open.Access{Region: share.Region, Owner: share.Account}
	if role.Role == "produce" {
		by.KMSKey = share.KMSKey
	}
	remote := spec.Scheme == "s3"
	life, cancel := context.WithCancel(s.Life)
	var provider *creds.Provider
	if remote {
		if provider, err = s.provider(ctx, share, role, s.iam); err != nil {
			cancel()
			return nil, err
		}
		by.Credentials = provider
	}
	inner, err := s.open(ctx, share.Bucket, by)
	if err != nil {
		cancel()
		return nil, err
	}
	if provider != nil {
		s.Spawn(func() { provider.Run(life) })
	}
	watched := &watchedStore{Store: inner, life: s.Life, spawn: s.Spawn, tell: func(cut bool) { s.Cut(share.Name, cut) }}
	counted := metered.New(watched, s.metrics).For(s.Meter.Share(share.Name))
	guard := newAccess(counted, accessDeps{
		cluster: s.Cluster, agent: s.Agent, role: role.Role, life: life, spawn: s.Spawn, active: s.Active,
		tell: func(why error) { s.Lost(share.Name, role.Role, why) },
		log:  s.log.With("share", share.Name, "role", role.Role),
	})
	if remote && role.Role == "fetch" {
		s.Spawn(guard.watchIdle)
	}
	return &openedStore{Store: counted, access: guard, reach: reachOf(share, role), cancel: cancel}, nil
}

// provider makes the credentials of a role; nil metrics are kept private.
func (s *stores) provider(ctx context.Context, share client.Share, role client.ShareRole, metrics *creds.Metrics) (*creds.Provider, error) {
	o, err := s.Credentials.options(s.Cluster, share, role, s.Agent)
	if err != nil {
		return nil, err
	}
	o.Metrics, o.Log = metrics, s.log
	if s.wall != nil {
		o.Clock = creds.WallClock(s.wall)
	}
	return creds.New(ctx, o)
}

// putOnly hides everything of a store but what produce may do.
type putOnly struct{ objstore.Putter }

// getOnly hides everything of a store but what fetch may do.
type getOnly struct{ objstore.Getter }

func (s *stores) putter(ctx context.Context, share string) (produce.Uploader, error) {
	o, err := s.store(ctx, share, "produce")
	if err != nil {
		return nil, err
	}
	return putOnly{o.access}, nil
}

func (s *stores) getter(share string) (fetch.Getter, error) {
	o, err := s.store(context.Background(), share, "fetch")
	if err != nil {
		return nil, err
	}
	return getOnly{o.access}, nil
}

func (s *stores) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.opened {
		s.retired = append(s.retired, o)
	}
	for _, o := range s.retired {
		o.cancel()
		_ = o.Close() // nothing is under way any more, and nothing is written at close
	}
}
