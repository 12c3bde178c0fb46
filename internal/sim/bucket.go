package sim

import (
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/produce"
)

// bucket is object storage with conditional put: a key is written once, whoever comes first.
type bucket struct {
	w       *World
	objects map[string][]byte
	weather map[string]weather // by share
	planted map[segment.Nonce]bool
}

// plant puts an object of a stranger under a key before its owner does, who is told so. Nobody can guess a
// key; who finds such an object where nothing of its own can lie must not take it for its own.
func (b *bucket) plant(key string, nonce segment.Nonce, tell func(produce.PutResult)) {
	b.land(key, []byte("a stranger's"))
	b.planted[nonce] = true
	b.w.after(b.w.between(20*time.Millisecond, 150*time.Millisecond), "put refused", func() { tell(produce.PutExists) })
}

// weather is what a bucket does to requests for a while.
type weather int

const (
	fair weather = iota
	slow
	throttling
	losing
	stalled // requests arrive when nobody waits for them any more
	denying // somebody has taken the right to put away
	weathers
)

// put is one attempt. Its outcome is told once, unless the agent has stopped waiting.
func (b *bucket) put(share, key string, body []byte, tell func(produce.PutResult)) {
	w, weather := b.w, b.weather[share]
	latency := w.between(20*time.Millisecond, 150*time.Millisecond)
	if weather == slow && w.chance(0.5) {
		latency = w.between(time.Second, 20*time.Second)
	}
	if weather == stalled && w.chance(0.9) {
		latency = w.between(10*time.Second, time.Minute)
	}
	switch {
	case weather == denying && w.chance(0.9):
		w.after(latency, "put denied", func() { tell(produce.PutDenied) })
		return
	case w.chance(0.0005):
		w.after(latency, "put invalid", func() { tell(produce.PutInvalid) })
		return
	case weather == throttling && w.chance(0.7):
		w.after(latency, "put throttled", func() { tell(produce.PutThrottled) })
		return
	case w.chance(0.03):
		w.after(latency, "put refused", func() { tell(produce.PutRetry) })
		return
	case weather == losing && w.chance(0.6), w.chance(0.03):
		// The reply is lost; the request arrives in time, late, or never.
		w.after(latency+w.between(0, 2*time.Second), "put unknown", func() { tell(produce.PutUnknown) })
		if w.chance(0.75) {
			w.after(latency+w.between(0, 25*time.Second), "put lands unseen", func() { b.land(key, body) })
		}
		return
	}
	w.after(latency, "put lands", func() {
		if b.land(key, body) {
			tell(produce.PutStored)
		} else {
			tell(produce.PutExists)
		}
	})
}

func (b *bucket) land(key string, body []byte) bool {
	if _, exists := b.objects[key]; exists {
		return false
	}
	b.objects[key] = body
	b.w.sweeper.stored(key)
	return true
}
