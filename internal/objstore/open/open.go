package open

import (
	"context"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/faultstore"
	"github.com/isthmusdata/isthmus/internal/objstore/filestore"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
	"github.com/isthmusdata/isthmus/internal/objstore/s3store"
)

// Open makes the store that a bucket URL names. It asks nothing of the bucket yet: that it is missing
// or denied shows at the first request.
func Open(ctx context.Context, raw string) (objstore.Store, error) {
	spec, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	return spec.Open(ctx)
}

// Open makes the store. Latency and faults stand inside the prefix, so that they see whole keys.
func (s Spec) Open(ctx context.Context) (objstore.Store, error) {
	store, err := s.bare(ctx)
	if err != nil {
		return nil, err
	}
	options := faultstore.Options{Seed: s.Seed}
	if profile, ok := faultstore.FindProfile(s.Latency); ok {
		store = faultstore.NewLatency(store, profile, options)
	}
	if len(s.Faults) > 0 {
		store = faultstore.NewFaults(store, s.Faults, options)
	}
	if s.Prefix != "" {
		store = &prefixed{inner: store, prefix: s.Prefix + "/"}
	}
	return store, nil
}

func (s Spec) bare(ctx context.Context) (objstore.Store, error) {
	switch s.Scheme {
	case "s3":
		return s3store.New(ctx, s.S3)
	case "file":
		return filestore.Open(s.Dir)
	}
	return memstore.Open(s.Name), nil
}
