package wire

import (
	"math/bits"
	"sync"
)

// frameMemory is the memory of one Produce request. Its owner is the request's charge, which gives it back when the answer is
// written and every Hold released; nobody reads it after that. Other requests have frames that nobody gives back, for
// handlers keep parts of them (the metadata of group members).
type frameMemory struct {
	bytes []byte // as long as the request
	class int    // of the pool it came from; noClass: none
}

// framePool keeps frames that are over for requests to come. A large frame made anew is cleared, its pages are
// touched for the first time, and it is garbage 200 ms later; together that was a fifth of an agent's processor time. What is not
// used for two collections is garbage again, so that an idle agent keeps nothing. A frame is up to a quarter larger than
// its request, which is not charged.
type framePool struct {
	classes [frameClasses]sync.Pool // of *frameMemory
	poison  bool                    // overwrite what is given back: see Deps.Poison
}

const (
	frameSteps   = 4  // classes to a doubling
	frameMinBits = 12 // the smallest frame that is kept, 4 KiB: less is cheaper to make than to share
	frameMaxBits = 24 // the largest, 16 MiB: larger ones are rare
	frameClasses = (frameMaxBits-frameMinBits)*frameSteps + 1
	noClass      = -1
	poisoned     = 0xdb
)

// classOfFrame is the class of frames that hold size bytes, and what they can hold.
func classOfFrame(size int) (class, room int) {
	if size < 1<<frameMinBits || size > 1<<frameMaxBits {
		return noClass, size
	}
	if size == 1<<frameMinBits {
		return 0, size
	}
	doubling := bits.Len(uint(size-1)) - 1 // size is in (1<<doubling, 2<<doubling]
	step := 1 << doubling / frameSteps
	above := (size - 1<<doubling + step - 1) / step // 1 to frameSteps
	return (doubling-frameMinBits)*frameSteps + above, 1<<doubling + above*step
}

// get returns a frame of size bytes, which hold anything.
func (p *framePool) get(size int) *frameMemory {
	class, room := classOfFrame(size)
	if class == noClass {
		return &frameMemory{bytes: make([]byte, size), class: noClass}
	}
	if f, ok := p.classes[class].Get().(*frameMemory); ok {
		f.bytes = f.bytes[:size]
		return f
	}
	return &frameMemory{bytes: make([]byte, size, room), class: class}
}

// put takes a frame back that nobody reads any more.
func (p *framePool) put(f *frameMemory) {
	if p.poison {
		for i := range f.bytes {
			f.bytes[i] = poisoned
		}
	}
	if f.class != noClass {
		p.classes[f.class].Put(f)
	}
}
