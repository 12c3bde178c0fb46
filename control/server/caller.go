package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/control"
)

// caller says who calls in a session: who the call was proven to come from, as that session. Session 0 is none, that
// of an operator's tool.
func (s *service) caller(ctx context.Context, session uint64) (who control.Caller, err error) {
	if who, err = s.callerOf(ctx); err != nil {
		return who, err
	}
	s.node.Peek(func(st *control.State) { who, err = inSession(st, who, session) })
	return who, err
}

// inSession is who as one of its sessions. A session is its agent's alone.
func inSession(st *control.State, who control.Caller, session uint64) (control.Caller, error) {
	if session == 0 {
		return who, nil
	}
	x, ok := st.Session(session)
	if ok && !owns(who, &x) {
		return who, fmt.Errorf("%w: session %d is not of %s", errDenied, session, nameOf(who))
	}
	if !ok || x.Ended {
		return who, fmt.Errorf("session %d: %w", session, errEnded)
	}
	who.Session, who.Agent, who.Group = x.ID, x.Agent, x.Group
	if who.Open {
		who.Roles = x.Roles // as it named them
		return who, nil
	}
	who.Roles = slices.DeleteFunc(slices.Clone(x.Roles), func(role string) bool { return !slices.Contains(who.Roles, role) })
	return who, nil
}

// owns reports whether a session is the caller's. Where anybody is admitted without a proof, it is everybody's.
func owns(who control.Caller, x *control.Session) bool {
	if who.Open && who.Agent == "" {
		return true
	}
	return who.Agent != "" && who.Agent == x.Agent && who.Group == x.Group
}

// nameOf names a caller in an error.
func nameOf(who control.Caller) string {
	switch {
	case who.Agent != "":
		return fmt.Sprintf("agent %s of group %s", who.Agent, who.Group)
	case who.Identity != "":
		return who.Identity
	}
	return "the caller"
}

// permit asks the walls; an error says what they refuse.
func permit(st *control.State, who control.Caller, what control.Call) error {
	if d := st.Allow(who, what); !d.Allowed {
		return refuse(who, d)
	}
	return nil
}

// permitted asks the walls in the state as it is now.
func (s *service) permitted(who control.Caller, what control.Call) (err error) {
	s.node.Peek(func(st *control.State) { err = permit(st, who, what) })
	return err
}

// news wakes everybody who waits for it, once.
type news struct {
	mu   sync.Mutex
	wait chan struct{}
}

// next is closed when there is news.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wait == nil {
		n.wait = make(chan struct{})
	}
	return n.wait
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wait != nil {
		close(n.wait)
		n.wait = nil
	}
}

// review is what a stream is held to.
type review struct {
	may     func(*control.State) error // says why the stream may not go on
	changed func()                     // the walls have changed; nil: may says it all
}

// guard runs beside a stream: whenever the walls have changed, and as often as a session is to be renewed, it looks
// whether the stream may go on.
func (s *service) guard(ctx context.Context, r review) error {
	again := time.NewTicker(s.config.Raft.Limits.Heartbeat)
	defer again.Stop()
	for last, first := uint64(0), true; ; first = false {
		changed := s.walls.next() // before the look, so that no change falls between
		var err error
		var now uint64
		s.node.Peek(func(st *control.State) { now, err = st.Walls(), r.may(st) })
		if err != nil {
			return err
		}
		if r.changed != nil && (first || now != last) {
			r.changed()
		}
		last = now
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-again.C:
		}
	}
}
