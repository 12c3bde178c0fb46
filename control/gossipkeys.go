package control

import (
	"slices"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// gossipKeys are the keys of a group's gossip. They are never changed, only replaced.
//
// A rotation takes two steps after its beginning, so that no two agents ever fail to understand each other: the new key is
// known by all before anybody uses it, and used by all before the old one is forgotten. The leader takes each step when the
// agents have said that they know of the one before.
type gossipKeys struct {
	epoch uint64   // rises with every change
	keys  [][]byte // the first encrypts, all decrypt
	least uint64   // peers refuse certificates of an epoch below
	step  rotation
	began uint64 // the epoch in which the rotation began
}

// rotation is where a group's keys stand.
type rotation uint8

const (
	settled   rotation = iota // one key
	spreading                 // the new key is the last, and not used yet
	turning                   // the new key is the first, the old ones are still understood
)

// maxKeys bounds what is kept while rotations overlap.
const maxKeys = 4

// maxKey bounds a key in bytes.
const maxKey = 64

func lawfulKey(key []byte) bool { return len(key) > 0 && len(key) <= maxKey }

// firstKey gives a group its first key.
func (s *State) firstKey(group string, key []byte) {
	if _, has := s.gossip.Get(group); !has {
		s.gossip.Set(group, &gossipKeys{epoch: 1, keys: [][]byte{slices.Clone(key)}})
	}
}

// beginRotation makes a new key known. One that is under way goes on with the newer key; its own is still understood.
func (s *State) beginRotation(group string, key []byte) {
	k, ok := s.gossip.Get(group)
	if !ok {
		return
	}
	keys := slices.Clone(k.keys)
	if len(keys) == maxKeys {
		keys = slices.Delete(keys, 1, 2)
	}
	s.gossip.Set(group, &gossipKeys{
		epoch: k.epoch + 1, keys: append(keys, slices.Clone(key)), least: k.least, step: spreading, began: k.epoch + 1,
	})
}

// replaceKeys forgets all keys of a group at once: nobody is left who should understand the old ones.
func (s *State) replaceKeys(group string, key []byte) {
	k, ok := s.gossip.Get(group)
	if !ok {
		return
	}
	s.gossip.Set(group, &gossipKeys{epoch: k.epoch + 1, keys: [][]byte{slices.Clone(key)}, least: k.epoch + 1})
}

// rotateKeys takes the next step of a rotation, once: asked for another epoch than the last, it does nothing.
func (s *State) rotateKeys(c *controlpb.RotateKeysCommand) {
	k, ok := s.gossip.Get(c.GetGroup())
	if !ok || k.epoch != c.GetEpoch() || k.step == settled {
		return
	}
	next := &gossipKeys{epoch: k.epoch + 1, least: k.least, began: k.began}
	switch k.step {
	case spreading:
		last := len(k.keys) - 1
		next.step = turning
		next.keys = append([][]byte{k.keys[last]}, k.keys[:last]...)
	default:
		next.keys, next.least, next.began = [][]byte{k.keys[0]}, k.began, 0
	}
	s.gossip.Set(c.GetGroup(), next)
	s.wallsRise()
}

func (k *gossipKeys) proto() *controlpb.GossipKeys {
	return &controlpb.GossipKeys{Epoch: k.epoch, Keys: k.keys, LeastCertificate: k.least}
}

// GossipKeys are a group's, if it has any. Certificates that are given out now carry their epoch.
func (s *State) GossipKeys(group string) (*controlpb.GossipKeys, bool) {
	k, ok := s.gossip.Get(group)
	if !ok {
		return nil, false
	}
	return k.proto(), true
}

// EachRotation calls f for every group whose keys are being rotated, with the epoch that its agents must have said
// before RotateKeys takes the next step, until f returns false.
func (s *State) EachRotation(f func(group string, epoch uint64) bool) {
	s.gossip.Scan(func(group string, k *gossipKeys) bool { return k.step == settled || f(group, k.epoch) })
}
