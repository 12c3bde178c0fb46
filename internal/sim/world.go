package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/produce"
)

// epoch is the wall clock's reading at virtual time 0, in Unix milliseconds.
const epoch int64 = 1_700_000_000_000

// World is one run.
type World struct {
	rng     *rand.Rand
	now     time.Duration
	queue   events
	number  uint64
	steps   int
	quiet   bool // no more faults: everything is to end well
	trace   trace
	broken  string // the first violation
	control *plane
	bucket  *bucket
	agents  []*agent
	clients []client
	reading *reading
	checks  *checks
	sweeper *sweeper
	liar    *liar
	tenant  *tenant
	closed  bool // there are bindings
	groups  *groups
	writer  produce.Config // of producing agents
	stamped bool           // the topic of the second share has the agents' timestamps
	crowd   int            // producers that come and go
	seen    map[string]int // how often what a run is to meet was met
}

// client is a producer of either kind.
type client interface {
	run()
	done() bool
	describe() string
}

// Options shape a run.
type Options struct {
	Nodes      int // of the control plane
	Agents     int
	Partitions int
	Batches    int           // of each producer and partition
	Faults     time.Duration // how long faults happen
	Settle     time.Duration // how long all may take to end well afterwards
}

// Defaults is a run of a few virtual minutes.
func Defaults() Options {
	return Options{Nodes: 2, Agents: 2, Partitions: 3, Batches: 100, Faults: 60 * time.Second, Settle: 10 * time.Minute}
}

// Outcome is what a run came to.
type Outcome struct {
	Violation string // empty: none
	trace     trace
	Steps     int
	Placed    int
	Seen      map[string]int
	Digest    string // of the state at the end: the same for the same seed
}

// Run plays one seed to its end, or to the first violation.
func Run(seed uint64, o Options) Outcome {
	w := newWorld(rand.New(rand.NewPCG(seed, 0x15740105)), o)
	defer w.reading.end()
	w.after(0, "begin", w.begin)
	w.play(o.Faults)
	w.quiet = true
	if w.broken == "" {
		w.calm()
	}
	for end := w.now + o.Settle; w.broken == "" && w.now < end && !w.finished(); {
		if !w.step() {
			break
		}
	}
	if w.broken == "" && !w.finished() {
		w.violated("liveness: not all ended well: %s", w.unfinished())
	}
	if w.broken == "" {
		w.play(w.now + leftOver)
		w.reading.settled()
		w.sweeper.end()
		w.checks.end()
	}
	return Outcome{Seen: w.seen, Violation: w.broken, trace: w.trace, Steps: w.steps, Placed: w.checks.placed, Digest: w.control.digest()}
}

func newWorld(rng *rand.Rand, o Options) *World {
	w := &World{rng: rng, seen: map[string]int{}, writer: produce.Default(), stamped: rng.IntN(2) == 0}
	w.vary()
	w.checks = newChecks(w)
	w.bucket = &bucket{w: w, objects: map[string][]byte{}, weather: map[string]weather{}, planted: map[segment.Nonce]bool{}}
	w.sweeper = newSweeper(w)
	w.control = newPlane(w, o.Nodes, o.Partitions)
	w.reading = newReading(w, o.Partitions)
	for i := range o.Agents {
		w.agents = append(w.agents, newAgent(w, fmt.Sprintf("agent-%c", 'A'+i)))
	}
	for _, p := range []profile{java, librdkafka, franz} {
		w.clients = append(w.clients, newIdempotent(w, len(w.clients), p, o.Partitions, o.Batches))
	}
	w.clients = append(w.clients, newPlain(w, len(w.clients), o.Partitions, o.Batches))
	w.clients = append(w.clients, newIdempotent(w, len(w.clients), restless, 2, o.Batches/2))
	w.clients = append(w.clients, newSleeper(w, len(w.clients), o.Partitions))
	for range w.crowd {
		w.clients = append(w.clients, newPasserby(w, len(w.clients), o.Partitions))
	}
	w.liar, w.tenant = newLiar(w, 99), newTenant(w, 98)
	for _, g := range w.reading.guests {
		w.clients = append(w.clients, g)
	}
	w.groups = newGroups(w, o.Partitions)
	w.clients = append(w.clients, w.groups)
	return w
}

// vary changes what should not matter: how large segments are, how many are under way, what is hedged.
func (w *World) vary() {
	if w.rng.IntN(3) == 0 {
		w.writer.FlushBytes = 200 + w.rng.IntN(800)
	}
	if w.rng.IntN(3) == 0 {
		w.writer.MaxUploads = 1 + w.rng.IntN(4)
		w.writer.MaxSegments = w.writer.MaxUploads + w.rng.IntN(4)
	}
	if w.rng.IntN(4) == 0 {
		w.writer.HedgeBudget = float64(w.rng.IntN(2))
	}
}

// begin starts the actors, the control plane first, and the weather.
func (w *World) begin() {
	w.control.start()
	for _, a := range w.agents {
		a.start()
	}
	for _, c := range w.clients {
		c.run()
	}
	w.sweeper.run()
	w.liar.run()
	w.tenant.run()
	w.reading.begin()
	w.nextFault()
}

// leftOver is how long what nobody waits for may still be on its way: uploads, commits, leases.
const leftOver = 90 * time.Second

// play runs events up to a time.
func (w *World) play(until time.Duration) {
	for w.broken == "" && w.now < until && w.step() {
	}
}

// step runs the next event.
func (w *World) step() bool {
	if len(w.queue) == 0 {
		return false
	}
	e := heap.Pop(&w.queue).(*event)
	w.now = e.at
	w.steps++
	e.do()
	return true
}

func (w *World) finished() bool {
	for _, c := range w.clients {
		if !c.done() {
			return false
		}
	}
	return w.reading.done()
}

func (w *World) unfinished() string {
	var all []string
	for _, c := range w.clients {
		if !c.done() {
			all = append(all, c.describe())
		}
	}
	if s := w.reading.unread(); s != "" {
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

// after schedules an event. Events of one moment happen in the order in which they were scheduled.
func (w *World) after(d time.Duration, what string, do func()) {
	w.number++
	heap.Push(&w.queue, &event{at: w.now + max(d, 0), number: w.number, what: what, do: do})
}

// saw counts something that runs are to meet.
func (w *World) saw(what string) { w.seen[what]++ }

// tell adds a line to the trace.
func (w *World) tell(format string, args ...any) {
	w.trace.add(w.now, format, args)
}

// violated notes the first violation; the run ends after this step.
func (w *World) violated(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
		w.tell("VIOLATION %s", w.broken)
	}
}

// unix is the wall clock in milliseconds.
func (w *World) unix() int64 { return epoch + w.now.Milliseconds() }

// chance is true with probability p, and never in quiet times.
func (w *World) chance(p float64) bool { return !w.quiet && w.rng.Float64() < p }

// between draws a duration.
func (w *World) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)+1))
}

// event is something that will happen.
type event struct {
	at     time.Duration
	number uint64
	what   string
	do     func()
}

// events is a heap by time, then by order of scheduling.
type events []*event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].at != e[j].at {
		return e[i].at < e[j].at
	}
	return e[i].number < e[j].number
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *events) Push(x any) { *e = append(*e, x.(*event)) }

// Pop implements heap.Interface.
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*e = old[:len(old)-1]
	return last
}
