package sim

import "time"

// nextFault schedules one fault after another while the world is not quiet.
func (w *World) nextFault() {
	w.after(w.between(300*time.Millisecond, 6*time.Second), "fault", func() {
		if w.quiet {
			return
		}
		for again := true; again; again = w.chance(0.25) {
			w.fault() // some come together
		}
		w.nextFault()
	})
}

func (w *World) fault() {
	a := w.agents[w.rng.IntN(len(w.agents))]
	n := w.control.nodes[w.rng.IntN(len(w.control.nodes))]
	switch w.rng.IntN(20) {
	case 0:
		a.crash()
	case 1:
		n.crash()
	case 2, 3:
		w.tell("fault: %s's commit stream breaks", a.name)
		a.breakStream()
	case 4:
		a.partition(w.between(2*time.Second, 45*time.Second))
	case 5, 6:
		share := lands[w.rng.IntN(len(lands))].share
		w.bucket.weather[share] = weather(w.rng.IntN(int(weathers)))
		w.tell("fault: bucket weather of share %s: %d", share, w.bucket.weather[share])
	case 7:
		w.tell("fault: clients of %s are disconnected", a.name)
		a.disconnectAll()
	case 8:
		a.drain()
	case 9:
		for _, c := range w.clients {
			if c, ok := c.(*idempotent); ok {
				c.expire()
			}
		}
	case 10, 11:
		w.control.depose()
	case 12:
		n.lag(w.between(time.Second, 30*time.Second))
	case 13:
		w.turnClock(n)
	case 14:
		w.tell("fault: the disks of the control plane are slow")
		w.control.slow = w.now + w.between(time.Second, 15*time.Second)
	case 15:
		w.control.empty()
		if w.chance(0.5) {
			w.control.fill()
		}
	default:
		for _, c := range w.clients {
			if m, ok := c.(interface{ move() }); ok && w.chance(0.5) {
				m.move()
			}
		}
	}
}

// turnClock has a node's wall clock jump. It is noticed at the node's next election.
func (w *World) turnClock(n *node) {
	n.skew = w.between(-3*time.Minute, 3*time.Minute)
	switch w.rng.IntN(4) {
	case 0:
		n.skew = time.Hour
	case 1:
		n.skew = -time.Hour
	}
	w.tell("fault: the wall clock of %s is %.0f s off", n.name, n.skew.Seconds())
}

// calm ends all faults.
func (w *World) calm() {
	w.tell("faults end")
	clear(w.bucket.weather)
	w.control.slow = 0
	w.control.empty()
	for _, n := range w.control.nodes {
		n.behind, n.skew = 0, 0
	}
	w.reading.calm()
	for _, a := range w.agents {
		a.cutUntil = 0
	}
}
