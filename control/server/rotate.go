package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// rotationPatience is how long a step of a rotation waits for agents that live and are not ready. The rest of the group
// goes on then; such an agent gossips with nobody until it has the new key.
const rotationPatience = 2 * time.Minute

// rotation is what a leader knows of rotations of gossip keys: which epoch each session is ready for, and since when
// each group's step is due. It is in memory alone: an election makes agents say it again, with their next heartbeat.
type rotation struct {
	mu    sync.Mutex
	ready map[uint64]uint64 // epoch by session
	since map[string]step
}

type step struct {
	epoch uint64
	since time.Duration
}

// note takes what a heartbeat says.
func (r *rotation) note(session, epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready == nil {
		r.ready = map[uint64]uint64{}
	}
	r.ready[session] = epoch
}

// forget begins a term.
func (r *rotation) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready, r.since = nil, nil
}

// due says which groups may take the next step: all of their sessions that live are ready for the epoch, or it has
// waited for long enough. What is known of sessions that have ended is forgotten.
func (r *rotation) due(groups map[string]uint64, live map[string][]uint64, now time.Duration) (steps map[string]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	steps, since, ready := map[string]uint64{}, map[string]step{}, map[uint64]uint64{}
	for group, epoch := range groups {
		began := r.since[group]
		if began.epoch != epoch {
			began = step{epoch, now}
		}
		since[group] = began
		all := true
		for _, session := range live[group] {
			all = all && r.ready[session] >= epoch
		}
		if all || now-began.since >= rotationPatience {
			steps[group] = epoch
		}
	}
	for _, sessions := range live {
		for _, session := range sessions {
			if epoch, ok := r.ready[session]; ok {
				ready[session] = epoch
			}
		}
	}
	r.since, r.ready = since, ready
	return steps
}

// rotate takes the steps of rotations that are due.
func (s *service) rotate(ctx context.Context) error {
	groups, live := map[string]uint64{}, map[string][]uint64{}
	s.node.Peek(func(st *control.State) {
		st.EachRotation(func(group string, epoch uint64) bool {
			groups[group] = epoch
			return true
		})
		st.EachSession(func(x control.Session) bool {
			if !x.Ended {
				live[x.Group] = append(live[x.Group], x.ID)
			}
			return true
		})
	})
	for group, epoch := range s.rotation.due(groups, live, s.now()) {
		_, err := s.node.Propose(ctx, &controlpb.Command{Op: &controlpb.Command_RotateKeys{
			RotateKeys: &controlpb.RotateKeysCommand{Group: group, Epoch: epoch},
		}})
		if err != nil {
			return fmt.Errorf("rotate the keys of group %s: %w", group, err)
		}
		s.log.Info("the keys of a group were rotated by a step", "group", group, "epoch", epoch+1)
	}
	return nil
}

// keysFor are the keys that an agent is to be told: none where it has said that it is ready for the last epoch.
func keysFor(st *control.State, group string, epoch uint64) *controlpb.GossipKeys {
	keys, ok := st.GossipKeys(group)
	if !ok || keys.GetEpoch() == epoch {
		return nil
	}
	return keys
}

// keysEpoch is the epoch of certificates that are given out now. A group without keys gets its first ones at its
// first session.
func (s *service) keysEpoch(group string) uint64 {
	epoch := uint64(1)
	s.node.Peek(func(st *control.State) {
		if keys, ok := st.GossipKeys(group); ok {
			epoch = keys.GetEpoch()
		}
	})
	return epoch
}

// leastEpoch is the least epoch of certificates that the group takes.
func (s *service) leastEpoch(group string) (least uint64) {
	s.node.Peek(func(st *control.State) {
		if keys, ok := st.GossipKeys(group); ok {
			least = keys.GetLeastCertificate()
		}
	})
	return least
}
