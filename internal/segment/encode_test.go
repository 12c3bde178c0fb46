package segment

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// drawManifest makes a valid manifest: partitions ascend, rows follow each other with gaps now
// and then, producers and times are anything.
func drawManifest(t *rapid.T) Manifest {
	var m Manifest
	position := rapid.Uint32Range(0, 200).Draw(t, "start")
	partitions := rapid.IntRange(0, 5).Draw(t, "partitions")
	for i := range partitions {
		p := topic.Partition{Topic: topic.ID{byte(i / 2)}, Index: int32(i)}
		for range rapid.IntRange(1, 6).Draw(t, "rows") {
			r := Row{
				Partition:    p,
				Position:     position + rapid.Uint32Range(0, 1).Draw(t, "gap"),
				Length:       rapid.Uint32Range(61, 1<<22).Draw(t, "length"),
				Records:      rapid.Uint32Range(1, math.MaxInt32).Draw(t, "records"),
				MaxTimestamp: rapid.Int64().Draw(t, "time"),
				Producer:     drawProducer(t),
			}
			if r.Producer.ID >= 0 {
				r.Producer.Last = lastSequence(r.Producer.First, r.Records)
			}
			m.Rows = append(m.Rows, r)
			position = r.Position + r.Length
		}
	}
	m.Size = position + rapid.Uint32Range(0, 1000).Draw(t, "tail")
	return m
}

func drawProducer(t *rapid.T) Producer {
	if rapid.Bool().Draw(t, "plain") {
		return Producer{ID: NoProducer}
	}
	return Producer{
		ID:    rapid.Int64Range(0, math.MaxInt64).Draw(t, "id"),
		Epoch: rapid.Int16Range(0, math.MaxInt16).Draw(t, "epoch"),
		First: rapid.Int32Range(0, math.MaxInt32).Draw(t, "first"),
	}
}

func drawAnswers(t *rapid.T) []Answer {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Answer {
		a := Answer{
			Verdict:  Verdict(rapid.IntRange(1, 3).Draw(t, "verdict")),
			Offset:   topic.Offset(rapid.Int64Range(0, math.MaxInt64).Draw(t, "offset")),
			LogStart: topic.Offset(rapid.Int64Range(-1, math.MaxInt64).Draw(t, "start")),
		}
		if a.Verdict == Refused || a.Verdict == Duplicate && rapid.Bool().Draw(t, "forgotten") {
			a.Code, a.Offset = rapid.Int16Range(1, math.MaxInt16).Draw(t, "code"), topic.NoOffset
		}
		return a
	}), 0, 20).Draw(t, "answers")
}

func equalManifests(a, b Manifest) bool {
	if a.Size != b.Size || len(a.Rows) != len(b.Rows) {
		return false
	}
	for i := range a.Rows {
		if a.Rows[i] != b.Rows[i] {
			return false
		}
	}
	return true
}

func TestManifestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawManifest(t)
		prefix := []byte("before")
		b := AppendManifest(prefix, &m)[len(prefix):]
		got, err := ParseManifest(b)
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		if !equalManifests(m, got) {
			t.Fatalf("got %+v, want %+v", got, m)
		}
		for cut := range len(b) {
			if _, err := ParseManifest(b[:cut]); err == nil {
				t.Fatalf("parsed %d of %d bytes", cut, len(b))
			}
		}
		if _, err := ParseManifest(append(b, 0)); err == nil {
			t.Fatal("parsed a trailing byte")
		}
	})
}

func TestAnswersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawAnswers(t)
		b := AppendAnswers(nil, want)
		got, err := ParseAnswers(b)
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		if len(got) != len(want) {
			t.Fatalf("got %d answers, want %d", len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("answer %d: got %+v, want %+v", i, got[i], want[i])
			}
		}
		for cut := range len(b) {
			if _, err := ParseAnswers(b[:cut]); err == nil {
				t.Fatalf("parsed %d of %d bytes", cut, len(b))
			}
		}
	})
}

func TestManifestRefusals(t *testing.T) {
	valid := Row{Position: 100, Length: 61, Records: 1, Producer: Producer{ID: NoProducer}}
	with := func(change func(*Row)) Manifest {
		r := valid
		change(&r)
		return Manifest{Size: 1000, Rows: []Row{r}}
	}
	second := valid
	second.Position = 200
	second.Partition = topic.Partition{Topic: topic.ID{1}}
	for name, m := range map[string]Manifest{
		"no records":          with(func(r *Row) { r.Records = 0 }),
		"too many records":    with(func(r *Row) { r.Records = 1 << 31 }),
		"shorter than header": with(func(r *Row) { r.Length = 60 }),
		"beyond the object":   with(func(r *Row) { r.Length = 901 }),
		"wraps 32 bits":       with(func(r *Row) { r.Position, r.Length = 1<<32-61, 1<<32-1 }),
		"partition out of order": {Size: 1000, Rows: []Row{
			second, {Position: 300, Length: 61, Records: 1, Producer: Producer{ID: NoProducer}}}},
		"overlap":       {Size: 1000, Rows: []Row{valid, valid}},
		"too many rows": {Size: 1 << 30, Rows: manyRows(MaxRows + 1)},
	} {
		if err := m.Validate(); err == nil {
			t.Errorf("%s: valid", name)
		}
		if _, err := ParseManifest(AppendManifest(nil, &m)); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	for name, m := range map[string]Manifest{
		"sequences without producer": with(func(r *Row) { r.Producer.Last = 4 }),
		"wrong last sequence":        with(func(r *Row) { r.Producer = Producer{ID: 1, First: 3, Last: 4} }),
		"negative partition":         with(func(r *Row) { r.Partition.Index = -1 }),
		"negative epoch":             with(func(r *Row) { r.Producer = Producer{ID: 1, Epoch: -1} }),
	} {
		if err := m.Validate(); err == nil {
			t.Errorf("%s: valid", name)
		}
	}
	if err := (&Manifest{Size: 1 << 30, Rows: manyRows(MaxRows)}).Validate(); err != nil {
		t.Errorf("as many rows as allowed: %v", err)
	}
}

func manyRows(n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{Position: uint32(100 + 61*i), Length: 61, Records: 1, Producer: Producer{ID: NoProducer}}
	}
	return rows
}

// TestAnswersNeverLookPlaced: what carries no offset is no acknowledgement, whatever the bytes say.
func TestAnswersNeverLookPlaced(t *testing.T) {
	for _, a := range []Answer{
		{},
		{Verdict: Placed, Offset: topic.NoOffset},
		{Verdict: Placed, Code: 19, Offset: 3},
		{Verdict: Duplicate, Offset: topic.NoOffset},
		{Verdict: Refused, Offset: topic.NoOffset},
	} {
		if _, err := ParseAnswers(AppendAnswers(nil, []Answer{a})); err == nil {
			t.Errorf("parsed %+v", a)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(AppendManifest(nil, &Manifest{}))
	f.Add(AppendManifest(nil, &Manifest{Size: 4000, Rows: manyRows(3)}))
	f.Add(AppendManifest(nil, &Manifest{Size: 4000, Rows: []Row{{
		Partition: topic.Partition{Topic: topic.ID{9}, Index: 3}, Position: 80, Length: 99, Records: 7,
		MaxTimestamp: 1 << 40, Producer: Producer{ID: 7, Epoch: 1, First: math.MaxInt32, Last: 5},
	}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		again, err := ParseManifest(AppendManifest(nil, &m))
		if err != nil || !equalManifests(m, again) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

func FuzzParseAnswers(f *testing.F) {
	f.Add(AppendAnswers(nil, nil))
	f.Add(AppendAnswers(nil, []Answer{
		{Verdict: Placed, Offset: 7, LogStart: 0},
		{Verdict: Duplicate, Code: 46, Offset: topic.NoOffset, LogStart: 0},
		{Verdict: Refused, Code: 19, Offset: topic.NoOffset, LogStart: topic.NoOffset},
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		answers, err := ParseAnswers(b)
		if err != nil {
			return
		}
		again, err := ParseAnswers(AppendAnswers(nil, answers))
		if err != nil || len(again) != len(answers) {
			t.Fatalf("%+v became %+v, %v", answers, again, err)
		}
	})
}
