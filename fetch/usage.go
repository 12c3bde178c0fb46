package fetch

import (
	"sync"

	"github.com/isthmusdata/isthmus/internal/meter"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Usage is what was served of a topic.
type Usage struct {
	Topic          topic.ID
	Bytes, Records int64
}

// usage sums what is served, until somebody takes it. There are as many sums as topics that were served meanwhile.
type usage struct {
	mu  sync.Mutex
	sum map[topic.ID]Usage
}

// count adds the records of an answer.
func (u *usage) count(parts []part) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range parts {
		p := &parts[i]
		if p.out.records.size == 0 {
			continue
		}
		if u.sum == nil {
			u.sum = map[topic.ID]Usage{}
		}
		s := u.sum[p.partition.Topic]
		u.sum[p.partition.Topic] = Usage{p.partition.Topic, s.Bytes + int64(p.out.records.size), s.Records + p.out.records.count}
	}
}

// TakeUsage says what was served of each topic since it was asked last.
func (h *Handler) TakeUsage() []Usage {
	h.usage.mu.Lock()
	defer h.usage.mu.Unlock()
	all := make([]Usage, 0, len(h.usage.sum))
	for _, u := range h.usage.sum {
		all = append(all, u)
	}
	h.usage.sum = nil
	return all
}

// count counts the records of an answer for each share that was asked for, and the request once for each.
func (d *Deps) count(parts []part) {
	var tally meter.Request
	for i := range parts {
		if p := &parts[i]; p.share != "" {
			tally.Add(p.share, p.out.records.size)
		}
	}
	tally.Tell(d.Meter, meter.FetchRequests, meter.FetchBytes)
}
