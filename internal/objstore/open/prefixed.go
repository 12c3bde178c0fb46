package open

import (
	"context"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// prefixed keeps every key under a prefix, which ends with a slash. A key that leads
// elsewhere is refused by the store inside, for it has "." or ".." in it.
type prefixed struct {
	inner  objstore.Store
	prefix string
}

func (p *prefixed) PutNew(ctx context.Context, key string, body [][]byte, crc32c uint32) error {
	if err := p.check("put", key); err != nil {
		return err
	}
	return p.inner.PutNew(ctx, p.prefix+key, body, crc32c)
}

func (p *prefixed) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	if err := p.check("get", key); err != nil {
		return nil, err
	}
	return p.inner.GetRange(ctx, p.prefix+key, position, length)
}

func (p *prefixed) Head(ctx context.Context, key string) (objstore.Info, error) {
	if err := p.check("head", key); err != nil {
		return objstore.Info{}, err
	}
	info, err := p.inner.Head(ctx, p.prefix+key)
	info.Key = strings.TrimPrefix(info.Key, p.prefix)
	return info, err
}

func (p *prefixed) Delete(ctx context.Context, key string) error {
	if err := p.check("delete", key); err != nil {
		return err
	}
	return p.inner.Delete(ctx, p.prefix+key)
}

func (p *prefixed) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, bool, error) {
	if after != "" {
		after = p.prefix + after
	}
	page, more, err := p.inner.List(ctx, p.prefix+prefix, after, limit)
	for i := range page {
		page[i].Key = strings.TrimPrefix(page[i].Key, p.prefix)
	}
	return page, more, err
}

func (p *prefixed) Multipart(ctx context.Context, key string) (objstore.Multipart, error) {
	if err := p.check("multipart", key); err != nil {
		return nil, err
	}
	return p.inner.Multipart(ctx, p.prefix+key)
}

// check refuses the same keys with a prefix as without one.
func (p *prefixed) check(op, key string) error {
	return objstore.Invalid(op, key, objstore.CheckKey(key))
}

func (p *prefixed) Clock(ctx context.Context) (time.Time, error) {
	return objstore.Clock(ctx, p.inner)
}

func (p *prefixed) Close() error { return p.inner.Close() }
