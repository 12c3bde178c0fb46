package tunnel

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/awake"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/coordinator"
)

// term is the coordinator during one leadership of this node: the machine, who
// waits for it, and the queue before the log.
type term struct {
	t      *Tunnel
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex
	over    bool
	machine *coordinator.Machine
	nextID  coordinator.RequestID
	waiting map[coordinator.RequestID]chan coordinator.Reply
	queue   []job
	bytes   int           // of the queue
	wake    chan struct{} // holds a token when the queue is not empty
	rearm   chan struct{} // holds a token when the machine's next deadline may have moved
}

// job is what is proposed together, and who hears of it.
type job struct {
	commands []*controlpb.Command
	size     int
	done     func([]control.Result, error)
}

// Elected makes this node the coordinator: it reads the stored groups and starts
// their sessions afresh. It is called after the term's barrier is applied.
func (t *Tunnel) Elected(ctx context.Context) error {
	t.Resigned()
	machine := coordinator.New(t.cfg.Coordinator)
	now := t.now()
	err := t.backend.View(ctx, func(s *control.State) {
		s.EachGroup(func(g control.Group) bool {
			// A group that only ever committed offsets is to the machine as one it does not know.
			if len(g.Members) > 0 || g.Generation > 0 {
				machine.Restore(now, storedGroup(g))
			}
			return true
		})
	})
	if err != nil {
		return err
	}
	tm := &term{
		t: t, machine: machine, waiting: map[coordinator.RequestID]chan coordinator.Reply{},
		wake: make(chan struct{}, 1), rearm: make(chan struct{}, 1),
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
	tm.over = true
	queue := tm.queue
	tm.queue, tm.bytes = nil, 0
	for id, ch := range tm.waiting {
		close(ch) // ErrAway
		delete(tm.waiting, id)
	}
	tm.mu.Unlock()
	for _, j := range queue {
		j.done(nil, ErrAway)
	}
}

// with lets f use the machine, and then carries out what came of it.
func (tm *term) with(f func(m *coordinator.Machine, now int64)) error {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	if tm.over {
		return ErrAway
	}
	f(tm.machine, tm.t.now())
	tm.deliver()
	return nil
}

// deliver hands out answers and queues what must be stored; mu is held.
func (tm *term) deliver() {
	out := tm.machine.Take()
	for _, r := range out.Replies {
		if ch := tm.waiting[r.Request]; ch != nil {
			delete(tm.waiting, r.Request)
			ch <- r // has room for one
		}
	}
	for _, s := range out.Stores {
		tm.enqueue(job{
			commands: []*controlpb.Command{{Op: &controlpb.Command_SyncGroup{SyncGroup: s.Command}}},
			done:     func(rs []control.Result, err error) { tm.stored(s.Token, rs, err) },
		})
	}
	select {
	case tm.rearm <- struct{}{}:
	default:
	}
}

// stored tells the machine what became of a group that was to be stored.
func (tm *term) stored(token uint64, rs []control.Result, err error) {
	code := codeCoordinatorNotAvailable
	if err == nil {
		code = rs[0].Code
	}
	if code != 0 {
		tm.t.log.Warn("consumer group not stored", "code", code, "error", err)
	}
	if err := tm.with(func(m *coordinator.Machine, now int64) { m.Persisted(now, token, code) }); err != nil {
		tm.t.log.Debug("stored consumer group after the term", "error", err)
	}
}

// wait gives a request to the machine and waits for its answer. When the caller
// goes away, so does the request.
func (tm *term) wait(ctx context.Context, ask func(m *coordinator.Machine, now int64, id coordinator.RequestID)) (coordinator.Reply, error) {
	ch := make(chan coordinator.Reply, 1)
	var id coordinator.RequestID
	full := false
	err := tm.with(func(m *coordinator.Machine, now int64) {
		if full = len(tm.waiting) >= tm.t.cfg.MaxParked; full {
			return
		}
		tm.nextID++
		id = tm.nextID
		tm.waiting[id] = ch
		ask(m, now, id)
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
	err = tm.with(func(m *coordinator.Machine, now int64) {
		delete(tm.waiting, id)
		m.Forget(now, id)
	})
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
	at, ok := tm.machine.Next()
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
