package raft

import (
	"context"
	"errors"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// SecondClock tells the time of a clock that is not this machine's.
type SecondClock func(context.Context) (time.Time, error)

// bucketClock asks the bucket for its time: S3's servers, or the file system of a bucket of files.
func bucketClock(store any) SecondClock {
	return func(ctx context.Context) (time.Time, error) {
		if c, ok := store.(objstore.Clocked); ok {
			return c.Clock(ctx)
		}
		return time.Time{}, errors.New("the bucket has no clock")
	}
}
