package tunnel

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
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

// enqueue puts a job behind all others; mu is held. Jobs reach the log in this
// order: one entry holds what came while the one before it was stored.
func (tm *term) enqueue(j job) {
	for _, c := range j.commands {
		j.size += proto.Size(c) + 64 // the time stamp and framing of a command
	}
	tm.queue = append(tm.queue, j)
	tm.bytes += j.size
	select {
	case tm.wake <- struct{}{}:
	default:
	}
}

// room reports whether the queue may grow; mu is held. Assignments are queued
// even without room: there is at most one a group under way.
func (tm *term) room() bool { return tm.bytes < tm.t.cfg.QueueBytes }

// propose takes jobs to the log, one proposal at a time, so that they are applied in order.
func (tm *term) propose() {
	for {
		select {
		case <-tm.ctx.Done():
			return
		case <-tm.wake:
		}
		for {
			jobs := tm.take()
			if len(jobs) == 0 {
				break
			}
			tm.proposeJobs(jobs)
		}
	}
}

// take removes what fits into one entry from the queue.
func (tm *term) take() []job {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	n, size := 0, 0
	for n < len(tm.queue) && (n == 0 || size+tm.queue[n].size <= tm.t.cfg.EntryBytes) {
		size += tm.queue[n].size
		n++
	}
	jobs := append([]job(nil), tm.queue[:n]...)
	tm.queue = tm.queue[n:]
	if len(tm.queue) == 0 {
		tm.queue = nil
	}
	tm.bytes -= size
	return jobs
}

func (tm *term) proposeJobs(jobs []job) {
	var commands []*controlpb.Command
	for _, j := range jobs {
		commands = append(commands, j.commands...)
	}
	results, err := tm.t.propose(tm.ctx, commands...)
	for _, j := range jobs {
		if err != nil {
			j.done(nil, err)
			continue
		}
		n := len(j.commands)
		j.done(results[:n:n], nil)
		results = results[n:]
	}
}

// propose asks the backend, and holds it to one result a command.
func (t *Tunnel) propose(ctx context.Context, commands ...*controlpb.Command) ([]control.Result, error) {
	results, err := t.backend.Propose(ctx, commands...)
	if err == nil && len(results) != len(commands) {
		err = fmt.Errorf("propose %d commands: %d results", len(commands), len(results))
	}
	return results, err
}
