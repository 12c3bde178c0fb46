package s3store

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// upload is one upload in parts.
type upload struct {
	store *Store
	key   string
	id    string
	rules objstore.Parts
	parts []types.CompletedPart
	over  bool
}

// Multipart implements objstore.Store.
func (s *Store) Multipart(ctx context.Context, key string) (objstore.Multipart, error) {
	if err := objstore.Check(ctx, "multipart", key); err != nil {
		return nil, err
	}
	r, ctx, cancel := s.begin(ctx, "multipart", key, true)
	defer cancel()
	in := &s3.CreateMultipartUploadInput{
		Bucket: aws.String(s.cfg.Bucket), Key: aws.String(key), ExpectedBucketOwner: s.owner,
		ContentType: aws.String("application/octet-stream"),
	}
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = s.encrypted()
	var out *s3.CreateMultipartUploadOutput
	err := r.do(ctx, func(ctx context.Context) (err error) {
		out, err = s.client.CreateMultipartUpload(ctx, in)
		return err
	})
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	return &upload{store: s, key: key, id: aws.ToString(out.UploadId)}, nil
}

func (u *upload) check(ctx context.Context) error {
	if u.over {
		return objstore.Invalid("multipart", u.key, objstore.ErrUploadOver)
	}
	return objstore.Ended(ctx, "multipart", u.key)
}

// Part sends a part. Sending the same part again is harmless, so the SDK may retry.
func (u *upload) Part(ctx context.Context, buffers [][]byte) error {
	if err := u.check(ctx); err != nil {
		return err
	}
	rules := u.rules
	if err := objstore.Invalid("multipart", u.key, rules.Add(objstore.Size(buffers))); err != nil {
		return err
	}
	s := u.store
	r, ctx, cancel := s.begin(ctx, "multipart", u.key, true)
	defer cancel()
	number := aws.Int32(int32(rules.Count))
	var out *s3.UploadPartOutput
	err := r.do(ctx, func(ctx context.Context) (err error) {
		b := newBody(buffers)
		out, err = s.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: aws.String(s.cfg.Bucket), Key: aws.String(u.key), ExpectedBucketOwner: s.owner,
			UploadId: aws.String(u.id), PartNumber: number, Body: b, ContentLength: aws.Int64(b.size),
		}, s.unsigned)
		return err
	})
	if err != nil {
		return r.failed(ctx, err)
	}
	u.rules = rules
	u.parts = append(u.parts, types.CompletedPart{ETag: out.ETag, PartNumber: number})
	return nil
}

// Complete makes the object visible. Not every server honours the condition here, so it looks before.
func (u *upload) Complete(ctx context.Context) error {
	if err := u.check(ctx); err != nil {
		return err
	}
	switch _, err := u.store.Head(ctx, u.key); {
	case err == nil:
		return u.lost(ctx)
	case !errors.Is(err, objstore.ErrNotFound):
		return err
	}
	if len(u.parts) == 0 { // the protocol knows no upload without parts
		return errors.Join(u.Abort(ctx), u.store.PutNew(ctx, u.key, nil, 0))
	}
	err := u.complete(ctx)
	switch {
	case errors.Is(err, objstore.ErrExists):
		return u.lost(ctx)
	case err == nil:
		u.over = true
	}
	return err
}

func (u *upload) complete(ctx context.Context) error {
	s := u.store
	r, ctx, cancel := s.begin(ctx, "multipart", u.key, true)
	defer cancel()
	err := r.do(ctx, func(ctx context.Context) error {
		_, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: aws.String(s.cfg.Bucket), Key: aws.String(u.key), ExpectedBucketOwner: s.owner,
			UploadId: aws.String(u.id), IfNoneMatch: aws.String("*"),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
		}, once)
		return err
	})
	if err != nil {
		return r.failed(ctx, err)
	}
	return nil
}

// lost gives up an upload whose key an object has. The bucket's rule for unfinished uploads removes what the
// abort cannot, so its failure is told beside the answer and does not replace it.
func (u *upload) lost(ctx context.Context) error {
	e := &objstore.Error{Op: "multipart", Name: u.key, Class: objstore.ErrExists}
	if err := u.Abort(ctx); err != nil {
		e.Cause = plain{err}
	}
	return e
}

// Abort removes what was uploaded. An upload that is not there any more is no error.
func (u *upload) Abort(ctx context.Context) error {
	if u.over {
		return nil
	}
	s := u.store
	r, ctx, cancel := s.begin(ctx, "multipart", u.key, true)
	defer cancel()
	err := r.do(ctx, func(ctx context.Context) error {
		_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: aws.String(s.cfg.Bucket), Key: aws.String(u.key), ExpectedBucketOwner: s.owner,
			UploadId: aws.String(u.id),
		})
		return err
	})
	if err != nil {
		if err = r.failed(ctx, err); !errors.Is(err, objstore.ErrNotFound) {
			return err
		}
	}
	u.over = true
	return nil
}
