package fetch

import "container/list"

// parked are the requests that wait for records, in the order in which they began to. A client may say that
// it waits for minutes, and say so in as many requests as it likes: what they hold together is bounded, and past
// the bound the one that has waited longest is answered, with nothing, as if its time were up. A consumer that
// waits for half a second or for five does not notice.
//
// It is pure; callers hold the handler's lock.
type parked struct {
	most  int // partitions
	held  int
	order *list.List // of *fetch
}

func newParked(cfg *Config) *parked {
	return &parked{most: cfg.MaxWaitingPartitions, order: list.New()}
}

// weight is what a request counts for: one that alone is more than may wait takes all there is.
func (p *parked) weight(f *fetch) int { return min(len(f.parts), p.most) }

// admit makes room for f.
func (p *parked) admit(f *fetch) {
	if f.place != nil {
		return // it waits again
	}
	for p.held+p.weight(f) > p.most {
		p.hurry(p.order.Front().Value.(*fetch))
	}
	p.held += p.weight(f)
	f.place = p.order.PushBack(f)
}

// hurry has f answered with what there is.
func (p *parked) hurry(f *fetch) {
	p.leave(f)
	if f.hurried = true; f.waiter != nil {
		f.waiter.finish()
	}
}

func (p *parked) leave(f *fetch) {
	if f.place == nil {
		return
	}
	p.held -= p.weight(f)
	p.order.Remove(f.place)
	f.place = nil
}

// park lets a request wait by w. What the client sent is not kept meanwhile. It reports false when
// the request is to be answered instead.
func (f *fetch) park(w *waiter) bool {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	if f.hurried {
		return false
	}
	f.waiter = w
	f.h.parked.admit(f)
	if f.forget != nil {
		f.forget()
		f.forget = nil
	}
	return true
}

func (f *fetch) hurry() {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	f.h.parked.hurry(f)
}

func (f *fetch) unpark() {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	f.h.parked.leave(f)
}
