package fetch

// buffer is the memory of one read from the bucket. The flight that fills it holds it, and then each piece whose bytes are
// a part of it; when the last has let go, and with it every answer that refers to those bytes, it serves the
// next read. Bytes of it are touched only by who holds such a piece.
type buffer struct {
	bytes []byte
	holds int
}

// buffers keeps a few buffers that nobody holds. Reading into new memory costs twice what reading into used memory does: it
// is zeroed first, and every page of it is faulted in.
//
// Callers hold one lock around it.
type buffers struct {
	limit int64 // most bytes kept
	kept  int64
	free  []*buffer    // the one given back last at the end: its bytes may still be in the processor's cache
	step  int64        // buffers are multiples of it
	small int64        // size up to which a read gets new memory: to find it costs more than to make it
	gave  func([]byte) // is told of bytes that nobody holds any more; nil: nobody
}

// take returns a buffer of at least size bytes, held once, and not much more: at most a quarter of it is idle.
func (b *buffers) take(size int64) *buffer {
	for i := len(b.free) - 1; i >= 0; i-- {
		f := b.free[i]
		if n := int64(len(f.bytes)); n >= size && n-n/4 <= size {
			b.free = append(b.free[:i], b.free[i+1:]...)
			b.kept -= n
			f.holds = 1
			return f
		}
	}
	return nil
}

// roomy is how large a buffer is made for a read: segments of one load differ by little, and each should do for the next.
func (b *buffers) roomy(size int64) int64 {
	if size <= b.small {
		return size
	}
	return (size + b.step - 1) / b.step * b.step
}

// letGo ends one hold.
func (b *buffers) letGo(f *buffer) {
	if f == nil {
		return
	}
	f.holds--
	if f.holds > 0 || int64(len(f.bytes)) <= b.small {
		return
	}
	if b.gave != nil {
		b.gave(f.bytes)
	}
	n := int64(len(f.bytes))
	for len(b.free) > 0 && b.kept+n > b.limit {
		b.kept -= int64(len(b.free[0].bytes))
		b.free[0] = nil
		b.free = b.free[1:]
	}
	if b.kept+n <= b.limit {
		b.free = append(b.free, f)
		b.kept += n
	}
}

// poison has every buffer used again, and overwrites it when nobody holds it any more.
func (b *buffers) poison() {
	b.small, b.step = 0, 1
	b.gave = func(bytes []byte) {
		for i := range bytes {
			bytes[i] = 0xdb
		}
	}
}
