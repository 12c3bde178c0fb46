package raft

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// nodeFormat is the version of the data directory's layout.
const nodeFormat = 1

// maxNodeFile bounds node.json before it is read.
const maxNodeFile = 64 << 10

// Identity is what node.json holds.
type Identity struct {
	Format      int    `json:"format"`
	Node        string `json:"node"`
	Cluster     string `json:"cluster"`
	ClusterID   string `json:"cluster_id"`
	Incarnation uint32 `json:"incarnation"`
	// Ready says that the claim in the bucket and the log were both there once. A directory that is
	// ready and has no log has lost it.
	Ready bool `json:"ready"`
}

// dataDir is a locked data directory.
type dataDir struct {
	path string
	lock *os.File
}

// openDir makes the directory if only it is missing, and locks it.
func openDir(path string) (*dataDir, error) {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make data directory %s: %w (make its parent, or name another with --data-dir)", path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open data directory %s: %w (it must be a folder this user may write to)", path, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("data directory %s is %w: stop that one, or name another with --data-dir", path, ErrInUse)
		} else {
			err = fmt.Errorf("lock data directory %s: %w", path, err)
		}
		return nil, errors.Join(err, lock.Close())
	}
	return &dataDir{path: path, lock: lock}, nil
}

// Close gives the directory up.
func (d *dataDir) Close() error { return d.lock.Close() }

func (d *dataDir) logPath() string { return filepath.Join(d.path, "log.db") }

// identity returns who the directory belongs to, drawing a new identity when it is empty. A new
// one is on disk, fsynced, when identity returns: the bucket must never hold a claim that no disk knows.
func (d *dataDir) identity(cluster, node string) (Identity, error) {
	id, err := d.load()
	switch {
	case errors.Is(err, os.ErrNotExist):
		return d.draw(cluster, node)
	case err != nil:
		return Identity{}, err
	case id.Format != nodeFormat:
		return Identity{}, fmt.Errorf("data directory %s has format %d, this program knows %d: run the version that wrote it", d.path, id.Format, nodeFormat)
	case id.Cluster != cluster:
		return Identity{}, fmt.Errorf("data directory %s belongs to cluster %q (id %s), not to %q: start it with --cluster %s, or name another with --data-dir", d.path, id.Cluster, id.ClusterID, cluster, id.Cluster)
	case id.Node != node:
		return Identity{}, fmt.Errorf("data directory %s belongs to node %q, not to %q: start it with --id %s, or name another with --data-dir", d.path, id.Node, node, id.Node)
	}
	return id, nil
}

func (d *dataDir) draw(cluster, node string) (Identity, error) {
	if _, err := os.Stat(d.logPath()); err == nil {
		return Identity{}, fmt.Errorf("data directory %s has a log and no node.json: restore the directory from a copy, or name an empty one with --data-dir", d.path)
	}
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return Identity{}, fmt.Errorf("draw cluster id: %w", err)
	}
	id := Identity{
		Format: nodeFormat, Node: node, Cluster: cluster,
		ClusterID: base64.RawURLEncoding.EncodeToString(raw[:]), Incarnation: 1,
	}
	return id, d.store(id)
}

func (d *dataDir) load() (Identity, error) {
	path := filepath.Join(d.path, "node.json")
	f, err := os.Open(path)
	if err != nil {
		return Identity{}, fmt.Errorf("open %s: %w", path, err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxNodeFile))
	if err = errors.Join(err, f.Close()); err != nil {
		return Identity{}, fmt.Errorf("read %s: %w", path, err)
	}
	var id Identity
	if err := json.Unmarshal(raw, &id); err != nil {
		return Identity{}, fmt.Errorf("read %s: %w (restore the data directory from a copy)", path, err)
	}
	return id, nil
}

// store replaces node.json so that a crash leaves the old one or the new one.
func (d *dataDir) store(id Identity) error {
	raw, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encode node.json: %w", err)
	}
	path := filepath.Join(d.path, "node.json")
	if err := writeSynced(path+".tmp", append(raw, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return d.sync()
}

// sync makes the names in the directory durable.
func (d *dataDir) sync() error {
	dir, err := os.Open(d.path)
	if err != nil {
		return fmt.Errorf("sync data directory %s: %w", d.path, err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync data directory %s: %w", d.path, err)
	}
	return nil
}

func writeSynced(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(raw); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// ReadIdentity reads who a data directory belongs to, also while a node uses it.
func ReadIdentity(dir string) (Identity, error) { return (&dataDir{path: dir}).load() }
