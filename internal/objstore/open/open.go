package open

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

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

// Access says how a bucket is reached, beside what its URL says. It is for buckets of S3 alone: others leave it aside.
type Access struct {
	Region      string // empty, or the URL has one: as without it
	Owner       string // account that must own the bucket; empty: as the URL says
	KMSKey      string // ARN of the key that objects are encrypted with; empty: as the bucket does by itself
	Credentials aws.CredentialsProvider
}

// By reaches the bucket so. A URL and an Access that name different owners are a mistake that must not be decided here.
func (s Spec) By(a Access) (Spec, error) {
	if s.Scheme != "s3" {
		return s, nil
	}
	if s.S3.Region == "" {
		s.S3.Region = a.Region
	}
	if a.Owner != "" && s.S3.BucketOwner != "" && a.Owner != s.S3.BucketOwner {
		return s, refuse("s3://"+s.S3.Bucket, fmt.Errorf("the URL says that account %s owns the bucket, and the share says %s", s.S3.BucketOwner, a.Owner), "correct one of them")
	}
	if a.Owner != "" {
		s.S3.BucketOwner = a.Owner
	}
	s.S3.KMSKey, s.S3.Credentials = a.KMSKey, a.Credentials
	return s, nil
}

// Open makes the store. Latency, faults and throttling stand inside the prefix, so that they see whole keys.
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
	if s.Limit != nil {
		store = faultstore.NewThrottle(store, *s.Limit, options)
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
