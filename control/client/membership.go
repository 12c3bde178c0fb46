package client

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/meter"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Hooks are told what happens to an agent's membership, one after the other.
type Hooks struct {
	// Granted: a login succeeded.
	Granted func(Grant)
	// Ended: the control plane says that the session has ended. Whoever commits in it must learn so.
	Ended func(session uint64)
	// Seeds: the addresses of the group's live agents have changed.
	Seeds func(seeds []string)
	// Walls: what the group may do, has, or shares with others has changed, or may have. May be nil.
	Walls func(Beat)
	// Keys: the group's keys are to be changed to these. It returns soon; UseKeys says when that is done, and until
	// then it is told again. May be nil.
	Keys func(Keys)
	// Served says what was served of each topic since it was called last. May be nil.
	Served func() []Usage
	// Metered says what was done for each share since the agent started. May be nil.
	Metered func() []meter.Total
	// Denied: the control plane does not let the agent in, or no longer. It is asked again from time to time, for
	// the wall may be opened. May be nil: Run then returns the error.
	Denied func(error)
	// Reached: the control plane has not answered for half a lease, or answers again. May be nil.
	Reached func(bool)
}

// Membership keeps one agent logged in.
type Membership struct {
	client  *Client
	request LoginRequest
	hooks   Hooks
	log     *slog.Logger

	login sync.Mutex // held while logging in: one login at a time

	mu      sync.Mutex
	grant   Grant         // Session 0: none lives
	lease   time.Duration // of the last grant
	heard   time.Time     // when the control plane last answered
	changed chan struct{}
	epoch   atomic.Uint64 // of the group's keys that the agent is ready for

	saying sync.Mutex // held while a heartbeat is under way
	unsaid map[topic.ID]Usage
	teller teller

	telling sync.Mutex // held while Reached is called
	silent  bool       // what it was told last
}

// NewMembership logs in at the first call of Grant or Run.
func NewMembership(c *Client, r LoginRequest, h Hooks, log *slog.Logger) *Membership {
	return &Membership{client: c, request: r, hooks: h, log: log, changed: make(chan struct{}, 1), unsaid: map[topic.ID]Usage{}}
}

// Grant returns the live session, logging in if there is none.
func (m *Membership) Grant(ctx context.Context) (Grant, error) {
	m.login.Lock()
	defer m.login.Unlock()
	if g := m.live(); g.Session != 0 {
		return g, nil
	}
	g, err := m.client.Login(ctx, m.request)
	if err != nil {
		return Grant{}, err
	}
	m.set(g)
	m.log.Info("logged in", "session", g.Session, "node", g.NodeID, "cluster", g.Cluster)
	m.hooks.Granted(g)
	m.hear()
	return g, nil
}

// EndSession ends a session and returns once that is final.
func (m *Membership) EndSession(ctx context.Context, session uint64) error {
	if err := m.client.EndSession(ctx, session); err != nil {
		return err
	}
	m.forget(session)
	return nil
}

// Run keeps a session alive until ctx ends. It returns only then, or when logging in can never succeed.
func (m *Membership) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	if m.hooks.Reached != nil {
		listening.Go(func() { m.listen(ctx) })
	}
	for ctx.Err() == nil {
		g, err := m.Grant(ctx)
		switch {
		case err == nil:
			m.keep(ctx, g)
		case ctx.Err() != nil:
		case errors.Is(err, ErrDenied) && m.hooks.Denied != nil:
			m.hear() // it was the control plane that said so
			m.log.Warn("not let in, trying again", "error", err)
			m.hooks.Denied(err)
			_ = sleep(ctx, m.client.config.DeniedPause) // cut short only when ctx ends, and with it the loop
		case !retriable(err):
			return err
		default:
			m.log.Warn("cannot log in, trying again", "error", err)
			_ = sleep(ctx, m.client.config.BackoffMax) // cut short only when ctx ends, and with it the loop
		}
	}
	return nil
}

// keep sends heartbeats until the session has ended or ctx ends.
func (m *Membership) keep(ctx context.Context, g Grant) {
	tick := time.NewTicker(g.Heartbeat)
	defer tick.Stop()
	last := Beat{Seeds: g.Seeds}
	for first := true; m.live().Session == g.Session; {
		select {
		case <-ctx.Done():
			return
		case <-m.changed:
			continue
		case <-tick.C:
		}
		beat, err := m.beat(ctx, g, false)
		if err == nil {
			m.hear()
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, ErrDenied), err == nil && beat.Ended:
			m.log.Warn("session has ended", "session", g.Session, "error", err)
			m.forget(g.Session)
			m.hooks.Ended(g.Session)
		case err != nil:
			m.log.Warn("heartbeat failed; the session lives until the control plane says otherwise", "session", g.Session, "error", err)
		default:
			m.compare(last, beat, first)
			last, first = beat, false
		}
	}
}

// UseKeys says that the agent is ready for an epoch of the group's keys; heartbeats pass it on.
func (m *Membership) UseKeys(epoch uint64) { m.epoch.Store(epoch) }

// compare tells what a heartbeat has brought. The login does not say which walls it was granted under, so that
// the first heartbeat after it always counts as news.
func (m *Membership) compare(last, beat Beat, first bool) {
	if !slices.Equal(last.Seeds, beat.Seeds) {
		m.hooks.Seeds(beat.Seeds)
	}
	if m.hooks.Keys != nil && beat.Keys != nil {
		m.hooks.Keys(*beat.Keys)
	}
	if m.hooks.Walls != nil && (first || last.Walls != beat.Walls || last.Quota != beat.Quota || last.Agents != beat.Agents) {
		m.hooks.Walls(beat)
	}
}

// beat sends a heartbeat; a last one tells everything at once.
func (m *Membership) beat(ctx context.Context, g Grant, last bool) (Beat, error) {
	ctx, cancel := context.WithTimeout(ctx, g.Lease)
	defer cancel()
	m.saying.Lock()
	defer m.saying.Unlock()
	if m.hooks.Served != nil {
		for _, u := range m.hooks.Served() {
			sum := m.unsaid[u.Topic]
			m.unsaid[u.Topic] = Usage{u.Topic, sum.Bytes + u.Bytes, sum.Records + u.Records}
		}
	}
	var news []*controlpb.ShareMeter
	if m.hooks.Metered != nil {
		news = m.teller.news(time.Now(), g.Session, m.hooks.Metered(), last)
	}
	beat, err := m.client.heartbeat(ctx, g.Session, m.epoch.Load(), slices.Collect(maps.Values(m.unsaid)), news)
	if err == nil && !beat.Ended {
		m.teller.hear(time.Now(), news)
		clear(m.unsaid) // if the answer was lost, it is said again
	}
	return beat, err
}

// Report tells at once what was served, for an agent that stops. Without a session there is nobody to tell it of.
func (m *Membership) Report(ctx context.Context) error {
	g := m.live()
	if g.Session == 0 {
		return nil
	}
	_, err := m.beat(ctx, g, true)
	return err
}

// hear notes that the control plane has answered.
func (m *Membership) hear() {
	m.mu.Lock()
	m.heard = time.Now()
	m.mu.Unlock()
	m.tell()
}

// tell calls Reached if there is news. The state is read while no other call is under way, so that the last
// call says what is.
func (m *Membership) tell() {
	if m.hooks.Reached == nil {
		return
	}
	m.telling.Lock()
	defer m.telling.Unlock()
	m.mu.Lock()
	silent := m.lease > 0 && time.Since(m.heard) >= m.lease/2
	m.mu.Unlock()
	if silent != m.silent {
		m.silent = silent
		m.hooks.Reached(!silent)
	}
}

// listen notices silence.
func (m *Membership) listen(ctx context.Context) {
	for {
		m.mu.Lock()
		wait := max(m.lease/12, 10*time.Millisecond)
		m.mu.Unlock()
		if sleep(ctx, wait) != nil {
			return
		}
		m.tell()
	}
}

func (m *Membership) live() Grant {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.grant
}

func (m *Membership) set(g Grant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.grant, m.lease, m.heard = g, g.Lease, time.Now()
}

// forget drops the session if it is the one that lives, and wakes keep.
func (m *Membership) forget(session uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.grant.Session != session {
		return
	}
	m.grant = Grant{}
	select {
	case m.changed <- struct{}{}:
	default:
	}
}
