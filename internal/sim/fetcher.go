package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/fetch"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

// fetcher is a fetching agent: a real Handler, whose goroutines are a crew's, and the edge around it.
type fetcher struct {
	w         *World
	r         *reading
	name      string
	number    int
	life      int // rises at every crash
	up        bool
	left      time.Duration // when it went down
	crew      *crew
	handler   *fetch.Handler
	control   *node // that answered last
	feed      *feed // the watch stream that is open, or nil
	cutUntil  time.Duration
	slowUntil time.Duration
	conns     []*consumer
	topics    map[string]topic.Topic // by name, as last read
	byID      map[topic.ID]topic.Topic
	witness   *witness
}

func newFetcher(r *reading, number int) *fetcher {
	return &fetcher{w: r.w, r: r, number: number, name: fmt.Sprintf("fetcher-%c", 'A'+number), left: -time.Hour}
}

// start begins a life: a new Handler that knows nothing.
func (f *fetcher) start() {
	f.up, f.topics, f.byID = true, map[string]topic.Topic{}, map[topic.ID]topic.Topic{}
	f.crew, f.witness = newCrew(f.w), newWitness(f)
	h, err := fetch.New(f.r.config, fetch.Deps{
		Cluster: clusterName, Incarnation: func() uint32 { return incarnation },
		Index: f, Topics: f, Stores: f.store, Owners: f, Peers: f, Sched: f.crew, Poison: true,
	})
	if err != nil {
		f.w.violated("%s: %v", f.name, err)
		return
	}
	f.handler = h
	crew := f.crew
	crew.do(func() {
		crew.Go(func() {
			if err := h.Run(crew.ctx); err != nil {
				f.w.violated("%s: follow the watch: %v", f.name, err)
			}
		})
	})
}

// crash ends everything where it stands.
func (f *fetcher) crash() {
	if !f.up {
		return
	}
	f.w.tell("fault: %s crashes", f.name)
	f.up, f.left = false, f.w.now
	f.life++
	f.snap()
	f.crew.kill()
	f.handler, f.crew = nil, nil
	for _, c := range append([]*consumer(nil), f.conns...) {
		c.hangUp()
	}
	f.w.after(f.w.between(500*time.Millisecond, 10*time.Second), f.name+" returns", func() {
		f.w.tell("%s returns", f.name)
		f.start()
	})
}

// later lets something happen in this life of the agent, or not at all; tasks that wait for it go on.
func (f *fetcher) later(d time.Duration, what string, do func()) {
	life := f.life
	f.w.after(d, what, func() {
		if f.life == life && f.up {
			f.crew.do(do)
		}
	})
}

func (f *fetcher) network() time.Duration { return f.w.between(time.Millisecond, 8*time.Millisecond) }

// errAway: nothing was learned.
var errAway = errors.New("control plane is away")

// ask lets the node that answers read its state, after it has made sure that it leads.
func (f *fetcher) ask(ctx context.Context, read func(*node)) error {
	came := make(chan struct{}, 1)
	var err error
	answer := func(d time.Duration, e error) {
		f.later(d, "answer arrives", func() { err = e; came <- struct{}{} })
	}
	f.w.after(f.network(), "question arrives", func() {
		lost := f.w.chance(0.02)
		f.control = f.w.control.reached(f.control)
		switch {
		case f.w.now < f.cutUntil, lost && f.w.rng.IntN(2) == 0:
			return // nobody hears it
		case f.control == nil:
			answer(f.network(), errAway)
			return
		}
		n := f.control
		n.confirm(func() {
			read(n)
			if !lost {
				answer(f.network(), nil)
			}
		})
	})
	if f.crew.Wait(ctx, never, came) != 0 {
		return errAway
	}
	return err
}

// Plan implements fetch.Index.
func (f *fetcher) Plan(ctx context.Context, queries []segment.PlanQuery) ([]segment.PartitionPlan, error) {
	var plans []segment.PartitionPlan
	err := f.ask(ctx, func(n *node) {
		for _, q := range queries {
			plans = append(plans, n.state.Plan(q.Partition, q.Offset, min(q.MaxBytes, f.r.planned)))
		}
	})
	if err != nil {
		return nil, err
	}
	for i := range plans {
		f.witness.planned(queries[i].Partition, &plans[i])
	}
	return plans, nil
}

// ListOffsets implements fetch.Index.
func (f *fetcher) ListOffsets(ctx context.Context, queries []segment.OffsetQuery) ([]segment.OffsetFound, error) {
	var found []segment.OffsetFound
	err := f.ask(ctx, func(n *node) {
		for _, q := range queries {
			found = append(found, n.state.FindOffset(q))
		}
	})
	return found, err
}

// Lookup implements fetch.Topics. That there is no topic is never remembered.
func (f *fetcher) Lookup(ctx context.Context, name string) (topic.Topic, error) {
	if t, known := f.topics[name]; known {
		return t, nil
	}
	return f.lookup(ctx, func(s *state.State) (topic.Topic, bool) { return s.TopicByName(name) })
}

// LookupID implements fetch.Topics.
func (f *fetcher) LookupID(ctx context.Context, id topic.ID) (topic.Topic, error) {
	if t, known := f.byID[id]; known {
		return t, nil
	}
	return f.lookup(ctx, func(s *state.State) (topic.Topic, bool) { return s.TopicByID(id) })
}

func (f *fetcher) lookup(ctx context.Context, find func(*state.State) (topic.Topic, bool)) (topic.Topic, error) {
	var t topic.Topic
	var ok bool
	if err := f.ask(ctx, func(n *node) { t, ok = find(n.state) }); err != nil {
		return t, err
	}
	if !ok {
		return t, topic.ErrUnknown
	}
	f.topics[t.Name], f.byID[t.ID] = t, t
	return t, nil
}

// LookupAll implements fetch.Topics.
func (f *fetcher) LookupAll(ctx context.Context, names []string, ids []topic.ID) (topics []topic.Topic, errs []error) {
	add := func(t topic.Topic, err error) { topics, errs = append(topics, t), append(errs, err) }
	for _, name := range names {
		add(f.Lookup(ctx, name))
	}
	for _, id := range ids {
		add(f.LookupID(ctx, id))
	}
	return topics, errs
}

// Forget implements fetch.Topics.
func (f *fetcher) Forget(name string) { delete(f.topics, name) }

// Owner implements fetch.Owners: by the agents that gossip has not found gone, two seconds late.
func (f *fetcher) Owner(chunk string) (addr string, self bool) {
	var members []*fetcher
	for _, m := range f.r.fetchers {
		if m.up || f.w.now-m.left < 2*time.Second {
			members = append(members, m)
		}
	}
	h := fnv.New32a()
	h.Write([]byte(chunk))
	owner := members[int(h.Sum32())%len(members)]
	return owner.name, owner == f
}

// receive takes a request from a consumer.
func (f *fetcher) receive(x *exchanged) {
	request := &wire.Request{Key: int16(kmsg.Fetch), Version: x.version, ClientID: x.from.name, Body: x.body()}
	f.crew.do(func() {
		f.handler.Serve(f.crew.ctx, request, func(reply wire.Reply) { f.replied(x, reply) })
	})
}

// replied looks at an answer and sends it. Its bytes are the consumer's once they are written;
// until then the agent must not touch them.
func (f *fetcher) replied(x *exchanged, reply wire.Reply) {
	if f.crew.over {
		return
	}
	raw := bytes.Join(reply.Gathered, nil)
	x.answer = kmsg.NewPtrFetchResponse()
	x.answer.Version = x.version
	if err := x.answer.ReadFrom(raw); err != nil {
		f.w.violated("%s: an answer of version %d cannot be read: %v", f.name, x.version, err)
		return
	}
	f.witness.said(x)
	written := f.w.between(0, 5*time.Millisecond)
	if f.w.chance(0.02) {
		written = f.w.between(100*time.Millisecond, 3*time.Second) // a slow reader holds the agent's memory
	}
	f.later(written, "answer written", func() {
		if !bytes.Equal(raw, bytes.Join(reply.Gathered, nil)) {
			f.w.violated("I9: an answer of %s to %s has changed before it was written", f.name, x.from.name)
		}
		if reply.Done != nil {
			reply.Done()
		}
		f.w.after(f.network(), "answer arrives", func() { x.from.received(x) })
	})
}
