package segment

import (
	"bytes"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/topic"
)

var testObject = Object{Share: "default", Group: "prod", ID: ID{Incarnation: 1, Session: 7, Sequence: 42}}

const testCluster = "demo"

type addition struct {
	p topic.Partition
	b record.Batch
}

func drawAdditions(t *rapid.T) []addition {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) addition {
		return addition{
			p: topic.Partition{Topic: topic.ID{byte(rapid.IntRange(0, 2).Draw(t, "topic"))}, Index: rapid.Int32Range(0, 2).Draw(t, "index")},
			b: recordtest.Batch(recordtest.Options{
				Records:    rapid.IntRange(1, 5).Draw(t, "records"),
				Size:       rapid.IntRange(0, 100).Draw(t, "size"),
				Codec:      rapid.Int8Range(0, 4).Draw(t, "codec"),
				Seed:       rapid.Uint64().Draw(t, "seed"),
				Time:       rapid.Int64Range(0, 1<<42).Draw(t, "time"),
				Step:       1,
				Idempotent: rapid.Bool().Draw(t, "idempotent"),
				ProducerID: rapid.Int64Range(0, 1<<40).Draw(t, "producer"),
				Epoch:      rapid.Int16Range(0, 9).Draw(t, "epoch"),
				Sequence:   rapid.Int32Range(0, math.MaxInt32).Draw(t, "sequence"),
			}),
		}
	}), 1, 30).Draw(t, "batches")
}

func build(t fataler, adds []addition, remove func(topic.Partition, Producer) bool) (*Builder, Sealed) {
	b := NewBuilder(testCluster, testObject.Share)
	for _, a := range adds {
		b.Add(a.p, a.b)
	}
	if remove != nil {
		b.Remove(remove)
	}
	s, err := b.Finish(testObject.ID)
	if err != nil {
		t.Fatalf("finish: %v", err)
	}
	return b, s
}

type fataler interface{ Fatalf(string, ...any) }

// TestBuildThenRead: every batch that was added is found where Placement, manifest and footer
// say, checksums and sizes are those of the body, and removed batches are nowhere.
func TestBuildThenRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		adds := drawAdditions(t)
		var remove func(topic.Partition, Producer) bool
		if rapid.Bool().Draw(t, "remove") {
			odd := func(p topic.Partition, pr Producer) bool { return pr.ID%2 == 1 && p.Index == 1 }
			if slices.ContainsFunc(adds, func(a addition) bool { return !odd(a.p, ProducerOf(a.b)) }) {
				remove = odd
			}
		}
		b, s := build(t, adds, remove)
		body := bytes.Join(s.Body, nil)
		if len(body) != s.Size || s.Size != b.Size() || crc32.Checksum(body, castagnoli) != s.CRC {
			t.Fatalf("body has %d bytes and CRC %08x, sealed says %d and %08x", len(body), crc32.Checksum(body, castagnoli), s.Size, s.CRC)
		}
		encoded := AppendManifest(nil, &s.Manifest)
		if got, err := ParseManifest(encoded); err != nil || !equalManifests(got, s.Manifest) {
			t.Fatalf("manifest: %v", err)
		}
		if len(s.Manifest.Rows) != b.Rows() || len(encoded) > b.ManifestSize() {
			t.Fatalf("%d rows in %d bytes, the builder counted %d in %d", len(s.Manifest.Rows), len(encoded), b.Rows(), b.ManifestSize())
		}
		f, err := VerifyWhole(body, testCluster, testObject)
		if err != nil {
			t.Fatalf("verify: %v", err)
		}
		checkPlacement(t, adds, remove, s, body)
		checkExtents(t, f, s, body)
		if err := Verify(bytes.NewReader(body), int64(len(body))); err != nil {
			t.Fatalf("verify all: %v", err)
		}
	})
}

func checkPlacement(t *rapid.T, adds []addition, remove func(topic.Partition, Producer) bool, s Sealed, body []byte) {
	for i, a := range adds {
		ref := s.Placement[i]
		pr := ProducerOf(a.b)
		if remove != nil && remove(a.p, pr) {
			if ref.Row != Removed {
				t.Fatalf("batch %d was removed but stands in row %d", i, ref.Row)
			}
			continue
		}
		row := s.Manifest.Rows[ref.Row]
		if row.Partition != a.p || row.Producer != pr {
			t.Fatalf("batch %d of %s by %+v is in row %+v", i, a.p, pr, row)
		}
		rest := body[row.Position : row.Position+row.Length]
		for skip := ref.Records; skip > 0; {
			one, after, err := record.Split(rest)
			if err != nil {
				t.Fatalf("split: %v", err)
			}
			skip -= uint32(one.NumRecords())
			rest = after
		}
		if !bytes.HasPrefix(rest, a.b) {
			t.Fatalf("batch %d is not %d records into row %d", i, ref.Records, ref.Row)
		}
	}
}

func checkExtents(t *rapid.T, f Footer, s Sealed, body []byte) {
	records := map[topic.Partition]uint64{}
	for _, r := range s.Manifest.Rows {
		records[r.Partition] += uint64(r.Records)
		e, ok := f.Find(r.Partition)
		if !ok || r.Position < e.Position || r.Position+r.Length > e.Position+e.Length || r.MaxTimestamp > e.MaxTimestamp {
			t.Fatalf("row %+v is not in extent %+v", r, e)
		}
		l := Location{Partition: r.Partition, Records: r.Records, Position: r.Position, Length: r.Length}
		if err := VerifyRange(body[r.Position:r.Position+r.Length], &l); err != nil {
			t.Fatalf("row: %v", err)
		}
	}
	for _, e := range f.Extents {
		if records[e.Partition] != e.Records {
			t.Fatalf("extent %+v: its rows have %d records", e, records[e.Partition])
		}
	}
}

// TestEveryByteIsGuarded flips each byte of a segment in turn.
func TestEveryByteIsGuarded(t *testing.T) {
	_, s := build(t, goldenAdditions(), nil)
	body := bytes.Join(s.Body, nil)
	for i := range body {
		for _, mask := range []byte{0x01, 0x80, 0xff} {
			body[i] ^= mask
			if _, err := VerifyWhole(body, testCluster, testObject); !errors.Is(err, ErrFormat) {
				t.Fatalf("byte %d ^ %02x: VerifyWhole says %v", i, mask, err)
			}
			if err := Verify(bytes.NewReader(body), int64(len(body))); err == nil {
				t.Fatalf("byte %d ^ %02x: Verify found nothing", i, mask)
			}
			body[i] ^= mask
		}
	}
	for cut := range body {
		if _, err := VerifyWhole(body[:cut], testCluster, testObject); !errors.Is(err, ErrFormat) {
			t.Fatalf("%d of %d bytes: %v", cut, len(body), err)
		}
	}
}

func TestVerifyWholeRefusesAnother(t *testing.T) {
	_, s := build(t, goldenAdditions(), nil)
	body := bytes.Join(s.Body, nil)
	for name, change := range map[string]func(*Object){
		"incarnation": func(o *Object) { o.ID.Incarnation++ },
		"session":     func(o *Object) { o.ID.Session++ },
		"sequence":    func(o *Object) { o.ID.Sequence++ },
		"share":       func(o *Object) { o.Share = "other" },
	} {
		o := testObject
		change(&o)
		if _, err := VerifyWhole(body, testCluster, o); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := VerifyWhole(body, "other", testObject); !errors.Is(err, ErrFormat) {
		t.Errorf("cluster: %v", err)
	}
}

// TestHedgesAreTheSameBytes: sealing again gives the same body, and the nonce is not in it.
func TestHedgesAreTheSameBytes(t *testing.T) {
	b, first := build(t, goldenAdditions(), nil)
	second, err := b.Finish(testObject.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.Join(first.Body, nil), bytes.Join(second.Body, nil)) || first.CRC != second.CRC {
		t.Error("sealing twice gave different bytes")
	}
}

func TestPayloadIsNotCopied(t *testing.T) {
	adds := goldenAdditions()
	_, s := build(t, adds, nil)
	for _, a := range adds {
		if !slices.ContainsFunc(s.Body, func(b []byte) bool { return &b[0] == &a.b[0] }) {
			t.Error("a batch was copied")
		}
	}
}

func TestPlainBatchesMergeToABound(t *testing.T) {
	p := topic.Partition{Topic: topic.ID{1}}
	b := NewBuilder(testCluster, "default")
	for range 5 {
		b.Add(p, recordtest.Batch(recordtest.Options{Size: 1 << 20}))
	}
	if b.Rows() != 2 {
		t.Errorf("5 MiB in %d rows, want 2", b.Rows())
	}
	s, err := b.Finish(testObject.ID)
	if err != nil {
		t.Fatal(err)
	}
	if s.Manifest.Rows[0].Records != 3 || s.Manifest.Rows[1].Records != 2 {
		t.Errorf("rows %+v", s.Manifest.Rows)
	}
	big := NewBuilder(testCluster, "default")
	big.Add(p, recordtest.Batch(recordtest.Options{Size: MaxExtent}), recordtest.Batch(recordtest.Options{}))
	if big.Rows() != 2 {
		t.Errorf("a batch above the bound shares its row: %d rows", big.Rows())
	}
}

// TestRecordCountsDoNotOverflow: two small batches may claim 2^31-1 records each.
func TestRecordCountsDoNotOverflow(t *testing.T) {
	claim := func() record.Batch {
		b := recordtest.Batch(recordtest.Options{})
		copy(b[23:], []byte{0x7f, 0xff, 0xff, 0xfe}) // last offset delta
		copy(b[57:], []byte{0x7f, 0xff, 0xff, 0xff}) // records
		record.SetCRC(b)
		return b
	}
	b := NewBuilder(testCluster, "default")
	b.Add(topic.Partition{}, claim(), claim(), claim())
	s, err := b.Finish(testObject.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Manifest.Rows) != 3 {
		t.Errorf("%d rows", len(s.Manifest.Rows))
	}
	f, err := VerifyWhole(bytes.Join(s.Body, nil), testCluster, testObject)
	if err != nil || f.Extents[0].Records != 3*math.MaxInt32 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestBuilderBounds(t *testing.T) {
	if _, err := NewBuilder(testCluster, "default").Finish(testObject.ID); err == nil {
		t.Error("an empty segment was sealed")
	}
	if _, err := func() (Sealed, error) {
		b := NewBuilder(testCluster, "a/b")
		b.Add(topic.Partition{}, recordtest.Batch(recordtest.Options{}))
		return b.Finish(testObject.ID)
	}(); err == nil {
		t.Error("a share that is no name was sealed")
	}
	b := NewBuilder(testCluster, "default")
	batch := recordtest.Batch(recordtest.Options{Idempotent: true, ProducerID: math.MaxInt64, Epoch: math.MaxInt16, Sequence: math.MaxInt32})
	for i := int32(0); b.Fits(batch); i++ {
		b.Add(topic.Partition{Topic: topic.ID{byte(i >> 8), byte(i)}}, batch)
	}
	s, err := b.Finish(testObject.ID)
	if err != nil {
		t.Fatalf("as many as fit: %v", err)
	}
	if encoded := AppendManifest(nil, &s.Manifest); len(encoded) > MaxManifest {
		t.Errorf("manifest of %d bytes with %d rows", len(encoded), len(s.Manifest.Rows))
	}
	rows := NewBuilder(testCluster, "default")
	small := recordtest.Batch(recordtest.Options{Idempotent: true})
	for rows.Fits(small) {
		rows.Add(topic.Partition{}, small)
	}
	if rows.Rows() != MaxRows {
		t.Errorf("full at %d rows", rows.Rows())
	}
	rows.Add(topic.Partition{}, small)
	if _, err := rows.Finish(testObject.ID); !errors.Is(err, ErrManifest) {
		t.Errorf("a row too many: %v", err)
	}
}

// TestDamageInMemoryIsNotBlessed: a batch that changed after it was verified gives a checksum
// that its bytes do not have, so that the store refuses the object.
func TestDamageInMemoryIsNotBlessed(t *testing.T) {
	adds := goldenAdditions()
	adds[1].b[70] ^= 1
	_, s := build(t, adds, nil)
	if crc32.Checksum(bytes.Join(s.Body, nil), castagnoli) == s.CRC {
		t.Error("the damage is under the checksum")
	}
}

func BenchmarkFinish(bb *testing.B) {
	b := NewBuilder(testCluster, "default")
	for i := range 256 {
		b.Add(topic.Partition{Index: int32(i % 64)}, recordtest.Batch(recordtest.Options{
			Size: 16 << 10, Idempotent: i%2 == 0, ProducerID: int64(i)}))
	}
	bb.SetBytes(int64(b.Size()))
	for bb.Loop() {
		if _, err := b.Finish(testObject.ID); err != nil {
			bb.Fatal(err)
		}
	}
}
