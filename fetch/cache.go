package fetch

import (
	"container/list"
	"slices"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// class says for whom bytes are held: the tail, which all consumers read at about the same
// time, or history, which few do. Each has memory of its own.
type class uint8

const (
	tailClass class = iota
	coldClass
	classes = 2
)

func (c class) String() string {
	if c == tailClass {
		return "tail"
	}
	return "cold"
}

// piece is a range of an object, being read or held. While refs is above 0 it is somebody's:
// of the reader that fills it, of a request that waits for it, or of an answer not yet written.
type piece struct {
	object segment.Object
	span
	class   class
	peer    string        // the agent it was asked of; empty: the bucket
	filled  chan struct{} // closed when data or err is set
	data    []byte
	buffer  *buffer // that data is a part of; nil: nobody else's
	err     error
	refs    int
	listed  bool // findable
	done    bool // filled
	ahead   bool // read before anybody asked
	sound   map[checked]bool
	element *list.Element // in the class's order, from when it is filled
}

// checked names a location whose batches have been verified in a piece; a peer that asks for
// bytes knows neither base nor records.
type checked struct {
	span
	base    topic.Offset
	records uint32
}

// cache holds pieces within two bounds a class: those that nobody uses within its cache bytes,
// evicted least recently used first, and all together, the ones being read included, within
// cache bytes and flight bytes. It never waits: begin says whether there is room.
//
// A range asked for while a piece that covers it is still being read joins that piece: one GET
// however many ask (single flight).
//
// It is pure but for the channels it closes. Callers hold one lock around it.
type cache struct {
	pieces  map[segment.Object][]*piece
	shares  [classes]share
	buffers buffers
}

// share is the accounting of one class.
type share struct {
	cacheBytes, allBytes int64
	used                 int64      // bytes of all pieces
	idle                 int64      // bytes of those that nobody uses
	ahead                int64      // bytes of those read before anybody asked
	order                *list.List // of *piece, least recently used first
}

func newCache(cfg *Config) *cache {
	c := &cache{pieces: map[segment.Object][]*piece{}, buffers: buffers{limit: cfg.IdleBufferBytes, small: 64 << 10, step: 128 << 10}}
	c.shares[tailClass] = share{cacheBytes: cfg.CacheBytes, allBytes: cfg.CacheBytes + cfg.FlightBytes, order: list.New()}
	c.shares[coldClass] = share{cacheBytes: cfg.ColdCacheBytes, allBytes: cfg.ColdCacheBytes + cfg.ColdFlightBytes, order: list.New()}
	return c
}

// find returns the piece that covers a range, held for the caller, or nil. A cold reader does
// not move a piece of the tail up: history read once must not keep the tail from being evicted
// in its own order.
func (c *cache) find(o segment.Object, s span, reader class) *piece {
	for _, p := range c.pieces[o] {
		if p.holds(s) {
			c.hold(p)
			c.asked(p)
			if p.element != nil && p.class == reader {
				c.shares[p.class].order.MoveToBack(p.element)
			}
			return p
		}
	}
	return nil
}

// covered reports whether a piece covers a range, and touches nothing.
func (c *cache) covered(o segment.Object, s span) bool {
	for _, p := range c.pieces[o] {
		if p.holds(s) {
			return true
		}
	}
	return false
}

// asked ends a piece's time as one that nobody has asked for yet.
func (c *cache) asked(p *piece) {
	if p.ahead {
		p.ahead = false
		c.shares[p.class].ahead -= p.size()
	}
}

func (c *cache) hold(p *piece) {
	if p.refs == 0 && p.done {
		c.shares[p.class].idle -= p.size()
	}
	p.refs++
}

// begin makes a piece to be filled, held once for the reader that fills it, or returns nil when
// there is no room even after evicting what nobody uses. A piece above the bound is let in
// alone, for a batch larger than the memory set aside must still be readable. Pieces read ahead
// may fill half of the cache, or readers of history would push out what others are about to read.
func (c *cache) begin(o segment.Object, s span, cl class, peer string, ahead bool) *piece {
	sh := &c.shares[cl]
	if ahead && sh.ahead+s.size() > sh.cacheBytes/2 {
		return nil
	}
	for sh.used+s.size() > sh.allBytes && c.evict(sh) {
	}
	if sh.used > 0 && sh.used+s.size() > sh.allBytes {
		return nil
	}
	p := &piece{object: o, span: s, class: cl, peer: peer, filled: make(chan struct{}), refs: 1, listed: true, ahead: ahead}
	sh.used += s.size()
	if ahead {
		sh.ahead += s.size()
	}
	c.pieces[o] = append(c.pieces[o], p)
	return p
}

// fill ends the reading of a piece. A failed one is found by nobody any more; those who wait
// see the error. data is a part of the buffer, if that is not nil.
func (c *cache) fill(p *piece, data []byte, from *buffer, err error) {
	p.data, p.err, p.done = data, err, true
	if from != nil && err == nil {
		p.buffer = from
		from.holds++
	}
	close(p.filled)
	if err != nil {
		c.unlist(p)
	} else if p.listed {
		p.element = c.shares[p.class].order.PushBack(p)
	}
	c.release(p)
}

// release gives a hold back.
func (c *cache) release(p *piece) {
	p.refs--
	if p.refs > 0 {
		return
	}
	sh := &c.shares[p.class]
	if !p.listed {
		sh.used -= p.size()
		c.forget(p)
		return
	}
	sh.idle += p.size()
	for sh.idle > sh.cacheBytes && c.evict(sh) {
	}
}

// drop makes a piece findable by nobody: its bytes are not what they should be.
func (c *cache) drop(p *piece) {
	if p.listed && p.refs == 0 {
		c.shares[p.class].idle -= p.size()
		c.shares[p.class].used -= p.size()
		c.forget(p)
	}
	c.unlist(p)
}

// forget gives the bytes of a piece back that nobody holds and nobody will find.
func (c *cache) forget(p *piece) {
	c.buffers.letGo(p.buffer)
	p.data, p.buffer = nil, nil
}

// evict forgets the least recently used piece of a class that nobody uses, if there is one.
func (c *cache) evict(sh *share) bool {
	for e := sh.order.Front(); e != nil; e = e.Next() {
		if p := e.Value.(*piece); p.refs == 0 {
			c.drop(p)
			return true
		}
	}
	return false
}

func (c *cache) unlist(p *piece) {
	if !p.listed {
		return
	}
	p.listed = false
	c.asked(p)
	if p.element != nil {
		c.shares[p.class].order.Remove(p.element)
		p.element = nil
	}
	held := slices.DeleteFunc(c.pieces[p.object], func(q *piece) bool { return q == p })
	if len(held) == 0 {
		delete(c.pieces, p.object)
	} else {
		c.pieces[p.object] = held
	}
}
