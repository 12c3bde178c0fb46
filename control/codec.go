package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// A snapshot travels in chunks, so that no byte of it is believed before its checksum is:
//
//	length   4 bytes, little endian; 0: the end
//	checksum 4 bytes, CRC-32C of all payload so far, this chunk's included
//	payload  length bytes
//
// The payload is a run of values: unsigned and zigzag varints, and byte strings after their
// length. Values may lie across chunks.

const (
	chunkSize  = 64 << 10
	chunkBound = 2 * chunkSize
)

// ErrSnapshot is what every snapshot is that cannot be read.
var ErrSnapshot = errors.New("invalid snapshot")

type encoder struct {
	w   io.Writer
	buf []byte
	crc uint32
	n   int64
	err error
}

func (e *encoder) uint(v uint64) {
	e.buf = binary.AppendUvarint(e.buf, v)
	if len(e.buf) >= chunkSize {
		e.flush()
	}
}

func (e *encoder) int(v int64) { e.uint(uint64(v<<1) ^ uint64(v>>63)) }

func (e *encoder) bool(v bool) {
	if v {
		e.uint(1)
	} else {
		e.uint(0)
	}
}

func (e *encoder) raw(b []byte) {
	for len(b) > 0 {
		n := min(len(b), chunkSize)
		e.buf = append(e.buf, b[:n]...)
		b = b[n:]
		if len(e.buf) >= chunkSize {
			e.flush()
		}
	}
}

func (e *encoder) bytes(b []byte) {
	e.uint(uint64(len(b)))
	e.raw(b)
}

func (e *encoder) string(v string) { e.bytes([]byte(v)) }

func (e *encoder) flush() {
	if len(e.buf) > 0 {
		e.chunk(e.buf)
		e.buf = e.buf[:0]
	}
}

// close writes what is left and the end.
func (e *encoder) close() error {
	e.flush()
	e.chunk(nil)
	return e.err
}

func (e *encoder) chunk(b []byte) {
	if e.err != nil {
		return
	}
	e.crc = crc32.Update(e.crc, crc32.MakeTable(crc32.Castagnoli), b)
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:4], uint32(len(b)))
	binary.LittleEndian.PutUint32(head[4:], e.crc)
	for _, part := range [][]byte{head[:], b} {
		n, err := e.w.Write(part)
		e.n += int64(n)
		if err != nil {
			e.err = fmt.Errorf("write snapshot: %w", err)
			return
		}
	}
}

type decoder struct {
	r     io.Reader
	store []byte // holds the chunk
	buf   []byte // what is unread of it
	crc   uint32
	ended bool
	err   error

	version uint64 // of the snapshot
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrSnapshot, fmt.Sprintf(format, args...))
	}
}

// next reads one chunk.
func (d *decoder) next() bool {
	if d.err != nil || d.ended {
		return false
	}
	var head [8]byte
	if _, err := io.ReadFull(d.r, head[:]); err != nil {
		d.fail("read chunk: %v", err)
		return false
	}
	n := binary.LittleEndian.Uint32(head[:4])
	if n > chunkBound {
		d.fail("chunk of %d bytes, at most %d", n, chunkBound)
		return false
	}
	if cap(d.store) < int(n) {
		d.store = make([]byte, chunkBound)
	}
	d.buf = d.store[:n]
	if _, err := io.ReadFull(d.r, d.buf); err != nil {
		d.fail("read chunk: %v", err)
		return false
	}
	d.crc = crc32.Update(d.crc, crc32.MakeTable(crc32.Castagnoli), d.buf)
	if d.crc != binary.LittleEndian.Uint32(head[4:]) {
		d.fail("checksum mismatch")
		return false
	}
	d.ended = n == 0
	return !d.ended
}

// ReadByte makes a decoder an io.ByteReader.
func (d *decoder) ReadByte() (byte, error) {
	for len(d.buf) == 0 {
		if !d.next() {
			d.fail("ends early")
			return 0, d.err
		}
	}
	b := d.buf[0]
	d.buf = d.buf[1:]
	return b, nil
}

func (d *decoder) uint() uint64 {
	if d.err != nil {
		return 0
	}
	if v, n := binary.Uvarint(d.buf); n > 0 {
		d.buf = d.buf[n:]
		return v
	}
	v, err := binary.ReadUvarint(d)
	if err != nil {
		d.fail("number: %v", err)
	}
	return v
}

func (d *decoder) int() int64 {
	v := d.uint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *decoder) bool() bool { return d.upTo(1, "flag") == 1 }

// upTo reads a number that must not be above most.
func (d *decoder) upTo(most uint64, what string) uint64 {
	v := d.uint()
	if v > most {
		d.fail("%s %d, at most %d", what, v, most)
		return 0
	}
	return v
}

func (d *decoder) uint32(what string) uint32 { return uint32(d.upTo(math.MaxUint32, what)) }

func (d *decoder) int32(what string) int32 {
	v := d.int()
	if v < math.MinInt32 || v > math.MaxInt32 {
		d.fail("%s %d", what, v)
		return 0
	}
	return int32(v)
}

func (d *decoder) int16(what string) int16 {
	v := d.int32(what)
	if v < math.MinInt16 || v > math.MaxInt16 {
		d.fail("%s %d", what, v)
		return 0
	}
	return int16(v)
}

// count reads how many of something follow. Nothing is allocated by it alone.
func (d *decoder) count(what string) int { return int(d.upTo(mostCount, what)) }

func (d *decoder) raw(b []byte) {
	for len(b) > 0 && d.err == nil {
		if len(d.buf) == 0 && !d.next() {
			d.fail("ends early")
			return
		}
		n := copy(b, d.buf)
		b, d.buf = b[n:], d.buf[n:]
	}
}

// bytes reads a byte string; it grows with what is there, not with what is claimed.
func (d *decoder) bytes(what string) []byte {
	n := int(d.upTo(mostBytes, what))
	var out []byte
	for len(out) < n && d.err == nil {
		part := make([]byte, min(n-len(out), chunkSize))
		d.raw(part)
		out = append(out, part...)
	}
	return out
}

func (d *decoder) string(what string) string { return string(d.bytes(what)) }

// finish checks that nothing follows.
func (d *decoder) finish() error {
	if d.err == nil && len(d.buf) > 0 {
		d.fail("bytes follow the end")
	}
	if d.err == nil && !d.ended && d.next() {
		d.fail("chunks follow the end")
	}
	return d.err
}
