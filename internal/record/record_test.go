package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
)

const limit = 1 << 20

var codecs = map[int8]kgo.CompressionCodec{
	record.CodecNone:   kgo.NoCompression(),
	record.CodecGzip:   kgo.GzipCompression(),
	record.CodecSnappy: kgo.SnappyCompression(),
	record.CodecLZ4:    kgo.Lz4Compression(),
	record.CodecZstd:   kgo.ZstdCompression(),
}

// byFranz encodes a batch with franz-go's codecs and formats alone.
func byFranz(t *testing.T, codec int8) record.Batch {
	t.Helper()
	var raw []byte
	for i := range 50 {
		r := kmsg.Record{
			TimestampDelta64: int64(i * 3), OffsetDelta: int32(i),
			Key: fmt.Appendf(nil, "key %d", i), Value: bytes.Repeat([]byte{byte(i)}, 100),
			Headers: []kmsg.Header{{Key: "trace", Value: []byte{1, 2}}, {Key: "null"}},
		}
		if i == 7 {
			r.Key, r.Value = nil, nil
		}
		body := r.AppendTo(nil)[1:] // without the length, a one-byte varint while it is 0
		r.Length = int32(len(body))
		raw = r.AppendTo(raw)
	}
	packed := raw
	if codec != record.CodecNone {
		c, err := kgo.DefaultCompressor(codecs[codec])
		if err != nil {
			t.Fatal(err)
		}
		var used kgo.CompressionCodecType
		if packed, used = c.Compress(new(bytes.Buffer), raw); int8(used) != codec {
			t.Fatalf("franz-go compressed with %d instead of %d", used, codec)
		}
	}
	b := kmsg.RecordBatch{
		FirstOffset: 77, PartitionLeaderEpoch: 5, Magic: 2, Attributes: int16(codec), LastOffsetDelta: 49,
		FirstTimestamp: 1000, MaxTimestamp: 1147, ProducerID: 12345678901, ProducerEpoch: 3, FirstSequence: math.MaxInt32 - 9,
		NumRecords: 50, Records: packed,
	}
	b.Length = int32(record.HeaderSize - 12 + len(packed))
	raw = b.AppendTo(nil)
	b.CRC = int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

func TestReadsWhatFranzWrites(t *testing.T) {
	for codec := range codecs {
		t.Run(record.CodecName(codec), func(t *testing.T) {
			b := byFranz(t, codec)
			if err := record.Verify(b); err != nil {
				t.Fatal(err)
			}
			if b.BaseOffset() != 77 || b.Epoch() != 5 || b.Length() != len(b) || b.Codec() != codec || b.NumRecords() != 50 ||
				b.FirstTimestamp() != 1000 || b.MaxTimestamp() != 1147 || b.ProducerID() != 12345678901 || b.ProducerEpoch() != 3 ||
				b.FirstSequence() != math.MaxInt32-9 || b.LastSequence() != 39 ||
				b.IsControl() || b.IsTransactional() || b.LogAppendTime() {
				t.Errorf("header read wrongly: % x", b[:record.HeaderSize])
			}
			if err := record.VerifyRecords(b, limit); err != nil {
				t.Fatal(err)
			}
			i := 0
			for r, err := range record.Records(b, limit) {
				if err != nil {
					t.Fatal(err)
				}
				checkFranzRecord(t, i, r)
				i++
			}
			if i != 50 {
				t.Errorf("%d records", i)
			}
		})
	}
}

func checkFranzRecord(t *testing.T, i int, r record.Record) {
	t.Helper()
	key, value := fmt.Appendf(nil, "key %d", i), bytes.Repeat([]byte{byte(i)}, 100)
	if i == 7 {
		key, value = nil, nil
	}
	if r.Timestamp != 1000+int64(i*3) || r.OffsetDelta != int32(i) || !bytes.Equal(r.Key, key) || !bytes.Equal(r.Value, value) {
		t.Errorf("record %d: %+v", i, r)
	}
	if i == 7 && (r.Key != nil || r.Value != nil) {
		t.Errorf("record %d: null became empty", i)
	}
	var headers []string
	r.ForEachHeader(func(key, value []byte) { headers = append(headers, fmt.Sprintf("%s=%v", key, value)) })
	if fmt.Sprint(headers) != "[trace=[1 2] null=[]]" {
		t.Errorf("record %d: headers %v", i, headers)
	}
}

// TestFranzReadsWhatTestsWrite checks recordtest, whose batches other packages' tests believe.
func TestFranzReadsWhatTestsWrite(t *testing.T) {
	for codec := range codecs {
		for _, framed := range []bool{false, true} {
			b := recordtest.Batch(recordtest.Options{Records: 9, Size: 20_000, Codec: codec, Xerial: framed, Time: 5, Step: 2})
			if err := errors.Join(record.Verify(b), record.VerifyRecords(b, limit)); err != nil {
				t.Fatalf("%s: %v", record.CodecName(codec), err)
			}
			var m kmsg.RecordBatch
			if err := m.ReadFrom(b); err != nil {
				t.Fatal(err)
			}
			raw, err := kgo.DefaultDecompressor().Decompress(m.Records, kgo.CompressionCodecType(codec))
			if err != nil {
				t.Fatalf("%s: %v", record.CodecName(codec), err)
			}
			ours, err := record.Inflate(b, limit)
			if err != nil || !bytes.Equal(raw, ours) {
				t.Errorf("%s: franz-go inflates to %d other bytes than the %d here, %v", record.CodecName(codec), len(raw), len(ours), err)
			}
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	good := recordtest.Batch(recordtest.Options{Records: 3, Size: 10})
	for name, tc := range map[string]struct {
		change func(record.Batch) record.Batch
		want   error
	}{
		"nothing":           {func(b record.Batch) record.Batch { return nil }, record.ErrTruncated},
		"half a header":     {func(b record.Batch) record.Batch { return b[:30] }, record.ErrTruncated},
		"half a batch":      {func(b record.Batch) record.Batch { return b[:70] }, record.ErrTruncated},
		"old magic":         {func(b record.Batch) record.Batch { b[16] = 1; return b[:26] }, record.ErrMagic},
		"negative length":   {func(b record.Batch) record.Batch { b[8] = 0xff; return b }, record.ErrCorrupt},
		"tiny length":       {func(b record.Batch) record.Batch { binary.BigEndian.PutUint32(b[8:], 48); return b }, record.ErrCorrupt},
		"trailing bytes":    {func(b record.Batch) record.Batch { return append(b, 0) }, record.ErrCorrupt},
		"flipped payload":   {func(b record.Batch) record.Batch { b[80] ^= 4; return b }, record.ErrCorrupt},
		"flipped CRC":       {func(b record.Batch) record.Batch { b[18] ^= 4; return b }, record.ErrCorrupt},
		"no records":        {func(b record.Batch) record.Batch { return count(b, 0, -1) }, record.ErrCount},
		"negative records":  {func(b record.Batch) record.Batch { return count(b, -2, -3) }, record.ErrCount},
		"more than offsets": {func(b record.Batch) record.Batch { return count(b, 4, 2) }, record.ErrCount},
		"overflow":          {func(b record.Batch) record.Batch { return count(b, math.MinInt32, math.MaxInt32) }, record.ErrCount},
		"codec 5":           {func(b record.Batch) record.Batch { b[22] = 5; record.SetCRC(b); return b }, record.ErrCodec},
	} {
		if err := record.Verify(tc.change(bytes.Clone(good))); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}

func count(b record.Batch, records, last int32) record.Batch {
	binary.BigEndian.PutUint32(b[57:], uint32(records))
	binary.BigEndian.PutUint32(b[23:], uint32(last))
	record.SetCRC(b)
	return b
}

func TestVerifyRecordsRefuses(t *testing.T) {
	change := func(f func(record.Batch)) record.Batch {
		b := recordtest.Batch(recordtest.Options{Values: []string{"first", "second"}})
		f(b)
		return b
	}
	for name, b := range map[string]record.Batch{
		"record length":  change(func(b record.Batch) { b[61] = 0x7f }),
		"offset delta":   change(func(b record.Batch) { b[64] = 4 }),
		"value length":   change(func(b record.Batch) { b[66] = 0x7e }),
		"header count":   change(func(b record.Batch) { b[72] = 0x7e }),
		"too few":        change(func(b record.Batch) { count(b, 3, 2) }),
		"too many":       change(func(b record.Batch) { count(b, 1, 0) }),
		"nothing":        {},
		"no such stream": change(func(b record.Batch) { b[22] = byte(record.CodecZstd) }),
	} {
		if err := record.VerifyRecords(b, limit); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestStamp(t *testing.T) {
	b := recordtest.Batch(recordtest.Options{Records: 2, Size: 8})
	before := bytes.Clone(b)
	var header [record.HeaderSize]byte
	record.Stamp(&header, b, 1<<40, 3)
	if !bytes.Equal(b, before) {
		t.Error("the stored batch was changed")
	}
	out := record.Batch(append(header[:], b[record.HeaderSize:]...))
	if err := record.Verify(out); err != nil || out.BaseOffset() != 1<<40 || out.Epoch() != 3 {
		t.Errorf("offset %d, epoch %d, %v", out.BaseOffset(), out.Epoch(), err)
	}
}

func TestStampAppendTime(t *testing.T) {
	b := recordtest.Batch(recordtest.Options{Records: 3, Size: 8, Time: 100, Step: 5, Codec: record.CodecLZ4})
	record.StampAppendTime(b, 999)
	if err := record.Verify(b); err != nil || !b.LogAppendTime() || b.MaxTimestamp() != 999 || b.Codec() != record.CodecLZ4 {
		t.Errorf("max %d, %v", b.MaxTimestamp(), err)
	}
	for r, err := range record.Records(b, limit) {
		if err != nil || r.Timestamp != 999 {
			t.Errorf("record at %d, %v", r.Timestamp, err)
		}
	}
}

func TestSplitWalksAFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []record.Batch
		for range rapid.IntRange(0, 5).Draw(t, "batches") {
			want = append(want, recordtest.Batch(recordtest.Options{
				Records: rapid.IntRange(1, 4).Draw(t, "records"), Size: rapid.IntRange(0, 50).Draw(t, "size")}))
		}
		rest := recordtest.Frame(want...)
		for _, w := range want {
			var first record.Batch
			var err error
			if first, rest, err = record.Split(rest); err != nil || !bytes.Equal(first, w) {
				t.Fatalf("split: %v", err)
			}
		}
		if len(rest) > 0 {
			t.Fatalf("%d bytes left", len(rest))
		}
	})
}

func TestSplitAllocatesNothing(t *testing.T) {
	b := recordtest.Batch(recordtest.Options{Records: 3, Size: 100})
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := record.Split(b); err != nil {
			t.Fatal(err)
		}
		if err := record.Verify(b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// bomb is a batch whose records inflate to 64 MiB of zeros.
func bomb(t *testing.T, codec int8) record.Batch {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	if codec == record.CodecZstd {
		z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	zeros := make([]byte, 1<<20)
	for range 64 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := recordtest.Batch(recordtest.Options{})[:record.HeaderSize]
	b[22] = byte(codec)
	return append(b, out.Bytes()...)
}

func TestBombsAreBounded(t *testing.T) {
	for _, codec := range []int8{record.CodecGzip, record.CodecZstd} {
		b := bomb(t, codec)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := record.Inflate(b, limit)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, record.ErrTooLarge) {
			t.Errorf("%s: %v", record.CodecName(codec), err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 24*limit {
			t.Errorf("%s: %d bytes allocated to refuse %d", record.CodecName(codec), used, len(b))
		}
	}
	for codec := range codecs {
		b := recordtest.Batch(recordtest.Options{Records: 8, Size: 4 << 10, Codec: codec})
		whole, err := record.Inflate(b, limit)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := record.Inflate(b, len(whole)); err != nil {
			t.Errorf("%s: exactly at the limit: %v", record.CodecName(codec), err)
		}
		if _, err := record.Inflate(b, len(whole)-1); !errors.Is(err, record.ErrTooLarge) {
			t.Errorf("%s: a byte above the limit: %v", record.CodecName(codec), err)
		}
	}
}

// TestSnappyLies: a few bytes that claim a large block are refused before memory is taken.
func TestSnappyLies(t *testing.T) {
	b := recordtest.Batch(recordtest.Options{})[:record.HeaderSize]
	b[22] = byte(record.CodecSnappy)
	b = binary.AppendUvarint(b, limit-1)
	if n := testing.AllocsPerRun(10, func() {
		if _, err := record.Inflate(b, limit); !errors.Is(err, record.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	}); n > 10 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzBatch(f *testing.F) {
	for codec := range codecs {
		f.Add([]byte(recordtest.Batch(recordtest.Options{Records: 3, Size: 20, Codec: codec, Xerial: true, Key: "k"})))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		first, rest, err := record.Split(b)
		if err != nil {
			return
		}
		if len(first)+len(rest) != len(b) || first.Length() != len(first) || len(first) < record.HeaderSize {
			t.Fatalf("split %d bytes into %d and %d", len(b), len(first), len(rest))
		}
		verified := record.Verify(first)
		record.SetCRC(first) // so that what is behind the checksum is reached as well
		if err := record.Verify(first); err != nil && verified == nil {
			t.Fatalf("a new CRC made it worse: %v", err)
		}
		bytesRead := 0
		for r, err := range record.Records(first, 1<<16) {
			if err != nil {
				break
			}
			r.ForEachHeader(func(key, value []byte) { bytesRead += len(key) + len(value) })
			bytesRead += len(r.Key) + len(r.Value)
		}
		if bytesRead > 1<<16 {
			t.Fatalf("%d bytes read out of at most %d", bytesRead, 1<<16)
		}
		_ = first.LastSequence()
	})
}

func BenchmarkVerify(b *testing.B) {
	batch := recordtest.Batch(recordtest.Options{Records: 100, Size: 1000})
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		if err := record.Verify(batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyRecords(b *testing.B) {
	for codec := range codecs {
		batch := recordtest.Batch(recordtest.Options{Records: 100, Size: 1000, Codec: codec})
		b.Run(record.CodecName(codec), func(b *testing.B) {
			b.SetBytes(100_000)
			for b.Loop() {
				if err := record.VerifyRecords(batch, limit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
