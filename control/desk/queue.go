package desk

import (
	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/coordinator"
)

// notAvailable is what the machine is told of an assignment whose fate is unknown.
const notAvailable int16 = 15

// job is what is proposed together, and who hears of it: its caller, or the machine by a token.
type job struct {
	commands []*controlpb.Command
	size     int
	done     func([]control.Result, error)
	group    string
	token    uint64 // of an assignment; 0: none
}

// Batch is jobs that are proposed together. They are to be applied next to each other.
type Batch struct{ jobs []job }

// Commands of all jobs, in order.
func (b Batch) Commands() []*controlpb.Command {
	var all []*controlpb.Command
	for _, j := range b.jobs {
		all = append(all, j.commands...)
	}
	return all
}

// Enqueue puts a job behind all others; done hears what became of it.
func (d *Desk) Enqueue(commands []*controlpb.Command, done func([]control.Result, error)) {
	d.push(job{commands: commands, done: done})
}

func (d *Desk) push(j job) {
	for _, c := range j.commands {
		j.size += proto.Size(c) + 64 // the time stamp and framing of a command
	}
	d.queue = append(d.queue, j)
	d.bytes += j.size
}

// Queued reports whether Take has something to give.
func (d *Desk) Queued() bool { return len(d.queue) > 0 }

// Bytes are those of the queue. Assignments are queued even without room: there is at most one a group under way.
func (d *Desk) Bytes() int { return d.bytes }

// Take removes what fits into one entry of so many bytes from the queue, one job at least. Batches are
// proposed one after the other: the next is taken when the last was settled.
func (d *Desk) Take(most int) Batch {
	n, size := 0, 0
	for n < len(d.queue) && (n == 0 || size+d.queue[n].size <= most) {
		size += d.queue[n].size
		n++
	}
	b := Batch{append([]job(nil), d.queue[:n]...)}
	d.queue = d.queue[n:]
	if len(d.queue) == 0 {
		d.queue = nil
	}
	d.bytes -= size
	return b
}

// Settle says what became of a batch: one result a command, or an error that leaves it open.
func (d *Desk) Settle(now int64, b Batch, results []control.Result, err error) {
	for _, j := range b.jobs {
		var mine []control.Result
		if err == nil {
			n := len(j.commands)
			mine, results = results[:n:n], results[n:]
		}
		if j.done != nil {
			j.done(mine, err)
			continue
		}
		d.stored(now, j, mine, err)
	}
}

// stored tells the machine what became of a group that was to be stored.
func (d *Desk) stored(now int64, j job, results []control.Result, err error) {
	code := notAvailable
	if err == nil {
		code = results[0].Code
	}
	if code != 0 {
		d.lost(j.group, code, err)
	}
	d.With(now, func(m *coordinator.Machine) { m.Persisted(now, j.token, code) })
}
