package linear

import (
	"sync"
	"testing"

	"github.com/anishathalye/porcupine"
)

// TestCheckTellsRightFromWrong: small histories by hand, each with its verdict.
func TestCheckTellsRightFromWrong(t *testing.T) {
	placed := func(call, back, base int64, id string) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: back, Input: logInput{id: id, records: 2}, Output: logOutput{placed: base}}
	}
	lost := func(call int64, id string) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: never, Input: logInput{id: id, records: 2}, Output: logOutput{open: true}}
	}
	ends := func(call, back, end int64) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: back, Input: logInput{kind: latest}, Output: logOutput{end: end}}
	}
	plans := func(call, back, end int64, log string) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: back, Input: logInput{kind: plan}, Output: logOutput{end: end, log: log}}
	}
	write := func(call, back, value int64, code int16) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: back, Input: offsetInput{write: true, value: value}, Output: offsetOutput{code: code, open: back == never}}
	}
	reads := func(call, back, value int64) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: back, Input: offsetInput{}, Output: offsetOutput{value: value}}
	}
	for _, c := range []struct {
		name  string
		model porcupine.Model
		right bool
		ops   []porcupine.Operation
	}{
		{"two placed at once", logModel(), true, []porcupine.Operation{placed(0, 9, 2, "a"), placed(1, 8, 0, "b"), ends(10, 11, 4)}},
		{"one offset given twice", logModel(), false, []porcupine.Operation{placed(0, 1, 0, "a"), placed(2, 3, 0, "b")}},
		{"placed later, at an earlier offset", logModel(), false, []porcupine.Operation{placed(0, 1, 2, "a"), placed(2, 3, 0, "b")}},
		{"an open commit that is seen", logModel(), true, []porcupine.Operation{lost(0, "a"), ends(5, 6, 0), ends(7, 8, 2)}},
		{"an open commit that is seen and then not", logModel(), false, []porcupine.Operation{lost(0, "a"), ends(5, 6, 2), ends(7, 8, 0)}},
		{"an end that is older than an answer", logModel(), false, []porcupine.Operation{placed(0, 1, 0, "a"), ends(2, 3, 0)}},
		{"a plan with a segment twice", logModel(), false, []porcupine.Operation{placed(0, 9, 0, "a"), plans(10, 11, 4, "0+2 a; 2+2 a; ")}},
		{"a plan in another order", logModel(), false, []porcupine.Operation{placed(0, 1, 0, "a"), placed(2, 3, 2, "b"), plans(4, 5, 4, "0+2 b; 2+2 a; ")}},
		{"refused and seen", logModel(), false, []porcupine.Operation{
			{Call: 0, Return: 1, Input: logInput{id: "a", records: 2}, Output: logOutput{final: true}}, ends(2, 3, 2),
		}},
		{"read what was written", offsetModel(), true, []porcupine.Operation{reads(0, 1, -1), write(2, 3, 7, 0), reads(4, 5, 7)}},
		{"an older offset", offsetModel(), false, []porcupine.Operation{write(0, 1, 7, 0), write(2, 3, 8, 0), reads(4, 5, 7)}},
		{"lost", offsetModel(), false, []porcupine.Operation{write(0, 1, 7, 0), reads(2, 3, -1)}},
		{"back and forth", offsetModel(), false, []porcupine.Operation{write(0, 9, 7, 0), write(1, 9, 8, 0), reads(2, 3, 7), reads(4, 5, 8), reads(6, 7, 7)}},
		{"refused after it was accepted", offsetModel(), true, []porcupine.Operation{write(0, 9, 7, 22), reads(2, 3, 7)}},
		{"refused and accepted later", offsetModel(), false, []porcupine.Operation{write(0, 1, 7, 22), reads(2, 3, -1), reads(4, 5, 7)}},
		{"open, and it happens later", offsetModel(), true, []porcupine.Operation{write(0, never, 7, 0), reads(2, 3, -1), reads(4, 5, 7)}},
	} {
		want := porcupine.Illegal
		if c.right {
			want = porcupine.Ok
		}
		if got := explained(c.model, c.ops); got != want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

// TestDeposedLeaderIsFound: reads are answered without a leadership check by a node that leads no more,
// and does not know it.
func TestDeposedLeaderIsFound(t *testing.T) {
	t.Parallel()
	b, h, v := newBed(t, 1), newHistory(), &values{}
	writer, member := newCommitter(t, b, h, 0, 1), newConsumer(t, b, h, v, 1, 1)
	old := b.twin(2)
	offsets := newHistory()
	member.h = offsets
	writer.run(20)
	member.run(4)
	reader := old.dial()
	for p := range int32(partitions) {
		(&committer{t: t, number: 2, cl: reader, h: h, topic: writer.topic}).latest(p)
		fetchOffset(t, reader, offsets, 2, p)
	}
	h.doubt(t, logModel())
	offsets.doubt(t, offsetModel())
}

// TestTwoCopiesAreFound: two nodes lead on copies of one data directory, and agents commit at both.
func TestTwoCopiesAreFound(t *testing.T) {
	t.Parallel()
	b, h := newBed(t, 3), newHistory()
	theTopic(t, b.dial())
	other := b.twin(4)
	var workers sync.WaitGroup
	for i, at := range []*bed{b, other} {
		c := newCommitter(t, at, h, i, 3)
		workers.Go(func() { c.run(20) })
	}
	workers.Wait()
	h.doubt(t, logModel())
}

// TestAnswerBeforeItsTimeIsFound: commits of offsets are taken for done when they are sent.
func TestAnswerBeforeItsTimeIsFound(t *testing.T) {
	t.Parallel()
	b, h, v := newBed(t, 5), newHistory(), &values{}
	c := newConsumer(t, b, h, v, 0, 5)
	theTopic(t, c.cl)
	c.early = true
	c.run(10)
	h.doubt(t, offsetModel())
}

// TestCommitMadeAnewIsFound: an agent whose answer is lost commits the same records in its next session.
func TestCommitMadeAnewIsFound(t *testing.T) {
	t.Parallel()
	for seed := uint64(6); seed < 60; seed++ {
		b, h := newBed(t, seed), newHistory()
		c := newCommitter(t, b, h, 0, seed)
		c.anew = true
		c.run(60)
		for p := range int32(partitions) {
			c.plan(p)
		}
		if explained(logModel(), h.ops) == porcupine.Illegal {
			return
		}
	}
	t.Error("records that lie there twice are explained, with every seed")
}
