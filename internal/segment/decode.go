package segment

import (
	"encoding/binary"
	"fmt"
	"math"
)

// decoder reads the varint encodings of manifests and answers. After the first fault it keeps
// err and returns zeros, so that the callers read straight on.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s, %d bytes before the end", ErrManifest, what, len(d.b))
	}
	d.b = nil
}

// finish returns the first fault, or that bytes were left over.
func (d *decoder) finish() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("trailing bytes")
	}
	return d.err
}

func (d *decoder) version() {
	if v := d.byte(); d.err == nil && v != encodingVersion {
		d.err = fmt.Errorf("%w: encoding version %d, this program reads %d", ErrManifest, v, encodingVersion)
		d.b = nil
	}
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail("truncated")
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	if v > math.MaxUint32 {
		d.fail("number above 32 bits")
		return 0
	}
	return uint32(v)
}

// int32 reads a number that is not negative.
func (d *decoder) int32() int32 {
	v := d.uvarint()
	if v > math.MaxInt32 {
		d.fail("number above 31 bits")
		return 0
	}
	return int32(v)
}

// count reads how many items follow: at most limit, and no more than the bytes left can hold.
func (d *decoder) count(limit, itemSize int) int {
	v := d.uvarint()
	if v > uint64(limit) || v > uint64(len(d.b)/itemSize) {
		d.fail("count")
		return 0
	}
	return int(v)
}
