package control

import (
	"bytes"
	"testing"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// FuzzApply feeds a commit's bytes, and the names and numbers around them, to a state that is in
// the middle of its life: nothing panics, what is placed is dense, and a repetition is answered
// alike.
func FuzzApply(f *testing.F) {
	m := segment.Manifest{Size: 500, Rows: []segment.Row{
		{Partition: topic.Partition{Topic: topic.ID{1}}, Position: 20, Length: 100, Records: 2, Producer: segment.Producer{ID: segment.NoProducer}},
		{Partition: topic.Partition{Topic: topic.ID{1}}, Position: 120, Length: 100, Records: 2, Producer: segment.Producer{ID: 1, Last: 1}},
		{Partition: topic.Partition{Topic: topic.ID{1}, Index: 1}, Position: 220, Length: 61, Records: 1<<31 - 1, Producer: segment.Producer{ID: segment.NoProducer}},
	}}
	f.Add(segment.AppendManifest(nil, &m), []byte("0123456789ab"), "default", uint64(1), uint64(1), uint64(0), uint64(0))
	f.Add([]byte{}, []byte{}, "default", uint64(1), uint64(3), uint64(0), uint64(9))
	f.Add([]byte{1, 0, 0}, []byte("x"), "other", uint64(2), uint64(1<<63), uint64(1<<63), uint64(1<<64-1))
	f.Fuzz(func(t *testing.T, manifest, nonce []byte, share string, session, sequence, after, acked uint64) {
		w := newIndexWorld(4<<20, 2)
		w.apply(&controlpb.Command{Op: &controlpb.Command_InitProducer{InitProducer: &controlpb.InitProducerCommand{ProducerId: -1}}})
		c := &controlpb.CommitRequest{Session: session, Share: share, Sequence: sequence, After: after, Acked: acked, Nonce: nonce, Manifest: manifest}
		first := w.apply(&controlpb.Command{Op: &controlpb.Command_Commit{Commit: c}})
		c.Acked = 0
		second := w.apply(&controlpb.Command{Op: &controlpb.Command_Commit{Commit: c}})
		if first.Reply.Outcome != second.Reply.Outcome || len(first.Reply.Answers) != len(second.Reply.Answers) {
			t.Fatalf("I2: %+v, then %+v", first.Reply, second.Reply)
		}
		for i, a := range first.Reply.Answers {
			if a != second.Reply.Answers[i] || a.Validate() != nil {
				t.Fatalf("I2: row %d: %+v, then %+v (%v)", i, a, second.Reply.Answers[i], a.Validate())
			}
		}
		checkDense(t, w.s)
		b := snapshotOf(t, w.s)
		if !bytes.Equal(b, snapshotOf(t, restored(t, b, w.s.Limits()))) {
			t.Fatal("I4: the state does not come back from its snapshot")
		}
	})
}

// FuzzReadState feeds arbitrary bytes behind right checksums: an error or a state that can be
// written again, never a panic, and memory in proportion to the bytes.
func FuzzReadState(f *testing.F) {
	s := NewState(testLimits())
	c := newChaos(3)
	for range 300 {
		s.Apply(c.command(s))
	}
	payload := &payloadWriter{}
	if _, err := s.Snapshot().WriteTo(payload); err != nil {
		f.Fatal(err)
	}
	f.Add(payload.b)
	f.Add([]byte{snapshotVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		var framed bytes.Buffer
		e := &encoder{w: &framed}
		e.raw(b)
		if err := e.close(); err != nil {
			t.Fatal(err)
		}
		s, err := ReadState(&framed, Limits{})
		if err != nil {
			return
		}
		snapshotOf(t, s)
		s.NextDue()
		s.Apply(&controlpb.Command{Time: 1 << 50, Op: &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}})
	})
}

// payloadWriter takes the chunks apart again.
type payloadWriter struct {
	b    []byte
	head bool
}

func (p *payloadWriter) Write(b []byte) (int, error) {
	if p.head = !p.head; !p.head {
		p.b = append(p.b, b...)
	}
	return len(b), nil
}
