package tunnel

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/awake"
	"github.com/isthmusdata/isthmus/control/coordinator"
	"github.com/isthmusdata/isthmus/control/desk"
)

// term is the coordinator during one leadership of this node: the desk, and the goroutines that keep its
// time and carry its queue to the log.
type term struct {
	t      *Tunnel
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu    sync.Mutex
	over  bool
	desk  *desk.Desk
	wake  chan struct{} // holds a token when the queue is not empty
	rearm chan struct{} // holds a token when the machine's next deadline may have moved
}

// Elected makes this node the coordinator: it reads the stored groups and starts
// their sessions afresh. It is called after the term's barrier is applied.
func (t *Tunnel) Elected(ctx context.Context) error {
	t.Resigned()
	tm := &term{t: t, wake: make(chan struct{}, 1), rearm: make(chan struct{}, 1)}
	tm.desk = desk.New(t.cfg.Coordinator, func(group string, code int16, err error) {
		t.log.Warn("consumer group not stored", "group", group, "code", code, "error", err)
	})
	now := t.now()
	if err := t.backend.View(ctx, func(s *control.State) { tm.desk.Restore(now, s) }); err != nil {
		return err
	}
	tm.ctx, tm.cancel = context.WithCancel(context.Background())
	t.mu.Lock()
	defer t.mu.Unlock()
	tm.ended.Go(tm.propose)
	tm.ended.Go(tm.keepTime)
	t.term = tm
	return nil
}

// Resigned ends the coordinator of this node. Whoever waits is told to ask again.
// When it returns, nothing more is proposed.
func (t *Tunnel) Resigned() {
	t.mu.Lock()
	tm := t.term
	t.term = nil
	t.mu.Unlock()
	if tm == nil {
		return
	}
	tm.cancel()
	tm.ended.Wait()
	tm.end()
}

// serving is the term that serves groups, or ErrAway.
func (t *Tunnel) serving() (*term, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.term == nil {
		return nil, ErrAway
	}
	return t.term, nil
}

// now is the coordinator's clock, in milliseconds. Members whose heartbeats this process could not hear have
// not been silent.
func (t *Tunnel) now() int64 { return t.awake.Now().Milliseconds() }

// end answers everyone. No goroutine of the term runs any more.
func (tm *term) end() {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	tm.over = true
	tm.desk.End(ErrAway)
}

// at lets f use the desk, and has others carry on with what came of it.
func (tm *term) at(f func(d *desk.Desk, now int64)) error {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	if tm.over {
		return ErrAway
	}
	f(tm.desk, tm.t.now())
	if tm.desk.Queued() {
		signal(tm.wake)
	}
	signal(tm.rearm)
	return nil
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// with lets f use the machine, and then carries out what came of it.
func (tm *term) with(f func(m *coordinator.Machine, now int64)) error {
	return tm.at(func(d *desk.Desk, now int64) { d.With(now, func(m *coordinator.Machine) { f(m, now) }) })
}

// wait gives a request to the machine and waits for its answer. When the caller
// goes away, so does the request.
func (tm *term) wait(ctx context.Context, ask func(m *coordinator.Machine, now int64, id coordinator.RequestID)) (coordinator.Reply, error) {
	ch := make(chan coordinator.Reply, 1)
	var id coordinator.RequestID
	full := false
	err := tm.at(func(d *desk.Desk, now int64) {
		if full = d.Waiting() >= tm.t.cfg.MaxParked; full {
			return
		}
		answer := func(r coordinator.Reply, ok bool) {
			if ok {
				ch <- r // has room for one
			}
			close(ch) // ErrAway, if there is nothing in it
		}
		id = d.Park(now, answer, func(m *coordinator.Machine, id coordinator.RequestID) { ask(m, now, id) })
	})
	if err != nil {
		return coordinator.Reply{}, err
	}
	if full {
		return coordinator.Reply{}, ErrAway
	}
	select {
	case r, ok := <-ch:
		if !ok {
			return r, ErrAway
		}
		return r, nil
	case <-ctx.Done():
	}
	err = tm.at(func(d *desk.Desk, now int64) { d.Forget(now, id) })
	return coordinator.Reply{}, errors.Join(context.Cause(ctx), err)
}

// keepTime lets the machine's deadlines happen, and drops groups that are empty
// here and gone from the state.
func (tm *term) keepTime() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-tm.ctx.Done():
			return
		case <-sweep.C:
			tm.sweep()
		case <-tm.rearm:
		case <-timer.C:
			if err := tm.with(func(m *coordinator.Machine, now int64) { m.Tick(now) }); err != nil {
				return
			}
		}
		timer.Reset(tm.untilNext())
	}
}

// untilNext is how long the machine has nothing to do, or less: the clock wants to be looked at.
func (tm *term) untilNext() time.Duration {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	at, ok := tm.desk.Next()
	if !ok {
		return lookAgain
	}
	return min(max(time.Duration(at-tm.t.now())*time.Millisecond, time.Millisecond), lookAgain)
}

// lookAgain is how often the coordinator's clock is looked at.
const lookAgain = awake.Most / 2

// sweepEvery is how often sweep looks for groups to drop.
const sweepEvery = time.Minute

// sweep drops the groups that have been empty for a while and that the state
// does not know: their offsets have expired, or nobody ever finished joining.
func (tm *term) sweep() {
	var idle []string
	if tm.with(func(m *coordinator.Machine, now int64) { idle = m.Idle(now - sweepEvery.Milliseconds()) }) != nil || len(idle) == 0 {
		return
	}
	known := map[string]bool{}
	err := tm.t.backend.View(tm.ctx, func(s *control.State) {
		for _, name := range idle {
			known[name] = hasGroup(s, name)
		}
	})
	if err != nil {
		tm.t.log.Debug("sweep consumer groups", "error", err)
		return
	}
	err = tm.with(func(m *coordinator.Machine, now int64) {
		still := m.Idle(now - sweepEvery.Milliseconds())
		for _, name := range still {
			if stored, asked := known[name]; asked && !stored {
				m.Drop(name)
			}
		}
	})
	if err != nil {
		tm.t.log.Debug("sweep consumer groups", "error", err)
	}
}
