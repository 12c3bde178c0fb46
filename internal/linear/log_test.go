package linear

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

func checksum(body []byte) uint32 { return crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) }

// logInput is one operation on a partition's log.
type logInput struct {
	partition int32
	kind      logKind
	id        string // of the segment to be placed
	records   int64
}

type logKind int

const (
	place logKind = iota
	latest
	plan
)

// logOutput is what came of it.
type logOutput struct {
	placed int64  // where it lies
	final  bool   // it was refused, for good
	open   bool   // nobody knows
	end    int64  // latest, plan
	log    string // plan: the segments in their order
}

// logState is a partition: its end and what lies before it.
type logState struct {
	end int64
	log string
}

func (s logState) with(in logInput) logState {
	return logState{s.end + in.records, s.log + entryOf(s.end, in.records, in.id)}
}

func entryOf(base, records int64, id string) string {
	return fmt.Sprintf("%d+%d %s; ", base, records, id)
}

// logModel is a list that is only appended to.
func logModel() porcupine.Model {
	return porcupine.Model{
		Partition: byKey(func(in any) int32 { return in.(logInput).partition }),
		Init:      func() any { return logState{} },
		Step: func(state, input, output any) (bool, any) {
			s, in, out := state.(logState), input.(logInput), output.(logOutput)
			switch {
			case in.kind == latest:
				return out.end == s.end, s
			case in.kind == plan:
				return out.end == s.end && out.log == s.log, s
			case out.final:
				return true, s
			case out.open: // it may come last, which is never
				return true, s.with(in)
			}
			return out.placed == s.end, s.with(in)
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(logInput), output.(logOutput)
			switch {
			case in.kind == latest:
				return fmt.Sprintf("latest offset of %d: %d", in.partition, out.end)
			case in.kind == plan:
				return fmt.Sprintf("plan of %d: end %d, %s", in.partition, out.end, out.log)
			case out.final:
				return fmt.Sprintf("place %s in %d: refused", in.id, in.partition)
			case out.open:
				return fmt.Sprintf("place %s in %d: not known", in.id, in.partition)
			}
			return fmt.Sprintf("place %s in %d: %d+%d", in.id, in.partition, out.placed, in.records)
		},
	}
}

// committer is one agent: it commits segments, asks for the latest offsets and plans.
type committer struct {
	t        *testing.T
	number   int
	cl       *client.Client
	h        *history
	rng      *rand.Rand
	topic    topic.ID
	grant    client.Grant
	sequence uint64
	stream   *client.CommitStream
	anew     bool // a fault: what is not answered is committed once more in a new session
}

func newCommitter(t *testing.T, b *bed, h *history, number int, seed uint64) *committer {
	c := &committer{t: t, number: number, cl: b.dial(), h: h, rng: rand.New(rand.NewPCG(seed, uint64(number)))}
	c.login()
	c.topic = theTopic(t, c.cl)
	return c
}

func (c *committer) login() {
	c.grant = login(c.t, c.cl, fmt.Sprint("agent-", c.number))
	c.sequence = 0
	c.hangUp()
}

func (c *committer) hangUp() {
	if c.stream != nil {
		_ = c.stream.Close() // never fails
		c.stream = nil
	}
}

func (c *committer) partition(i int32) topic.Partition {
	return topic.Partition{Topic: c.topic, Index: i}
}

// run does n operations, one after the other.
func (c *committer) run(n int) {
	defer c.hangUp()
	for range n {
		p := int32(c.rng.IntN(partitions))
		switch c.rng.IntN(4) {
		case 0:
			c.latest(p)
		case 1:
			c.plan(p)
		default:
			c.commit()
		}
	}
}

// commit places a segment of one or two partitions, sending it again until it is answered or patience ends.
func (c *committer) commit() {
	c.sequence++
	q := &segment.Commit{
		Session: c.grant.Session, Share: "default", Sequence: c.sequence, After: c.sequence - 1,
		Nonce: segment.Nonce{byte(c.number), byte(c.sequence)}, Manifest: segment.Manifest{Size: 4096},
	}
	first := int32(c.rng.IntN(partitions))
	for p := first; p <= first+int32(c.rng.IntN(2)) && p < partitions; p++ {
		q.Manifest.Rows = append(q.Manifest.Rows, segment.Row{
			Partition: c.partition(p), Position: 128 + uint32(p)*1000, Length: 1000, Records: 1 + uint32(c.rng.IntN(3)),
			MaxTimestamp: 1, Producer: segment.Producer{ID: segment.NoProducer},
		})
	}
	call := c.h.now()
	for range 1 + c.rng.IntN(5) {
		r, err := c.try(q)
		if err == nil {
			c.placed(call, q, r)
			return
		}
		if !errors.Is(err, client.ErrUnavailable) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			c.t.Errorf("commit %d of session %d: %v", q.Sequence, q.Session, err)
			return
		}
		c.hangUp()
		if c.anew {
			c.login()
			c.sequence = 1
			q.Session, q.Sequence, q.After = c.grant.Session, 1, 0
		}
	}
	for _, row := range q.Manifest.Rows {
		c.h.open(c.number, call, input(q, row), logOutput{open: true})
	}
	c.login() // nothing may follow a commit whose fate is open, in this session
}

// try sends the commit on a stream and waits for its answer, as long as an agent would.
func (c *committer) try(q *segment.Commit) (r segment.Reply, err error) {
	if c.stream == nil {
		if c.stream, err = c.cl.Commits(c.t.Context(), c.grant.Session); err != nil {
			return r, err
		}
	}
	stuck := time.AfterFunc(10*time.Second, func() { c.t.Error("a stream neither answers nor ends") })
	defer stuck.Stop()
	if err := c.stream.Send(q); err != nil {
		return r, err
	}
	return c.stream.Recv()
}

func (c *committer) placed(call int64, q *segment.Commit, r segment.Reply) {
	if r.Outcome != segment.Answered && r.Outcome != segment.SessionEnded {
		c.t.Errorf("commit %d of session %d: %+v", q.Sequence, q.Session, r)
		return
	}
	for i, row := range q.Manifest.Rows {
		out := logOutput{final: true}
		if r.Outcome == segment.Answered && r.Answers[i].Verdict == segment.Placed {
			out = logOutput{placed: int64(r.Answers[i].Offset)}
		}
		c.h.add(c.number, call, input(q, row), out)
	}
}

func input(q *segment.Commit, row segment.Row) logInput {
	return logInput{partition: row.Partition.Index, id: fmt.Sprintf("%d-%d", q.Session, q.Sequence), records: int64(row.Records)}
}

func (c *committer) latest(p int32) {
	call := c.h.now()
	found, err := c.cl.ListOffsets(c.t.Context(), []segment.OffsetQuery{{Partition: c.partition(p), Timestamp: -1}})
	if err != nil || found[0].Code != 0 {
		c.t.Errorf("latest offset of %d: %+v %v", p, found, err)
		return
	}
	c.h.add(c.number, call, logInput{partition: p, kind: latest}, logOutput{end: int64(found[0].Offset)})
}

func (c *committer) plan(p int32) {
	call := c.h.now()
	plans, err := c.cl.Plan(c.t.Context(), []segment.PlanQuery{{Partition: c.partition(p), MaxBytes: 64 << 20}})
	if err != nil || plans[0].Code != 0 {
		c.t.Errorf("plan of %d: %+v %v", p, plans, err)
		return
	}
	var log strings.Builder
	for _, l := range plans[0].Locations {
		log.WriteString(entryOf(int64(l.Base), int64(l.Records), fmt.Sprintf("%d-%d", l.Object.ID.Session, l.Object.ID.Sequence)))
	}
	c.h.add(c.number, call, logInput{partition: p, kind: plan}, logOutput{end: int64(plans[0].HighWatermark), log: log.String()})
}

// TestSequencerIsLinearizable: whatever the network does, and though the node is killed twice, there is one
// order of all commits that explains every offset, every latest offset and every plan (I1, I2, I3, I9, I11).
func TestSequencerIsLinearizable(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			b, h := newBed(t, seed), newHistory()
			all := make([]*committer, 5)
			for i := range all {
				all[i] = newCommitter(t, b, h, i, seed)
			}
			b.hostile(func(workers *sync.WaitGroup) {
				for _, c := range all {
					workers.Go(func() { c.run(30) })
				}
			})
			for p := range int32(partitions) {
				all[0].plan(p)
			}
			h.hold(t, logModel())
			t.Logf("%d operations, %d connections, %d broken", len(h.ops), b.net.number.Load(), b.net.broken.Load())
		})
	}
}
