package sim

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/produce"
)

// agent is the edge around a real Writer: what produce.Runner is in a process, without goroutines.
type agent struct {
	w        *World
	name     string
	control  *node // that it asked last
	life     int   // rises at every crash
	up       bool
	began    time.Duration
	writer   *produce.Writer
	effects  []produce.Effect
	conns    []*conn
	stream   *stream
	session  uint64
	newest   uint64        // session of this life
	logins   int           // how often it began to ask for one
	cutUntil time.Duration // partitioned from the control plane until then
	lives    int
	draining bool

	resolved int               // how often the end of a session was told in this life
	waiting  map[*copyOf]int   // what is not answered, and resolved when it came
	heard    map[string]uint64 // by share: up to where every sequence of the session is answered
	promises *promises
	arrivals int
}

// stream is one commit stream: messages arrive in order, until it breaks.
type stream struct {
	session uint64
	at      *node
	broken  bool
	freeAt  [2]time.Duration // when the last message of either direction arrives
}

func newAgent(w *World, name string) *agent { return &agent{w: w, name: name} }

// start begins a life: a new Writer that knows nothing.
func (a *agent) start() {
	a.up, a.began, a.session, a.newest, a.stream, a.draining = true, a.w.now, 0, 0, nil, false
	a.resolved, a.waiting, a.heard = 0, map[*copyOf]int{}, map[string]uint64{}
	a.promises = newPromises(a)
	a.lives++
	a.writer = produce.NewWriter(a.w.writer, a.nonce)
	a.input(func() { a.writer.Start(a.clock()) })
	a.beat(a.life)
}

func (a *agent) crash() {
	if !a.up {
		return
	}
	a.w.tell("fault: %s crashes", a.name)
	a.end()
}

// drain ends an agent as a person would: it answers what it has taken, ends its session, and goes.
func (a *agent) drain() {
	if !a.up || a.draining {
		return
	}
	a.w.tell("%s is to stop", a.name)
	a.draining = true
	a.input(func() { a.writer.Drain(a.clock()) })
}

// drained: nothing is unanswered.
func (a *agent) drained() {
	if n := a.writer.Unanswered(); n != 0 {
		a.w.violated("%s has drained with %d batches unanswered", a.name, n)
	}
	a.w.saw("drained")
	if session, n := a.session, a.reach(); session != 0 && n != nil {
		n.endSession(session, func() {})
	}
	a.end()
}

func (a *agent) end() {
	a.up = false
	a.life++
	a.writer = nil
	a.breakStream()
	a.disconnectAll()
	a.w.after(a.w.between(500*time.Millisecond, 10*time.Second), a.name+" returns", func() {
		a.w.tell("%s returns", a.name)
		a.start()
	})
}

// partition cuts an agent from the control plane for a while.
func (a *agent) partition(d time.Duration) {
	a.w.tell("fault: %s is cut from the control plane for %.0f s", a.name, d.Seconds())
	a.cutUntil = a.w.now + d
	a.breakStream()
}

// reach is the control node that serves the agent, or nil.
func (a *agent) reach() *node {
	if a.w.now < a.cutUntil {
		return nil
	}
	a.control = a.w.control.reached(a.control)
	return a.control
}

func (a *agent) nonce() (n segment.Nonce) {
	for i := range n {
		n[i] = byte(a.w.rng.Uint32())
	}
	return n
}

func (a *agent) clock() produce.Now {
	return produce.Now{At: a.w.now - a.began, Unix: a.w.unix()}
}

// input gives the writer something and carries out what it wants done.
func (a *agent) input(do func()) {
	do()
	for effects := a.take(); len(effects) > 0; effects = a.take() {
		for _, e := range effects {
			a.carryOut(e)
		}
		if !a.up {
			return
		}
	}
	if a.up {
		a.promises.settled()
		a.arm()
	}
}

func (a *agent) take() []produce.Effect {
	a.effects = a.writer.Effects(a.effects[:0])
	return slices.Clone(a.effects)
}

// arm wakes the writer when it wants to be.
func (a *agent) arm() {
	at, ok := a.writer.Wake()
	if !ok {
		return
	}
	life := a.life
	a.w.after(max(at-(a.w.now-a.began), time.Millisecond), "wake", func() {
		if a.life == life {
			if again, ok := a.writer.Wake(); ok && again <= a.w.now-a.began {
				a.input(func() { a.writer.Tick(a.clock()) })
			}
		}
	})
}

// later runs do in this life of the agent, or not at all.
func (a *agent) later(d time.Duration, what string, do func()) {
	life := a.life
	a.w.after(d, what, func() {
		if a.life == life {
			do()
		}
	})
}

func (a *agent) carryOut(e produce.Effect) {
	switch e.Kind {
	case produce.Upload:
		a.promises.uploads(e.Put)
		a.upload(e.Put)
	case produce.Send:
		a.w.tell("%s sends commit 1-%d-%d of %s after %d, %s", a.name, e.Session, e.Commit.Sequence, e.Commit.Share, e.Commit.After, contents(e.Commit))
		a.promises.sends(e.Commit)
		a.send(e.Session, e.Commit)
	case produce.Respond:
		c := e.Batch.Ref.(*copyOf)
		delete(a.waiting, c)
		a.promises.answers(c, e.Answer.Code)
		a.w.checks.answered(c, e.Answer)
		c.conn.answer(c, e.Answer)
	case produce.Disconnect:
		c := e.Batch.Ref.(*copyOf)
		delete(a.waiting, c)
		a.promises.answers(c, 0)
		c.conn.close()
	case produce.OpenStream:
		a.openStream(e.Session)
	case produce.CloseStream:
		a.closeStream(e.Session)
	case produce.AskEnd:
		a.askEnd(e.Session, new(bool))
	case produce.Login:
		a.login()
	case produce.Tell:
		a.report(e.Report)
	case produce.Drained:
		a.drained()
	case produce.CancelUpload, produce.Release:
		// A cancelled attempt still reports what became of it; bytes are the garbage collector's.
	}
}

func (a *agent) report(r *produce.Report) {
	switch r.Kind {
	case produce.ForeignObject:
		if !a.w.bucket.planted[r.Nonce] {
			a.w.violated("I8: %s found a foreign object under its own key of %s", a.name, r.Segment)
		}
		a.w.saw("foreign object")
	case produce.Protocol:
		a.w.violated("%s: the control plane said what cannot be: %s", a.name, r.Text)
	case produce.SegmentAbandoned, produce.Ended, produce.HedgeWon, produce.ClientsDisconnected:
		a.w.saw(map[produce.ReportKind]string{
			produce.SegmentAbandoned: "abandoned", produce.Ended: "asked for the end", produce.HedgeWon: "hedge won",
			produce.ClientsDisconnected: "gone",
		}[r.Kind])
		a.w.tell("%s: %s: report %d %s", a.name, r.Segment, r.Kind, r.Text)
	}
}

// contents says in short what a commit is for.
func contents(c *segment.Commit) string {
	switch {
	case !c.Empty() && len(c.Abandoned) == 0:
		return fmt.Sprint(len(c.Manifest.Rows), " rows")
	case !c.Empty():
		return fmt.Sprint(len(c.Manifest.Rows), " rows, abandons ", c.Abandoned)
	case c.Sequence == c.After:
		return "acknowledges"
	}
	return fmt.Sprint("abandons ", c.Abandoned, " and itself")
}

// upload is one attempt; after the attempt's timeout its outcome is unknown, though it may still land.
func (a *agent) upload(p *produce.Put) {
	key := segment.Key(clusterName, p.Object)
	told := false
	tell := func(r produce.PutResult) {
		if !told {
			told = true
			a.input(func() { a.writer.PutDone(a.clock(), p.Object.Nonce, r) })
		}
	}
	life := a.life
	alive := func(r produce.PutResult) {
		if a.life == life {
			tell(r)
		}
	}
	if first := !a.promises.tried[p.Object.Nonce]; first && a.w.chance(0.004) {
		a.w.bucket.plant(key, p.Object.Nonce, alive)
	} else {
		a.w.bucket.put(p.Object.Share, key, bytes.Join(p.Sealed.Body, nil), alive)
	}
	a.promises.tried[p.Object.Nonce] = true
	a.later(produce.Default().AttemptTimeout, "attempt times out", func() { tell(produce.PutUnknown) })
}

// openStream connects until it succeeds or the session is over. With it the session begins.
func (a *agent) openStream(session uint64) {
	if session <= a.newest {
		a.w.violated("I8: %s begins session %d after session %d", a.name, session, a.newest)
	}
	a.session, a.newest = session, session
	a.begin()
	a.connect(session)
}

func (a *agent) connect(session uint64) {
	a.later(a.w.between(time.Millisecond, 200*time.Millisecond), "connect", func() {
		if a.session != session || a.stream != nil && !a.stream.broken {
			return
		}
		n := a.reach()
		if n == nil {
			a.connect(session)
			return
		}
		a.stream = &stream{session: session, at: n}
		a.input(func() { a.writer.StreamUp(a.clock(), session) })
	})
}

// closeStream: nothing is committed in the session any more, and nothing connects for it.
func (a *agent) closeStream(session uint64) {
	if a.session == session {
		a.session = 0
	}
	if a.stream != nil && a.stream.session == session {
		a.stream.broken = true
		a.stream = nil
	}
}

func (a *agent) breakStream() {
	s := a.stream
	if s == nil || s.broken {
		return
	}
	s.broken = true
	a.stream = nil
	if !a.up {
		return
	}
	a.later(a.w.between(0, time.Second), "stream found broken", func() {
		a.input(func() { a.writer.StreamDown(a.clock(), s.session) })
		if a.session == s.session {
			a.connect(s.session)
		}
	})
}

// hear notes that a commit is answered: with it, all that it abandons.
func (a *agent) hear(c *segment.Commit, r segment.Reply) {
	if (r.Outcome == segment.Answered || r.Outcome == segment.Gone) && c.Session == a.session && c.After <= a.heard[c.Share] {
		a.heard[c.Share] = max(a.heard[c.Share], c.Sequence)
	}
}

// begin is a new session; what had come before the end of the last one was told is answered.
func (a *agent) begin() {
	clear(a.heard)
	moved := 0
	for _, came := range a.waiting {
		if came < a.resolved {
			moved++
		}
	}
	if moved > 0 {
		a.w.violated("I11: %s moves %d batches to its next session", a.name, moved)
	}
}

// send gives a commit to the stream. What is on its way when the stream breaks may have arrived.
func (a *agent) send(session uint64, c *segment.Commit) {
	if c.Session == a.session && c.Acked > a.heard[c.Share] {
		a.w.violated("I2: %s acknowledges %d of share %s, and has heard up to %d", a.name, c.Acked, c.Share, a.heard[c.Share])
	}
	s := a.stream
	if s == nil || s.broken || s.session != session {
		return
	}
	arrive := func(direction int) time.Duration {
		s.freeAt[direction] = max(s.freeAt[direction], a.w.now) + a.w.between(time.Millisecond, 10*time.Millisecond)
		return s.freeAt[direction] - a.w.now
	}
	life := a.life
	a.w.after(arrive(0), "commit arrives", func() {
		if s.broken && a.w.chance(0.5) {
			return
		}
		s.at.order(c, func(r segment.Reply) {
			if s.broken || a.life != life {
				return
			}
			a.w.after(arrive(1), "reply arrives", func() {
				if !s.broken && a.life == life {
					a.hear(c, r)
					a.input(func() { a.writer.Reply(a.clock(), &r) })
				}
			})
		})
	})
	if a.w.chance(0.02) {
		// The network repeats a message; the control plane must not mind.
		a.w.after(arrive(0), "commit arrives again", func() { s.at.order(c, func(segment.Reply) {}) })
	}
}

// askEnd asks until it is answered; the first answer counts.
func (a *agent) askEnd(session uint64, answered *bool) {
	a.later(a.w.between(time.Millisecond, 20*time.Millisecond), "ask end", func() {
		if n := a.reach(); n != nil {
			life := a.life
			lost := a.w.chance(0.2)
			n.endSession(session, func() {
				if a.life == life && !lost && !*answered {
					*answered = true
					a.resolved++
					a.input(func() { a.writer.SessionResolved(a.clock(), session) })
				}
			})
		}
		a.later(500*time.Millisecond, "ask end again", func() {
			if !*answered {
				a.askEnd(session, answered)
			}
		})
	})
}

// login asks until there is a session, or until the writer wants one anew: it asks once at a time, as the edge of a process does.
func (a *agent) login() {
	a.logins++
	this := a.logins
	a.later(a.w.between(time.Millisecond, 20*time.Millisecond), "log in", func() {
		granted := false
		if n := a.reach(); n != nil {
			life := a.life
			lost := a.w.chance(0.1)
			if a.newest != 0 && a.w.chance(0.1) {
				a.starts(a.newest) // the answer to an earlier request comes once more
			}
			n.login(a.identity(), groupName, []string{state.RoleProduce}, func(session uint64) {
				if a.life == life && !lost && !granted {
					granted = true
					a.starts(session)
				}
				if a.life == life && a.w.chance(0.1) {
					// It comes again, when it may be of a session that has ended long ago.
					a.later(a.w.between(time.Second, 40*time.Second), "login answered again", func() { a.starts(session) })
				}
			})
		}
		a.later(500*time.Millisecond, "log in again", func() {
			if !granted && a.logins == this {
				granted = true // an answer that comes now is too late
				a.login()
			}
		})
	})
}

// starts gives the writer a session that it has asked for, now or long ago.
func (a *agent) starts(session uint64) {
	waits := a.session == 0
	a.input(func() {
		a.writer.SessionStarted(a.clock(), produce.Session{ID: session, Incarnation: 1, Cluster: clusterName, Group: groupName})
	})
	if waits && a.up && a.session == session {
		a.w.tell("%s has session %d", a.name, session)
	}
}

// identity is drawn anew at every start of the process.
func (a *agent) identity() string { return a.name + "-" + string(rune('a'+a.lives%26)) }

// beat keeps the session alive.
func (a *agent) beat(life int) {
	a.w.after(time.Second, "heartbeat", func() {
		if a.life != life {
			return
		}
		if session, n := a.session, a.reach(); session != 0 && n != nil {
			ended := func() {
				if a.life == life {
					a.input(func() { a.writer.SessionEnded(a.clock(), session) })
				}
			}
			n.heartbeat(session, ended)
			if a.w.chance(0.01) {
				ended() // no node says so of a session that lives; what the agent does must not depend on it
			}
		}
		a.beat(life)
	})
}

// take a batch from a client.
func (a *agent) receive(c *copyOf, b record.Batch) {
	share, place := placeOf(c.partition)
	a.waiting[c] = a.resolved
	a.arrivals++
	c.arrival = a.arrivals
	a.promises.took(c)
	batch := &produce.Batch{Ref: c, Share: share, Partition: place, Bytes: b, AppendTime: a.w.stamped && share == lands[1].share}
	if a.w.chance(0.05) {
		batch.Patience = a.w.between(time.Second, 30*time.Second)
	}
	a.input(func() { a.writer.Append(a.clock(), batch) })
}

func (a *agent) disconnectAll() {
	for _, c := range slices.Clone(a.conns) {
		c.close()
	}
}
