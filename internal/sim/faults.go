package sim

import "time"

// nextFault schedules one fault after another while the world is not quiet.
func (w *World) nextFault() {
	w.after(w.between(300*time.Millisecond, 6*time.Second), "fault", func() {
		if w.quiet {
			return
		}
		w.fault()
		w.nextFault()
	})
}

func (w *World) fault() {
	a := w.agents[w.rng.IntN(len(w.agents))]
	switch w.rng.IntN(12) {
	case 0:
		a.crash()
	case 1:
		w.control.crash()
	case 2, 3:
		w.tell("fault: %s's commit stream breaks", a.name)
		a.breakStream()
	case 4:
		a.partition(w.between(2*time.Second, 30*time.Second))
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
	default:
		for _, c := range w.clients {
			if m, ok := c.(interface{ move() }); ok && w.chance(0.5) {
				m.move()
			}
		}
	}
}

// calm ends all faults.
func (w *World) calm() {
	w.tell("faults end")
	clear(w.bucket.weather)
	for _, a := range w.agents {
		a.cutUntil = 0
	}
}
