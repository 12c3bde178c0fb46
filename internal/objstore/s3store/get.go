package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// bodyAttempts is how often a read whose answer broke off is tried in all; the SDK itself
// tries again only what fails before its answer, and is not throttled.
const bodyAttempts = 3

// errBroken marks an answer that broke off.
var errBroken = errors.New("answer broke off")

// GetRange implements objstore.Getter.
func (s *Store) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	if err := objstore.Check(ctx, "get", key); err != nil {
		return nil, err
	}
	if err := objstore.Invalid("get", key, objstore.CheckRange(position, length)); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		b, err := s.get(ctx, key, position, length)
		if err == nil || attempt == bodyAttempts || !errors.Is(err, errBroken) {
			return b, err
		}
		objstore.Repeat(ctx)
	}
}

func (s *Store) get(ctx context.Context, key string, position, length int64) ([]byte, error) {
	r, ctx, cancel := s.begin(ctx, "get", key, false)
	defer cancel()
	in := &s3.GetObjectInput{Bucket: aws.String(s.cfg.Bucket), Key: aws.String(key), ExpectedBucketOwner: s.owner}
	switch {
	case length >= 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", position, position+length-1))
	case position > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", position))
	}
	var out *s3.GetObjectOutput
	err := r.do(ctx, func(ctx context.Context) (err error) {
		out, err = s.client.GetObject(ctx, in, s.patiently)
		return err
	})
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	defer out.Body.Close() // read to its end, or given up: closing tells nothing new
	n, err := answered(out, position, length)
	if err != nil {
		return nil, objstore.Invalid("get", key, err)
	}
	b := objstore.Room(ctx, n)
	if read, err := io.ReadFull(out.Body, b); err != nil {
		return nil, r.broken(ctx, read, n, err)
	}
	return b, nil
}

// answered is how many bytes the answer holds, if it is the answer to this range.
func answered(out *s3.GetObjectOutput, position, length int64) (int64, error) {
	if length < 0 && position == 0 {
		if out.ContentLength == nil {
			return 0, errors.New("the server does not say how long the object is")
		}
		return objstore.ClipRange(0, -1, *out.ContentLength)
	}
	if out.ContentRange == nil {
		return 0, errors.New("the server ignores the Range header")
	}
	var first, last, size int64
	if _, err := fmt.Sscanf(*out.ContentRange, "bytes %d-%d/%d", &first, &last, &size); err != nil {
		return 0, fmt.Errorf("the server answered with the range %q", *out.ContentRange)
	}
	n, err := objstore.ClipRange(position, length, size)
	if err == nil && (first != position || last-first+1 != n) {
		err = fmt.Errorf("the server answered with the range %q", *out.ContentRange)
	}
	return n, err
}

// broken is the error of an answer that ended after read of n bytes.
func (r *request) broken(ctx context.Context, read int, n int64, err error) error {
	if r.caller.Err() != nil {
		return objstore.Lost(r.caller, r.op, r.name, false)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &objstore.Error{Op: r.op, Name: r.name, Class: objstore.ErrUnavailable,
		Cause: fmt.Errorf("%w after %d of %d bytes: %w", errBroken, read, n, plain{err})}
}
