package filestore

import (
	"context"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// upload is an object written part by part to a temporary file.
type upload struct {
	key   string
	temp  *temp
	rules objstore.Parts
	done  bool
}

// Multipart implements objstore.Store.
func (s *Store) Multipart(ctx context.Context, key string) (objstore.Multipart, error) {
	if err := objstore.Check(ctx, "multipart", key); err != nil {
		return nil, err
	}
	t, err := s.newTemp("multipart")
	if err != nil {
		return nil, err
	}
	return &upload{key: key, temp: t}, nil
}

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
	if err := objstore.Invalid("multipart", u.key, u.rules.Add(objstore.Size(body))); err != nil {
		return err
	}
	if err := u.temp.write(body); err != nil {
		u.end() // a part that is half there spoils the rest
		return err
	}
	return nil
}

func (u *upload) Complete(ctx context.Context) error {
	if err := u.check(ctx); err != nil {
		return err
	}
	defer u.end()
	return u.temp.publish("multipart", u.key)
}

func (u *upload) Abort(context.Context) error {
	u.end()
	return nil
}

func (u *upload) end() {
	if !u.done {
		u.done = true
		u.temp.discard()
	}
}
