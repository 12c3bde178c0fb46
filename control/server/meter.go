package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

const (
	// mostTold bounds the sessions and shares whose sums wait to be written down; those of more are told again by their agents.
	mostTold = 100_000
	// meterPart is the shares of one command, about.
	meterPart = 512
)

// meters holds what agents told of their shares since it was last written down. Sums only rise and are of a whole session, so that the last one
// counts and a leader that fails takes nothing along that is not told again.
type meters struct {
	mu    sync.Mutex
	told  map[uint64]map[string]*controlpb.ShareMeter // by session and share
	n     int
	wrote time.Duration // of ticks alone
}

func (m *meters) take(session uint64, told []*controlpb.ShareMeter) {
	if len(told) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told == nil {
		m.told = map[uint64]map[string]*controlpb.ShareMeter{}
	}
	of := m.told[session]
	if of == nil {
		of = map[string]*controlpb.ShareMeter{}
		m.told[session] = of
	}
	for _, t := range told[:min(len(told), control.MaxMetered)] {
		if _, again := of[t.GetShare()]; !again {
			if m.n >= mostTold || len(of) >= control.MaxMetered {
				continue
			}
			m.n++
		}
		of[t.GetShare()] = t
	}
}

// commands empties it into commands of what is not known yet.
func (m *meters) commands(known func(session uint64, told *controlpb.ShareMeter) bool) (all []*controlpb.Command) {
	m.mu.Lock()
	told := m.told
	m.told, m.n = nil, 0
	m.mu.Unlock()
	var part *controlpb.MeterCommand
	room := 0
	for _, session := range slices.Sorted(maps.Keys(told)) {
		of := told[session]
		maps.DeleteFunc(of, func(_ string, t *controlpb.ShareMeter) bool { return known(session, t) })
		if len(of) == 0 {
			continue
		}
		if room < len(of) || part == nil {
			part, room = &controlpb.MeterCommand{}, meterPart
			all = append(all, &controlpb.Command{Op: &controlpb.Command_Meter{Meter: part}})
		}
		x := &controlpb.SessionMeter{Session: session}
		for _, share := range slices.Sorted(maps.Keys(of)) {
			x.Shares = append(x.Shares, of[share])
		}
		part.Metered = append(part.Metered, x)
		room -= len(of)
	}
	return all
}

// flushMeters writes down once in an interval what agents told. A cluster in which nothing was done writes nothing.
func (s *service) flushMeters(ctx context.Context) error {
	now := s.now()
	if now-s.meters.wrote < s.config.MeterInterval {
		return nil
	}
	s.meters.wrote = now
	return s.writeMeters(ctx)
}

func (s *service) writeMeters(ctx context.Context) error {
	var news []*controlpb.Command
	s.node.Peek(func(st *control.State) { news = s.meters.commands(st.Metered) })
	for _, c := range news {
		if _, err := s.node.Propose(ctx, c); err != nil {
			return fmt.Errorf("write down what agents did (they will tell it again): %w", err)
		}
	}
	return nil
}

// Meter tells what agents did for each share, and what is stored.
func (s *service) Meter(ctx context.Context, r *controlpb.MeterRequest) (answer *controlpb.MeterResponse, err error) {
	if _, err := s.ask(ctx, control.CallMeter, 0, 0, 0); err != nil {
		return nil, err
	}
	if r.GetSpanMs() <= 0 {
		return nil, fmt.Errorf("%w: a span of %d ms is asked for", errInvalid, r.GetSpanMs())
	}
	s.node.Peek(func(st *control.State) { answer = st.Meter(s.node.Now(), r.GetSpanMs()) })
	return answer, nil
}
