package raft

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	boltdb "github.com/hashicorp/raft-boltdb/v2"
	"golang.org/x/sys/unix"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// turns is this data directory's side of the chain of turns in the bucket (I12).
//
// Turn n is the object <cluster>/meta/<incarnation>/turns/<n>, put on the condition that it is not there. A
// leader takes the one after the last that its directory holds, at each election and before each snapshot. So a directory that is put back from a copy finds the next turn taken by a nonce that it
// never drew, and so does all but one of several copies that start at once.
//
// The nonce is in the log's own file before it is put: a put whose outcome was never learned, the process
// having died, is found to have been ours. It is not led by, though, for a copy made in that moment knows
// the nonce too: what an earlier process drew only moves this one on to the next turn.
type turns struct {
	claim *claim
	disk  turnDisk
	place string // of this directory, as long as this machine runs
	host  string

	mu   sync.Mutex // a leader looks and takes turns at the same time
	mine held
}

// held is what the directory knows of its turns.
type held struct {
	Turn  uint64   `json:"turn"`            // the last that is known to be its own; 0: none
	Nonce string   `json:"nonce,omitempty"` // under which it was put
	Drawn []string `json:"drawn,omitempty"` // nonces under which the next one may have been put: one a start
	Place string   `json:"place,omitempty"` // where it last led
}

// turn is the JSON of one object. By the cluster's id and the nonce something is decided; the rest is
// for people.
type turn struct {
	ClusterID string `json:"cluster_id"`
	Nonce     string `json:"nonce"`
	Node      string `json:"node"`
	Term      uint64 `json:"term"`
	Host      string `json:"host"`
	Dir       string `json:"dir"`
	Taken     string `json:"taken"` // RFC 3339
}

// turnDisk is the log's own file, so that what is known of turns is copied with the log or not at all.
type turnDisk interface {
	Get(key []byte) ([]byte, error)
	Set(key, value []byte) error
}

// turnKey is where turns are kept in the log's file.
var turnKey = []byte("isthmus-turns")

// newTurns reads what the directory holds. One of a version that took no turns holds none.
func newTurns(c *claim, disk turnDisk, dir *dataDir) (*turns, error) {
	t := &turns{claim: c, disk: disk}
	var err error
	if t.host, err = os.Hostname(); err != nil {
		t.host = "unknown" // for people alone
	}
	if t.place, err = placeOf(dir, t.host); err != nil {
		return nil, err
	}
	raw, err := disk.Get(turnKey)
	switch {
	case errors.Is(err, boltdb.ErrKeyNotFound):
		return t, nil
	case err != nil:
		return nil, fmt.Errorf("read turns from %s: %w", dir.logPath(), err)
	}
	if err := json.Unmarshal(raw, &t.mine); err != nil {
		return nil, fmt.Errorf("read turns from %s: %w (restore the directory from a copy)", dir.logPath(), err)
	}
	return t, nil
}

// placeOf tells this directory on this running machine from every copy: while it is the same, the lock on
// the directory proves that nobody else leads from it.
func placeOf(dir *dataDir, host string) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.lock.Fd()), &st); err != nil {
		return "", fmt.Errorf("look at lock of data directory %s: %w", dir.path, err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = []byte(host) // no Linux
	}
	return fmt.Sprintf("%s %d:%d", strings.TrimSpace(string(boot)), st.Dev, st.Ino), nil
}

// moved reports whether the directory last led from another place, where a process may lead still.
func (t *turns) moved() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mine.Place != "" && t.mine.Place != t.place
}

// settle notes that the directory leads from here.
func (t *turns) settle() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mine.Place == t.place {
		return nil
	}
	next := t.mine
	next.Place = t.place
	return t.write(next)
}

// key names a turn's object; names sort as numbers do.
func (t *turns) key(n uint64) string {
	return segment.MetaKey(t.claim.mine.Cluster, fmt.Sprintf("%d/turns/%016d", t.claim.mine.Incarnation, n))
}

// next names the object of the next turn.
func (t *turns) next() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.key(t.mine.Turn + 1)
}

// take takes the next turn. While the bucket cannot be asked, it tries again until ctx ends.
func (t *turns) take(ctx context.Context, term uint64, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		drawn, err := t.draw()
		if err != nil {
			return err
		}
		found := ""
		err = t.claim.again(ctx, func(ctx context.Context) (err error) {
			found, err = t.put(ctx, turn{
				ClusterID: t.claim.mine.ClusterID, Nonce: drawn, Node: t.claim.mine.Node, Term: term,
				Host: t.host, Dir: t.claim.dir, Taken: now.UTC().Format(time.RFC3339),
			})
			return err
		}, mayPass)
		if err != nil {
			return err
		}
		if err := t.write(held{Turn: t.mine.Turn + 1, Nonce: found, Place: t.mine.Place}); err != nil {
			return err
		}
		if found == drawn {
			return nil
		}
	}
}

// draw makes a nonce for the next turn and remembers it.
func (t *turns) draw() (string, error) {
	var raw [12]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
	nonce := base64.RawURLEncoding.EncodeToString(raw[:])
	next := t.mine
	next.Drawn = append(slices.Clone(next.Drawn), nonce)
	return nonce, t.write(next)
}

// put puts the next turn once and returns the nonce under which it is there, if that is one of ours.
func (t *turns) put(ctx context.Context, o turn) (string, error) {
	if err := t.standing(ctx); err != nil {
		return "", err
	}
	key := t.key(t.mine.Turn + 1)
	err := t.claim.put(ctx, key, o)
	switch {
	case err == nil:
		return o.Nonce, nil
	case errors.Is(err, objstore.ErrExists):
		return t.taken(ctx)
	case errors.Is(err, objstore.ErrUnknownOutcome):
		// It may be there, or may be yet: then the next put finds it.
		if nonce, seen := t.taken(ctx); !errors.Is(seen, objstore.ErrNotFound) {
			return nonce, seen
		}
	}
	return "", fmt.Errorf("take turn %s: %w", key, err)
}

// standing checks that the last turn of this directory is still there: a bucket without it is not the one
// that the directory led, or has lost what came after it.
func (t *turns) standing(ctx context.Context) error {
	if t.mine.Turn == 0 {
		return nil
	}
	key := t.key(t.mine.Turn)
	var last turn
	err := t.claim.read(ctx, key, &last)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return fmt.Errorf("%w: %s is gone, though data directory %s had put it: check --bucket, or restore the object from a version or a copy", ErrSuperseded, key, t.claim.dir)
	case errors.Is(err, errJunk), err == nil && last.Nonce != t.mine.Nonce:
		return fmt.Errorf("%w: %s is not what data directory %s had put there: the bucket is another one, or was changed by hand; check --bucket", ErrSuperseded, key, t.claim.dir)
	}
	return err
}

// look asks whether another copy of the directory has taken the next turn.
func (t *turns) look(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := t.taken(ctx); !errors.Is(err, objstore.ErrNotFound) {
		return err
	}
	return nil
}

// taken reads the next turn and returns its nonce, if it is one of ours.
func (t *turns) taken(ctx context.Context) (string, error) {
	key := t.key(t.mine.Turn + 1)
	var o turn
	err := t.claim.read(ctx, key, &o)
	switch {
	case errors.Is(err, errJunk), err == nil && o.ClusterID != t.claim.mine.ClusterID:
		return "", fmt.Errorf("%w: %s is no turn of this cluster: use another prefix, or remove what else writes there", ErrSuperseded, key)
	case err != nil:
		return "", err
	case slices.Contains(t.mine.Drawn, o.Nonce):
		return o.Nonce, nil
	}
	return "", fmt.Errorf("%w: %s was taken at %s by a copy of its data directory, on host %s in %s (term %d), of which data directory %s knows nothing: it is an older copy or a second one, and would give offsets twice. Bring the newest directory back and start that one alone",
		ErrSuperseded, key, o.Taken, o.Host, o.Dir, o.Term, t.claim.dir)
}

// write makes h durable, then true.
func (t *turns) write(h held) error {
	raw, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode turns: %w", err)
	}
	if err := t.disk.Set(turnKey, raw); err != nil {
		return fmt.Errorf("store turns: %w", err)
	}
	t.mine = h
	return nil
}
