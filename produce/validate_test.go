package produce

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/topic"
)

const testNow = 1_700_000_000_000

// mend writes a change into a batch and a CRC that fits it.
func mend(b record.Batch, change func(record.Batch)) record.Batch {
	change(b)
	record.SetCRC(b)
	return b
}

func good(o recordtest.Options) record.Batch {
	if o.Time == 0 {
		o.Time = testNow
	}
	return recordtest.Batch(o)
}

// checkAll is what a handler checks of one partition.
func checkAll(frame []byte, t *topic.Topic, version int16, deep bool) *refusal {
	b, bad := checkRecords(frame)
	if bad == nil {
		bad = checkHeader(b, t, version, testNow)
	}
	if bad == nil && deep {
		bad = checkDeep(b, t, testNow, 1<<20)
	}
	return bad
}

func TestValidate(t *testing.T) {
	events := aTopic("events", 1)
	bounded := aTopic("bounded", 2)
	bounded.Config.TimestampBeforeMax, bounded.Config.TimestampAfterMax = 60_000, 1000
	stamped := bounded
	stamped.Config.TimestampType = topic.LogAppendTime
	small := aTopic("small", 3)
	small.Config.MaxMessageBytes = 200
	old := make([]byte, 40) // a message set of format 1
	binary.BigEndian.PutUint32(old[8:], 28)
	old[16] = 1
	cases := []struct {
		name    string
		topic   *topic.Topic
		version int16
		frame   []byte
		code    int16
		says    string
	}{
		{"plain", &events, 9, good(recordtest.Options{}), 0, ""},
		{"idempotent", &events, 9, good(recordtest.Options{Idempotent: true, ProducerID: 7, Sequence: math.MaxInt32, Records: 3}), 0, ""},
		{"gzip", &events, 3, good(recordtest.Options{Codec: record.CodecGzip, Size: 100}), 0, ""},
		{"snappy", &events, 3, good(recordtest.Options{Codec: record.CodecSnappy, Size: 100}), 0, ""},
		{"snappy of Java", &events, 3, good(recordtest.Options{Codec: record.CodecSnappy, Xerial: true, Size: 100}), 0, ""},
		{"lz4", &events, 3, good(recordtest.Options{Codec: record.CodecLZ4, Size: 100}), 0, ""},
		{"zstd", &events, 7, good(recordtest.Options{Codec: record.CodecZstd, Size: 100}), 0, ""},
		{"zstd too early", &events, 6, good(recordtest.Options{Codec: record.CodecZstd, Size: 100}), 76, "version 7"},
		{"unknown codec", &events, 9, mend(good(recordtest.Options{}), func(b record.Batch) { b[22] |= 5 }), 76, "codec"},
		{"nothing", &events, 9, nil, 87, "not none"},
		{"two batches", &events, 9, frame(good(recordtest.Options{}), good(recordtest.Options{})), 87, "follow the first"},
		{"old format", &events, 9, old, 87, "magic: 1"},
		{"cut short", &events, 9, good(recordtest.Options{Size: 50})[:80], 2, "truncated"},
		{"a few bytes", &events, 9, []byte("isthmus"), 2, "truncated"},
		{"negative length", &events, 9, mend(good(recordtest.Options{}), func(b record.Batch) { b[8] = 0xff }), 2, "length"},
		{"flipped bit", &events, 9, func() []byte { b := good(recordtest.Options{Size: 50}); b[90] ^= 1; return b }(), 2, "CRC"},
		{"no records", &events, 9, mend(good(recordtest.Options{}), func(b record.Batch) {
			binary.BigEndian.PutUint32(b[57:], 0)
			binary.BigEndian.PutUint32(b[23:], math.MaxUint32)
		}), 87, "count"},
		{"wrong count", &events, 9, mend(good(recordtest.Options{Records: 3}), func(b record.Batch) { b[60] = 2 }), 87, "count"},
		{"control", &events, 9, good(recordtest.Options{Control: true}), 87, "control"},
		{"transaction", &events, 9, good(recordtest.Options{Transactional: true, Idempotent: true}), 48, "not served"},
		{"producer id -2", &events, 9, mend(good(recordtest.Options{}), func(b record.Batch) { b[50] = 0xfe }), 87, "producer id -2"},
		{"producer without epoch", &events, 9, good(recordtest.Options{Idempotent: true, ProducerID: 7, Epoch: -1}), 87, "epoch -1"},
		{"producer without sequence", &events, 9, good(recordtest.Options{Idempotent: true, ProducerID: 7, Sequence: -1}), 87, "sequence -1"},
		{"large", &small, 9, good(recordtest.Options{Size: 200}), 10, "max.message.bytes=200"},
		{"as large as allowed", &small, 9, good(recordtest.Options{Size: 130}), 0, ""},
		{"too old", &bounded, 9, good(recordtest.Options{Time: testNow - 60_001}), 32, "before.max.ms=60000"},
		{"old enough", &bounded, 9, good(recordtest.Options{Time: testNow - 60_000}), 0, ""},
		{"from the future", &bounded, 9, good(recordtest.Options{Time: testNow - 10, Step: 2000, Records: 2}), 32, "after.max.ms=1000"},
		{"no timestamp", &bounded, 9, good(recordtest.Options{Time: -1}), 0, ""},
		{"negative timestamp", &bounded, 9, good(recordtest.Options{Time: -5}), 32, "timestamp -5"},
		{"far past", &bounded, 9, mend(good(recordtest.Options{}), func(b record.Batch) { binary.BigEndian.PutUint64(b[27:], 1<<63) }), 32, "timestamp"},
		{"overwritten timestamp", &stamped, 9, good(recordtest.Options{Time: 5}), 0, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, deep := range []bool{false, true} {
				bad := checkAll(c.frame, c.topic, c.version, deep)
				switch {
				case c.code == 0 && bad != nil:
					t.Errorf("refused with %d: %s", bad.code, bad.text)
				case c.code != 0 && bad == nil:
					t.Error("accepted")
				case c.code != 0 && (bad.code != c.code || !strings.Contains(bad.text, c.says)):
					t.Errorf("refused with %d: %s; want %d and %q", bad.code, bad.text, c.code, c.says)
				}
			}
		})
	}
}

// What only validate=deep sees: the header is consistent, the records are not what it says.
func TestValidateDeep(t *testing.T) {
	bounded := aTopic("bounded", 2)
	bounded.Config.TimestampAfterMax = 1000
	garbage := mend(good(recordtest.Options{Size: 50, Codec: record.CodecGzip}), func(b record.Batch) { b[70] ^= 0xff; b[71] ^= 0xff; b[72] ^= 0xff })
	bomb := good(recordtest.Options{Values: []string{strings.Repeat("x", 2<<20)}, Codec: record.CodecGzip})
	bounded.Config.MaxMessageBytes = 8 << 20
	// The middle one of three records lies in the future, which neither end of the header shows.
	hidden := mend(good(recordtest.Options{Records: 3, Step: 5000}), func(b record.Batch) { binary.BigEndian.PutUint64(b[35:], testNow) })
	for _, c := range []struct {
		name    string
		frame   []byte
		code    int16
		records []int32
	}{
		{"garbage", garbage, 2, nil},
		{"bomb", bomb, 10, nil},
		{"hidden timestamps", hidden, 32, []int32{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if bad := checkAll(c.frame, &bounded, 9, false); bad != nil {
				t.Fatalf("the header is refused: %d %s", bad.code, bad.text)
			}
			bad := checkAll(c.frame, &bounded, 9, true)
			if bad == nil || bad.code != c.code || len(bad.records) != len(c.records) {
				t.Fatalf("%+v", bad)
			}
			for i, want := range c.records {
				if bad.records[i].RelativeOffset != want || bad.records[i].ErrorMessage == nil {
					t.Errorf("record error %d: %+v", i, bad.records[i])
				}
			}
		})
	}
}

// FuzzCheckRecords: bytes of a client never panic, and what is accepted is one whole batch.
func FuzzCheckRecords(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("isthmus"))
	for codec := record.CodecNone; codec <= record.CodecZstd; codec++ {
		f.Add([]byte(good(recordtest.Options{Codec: codec, Records: 3, Size: 20, Idempotent: true, ProducerID: 9})))
	}
	f.Add(frame(good(recordtest.Options{}), good(recordtest.Options{})))
	events := aTopic("events", 1)
	f.Fuzz(func(t *testing.T, data []byte) {
		b, bad := checkRecords(data)
		if bad != nil {
			return
		}
		if len(b) != len(data) || record.Verify(b) != nil {
			t.Fatalf("accepted %d of %d bytes", len(b), len(data))
		}
		if checkHeader(b, &events, 9, testNow) == nil {
			checkDeep(b, &events, testNow, 1<<16)
		}
	})
}
