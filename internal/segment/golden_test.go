package segment

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/topic"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenAdditions are the batches of testdata/level0.seg: two partitions, one with batches with
// and without a producer id. They are not compressed, so that no codec's version shows.
func goldenAdditions() []addition {
	events := topic.Partition{Topic: topic.ID{0: 0x0e, 15: 0x01}, Index: 3}
	scores := topic.Partition{Topic: topic.ID{0: 0x5c, 15: 0x02}, Index: 0}
	const noon = 1767268800000 // 2026-01-01T12:00:00Z
	return []addition{
		{scores, recordtest.Batch(recordtest.Options{Values: []string{"ada 7"}, Key: "ada", Time: noon + 5})},
		{events, recordtest.Batch(recordtest.Options{Values: []string{"login", "jump"}, Time: noon, Step: 20,
			Idempotent: true, ProducerID: 9, Epoch: 1, Sequence: 100})},
		{events, recordtest.Batch(recordtest.Options{Values: []string{"fire"}, Time: noon + 30})},
		{events, recordtest.Batch(recordtest.Options{Values: []string{"quit"}, Time: noon + 31})},
	}
}

func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// TestGolden holds the format still: what this program writes and prints today is what the
// golden files say, and so is what it reads.
func TestGolden(t *testing.T) {
	_, s := build(t, goldenAdditions(), nil)
	body := bytes.Join(s.Body, nil)
	stored := golden(t, "level0.seg.hex", []byte(hexLines(body)))
	if string(stored) != hexLines(body) {
		t.Error("the bytes of a segment have changed: that takes a new version")
	}
	manifest := hexLines(AppendManifest(nil, &s.Manifest))
	if string(golden(t, "level0.manifest.hex", []byte(manifest))) != manifest {
		t.Error("the bytes of a manifest have changed: that takes a new version")
	}
	var dump bytes.Buffer
	if err := Dump(&dump, bytes.NewReader(body), int64(len(body))); err != nil {
		t.Fatal(err)
	}
	want := golden(t, "level0.dump", dump.Bytes())
	if !bytes.Equal(dump.Bytes(), want) {
		t.Errorf("dump:\n%s", dump.String())
	}
	page, err := os.ReadFile("../../docs/architecture/segment-format.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(page, want) {
		t.Error("docs/architecture/segment-format.md does not show testdata/level0.dump")
	}
}

func hexLines(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		n := min(32, len(b))
		s.WriteString(hex.EncodeToString(b[:n]) + "\n")
		b = b[n:]
	}
	return s.String()
}

// memory is an object in memory; it counts the reads.
type memory struct {
	b    []byte
	gets int
}

func (m *memory) GetRange(_ context.Context, _ string, position, length int64) ([]byte, error) {
	m.gets++
	if position < 0 || length < 0 || position+length > int64(len(m.b)) {
		return nil, errors.New("range outside the object")
	}
	return bytes.Clone(m.b[position : position+length]), nil
}

func TestReadFooterByRanges(t *testing.T) {
	for name, tc := range map[string]struct{ partitions, gets int }{
		"small, all in the tail": {3, 1},
		"footer in the tail":     {200, 2},
		"footer beyond the tail": {1000, 3},
	} {
		b := NewBuilder(testCluster, testObject.Share)
		for i := range tc.partitions {
			b.Add(topic.Partition{Index: int32(i)}, recordtest.Batch(recordtest.Options{Size: 100}))
		}
		s, err := b.Finish(testObject.ID)
		if err != nil {
			t.Fatal(err)
		}
		m := &memory{b: bytes.Join(s.Body, nil)}
		key := Key(testCluster, testObject)
		f, err := ReadFooter(t.Context(), m, key, int64(s.Size), testObject)
		if err != nil || len(f.Extents) != tc.partitions || m.gets != tc.gets {
			t.Errorf("%s: %d extents in %d reads, %v", name, len(f.Extents), m.gets, err)
		}
		other := testObject
		other.ID.Sequence++
		if _, err := ReadFooter(t.Context(), m, key, int64(s.Size), other); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: another segment's key: %v", name, err)
		}
		if _, err := ReadFooter(t.Context(), m, Key(testCluster, other), int64(s.Size), other); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: another segment's bytes: %v", name, err)
		}
		if _, err := ReadFooter(t.Context(), m, key, int64(s.Size-1), testObject); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: wrong size: %v", name, err)
		}
		if err := Verify(ReaderAt(t.Context(), m, key, int64(s.Size)), int64(s.Size)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDumpOfDamage: a dump goes as far as it can and says all that is wrong.
func TestDumpOfDamage(t *testing.T) {
	_, s := build(t, goldenAdditions(), nil)
	whole := bytes.Join(s.Body, nil)
	for name, tc := range map[string]struct {
		damage func([]byte) []byte
		shows  []string
	}{
		"payload":  {func(b []byte) []byte { b[len(s.Body[0])+65] ^= 1; return b }, []string{"DAMAGED", "FAULT", "magic \"isthmend\""}},
		"header":   {func(b []byte) []byte { b[20] ^= 1; return b }, []string{"FAULT: corrupt segment: header CRC", "batch, ", "extents: 2"}},
		"trailer":  {func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, []string{"no footer", "batch, "}},
		"cut off":  {func(b []byte) []byte { return b[:len(b)/2] }, []string{"no footer", "batch, "}},
		"not ours": {func(b []byte) []byte { return bytes.Repeat([]byte("no"), 200) }, []string{"it begins with"}},
		"empty":    {func(b []byte) []byte { return nil }, []string{"0 bytes"}},
	} {
		var out bytes.Buffer
		b := tc.damage(bytes.Clone(whole))
		if err := Dump(&out, bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s: no error", name)
		}
		for _, want := range tc.shows {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: the dump does not show %q:\n%s", name, want, out.String())
			}
		}
	}
}

func TestDumpReportsItsWriter(t *testing.T) {
	_, s := build(t, goldenAdditions(), nil)
	body := bytes.Join(s.Body, nil)
	r, w := io.Pipe()
	r.Close()
	if err := Dump(w, bytes.NewReader(body), int64(len(body))); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

func TestVerifyRangeRefuses(t *testing.T) {
	b := recordtest.Frame(
		recordtest.Batch(recordtest.Options{Records: 2, BaseOffset: 10}),
		recordtest.Batch(recordtest.Options{Records: 3, BaseOffset: 12}))
	l := Location{Base: 10, Records: 5, Length: uint32(len(b)), Stamped: true}
	if err := VerifyRange(b, &l); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Location){
		"length":  func(l *Location) { l.Length++ },
		"records": func(l *Location) { l.Records++ },
		"offsets": func(l *Location) { l.Base++ },
	} {
		other := l
		change(&other)
		if err := VerifyRange(b, &other); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b[record.HeaderSize+2] ^= 1
	if err := VerifyRange(b, &l); !errors.Is(err, ErrFormat) {
		t.Errorf("damage: %v", err)
	}
}

func FuzzVerifyWhole(f *testing.F) {
	b := NewBuilder(testCluster, testObject.Share)
	for _, a := range goldenAdditions() {
		b.Add(a.p, a.b)
	}
	s, err := b.Finish(testObject.ID)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Join(s.Body, nil))
	f.Add([]byte(headMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := VerifyWhole(b, testCluster, testObject); err != nil && !errors.Is(err, ErrFormat) {
			t.Fatalf("untyped: %v", err)
		}
		var out bytes.Buffer
		if err := Dump(&out, bytes.NewReader(b), int64(len(b))); err == nil {
			if _, err := VerifyWhole(b, testCluster, testObject); err != nil {
				t.Logf("well formed, but another segment: %v", err)
			}
		}
	})
}

// FuzzParseLayout feeds the parts to their parsers with checksums made right, so that the
// fuzzer gets past them.
func FuzzParseLayout(f *testing.F) {
	f.Add(AppendHeader(nil, Header{Cluster: "demo", Share: "default", ID: testObject.ID}))
	f.Add(AppendFooter(nil, []Extent{{Position: 50, Length: 70, Records: 1}}))
	f.Add(appendTrailer(nil, 100, 60))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 4 {
			return
		}
		sealed := appendCRC(bytes.Clone(b[:len(b)-4]), 0)
		if h, n, err := ParseHeader(sealed); err == nil && !bytes.Equal(AppendHeader(nil, h), sealed[:n]) {
			t.Fatalf("header % x is not canonical", sealed[:n])
		}
		for _, first := range []uint32{0, 50} {
			if extents, err := ParseFooter(sealed, first, 120); err == nil && !bytes.Equal(AppendFooter(nil, extents), sealed) {
				t.Fatalf("footer % x is not canonical", sealed)
			}
		}
		if p, n, err := parseTrailer(sealed, 184); err == nil && !bytes.Equal(appendTrailer(nil, p, n), sealed) {
			t.Fatalf("trailer % x is not canonical", sealed)
		}
	})
}
