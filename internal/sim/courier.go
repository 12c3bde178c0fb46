package sim

import "time"

// errand is one request of a group's member on its way through an agent, which asks whichever node leads
// until it is answered, as control/client does. It ends without a word when the agent dies or the member
// hangs up.
type errand struct {
	w      *World
	agent  *agent
	life   int // of the agent
	what   string
	ask    func(c *counter, answer func(said)) *parked
	done   func(said)
	until  time.Duration // the agent's patience with a control plane that does not answer
	parks  bool          // it may wait long for its group; patience is for what comes after that
	number int           // of the attempt
	asked  int           // attempts that a node has taken
	over   bool
	waits  *parked
}

// agentPatience is how long an agent tries before it answers that there is no coordinator.
const agentPatience = 10 * time.Second

// carry has an agent carry a request. done is called at most once.
func (a *agent) carry(what string, parks bool, ask func(c *counter, answer func(said)) *parked, done func(said)) *errand {
	e := &errand{w: a.w, agent: a, life: a.life, what: what, ask: ask, done: done, parks: parks, until: a.w.now + agentPatience}
	a.w.after(a.w.between(time.Millisecond, 10*time.Millisecond), what+" at the agent", e.attempt)
	return e
}

// gone: the agent has died, or the member has hung up. The node notices in a while.
func (e *errand) gone() bool {
	if e.agent.life != e.life && !e.over {
		e.hangUp()
	}
	return e.over
}

func (e *errand) hangUp() {
	if e.over {
		return
	}
	e.over = true
	if p := e.waits; p != nil {
		e.w.after(e.w.between(0, 20*time.Second), e.what+" forgotten", p.forget)
	}
}

func (e *errand) attempt() {
	if e.gone() {
		return
	}
	if e.w.now >= e.until {
		e.end(said{code: codeNotAvailable})
		return
	}
	n := e.agent.reach()
	if n == nil {
		e.again(e.w.between(50*time.Millisecond, 500*time.Millisecond))
		return
	}
	e.number++
	mine, term := e.number, n.leads
	lost := e.w.chance(0.02)
	e.w.after(e.w.between(time.Millisecond, 10*time.Millisecond), e.what+" at "+n.name, func() {
		switch {
		case lost, e.number != mine: // the connection broke
		case n.leads != term || e.w.groups.at(n).desk == nil:
			e.heard(mine, said{again: true})
		default:
			e.asked++
			e.waits = e.ask(e.w.groups.at(n), func(s said) { e.heard(mine, s) })
		}
	})
	if lost {
		e.again(e.w.between(50*time.Millisecond, 500*time.Millisecond))
		return
	}
	e.watch(mine, n, term)
}

// watch notices that the node has gone, or leads no more, or that there is nobody who answers.
func (e *errand) watch(mine int, n *node, term uint64) {
	e.w.after(e.w.between(100*time.Millisecond, time.Second), e.what+" watched", func() {
		switch {
		case e.number != mine || e.gone():
		case n.leads != term || e.agent.reach() != n:
			if e.parks {
				e.until = e.w.now + agentPatience
			}
			e.attempt()
		case !e.parks && e.w.now >= e.until:
			e.end(said{code: codeNotAvailable})
		default:
			e.watch(mine, n, term)
		}
	})
}

// heard: the node has answered. The answer may be lost with the connection; then the agent asks again.
func (e *errand) heard(mine int, s said) {
	lost := e.w.chance(0.04)
	wait := e.w.between(time.Millisecond, 10*time.Millisecond)
	if lost {
		e.w.saw("group answer lost")
		wait = e.w.between(50*time.Millisecond, 500*time.Millisecond)
	}
	e.w.after(wait, e.what+" answered", func() {
		switch {
		case e.number != mine || e.gone():
		case lost, s.again:
			e.again(e.w.between(time.Millisecond, 200*time.Millisecond))
		default:
			e.end(s)
		}
	})
}

func (e *errand) again(wait time.Duration) {
	e.number++ // what the last attempt says is no longer heard
	e.w.after(wait, e.what+" again", e.attempt)
}

func (e *errand) end(s said) {
	e.over = true
	s.twice = e.asked > 1
	e.done(s)
}
