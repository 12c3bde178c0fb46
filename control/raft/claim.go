package raft

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// maxClaim bounds the cluster object before it is read.
const maxClaim = 64 << 10

// Claims is what a node asks of the bucket: the objects under <cluster>/meta/.
type Claims interface {
	objstore.Putter
	objstore.Getter
	Head(ctx context.Context, key string) (objstore.Info, error)
	List(ctx context.Context, prefix, after string, limit int) (page []objstore.Info, more bool, err error)
}

// claimed is the JSON of <cluster>/meta/cluster.
type claimed struct {
	ClusterID   string `json:"cluster_id"`
	Cluster     string `json:"cluster"`
	Incarnation uint32 `json:"incarnation"`
	Created     string `json:"created"` // RFC 3339; for people, nothing is decided by it
}

// claim is this node's side of the cluster object.
type claim struct {
	store Claims
	key   string
	mine  Identity
	dir   string
	log   *slog.Logger
}

// take puts the cluster object, or finds that an earlier start of this directory had put it: between
// the fsync of node.json and the put, and between the put and its answer, the process may have died.
func (c *claim) take(ctx context.Context, now time.Time) error {
	object := claimed{
		ClusterID: c.mine.ClusterID, Cluster: c.mine.Cluster, Incarnation: c.mine.Incarnation,
		Created: now.UTC().Format(time.RFC3339),
	}
	return c.retry(ctx, func(ctx context.Context) error {
		err := c.put(ctx, c.key, object)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, objstore.ErrExists):
			return c.look(ctx)
		case errors.Is(err, objstore.ErrUnknownOutcome):
			// It may have been stored, or may be yet: what is there now decides, and nothing there
			// means another put, which the first one may still win.
			if seen := c.look(ctx); !errors.Is(seen, objstore.ErrNotFound) {
				return seen
			}
			return err
		}
		return fmt.Errorf("claim %s: %w", c.key, err)
	})
}

// hold checks that the object a ready directory once put is still its own.
func (c *claim) hold(ctx context.Context) error { return c.retry(ctx, c.look) }

// insist is hold for a node that is to lead: it has been running, so that whatever the bucket may say
// (denied, gone) is tried again until ctx ends. Only another owner is final.
func (c *claim) insist(ctx context.Context) error { return c.again(ctx, c.look, mayPass) }

// mayPass: whatever the bucket says may change, but for whose it is.
func mayPass(err error) bool { return !errors.Is(err, ErrSuperseded) }

// look reads the cluster object once. What can never become right wraps ErrSuperseded.
func (c *claim) look(ctx context.Context) error {
	var found claimed
	err := c.read(ctx, c.key, &found)
	switch {
	case errors.Is(err, errJunk), err == nil && found.ClusterID == "":
		return fmt.Errorf("%w: %s is not a cluster object: use another prefix", ErrSuperseded, c.key)
	case err != nil:
		return c.missing(err)
	}
	return c.compare(found)
}

// errJunk: an object under our key holds what we never write.
var errJunk = errors.New("not what is written there")

// read decodes one small JSON object.
func (c *claim) read(ctx context.Context, key string, into any) error {
	info, err := c.find(ctx, key)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if info.Size == 0 || info.Size > maxClaim {
		return fmt.Errorf("read %s: %w: it has %d B", key, errJunk, info.Size)
	}
	raw, err := c.store.GetRange(ctx, key, 0, info.Size)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("read %s: %w: %w", key, errJunk, err)
	}
	return nil
}

// find describes an object, or says that there is none. A bucket that lets the control plane list its own folder
// alone, as it should, denies a question for a missing object, for no prefix stands in it; a list tells.
func (c *claim) find(ctx context.Context, key string) (objstore.Info, error) {
	info, err := c.store.Head(ctx, key)
	if !errors.Is(err, objstore.ErrDenied) {
		return info, err
	}
	page, _, listed := c.store.List(ctx, key, "", 1) // the key itself comes before what it is a prefix of
	if listed == nil && (len(page) == 0 || page[0].Key != key) {
		return objstore.Info{}, fmt.Errorf("%w: asked for it the bucket denies access, and lists no such object", objstore.ErrNotFound)
	}
	return info, err
}

// put stores one small JSON object under a key that must be free.
func (c *claim) put(ctx context.Context, key string, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	return c.store.PutNew(ctx, key, [][]byte{body}, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func (c *claim) missing(err error) error {
	if c.mine.Ready && errors.Is(err, objstore.ErrNotFound) {
		return fmt.Errorf("%w: %s is gone, though data directory %s had put it: check --bucket, or restore the object from a version or a copy", ErrSuperseded, c.key, c.dir)
	}
	return err
}

func (c *claim) compare(found claimed) error {
	switch {
	case found.ClusterID != c.mine.ClusterID:
		return fmt.Errorf("%w: %s belongs to cluster %q (id %s), data directory %s to id %s: use another bucket prefix or --cluster name, or the data directory of that cluster, or restore that cluster from its backup",
			ErrSuperseded, c.key, found.Cluster, found.ClusterID, c.dir, c.mine.ClusterID)
	case found.Incarnation > c.mine.Incarnation:
		return fmt.Errorf("%w: %s says incarnation %d, data directory %s is of incarnation %d: the cluster was restored elsewhere; stop this node for good and use that cluster's data directory",
			ErrSuperseded, c.key, found.Incarnation, c.dir, c.mine.Incarnation)
	case found.Incarnation < c.mine.Incarnation:
		return fmt.Errorf("%w: %s says incarnation %d, data directory %s is of incarnation %d: the bucket holds an older life of this cluster (a rolled back copy?); bring the right one back, or use another prefix with an empty data directory",
			ErrSuperseded, c.key, found.Incarnation, c.dir, c.mine.Incarnation)
	}
	return nil
}

// retry tries again while the bucket cannot be asked, until ctx ends. What cannot change by
// itself (denied, no bucket, another cluster) is returned at once.
func (c *claim) retry(ctx context.Context, try func(context.Context) error) error {
	return c.again(ctx, try, transient)
}

func (c *claim) again(ctx context.Context, try func(context.Context) error, may func(error) bool) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := try(ctx)
		if err == nil || !may(err) {
			return err
		}
		c.log.Warn("bucket does not answer, trying again", "key", c.key, "error", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

func transient(err error) bool {
	return errors.Is(err, objstore.ErrThrottled) || errors.Is(err, objstore.ErrUnavailable) || errors.Is(err, objstore.ErrUnknownOutcome)
}
