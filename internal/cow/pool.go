package cow

import "sync/atomic"

// BlockLen is the number of values in a block of a Pool.
const BlockLen = 64

// chunkLen is the number of blocks that are allocated together.
const chunkLen = 32

// Block is a run of values with one owner.
type Block[T any] [BlockLen]T

type chunk[T any] [chunkLen]Block[T]

// Pool hands out blocks. The owner of a block writes each value once, front to back, and says in
// a place of its own (a Slab) how far it came: so a view needs no copy, for it never reads what
// was not yet written when it was taken. The zero Pool is empty and ready.
type Pool[T any] struct {
	chunks []*chunk[T]
	free   []uint32
	limbo  []uint32       // freed while a view could still read them
	views  []*atomic.Bool // true: released
	next   uint32         // the first block never handed out
}

// Block returns a block for reading, or for writing the values its owner has not written yet.
func (p *Pool[T]) Block(id uint32) *Block[T] { return &p.chunks[id/chunkLen][id%chunkLen] }

// Alloc hands out a block. Its values are whatever the last owner left.
func (p *Pool[T]) Alloc() uint32 {
	if len(p.free) == 0 {
		p.reclaim()
	}
	if n := len(p.free); n > 0 {
		id := p.free[n-1]
		p.free = p.free[:n-1]
		return id
	}
	id := p.next
	p.next++
	if int(id/chunkLen) == len(p.chunks) {
		p.chunks = append(p.chunks, new(chunk[T]))
	}
	return id
}

// Free takes a block back. It is handed out again once no view can read it.
func (p *Pool[T]) Free(id uint32) { p.limbo = append(p.limbo, id) }

// Blocks is the number of blocks that exist, owned or free.
func (p *Pool[T]) Blocks() int { return int(p.next) }

// reclaim frees the blocks in limbo if every view has been released. Views that overlap
// without end would keep them for ever; snapshots do not, they are taken one after the other.
func (p *Pool[T]) reclaim() {
	live := p.views[:0]
	for _, released := range p.views {
		if !released.Load() {
			live = append(live, released)
		}
	}
	p.views = live
	if len(live) == 0 {
		p.free = append(p.free, p.limbo...)
		p.limbo = p.limbo[:0]
	}
}

// View marks the pool. Blocks freed from now on stay as they are until Release.
func (p *Pool[T]) View() PoolView[T] {
	p.reclaim()
	released := new(atomic.Bool)
	p.views = append(p.views, released)
	return PoolView[T]{chunks: p.chunks[:len(p.chunks):len(p.chunks)], released: released}
}

// PoolView reads the blocks of a Pool while the pool goes on.
type PoolView[T any] struct {
	chunks   []*chunk[T]
	released *atomic.Bool
}

// Block returns a block for reading.
func (v *PoolView[T]) Block(id uint32) *Block[T] { return &v.chunks[id/chunkLen][id%chunkLen] }

// Release says that nothing is read any more. It may be called more than once, and from any
// goroutine.
func (v *PoolView[T]) Release() { v.released.Store(true) }
