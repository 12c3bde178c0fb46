package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/isthmusdata/isthmus/internal/faultnet"
)

// explained is the longest time without service that a fault explains.
type explained int

const (
	few    explained = iota // clients turn elsewhere: seconds
	handed                  // an agent sends its clients elsewhere, once it has noticed that it is cut off
	whole                   // nobody can help while it lasts, and then clients turn back
)

// turning is what clients may take to turn elsewhere: seconds, not more.
const turning = 10 * time.Second

// most is how long a fault of a length may be without service.
func (e explained) most(lasted time.Duration) time.Duration {
	switch e {
	case handed:
		return 9*time.Second + turning // see cmd/isthmus/reach.go
	case whole:
		return lasted + turning
	}
	return turning
}

// How long faults last that end by themselves.
const (
	downTime   = 3 * time.Second  // of what was killed
	freezeTime = 20 * time.Second // past the lease of 12 s
	cutTime    = 16 * time.Second // past the lease, and past what an upload is given
	longCut    = 30 * time.Second // of what an agent does something about
	badWeather = 12 * time.Second
	wrongTime  = 8 * time.Second // of a clock that has jumped
)

// fault is one kind of trouble. run makes it, lets it last, and ends it.
type fault struct {
	kind string
	what string // in words, for the report
	// produce and read are what clients must expect to be without.
	produce, read explained
	run           func(context.Context, *strike) error
}

// strike is one fault as it happens.
type strike struct {
	*cluster
	rng    *rand.Rand
	busy   map[string]bool // agents that clients turned to just before
	victim string          // what it met
	note   string          // what it was like
}

// pick draws an agent of a group, of those that serve clients just now if there are some. The first of
// each is spared what would end its process, so that the cluster has processes that live through everything.
func (s *strike) pick(group string, deadly bool) *agent {
	members := s.members(group)
	if deadly {
		members = members[1:]
	}
	if busy := slices.DeleteFunc(slices.Clone(members), func(a *agent) bool { return !s.busy[a.name] }); len(busy) > 0 {
		members = busy
	}
	a := members[s.rng.IntN(len(members))]
	s.victim = a.name
	return a
}

// Kinds are the names of all faults.
func Kinds() []string {
	var names []string
	for _, f := range faults() {
		names = append(names, f.kind)
	}
	return names
}

// faults are all kinds of fault. What is done to an agent is done to one of either group.
func faults() []fault {
	all := []fault{
		{"kill control", "the control plane is killed with -9 and started again", whole, few, killControl},
		{"freeze control", "the control plane is stopped for 20 s and goes on", whole, few, freezeControl},
		{"disk full", "the control plane's disk is full; it ends, and is started again with room", whole, few, fillDisk},
		{"clocks ahead", "all clocks jump an hour ahead, the control plane is started anew, and back; then its clock is confirmed", whole, few, jumpClocks(time.Hour)},
		{"clocks behind", "all clocks jump an hour back, the control plane is started anew, and forth", whole, few, jumpClocks(-time.Hour)},
		{"bucket busy", "nine in ten requests to the bucket are answered 503 SlowDown", whole, whole, storm(weather{busy: 0.9})},
		{"answers lost", "half of the requests to the bucket are carried out and their answers lost", whole, whole, storm(weather{lost: 0.5})},
		{"connections torn", "half of the requests to the bucket or their answers break off in the middle", whole, whole, storm(weather{broken: 0.5})},
		{"bucket slow", "the way to the bucket carries half of the load", whole, whole, storm(weather{rate: 500_000})},
		{"bucket away", "nothing reaches the bucket", whole, whole, bucketAway},
	}
	for _, side := range []struct {
		group, name string
		felt        func(explained) (produce, read explained)
	}{
		{producing, "produce", func(e explained) (explained, explained) { return e, few }},
		{consuming, "fetch", func(e explained) (explained, explained) { return few, e }},
	} {
		g, agentOf := side.group, "an agent with "+side.name
		for _, f := range []struct {
			kind, what string
			felt       explained
			run        func(context.Context, *strike) error
		}{
			{"kill " + side.name, " is killed with -9 and started again", few, killAgent(g)},
			{"move " + side.name, " is killed and comes back with other ports", few, moveAgent(g)},
			{"freeze " + side.name, " is stopped for 20 s and goes on", whole, freezeAgent(g)},
			{side.name + " from bucket", " cannot reach the bucket", handed, cutBucket(g)},
			{side.name + " from control", " cannot reach the control plane", handed, cutControl(g)},
			{side.name + " from clients", " cannot be reached by clients", whole, cutClients(g)},
		} {
			produce, read := side.felt(f.felt)
			all = append(all, fault{f.kind, agentOf + f.what, produce, read, f.run})
		}
	}
	return all
}

func killControl(ctx context.Context, s *strike) error {
	s.victim = s.control.name
	s.control.kill()
	pause(ctx, downTime)
	return errors.Join(s.control.start(), s.control.ready(ctx))
}

func freezeControl(ctx context.Context, s *strike) error { return freeze(ctx, s, s.control.process) }

func freeze(ctx context.Context, s *strike, p *process) error {
	s.victim = p.name
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, freezeTime)
	return p.signal(syscall.SIGCONT)
}

func fillDisk(ctx context.Context, s *strike) error {
	s.victim = s.control.name
	s.control.doom()
	if err := s.disk.fill(); err != nil {
		return err
	}
	ended := s.control.ends()
	switch {
	case ended == nil:
		return errors.New("a control plane without a disk ended with exit code 0")
	case errors.Is(ended, errLives):
		return fmt.Errorf("its disk is full: %w", ended)
	}
	s.note = "it ended: " + ended.Error()
	pause(ctx, downTime)
	return errors.Join(s.disk.empty(), s.control.start(), s.control.ready(ctx))
}

func jumpClocks(by time.Duration) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error {
		s.victim = "all"
		jump := func(by time.Duration) error {
			s.control.kill() // the control plane looks at the clock when it is elected
			for _, n := range s.nodes() {
				if err := n.setClock(by); err != nil {
					return err
				}
			}
			return errors.Join(s.control.start(), s.control.ready(ctx))
		}
		if err := jump(by); err != nil {
			return err
		}
		wrong := s.frozen(ctx, by > 0)
		pause(ctx, wrongTime)
		if err := errors.Join(wrong, jump(0)); err != nil || by < 0 {
			return err
		}
		if _, err := s.operate(ctx, "control", "confirm-clock"); err != nil {
			return err
		}
		return s.frozen(ctx, false)
	}
}

// frozen looks whether the control plane trusts its clock as little as it should.
func (s *strike) frozen(ctx context.Context, want bool) error {
	status, err := s.operate(ctx, "control", "status")
	if got := strings.Contains(status, "frozen"); err == nil && got != want {
		err = fmt.Errorf("the control plane's clock is frozen: %v, want %v", got, want)
	}
	return err
}

func storm(w weather) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error {
		s.victim = "bucket"
		s.bucket.set(w)
		pause(ctx, badWeather)
		s.bucket.set(weather{})
		return nil
	}
}

// silence draws how a way is cut: without a word, as by a firewall, or with a refusal.
func (s *strike) silence() bool {
	silent := s.rng.IntN(2) == 0
	s.note = map[bool]string{true: "packets dropped", false: "connections refused"}[silent]
	return silent
}

func bucketAway(ctx context.Context, s *strike) error {
	s.victim = "bucket"
	var all []string
	for _, n := range s.nodes() {
		all = append(all, n.name)
	}
	s.bucket.set(weather{cut: all, silent: s.silence()})
	pause(ctx, cutTime)
	s.bucket.set(weather{})
	return nil
}

func killAgent(group string) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error {
		a := s.pick(group, true)
		a.kill()
		a.front.Refuse()
		pause(ctx, downTime)
		return errors.Join(a.front.Heal(), a.start(), a.ready(ctx))
	}
}

func moveAgent(group string) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error {
		a := s.pick(group, true)
		a.kill()
		a.moves++
		if err := a.settle(strings.Split(a.front.Address, ":")[0]); err != nil {
			return err
		}
		s.note = "now at " + a.front.Address
		return errors.Join(a.start(), a.ready(ctx))
	}
}

func freezeAgent(group string) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error { return freeze(ctx, s, s.pick(group, false).process) }
}

func cutBucket(group string) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error {
		s.bucket.set(weather{cut: []string{s.pick(group, false).name}, silent: s.silence()})
		pause(ctx, longCut)
		s.bucket.set(weather{})
		return nil
	}
}

func cutControl(group string) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error { return s.sever(ctx, s.pick(group, false).uplink, longCut) }
}

func cutClients(group string) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error { return s.sever(ctx, s.pick(group, false).front, cutTime) }
}

func (s *strike) sever(ctx context.Context, l *faultnet.Link, lasts time.Duration) error {
	if s.silence() {
		l.Mute()
	} else {
		l.Refuse()
	}
	pause(ctx, lasts)
	return l.Heal()
}
