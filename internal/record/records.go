package record

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// Record is one record of a batch. Its slices point into the inflated batch and live as long
// as the caller keeps them; a nil Key or Value is Kafka's null.
type Record struct {
	OffsetDelta int32
	Timestamp   int64 // Unix milliseconds; the batch's own with LogAppendTime
	Key, Value  []byte
	Headers     int // how many; ForEachHeader reads them
	headers     []byte
}

// Records inflates b, to at most maxInflated bytes, and yields its records in order. After an
// error it yields nothing more. Bytes after the last record, or fewer records than the header
// claims, are errors.
func Records(b Batch, maxInflated int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		body, err := Inflate(b, maxInflated)
		if err != nil {
			yield(Record{}, err)
			return
		}
		for i := range b.NumRecords() {
			var r Record
			if r, body, err = next(b, body); err != nil {
				yield(Record{}, fmt.Errorf("record %d of %d: %w", i, b.NumRecords(), err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		if len(body) > 0 {
			yield(Record{}, fmt.Errorf("%w: %d bytes after the last record", ErrCorrupt, len(body)))
		}
	}
}

// VerifyRecords inflates b and checks that its records are well formed, that as many as the
// header claims are there, and that their offset deltas count 0, 1, 2 … as a producer's do.
func VerifyRecords(b Batch, maxInflated int) error {
	want := int32(0)
	for r, err := range Records(b, maxInflated) {
		if err != nil {
			return err
		}
		if r.OffsetDelta != want {
			return fmt.Errorf("%w: record %d has offset delta %d", ErrCorrupt, want, r.OffsetDelta)
		}
		want++
	}
	return nil
}

// ForEachHeader calls f for every header of the record.
func (r Record) ForEachHeader(f func(key, value []byte)) {
	c := cursor{b: r.headers}
	for range r.Headers {
		key, value := c.bytes(), c.bytes()
		f(key, value)
	}
}

// next reads one record of b from the front of body.
func next(b Batch, body []byte) (Record, []byte, error) {
	c := cursor{b: body}
	one := c.take(c.varint())
	if c.bad {
		return Record{}, nil, fmt.Errorf("%w: record length", ErrCorrupt)
	}
	rest := c.b
	c = cursor{b: one}
	c.take(1) // attributes: unused by Kafka
	r := Record{Timestamp: b.FirstTimestamp() + c.varint()}
	delta := c.varint()
	r.OffsetDelta = int32(delta)
	r.Key, r.Value = c.bytes(), c.bytes()
	n := c.varint()
	r.headers = c.b
	// A header takes at least two bytes, so a count beyond that ends before the first is read.
	if n < 0 || n > int64(len(c.b)) {
		c.bad = true
	}
	for i := int64(0); i < n && !c.bad; i++ {
		if key := c.bytes(); key == nil {
			c.bad = true // unlike a value, a header's key is never null
		}
		c.bytes()
	}
	r.Headers = int(n)
	if c.bad || len(c.b) > 0 || int64(r.OffsetDelta) != delta {
		return Record{}, nil, fmt.Errorf("%w: record fields", ErrCorrupt)
	}
	if b.LogAppendTime() {
		r.Timestamp = b.MaxTimestamp()
	}
	return r, rest, nil
}

// cursor reads Kafka's varints and byte strings; after the first fault it is bad and reads nothing.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) take(n int64) []byte {
	if n < 0 || n > int64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

// bytes reads a byte string; length -1 is null.
func (c *cursor) bytes() []byte {
	n := c.varint()
	if n == -1 || c.bad {
		return nil
	}
	return c.take(n)
}
