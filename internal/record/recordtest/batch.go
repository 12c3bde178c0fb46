// Package recordtest makes record batches for tests: well-formed ones, byte for byte
// determined by their Options. It is written apart from package record's reader, so that one
// checks the other. It must not be imported outside tests; it panics where a codec fails.
package recordtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/isthmusdata/isthmus/internal/record"
)

// Options say what is in a batch. The zero value is one uncompressed record of no bytes
// without a producer id, at time 0.
type Options struct {
	Records int      // at least 1; 0 means 1
	Size    int      // bytes of each value
	Key     string   // the key of every record; empty: null
	Values  []string // the values themselves; overrides Records and Size
	Seed    uint64   // of the values' bytes; half of them are random, so that codecs have work
	Codec   int8     // record.CodecNone …
	Xerial  bool     // frame snappy as the Java client does

	Time int64 // Unix milliseconds of the first record
	Step int64 // milliseconds between records

	Idempotent bool // without it there is no producer id, and the next three are ignored
	ProducerID int64
	Epoch      int16
	Sequence   int32 // of the first record

	Transactional bool
	Control       bool
	LogAppendTime bool
	BaseOffset    int64
	LeaderEpoch   int32
}

// Batch encodes a batch.
func Batch(o Options) record.Batch {
	values := o.values()
	var records []byte
	for i, v := range values {
		records = appendRecord(records, i, o.Step*int64(i), o.Key, v)
	}
	records = compress(o.Codec, o.Xerial, records)

	b := make([]byte, 0, record.HeaderSize+len(records))
	b = binary.BigEndian.AppendUint64(b, uint64(o.BaseOffset))
	b = binary.BigEndian.AppendUint32(b, uint32(record.HeaderSize-12+len(records)))
	b = binary.BigEndian.AppendUint32(b, uint32(o.LeaderEpoch))
	b = append(b, 2)
	b = binary.BigEndian.AppendUint32(b, 0) // CRC, below
	b = binary.BigEndian.AppendUint16(b, o.attributes())
	b = binary.BigEndian.AppendUint32(b, uint32(len(values)-1))
	b = binary.BigEndian.AppendUint64(b, uint64(o.Time))
	b = binary.BigEndian.AppendUint64(b, uint64(o.Time+max(0, o.Step*int64(len(values)-1))))
	id, epoch, seq := int64(-1), int16(-1), int32(-1)
	if o.Idempotent {
		id, epoch, seq = o.ProducerID, o.Epoch, o.Sequence
	}
	b = binary.BigEndian.AppendUint64(b, uint64(id))
	b = binary.BigEndian.AppendUint16(b, uint16(epoch))
	b = binary.BigEndian.AppendUint32(b, uint32(seq))
	b = binary.BigEndian.AppendUint32(b, uint32(len(values)))
	b = append(b, records...)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// Frame is several batches one after the other, as a client sends them for one partition.
func Frame(batches ...record.Batch) []byte {
	var b []byte
	for _, one := range batches {
		b = append(b, one...)
	}
	return b
}

func (o Options) values() [][]byte {
	var out [][]byte
	for _, v := range o.Values {
		out = append(out, []byte(v))
	}
	if out != nil {
		return out
	}
	rng := rand.New(rand.NewPCG(o.Seed, uint64(o.Size)))
	for range max(1, o.Records) {
		v := make([]byte, o.Size)
		for i := range v[:o.Size/2] {
			v[i] = byte(rng.Uint32())
		}
		out = append(out, v)
	}
	return out
}

func (o Options) attributes() uint16 {
	a := uint16(o.Codec)
	for bit, on := range []bool{3: o.LogAppendTime, 4: o.Transactional, 5: o.Control} {
		if on {
			a |= 1 << bit
		}
	}
	return a
}

func appendRecord(dst []byte, delta int, after int64, key string, value []byte) []byte {
	r := []byte{0}
	r = binary.AppendVarint(r, after)
	r = binary.AppendVarint(r, int64(delta))
	if key == "" {
		r = binary.AppendVarint(r, -1)
	} else {
		r = binary.AppendVarint(r, int64(len(key)))
		r = append(r, key...)
	}
	r = binary.AppendVarint(r, int64(len(value)))
	r = append(r, value...)
	r = binary.AppendVarint(r, 0) // headers
	return append(binary.AppendVarint(dst, int64(len(r))), r...)
}

func compress(codec int8, framed bool, b []byte) []byte {
	var out bytes.Buffer
	switch codec {
	case record.CodecNone:
		return b
	case record.CodecGzip:
		w := gzip.NewWriter(&out)
		must(w.Write(b))
		must(0, w.Close())
	case record.CodecSnappy:
		if !framed {
			return snappy.Encode(nil, b)
		}
		out.WriteString("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
		for len(b) > 0 {
			n := min(len(b), 32<<10)
			block := snappy.Encode(nil, b[:n])
			out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(block))))
			out.Write(block)
			b = b[n:]
		}
	case record.CodecLZ4:
		w := lz4.NewWriter(&out)
		must(w.Write(b))
		must(0, w.Close())
	case record.CodecZstd:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		must(0, err)
		defer func() { must(0, w.Close()) }()
		return w.EncodeAll(b, nil)
	default:
		panic(fmt.Sprintf("recordtest: no codec %d", codec))
	}
	return out.Bytes()
}

func must(_ int, err error) {
	if err != nil {
		panic("recordtest: " + err.Error())
	}
}
