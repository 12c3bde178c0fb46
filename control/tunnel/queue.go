package tunnel

import (
	"context"
	"fmt"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/desk"
)

// answered is what became of a job.
type answered struct {
	results []control.Result
	err     error
}

// await waits for a job. A caller that goes away leaves it to its fate.
func await(ctx context.Context, ch <-chan answered) ([]control.Result, error) {
	select {
	case a := <-ch:
		return a.results, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// enqueue puts commands behind everything that was queued before.
func (tm *term) enqueue(commands []*controlpb.Command, done func([]control.Result, error)) error {
	return tm.at(func(d *desk.Desk, _ int64) { d.Enqueue(commands, done) })
}

// propose takes jobs to the log, one proposal at a time, so that they are applied in order.
func (tm *term) propose() {
	for {
		select {
		case <-tm.ctx.Done():
			return
		case <-tm.wake:
		}
		for tm.proposeBatch() {
		}
	}
}

// proposeBatch takes what fits into one entry to the log and waits for it; it reports whether there was anything.
func (tm *term) proposeBatch() bool {
	tm.mu.Lock()
	batch := tm.desk.Take(tm.t.cfg.EntryBytes)
	tm.mu.Unlock()
	commands := batch.Commands()
	if len(commands) == 0 {
		return false
	}
	results, err := tm.t.propose(tm.ctx, commands...)
	if err := tm.at(func(d *desk.Desk, now int64) { d.Settle(now, batch, results, err) }); err != nil {
		tm.t.log.Debug("settle consumer groups after the term", "error", err)
	}
	return true
}

// propose asks the backend, and holds it to one result a command.
func (t *Tunnel) propose(ctx context.Context, commands ...*controlpb.Command) ([]control.Result, error) {
	results, err := t.backend.Propose(ctx, commands...)
	if err == nil && len(results) != len(commands) {
		err = fmt.Errorf("propose %d commands: %d results", len(commands), len(results))
	}
	return results, err
}
