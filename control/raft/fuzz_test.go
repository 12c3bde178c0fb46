package raft

import (
	"errors"
	"hash/crc32"
	"log/slog"
	"testing"

	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

// FuzzClaim: whatever lies under the cluster's key, only our own claim lets a node lead.
func FuzzClaim(f *testing.F) {
	f.Add([]byte(`{"cluster_id":"mine","cluster":"main","incarnation":1}`))
	f.Add([]byte(`{"cluster_id":"mine","incarnation":4294967296}`))
	f.Add([]byte(`{"cluster_id":["mine"]}`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		store := memstore.New(nil)
		if err := store.PutNew(t.Context(), clusterKey, [][]byte{raw}, crc32.Checksum(raw, crc32.MakeTable(crc32.Castagnoli))); err != nil {
			return // the store refuses it
		}
		c := &claim{store: store, key: clusterKey, mine: Identity{ClusterID: "mine", Incarnation: 1}, log: slog.New(slog.DiscardHandler)}
		if err := c.look(t.Context()); err == nil {
			if got := read(t, store); got.ClusterID != "mine" || got.Incarnation != 1 {
				t.Errorf("%q lets us lead", raw)
			}
		} else if !errors.Is(err, ErrSuperseded) {
			t.Errorf("%q: %v", raw, err)
		}
	})
}
