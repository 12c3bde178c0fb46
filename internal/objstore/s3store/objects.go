package s3store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// PutNew implements objstore.Putter with one conditional request.
func (s *Store) PutNew(ctx context.Context, key string, buffers [][]byte, crc32c uint32) error {
	if err := objstore.Check(ctx, "put", key); err != nil {
		return err
	}
	r, ctx, cancel := s.begin(ctx, "put", key, true)
	defer cancel()
	err := r.do(ctx, func(ctx context.Context) error {
		b := newBody(buffers)
		in := &s3.PutObjectInput{
			Bucket:              aws.String(s.cfg.Bucket),
			Key:                 aws.String(key),
			Body:                b,
			ContentLength:       aws.Int64(b.size),
			ContentType:         aws.String("application/octet-stream"),
			IfNoneMatch:         aws.String("*"),
			ChecksumCRC32C:      aws.String(encodeSum(crc32c)),
			ExpectedBucketOwner: s.owner,
		}
		in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = s.encrypted()
		_, err := s.client.PutObject(ctx, in, once, s.unsigned)
		return err
	})
	if err != nil {
		return r.failed(ctx, err)
	}
	return nil
}

// unsigned leaves a payload out of the signature where TLS protects it already. Over plain
// HTTP the SDK reads the body twice, first for its SHA-256.
func (s *Store) unsigned(o *s3.Options) {
	if s.tls {
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
}

// encrypted says how an object is encrypted. The bucket's own key stands between, so that KMS is not asked for each.
func (s *Store) encrypted() (how types.ServerSideEncryption, key *string, bucketKey *bool) {
	if s.cfg.KMSKey == "" {
		return "", nil, nil
	}
	return types.ServerSideEncryptionAwsKms, aws.String(s.cfg.KMSKey), aws.Bool(true)
}

// encodeSum is how the protocol writes a CRC-32C.
func encodeSum(crc uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
}

// Head implements objstore.Store.
func (s *Store) Head(ctx context.Context, key string) (objstore.Info, error) {
	if err := objstore.Check(ctx, "head", key); err != nil {
		return objstore.Info{}, err
	}
	r, ctx, cancel := s.begin(ctx, "head", key, false)
	defer cancel()
	var out *s3.HeadObjectOutput
	err := r.do(ctx, func(ctx context.Context) (err error) {
		out, err = s.head(ctx, key)
		return err
	})
	if err != nil {
		return objstore.Info{}, r.failed(ctx, err)
	}
	return objstore.Info{Key: key, Size: aws.ToInt64(out.ContentLength), Modified: aws.ToTime(out.LastModified)}, nil
}

func (s *Store) head(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	return s.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: aws.String(s.cfg.Bucket), Key: aws.String(key), ExpectedBucketOwner: s.owner,
	})
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := objstore.Check(ctx, "delete", key); err != nil {
		return err
	}
	r, ctx, cancel := s.begin(ctx, "delete", key, true)
	defer cancel()
	err := r.do(ctx, func(ctx context.Context) error {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{
			Bucket: aws.String(s.cfg.Bucket), Key: aws.String(key), ExpectedBucketOwner: s.owner,
		})
		return err
	})
	if err == nil {
		return nil
	}
	if err = r.failed(ctx, err); errors.Is(err, objstore.ErrNotFound) {
		return nil // some servers say so
	}
	return err
}

const (
	maxKeys       = 1000 // the most objects one answer lists
	maxEmptyPages = 100  // of one List: a server that sends more makes no progress
)

// List implements objstore.Store. It asks for one object more than the page holds, for what servers say
// of others that follow is not exact.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, bool, error) {
	if err := objstore.Invalid("list", prefix, objstore.CheckList(prefix, after, limit)); err != nil {
		return nil, false, err
	}
	if err := objstore.Ended(ctx, "list", prefix); err != nil {
		return nil, false, err
	}
	in := &s3.ListObjectsV2Input{Bucket: aws.String(s.cfg.Bucket), ExpectedBucketOwner: s.owner}
	if prefix != "" {
		in.Prefix = aws.String(prefix)
	}
	if after != "" {
		in.StartAfter = aws.String(after)
	}
	var page []objstore.Info
	for empty := 0; empty < maxEmptyPages; {
		in.MaxKeys = aws.Int32(int32(min(limit-len(page), maxKeys-1) + 1))
		out, err := s.listSome(ctx, in, prefix)
		if err != nil {
			return nil, false, err
		}
		for _, o := range out.Contents {
			page = append(page, objstore.Info{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)})
		}
		switch {
		case len(page) > limit:
			return page[:limit], true, nil
		case !aws.ToBool(out.IsTruncated):
			return page, false, nil
		case len(out.Contents) == 0:
			empty++
		}
		in.ContinuationToken = out.NextContinuationToken
	}
	return nil, false, &objstore.Error{Op: "list", Name: prefix, Class: objstore.ErrUnavailable,
		Cause: errors.New("the server sends empty pages and says that others follow")}
}

// listSome asks once.
func (s *Store) listSome(ctx context.Context, in *s3.ListObjectsV2Input, prefix string) (*s3.ListObjectsV2Output, error) {
	r, ctx, cancel := s.begin(ctx, "list", prefix, false)
	defer cancel()
	var out *s3.ListObjectsV2Output
	err := r.do(ctx, func(ctx context.Context) (err error) {
		out, err = s.client.ListObjectsV2(ctx, in)
		return err
	})
	if err == nil {
		return out, nil
	}
	if err = r.failed(ctx, err); errors.Is(err, objstore.ErrNotFound) { // a list misses nothing but the bucket
		return nil, &objstore.Error{Op: "list", Name: s.cfg.name(), Class: objstore.ErrNoBucket, Cause: errors.New("status 404"), Try: tryBucket}
	}
	return nil, err
}

// clockKey need not exist: an answer that there is no such object, or that this identity may not see
// it, has a date too.
const clockKey = "clock"

// Clock implements objstore.Clocked with the Date of an answer.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	if err := objstore.Ended(ctx, "clock", s.cfg.name()); err != nil {
		return time.Time{}, err
	}
	r, ctx, cancel := s.begin(ctx, "clock", s.cfg.name(), false)
	defer cancel()
	out, err := s.head(ctx, clockKey)
	if err == nil {
		if at, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok {
			return at, nil
		}
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		if at, parseErr := http.ParseTime(response.Response.Header.Get("Date")); parseErr == nil {
			return at, nil
		}
	}
	if err == nil {
		err = errors.New("the answer has no Date")
	}
	return time.Time{}, r.failed(ctx, err)
}
