package memstore

import (
	"bytes"
	"context"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// upload keeps the parts until they are one object.
type upload struct {
	store *Store
	key   string
	rules objstore.Parts
	parts [][]byte
	done  bool
}

// Multipart implements objstore.Store.
func (s *Store) Multipart(ctx context.Context, key string) (objstore.Multipart, error) {
	if err := objstore.Check(ctx, "multipart", key); err != nil {
		return nil, err
	}
	return &upload{store: s, key: key}, nil
}

// check says why the upload cannot go on.
func (u *upload) check(ctx context.Context) error {
	if u.done {
		return objstore.Invalid("multipart", u.key, objstore.ErrUploadOver)
	}
	return objstore.Ended(ctx, "multipart", u.key)
}

func (u *upload) Part(ctx context.Context, body [][]byte) error {
	if err := u.check(ctx); err != nil {
		return err
	}
	part := bytes.Join(body, nil)
	if err := u.rules.Add(int64(len(part))); err != nil {
		return objstore.Invalid("multipart", u.key, err)
	}
	u.parts = append(u.parts, part)
	return nil
}

func (u *upload) Complete(ctx context.Context) error {
	if err := u.check(ctx); err != nil {
		return err
	}
	u.done = true
	return u.store.insert("multipart", u.key, bytes.Join(u.parts, nil))
}

func (u *upload) Abort(context.Context) error {
	u.done, u.parts = true, nil
	return nil
}
