package standin

import (
	"slices"
	"time"

	"github.com/tidwall/btree"

	"github.com/isthmusdata/isthmus/iam/policy"
)

// bucket holds objects in memory, in the order of their keys.
type bucket struct {
	account, name, region, key string // key: of KMS, or empty
	policy                     *policy.Document
	objects                    *btree.Map[string, *object]
	writing                    map[string]bool // conditional puts under way, by key
	uploads                    map[string]*upload
}

// object is never changed: another put makes another one.
type object struct {
	body     []byte
	etag     string
	modified time.Time
}

type upload struct {
	key   string
	parts map[int]*object
}

// Bucket makes an empty bucket, in Options.Region. One that is there is emptied.
func (w *World) Bucket(account, name string) { w.BucketIn(account, name, w.opts.Region) }

// BucketIn makes an empty bucket in a region. One that is there is emptied.
func (w *World) BucketIn(account, name, region string) {
	must(accountID, "account", account)
	must(bucketName, "bucket", name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.account(account)
	if old := w.buckets[name]; old != nil {
		old.objects.Scan(func(_ string, o *object) bool { w.bytes -= int64(len(o.body)); return true })
		for _, u := range old.uploads {
			w.forget(u)
		}
	}
	w.buckets[name] = &bucket{
		account: account, name: name, region: region, objects: btree.NewMap[string, *object](0),
		writing: map[string]bool{}, uploads: map[string]*upload{},
	}
}

// forget gives back the room that the parts of an upload take.
func (w *World) forget(u *upload) {
	for _, p := range u.parts {
		w.bytes -= int64(len(p.body))
	}
}

// SetBucketPolicy gives a bucket a policy. It reports whether there is the bucket.
func (w *World) SetBucketPolicy(name string, doc policy.Document) bool {
	return w.changeBucket(name, func(b *bucket) { b.policy = &doc })
}

// SetBucketKey lets a bucket be encrypted by a key of KMS: whoever writes needs kms:GenerateDataKey of it, whoever
// reads kms:Decrypt. The bytes are stored as they are.
func (w *World) SetBucketKey(name, keyARN string) bool {
	return w.changeBucket(name, func(b *bucket) { b.key = keyARN })
}

// SetOwner gives a bucket to another account, as if it had been deleted and made there.
func (w *World) SetOwner(name, account string) bool {
	must(accountID, "account", account)
	return w.changeBucket(name, func(b *bucket) { b.account = account })
}

func (w *World) changeBucket(name string, f func(*bucket)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.buckets[name]
	if b == nil {
		return false
	}
	f(b)
	return true
}

// Object reads an object past every policy.
func (w *World) Object(name, key string) (body []byte, ok bool) {
	w.changeBucket(name, func(b *bucket) {
		if o, found := b.objects.Get(key); found {
			body, ok = slices.Clone(o.body), true
		}
	})
	return body, ok
}

// PutObject writes an object past every policy, over one that is there: what belongs to an account, not to an
// agent, such as a canary.
func (w *World) PutObject(name, key string, body []byte) (ok bool) {
	w.changeBucket(name, func(b *bucket) { ok = w.store(b, key, slices.Clone(body)) != nil })
	return ok
}

// Remove deletes an object past every policy.
func (w *World) Remove(name, key string) {
	w.changeBucket(name, func(b *bucket) { w.drop(b, key) })
}

// Keys lists the keys of a bucket past every policy.
func (w *World) Keys(name string) (keys []string) {
	w.changeBucket(name, func(b *bucket) { keys = b.objects.Keys() })
	return keys
}

// store puts an object, or returns nil where there is no room for it.
func (w *World) store(b *bucket, key string, body []byte) *object {
	old, had := b.objects.Get(key)
	n := int64(len(body))
	if had {
		n -= int64(len(old.body))
	}
	if !w.take(n) {
		return nil
	}
	o := &object{body: body, etag: etag(body), modified: w.opts.Now().UTC().Truncate(time.Second)}
	b.objects.Set(key, o)
	return o
}

func (w *World) drop(b *bucket, key string) {
	if old, had := b.objects.Delete(key); had {
		w.bytes -= int64(len(old.body))
	}
}
