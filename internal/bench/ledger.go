package bench

import (
	"encoding/binary"
	"sync"
	"time"
)

// Stamp opens the value of every record that a ledger follows: which stream it belongs to,
// its place in the stream, and when it was due.
type Stamp struct {
	Stream   uint32 // one producer and partition
	Sequence uint64 // from 0, dense
	Due      time.Time
}

// StampSize is the length of an encoded Stamp in bytes.
const StampSize = 4 + 8 + 8

// Append encodes the stamp.
func (s Stamp) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, s.Stream)
	dst = binary.BigEndian.AppendUint64(dst, s.Sequence)
	return binary.BigEndian.AppendUint64(dst, uint64(s.Due.UnixNano()))
}

// ReadStamp decodes the stamp at the head of a record's value; ok is false for a strange record.
func ReadStamp(value []byte) (s Stamp, ok bool) {
	if len(value) < StampSize {
		return Stamp{}, false
	}
	return Stamp{
		Stream:   binary.BigEndian.Uint32(value),
		Sequence: binary.BigEndian.Uint64(value[4:]),
		Due:      time.Unix(0, int64(binary.BigEndian.Uint64(value[12:]))),
	}, true
}

// Ledger follows streams of records from their producers to one reader and counts what went
// wrong. A stream is what keeps its order: one producer's records in one partition. It keeps
// two bits a record. Its methods may be called concurrently.
type Ledger struct {
	mu      sync.Mutex
	streams map[uint32]*stream
	counts  Counts
}

// Counts is what a Ledger has seen.
type Counts struct {
	Acked      int64 // records acknowledged to their producers
	Consumed   int64 // distinct records read
	Lost       int64 // acknowledged and not read (so far)
	Duplicated int64 // read again
	Reordered  int64 // read after a later one of their stream
}

type stream struct {
	acked, seen bitmap
	highest     uint64 // one above the highest sequence read
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger { return &Ledger{streams: map[uint32]*stream{}} }

// Acked notes that a record was acknowledged.
func (l *Ledger) Acked(id uint32, sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stream(id)
	if s.acked.set(sequence) {
		l.counts.Acked++
		if !s.seen.has(sequence) {
			l.counts.Lost++
		}
	}
}

// Consumed notes that a record was read.
func (l *Ledger) Consumed(id uint32, sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stream(id)
	if !s.seen.set(sequence) {
		l.counts.Duplicated++
		return
	}
	l.counts.Consumed++
	if s.acked.has(sequence) {
		l.counts.Lost--
	}
	if sequence+1 < s.highest {
		l.counts.Reordered++
	}
	s.highest = max(s.highest, sequence+1)
}

// Counts returns what was seen so far.
func (l *Ledger) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

func (l *Ledger) stream(id uint32) *stream {
	s := l.streams[id]
	if s == nil {
		s = &stream{}
		l.streams[id] = s
	}
	return s
}

// bitmap is a set of numbers, dense as a rule: one bit each, in pages that are made when they are needed,
// for a stranger's record may claim any number.
type bitmap map[uint64]*page

const pageBits = 4096

type page [pageBits / 64]uint64

// set adds n and reports whether it was new.
func (b *bitmap) set(n uint64) bool {
	if *b == nil {
		*b = bitmap{}
	}
	p := (*b)[n/pageBits]
	if p == nil {
		p = new(page)
		(*b)[n/pageBits] = p
	}
	word, bit := &p[n%pageBits/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

func (b *bitmap) has(n uint64) bool {
	p := (*b)[n/pageBits]
	return p != nil && p[n%pageBits/64]&(1<<(n%64)) != 0
}
