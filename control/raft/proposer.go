package raft

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/statetime"
)

// Pending is a proposal on its way. Its commands are applied together, next to each other.
type Pending struct {
	commands [][]byte // encoded, without their time
	confirms bool     // one of them confirms the clock
	size     int
	began    time.Time
	done     chan struct{}
	results  []control.Result // before done is closed
	err      error
}

// Wait returns one result a command. An ended ctx leaves the outcome open.
func (p *Pending) Wait(ctx context.Context) ([]control.Result, error) {
	select {
	case <-p.done:
		return p.results, p.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Done is closed when Wait answers at once.
func (p *Pending) Done() <-chan struct{} { return p.done }

// stampRoom bounds what the time stamp and the framing of a command, or of an entry, add to its size.
const stampRoom = 32

// The fields of Entry and Command that the proposer writes itself.
const (
	entryCommands protowire.Number = 1
	entryTerm     protowire.Number = 2
	commandTime   protowire.Number = 1
)

// proposer groups what waits into entries. While raft stores one entry the next one fills, so that
// a busy log writes few and large entries and an idle one answers at once.
type proposer struct {
	entryBytes, queueBytes int
	clock                  *statetime.Clock
	m                      *metrics
	before                 func(context.Context) error // called before each entry
	inFlight               chan struct{}               // one token an entry
	submit                 func(data []byte) hraft.ApplyFuture
	landed                 chan flight
	await                  func(hraft.Future) error

	mu    sync.Mutex
	open  bool // proposals are taken: this node leads and its term barrier is applied
	term  uint64
	queue []*Pending
	bytes int
	wake  chan struct{} // holds a token when the queue is not empty
}

// flight is an entry on its way, with the proposals in it, in order.
type flight struct {
	future    hraft.ApplyFuture
	proposals []*Pending
}

func newProposer(c Config, clock *statetime.Clock, m *metrics, before func(context.Context) error, submit func([]byte) hraft.ApplyFuture, await func(hraft.Future) error) *proposer {
	return &proposer{
		entryBytes: c.EntryBytes, queueBytes: c.QueueBytes, clock: clock, m: m, submit: submit, await: await, before: before,
		inFlight: make(chan struct{}, c.InFlight), landed: make(chan flight, c.InFlight), wake: make(chan struct{}, 1),
	}
}

// enqueue takes commands for the log, in the order of its calls, or refuses them. They are encoded
// here, by whoever proposes: one that cannot be (text that is no UTF-8) harms no neighbour.
func (p *proposer) enqueue(commands []*controlpb.Command) (*Pending, error) {
	mine, err := p.encode(commands)
	if err == nil {
		err = p.append(mine)
	}
	if err != nil {
		p.m.proposals.WithLabelValues("refused").Inc()
		return nil, err
	}
	return mine, nil
}

func (p *proposer) encode(commands []*controlpb.Command) (*Pending, error) {
	mine := &Pending{commands: make([][]byte, len(commands)), began: time.Now(), done: make(chan struct{})}
	for i, c := range commands {
		raw, err := proto.Marshal(c)
		if err != nil {
			return nil, fmt.Errorf("%w: encode command: %w", ErrInvalid, err)
		}
		mine.commands[i] = raw
		mine.size += len(raw) + stampRoom
		mine.confirms = mine.confirms || c.GetConfirmClock() != nil
	}
	if mine.size > p.entryBytes-stampRoom {
		return nil, fmt.Errorf("%w: %d commands of %d B, an entry holds %d B", ErrTooLarge, len(commands), mine.size, p.entryBytes)
	}
	return mine, nil
}

func (p *proposer) append(mine *Pending) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		return ErrNotLeader
	}
	if p.bytes+mine.size > p.queueBytes {
		return fmt.Errorf("%w (%d B)", ErrOverloaded, p.bytes)
	}
	p.queue = append(p.queue, mine)
	p.count(mine.size)
	p.signal()
	return nil
}

// start opens the queue for a term.
func (p *proposer) start(term uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open, p.term = true, term
}

// stop closes the queue; nothing in it was done.
func (p *proposer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
	for _, waiting := range p.queue {
		p.answer(waiting, nil, ErrNotLeader)
	}
	p.queue = nil
	p.count(-p.bytes)
}

// run proposes until ctx ends. It is the only one to submit commands.
func (p *proposer) run(ctx context.Context) {
	defer close(p.landed)
	for {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return
		}
		select {
		case p.inFlight <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if p.before(ctx) != nil {
			return
		}
		batch, term := p.take()
		if len(batch) == 0 {
			<-p.inFlight
			continue
		}
		p.landed <- flight{p.propose(batch, term), batch} // has room: one place a token
	}
}

// take removes what fits into one entry from the queue.
func (p *proposer) take() ([]*Pending, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, size := 0, stampRoom
	for n < len(p.queue) && size+p.queue[n].size <= p.entryBytes {
		size += p.queue[n].size
		n++
	}
	batch := append([]*Pending(nil), p.queue[:n]...)
	p.queue = p.queue[n:]
	for _, taken := range batch {
		p.count(-taken.size)
	}
	if len(p.queue) > 0 {
		p.signal()
	} else {
		p.queue = nil
	}
	return batch, p.term
}

// propose stamps the commands and gives them to raft as one entry.
func (p *proposer) propose(batch []*Pending, term uint64) hraft.ApplyFuture {
	size, commands := stampRoom, 0
	for _, b := range batch {
		size += b.size
		commands += len(b.commands)
	}
	entry := protowire.AppendTag(make([]byte, 0, size), entryTerm, protowire.VarintType)
	entry = protowire.AppendVarint(entry, term)
	for _, b := range batch {
		now := p.clock.Now()
		if b.confirms {
			now = p.clock.Confirm()
		}
		for _, c := range b.commands {
			entry = appendCommand(entry, now, c)
		}
	}
	p.m.entries.Inc()
	p.m.entryBytes.Observe(float64(len(entry)))
	p.m.entryCommands.Observe(float64(commands))
	return p.submit(entry)
}

// appendCommand appends one command of an entry: its time, then the rest as it was encoded.
func appendCommand(entry []byte, now int64, command []byte) []byte {
	stamp := protowire.SizeTag(commandTime) + protowire.SizeVarint(uint64(now))
	entry = protowire.AppendTag(entry, entryCommands, protowire.BytesType)
	entry = protowire.AppendVarint(entry, uint64(stamp+len(command)))
	entry = protowire.AppendTag(entry, commandTime, protowire.VarintType)
	entry = protowire.AppendVarint(entry, uint64(now))
	return append(entry, command...)
}

// land answers proposals as their entries are applied, in order, until run has ended.
func (p *proposer) land(context.Context) {
	for f := range p.landed {
		p.settle(f)
	}
}

func (p *proposer) settle(f flight) {
	results, err := outcome(f.future, p.await)
	<-p.inFlight
	for _, b := range f.proposals {
		if err != nil {
			p.answer(b, nil, err)
			continue
		}
		n := len(b.commands)
		p.answer(b, results[:n:n], nil)
		results = results[n:]
	}
}

// outcome waits for an entry and says what became of it.
func outcome(f hraft.ApplyFuture, await func(hraft.Future) error) ([]control.Result, error) {
	switch err := await(f); {
	case err == nil:
	case errors.Is(err, hraft.ErrNotLeader), errors.Is(err, hraft.ErrLeadershipTransferInProgress):
		return nil, ErrNotLeader // raft answers so before it logs anything
	default:
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	switch r := f.Response().(type) {
	case error:
		return nil, r
	case []control.Result:
		return r, nil
	default:
		return nil, fmt.Errorf("%w: raft answers with %T", ErrUnknownOutcome, r)
	}
}

func (p *proposer) answer(b *Pending, results []control.Result, err error) {
	result := "ok"
	switch {
	case errors.Is(err, ErrNotLeader):
		result = "refused"
	case err != nil:
		result = "unknown"
	}
	p.m.proposals.WithLabelValues(result).Inc()
	p.m.propose.Observe(time.Since(b.began).Seconds())
	b.results, b.err = results, err
	close(b.done)
}

func (p *proposer) count(bytes int) {
	p.bytes += bytes
	p.m.queueBytes.Set(float64(p.bytes))
}

func (p *proposer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
