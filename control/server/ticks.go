package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/raft"
)

// maxTicks bounds the tick commands of one round; what is left waits for the next.
const maxTicks = 100

// ticks looks after a term's time until ctx ends: leases that run out, what the state says is due, and
// the seeds that heartbeats tell.
func (s *service) ticks(ctx context.Context) {
	tick := time.NewTicker(s.config.Tick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.gatherSeeds()
		for _, what := range []func(context.Context) error{s.expire, s.tickState, s.rotate, s.flushAudit, s.flushMeters} {
			if err := what(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, raft.ErrNotLeader) {
				s.log.Warn("tick failed, trying again", "error", err)
			}
		}
	}
}

// expire ends the sessions whose lease has run out.
func (s *service) expire(ctx context.Context) error {
	late := s.leases.expired(s.now())
	for part := range slices.Chunk(late, 256) {
		commands := make([]*controlpb.Command, len(part))
		for i, session := range part {
			commands[i] = endSession(session)
		}
		if _, err := s.node.Propose(ctx, commands...); err != nil {
			return fmt.Errorf("end %d sessions without heartbeat: %w", len(part), err)
		}
		for _, session := range part {
			s.leases.drop(session)
			s.m.expired.Inc()
			s.log.Warn("session has ended: no heartbeat within its lease", "session", session, "lease", s.leases.length)
		}
	}
	return nil
}

// tickState lets expire what is due. A cluster where nothing is due writes nothing.
func (s *service) tickState(ctx context.Context) error {
	for range maxTicks {
		due := false
		s.node.Peek(func(st *control.State) {
			at, ok := st.NextDue()
			due = ok && at <= s.node.Now()
		})
		if !due {
			break
		}
		tick := &controlpb.Command{Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}}
		if _, err := s.node.Propose(ctx, tick); err != nil {
			return fmt.Errorf("let expire what is due: %w", err)
		}
	}
	return nil
}

// gatherSeeds notes the gossip addresses of each group's live agents.
func (s *service) gatherSeeds() {
	seeds := map[string][]string{}
	s.node.Peek(func(st *control.State) {
		st.EachSession(func(x control.Session) bool {
			if x.Gossip != "" && !x.Ended {
				list := append(seeds[x.Group], x.Gossip)
				seeds[x.Group] = list[max(0, len(list)-control.MaxSeeds):]
			}
			return true
		})
	})
	for _, list := range seeds {
		slices.Sort(list)
	}
	s.seeds.Store(&seeds)
}

func endSession(session uint64) *controlpb.Command {
	return &controlpb.Command{Op: &controlpb.Command_EndSession{EndSession: &controlpb.EndSessionRequest{Session: session}}}
}
