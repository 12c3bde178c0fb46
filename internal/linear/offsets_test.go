package linear

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control/client"
)

// offsetInput is one operation on the committed offset of a partition.
type offsetInput struct {
	partition int32
	write     bool
	value     int64 // every write has one of its own
}

// offsetOutput is what came of it.
type offsetOutput struct {
	value int64 // read
	code  int16 // write: answered with an error
	open  bool  // write: nobody knows
}

// offsetModel is a register that holds -1 before the first write. A write that was answered with an error
// had been accepted, and its answer lost, or it never was: until it returned it may have taken effect.
func offsetModel() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: byKey(func(in any) int32 { return in.(offsetInput).partition }),
		Init:      func() []any { return []any{int64(-1)} },
		Step: func(state, input, output any) []any {
			in, out := input.(offsetInput), output.(offsetOutput)
			switch {
			case !in.write && out.value != state.(int64):
				return nil
			case !in.write:
				return []any{state}
			case out.open || out.code != 0:
				return []any{state, in.value}
			}
			return []any{in.value}
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(offsetInput), output.(offsetOutput)
			switch {
			case !in.write:
				return fmt.Sprintf("fetch offset of %d: %d", in.partition, out.value)
			case out.open:
				return fmt.Sprintf("commit %d of %d: not known", in.value, in.partition)
			case out.code != 0:
				return fmt.Sprintf("commit %d of %d: %v", in.value, in.partition, kerr.ErrorForCode(out.code))
			}
			return fmt.Sprintf("commit %d of %d: done", in.value, in.partition)
		},
	}
	return m.ToModel()
}

const groupName = "readers"

// values gives every commit an offset of its own.
type values struct{ last atomic.Int64 }

func (v *values) next() int64 { return v.last.Add(1) }

// consumer is one member of the group, as a client library runs it: it joins, assigns if it leads, syncs,
// commits what it owns, and joins again when it is told to.
type consumer struct {
	t          *testing.T
	number     int
	cl         *client.Client
	h          *history
	rng        *rand.Rand
	values     *values
	id         string
	generation int32
	owned      []int32
	commits    int
	rebalances int
	early      bool // a fault: a commit is taken for done before it is answered
	late       sync.WaitGroup
}

func newConsumer(t *testing.T, b *bed, h *history, v *values, number int, seed uint64) *consumer {
	c := &consumer{t: t, number: number, cl: b.dial(), h: h, values: v, rng: rand.New(rand.NewPCG(seed, 100+uint64(number)))}
	login(t, c.cl, fmt.Sprint("consumer-", number))
	return c
}

func ask[R kmsg.Response](ctx context.Context, cl *client.Client, r kmsg.Request, version int16) (resp R, err error) {
	r.SetVersion(version)
	raw, err := cl.Call(ctx, client.TunnelCall{Key: r.Key(), Version: version, Body: r.AppendTo(nil), ClientID: "test", ClientHost: "/127.0.0.1"})
	if err != nil {
		return resp, err
	}
	resp = r.ResponseKind().(R)
	resp.SetVersion(version)
	if err := resp.ReadFrom(raw); err != nil {
		return resp, fmt.Errorf("answer to API key %d: %w", r.Key(), err)
	}
	return resp, nil
}

// sessionMs is how long a member is waited for that its client does not know of, its answer being lost.
const sessionMs = 300

// join joins and syncs until the member has an assignment.
func (c *consumer) join() {
	for c.t.Context().Err() == nil {
		c.rebalances++
		c.owned = nil
		if c.joinOnce() {
			return
		}
	}
}

func (c *consumer) joinOnce() bool {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Group, r.MemberID, r.ProtocolType = groupName, c.id, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = sessionMs, sessionMs
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0}}}
	joined, err := ask[*kmsg.JoinGroupResponse](c.t.Context(), c.cl, r, 7)
	if err != nil {
		c.t.Errorf("join: %v", err)
		return true
	}
	switch joined.ErrorCode {
	case 0:
	case kerr.MemberIDRequired.Code:
		c.id = joined.MemberID
		return false
	case kerr.UnknownMemberID.Code:
		c.id = ""
		return false
	default:
		return false
	}
	c.id, c.generation = joined.MemberID, joined.Generation
	s := kmsg.NewPtrSyncGroupRequest()
	s.Group, s.MemberID, s.Generation = groupName, c.id, c.generation
	if joined.LeaderID == c.id {
		s.GroupAssignment = assign(joined.Members)
	}
	synced, err := ask[*kmsg.SyncGroupResponse](c.t.Context(), c.cl, s, 3)
	if err != nil {
		c.t.Errorf("sync: %v", err)
		return true
	}
	if synced.ErrorCode != 0 {
		c.forgetIfUnknown(synced.ErrorCode)
		return false
	}
	for raw := synced.MemberAssignment; len(raw) >= 4; raw = raw[4:] {
		c.owned = append(c.owned, int32(binary.BigEndian.Uint32(raw)))
	}
	return true
}

// assign deals the partitions out to the members in turn.
func assign(members []kmsg.JoinGroupResponseMember) []kmsg.SyncGroupRequestGroupAssignment {
	out := make([]kmsg.SyncGroupRequestGroupAssignment, len(members))
	for i, m := range members {
		out[i].MemberID = m.MemberID
	}
	for p := range uint32(partitions) {
		a := &out[int(p)%len(out)]
		a.MemberAssignment = binary.BigEndian.AppendUint32(a.MemberAssignment, p)
	}
	return out
}

func (c *consumer) forgetIfUnknown(code int16) {
	if code == kerr.UnknownMemberID.Code {
		c.id = ""
	}
}

// run consumes for n rounds and leaves in between, now and then, without a word or with one.
func (c *consumer) run(n int) {
	defer c.late.Wait()
	c.join()
	for range n {
		switch {
		case c.rng.IntN(12) == 0:
			c.leave()
			c.join()
		case c.rng.IntN(10) == 0:
			c.crash()
		}
		if len(c.owned) == 0 && !c.heartbeat() {
			c.join()
		}
		for _, p := range c.owned {
			c.fetch(p)
			if code := c.commit(p); code > 0 {
				c.forgetIfUnknown(code)
				c.join()
				break
			}
		}
	}
	c.leave()
}

// crash forgets who the member is and joins as another. What the dead one had still sent arrives when the
// next generation runs, and is refused.
func (c *consumer) crash() {
	id, generation, owned := c.id, c.generation, c.owned
	c.id = ""
	c.join()
	for _, p := range owned {
		if code := c.commitAs(id, generation, p); code == 0 {
			c.t.Errorf("member %s of generation %d commits in generation %d", id, generation, c.generation)
		}
	}
}

func (c *consumer) heartbeat() bool {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Group, r.MemberID, r.Generation = groupName, c.id, c.generation
	resp, err := ask[*kmsg.HeartbeatResponse](c.t.Context(), c.cl, r, 3)
	if err != nil {
		c.t.Errorf("heartbeat: %v", err)
		return true
	}
	c.forgetIfUnknown(resp.ErrorCode)
	return resp.ErrorCode == 0
}

func (c *consumer) leave() {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Group, r.MemberID = groupName, c.id
	r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: c.id}}
	if _, err := ask[*kmsg.LeaveGroupResponse](c.t.Context(), c.cl, r, 3); err != nil {
		c.t.Errorf("leave: %v", err)
	}
	c.id = ""
}

// commit commits a new offset of a partition and returns the code of the answer.
func (c *consumer) commit(p int32) int16 { return c.commitAs(c.id, c.generation, p) }

// unheard is what commitAs returns when the client had less patience than the answer needed, as happens
// now and then.
const unheard int16 = -1

func (c *consumer) commitAs(id string, generation, p int32) int16 {
	in := offsetInput{partition: p, write: true, value: c.values.next()}
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.MemberID, r.Generation = groupName, id, generation
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topicName, Partitions: []kmsg.OffsetCommitRequestTopicPartition{
		{Partition: p, Offset: in.value, LeaderEpoch: -1},
	}}}
	call := c.h.now()
	ctx := c.t.Context()
	if c.rng.IntN(10) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(1+c.rng.IntN(5))*time.Millisecond)
		defer cancel()
	}
	c.commits++
	if c.early {
		ctx := c.t.Context()
		c.late.Go(func() { _, _ = ask[*kmsg.OffsetCommitResponse](ctx, c.cl, r, 7) }) // whatever it says
		c.h.add(c.number, call, in, offsetOutput{})
		return unheard
	}
	resp, err := ask[*kmsg.OffsetCommitResponse](ctx, c.cl, r, 7)
	if err != nil {
		if !errors.Is(err, context.DeadlineExceeded) { // the node may notice it before this side does
			c.t.Errorf("commit: %v", err)
		}
		c.h.open(c.number, call, in, offsetOutput{open: true})
		return unheard
	}
	code := resp.Topics[0].Partitions[0].ErrorCode
	c.h.add(c.number, call, in, offsetOutput{code: code})
	return code
}

func (c *consumer) fetch(p int32) { fetchOffset(c.t, c.cl, c.h, c.number, p) }

func fetchOffset(t *testing.T, cl *client.Client, h *history, number int, p int32) {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Group = groupName
	r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topicName, Partitions: []int32{p}}}
	call := h.now()
	resp, err := ask[*kmsg.OffsetFetchResponse](t.Context(), cl, r, 5)
	if err != nil || resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("fetch offset of %d: %+v %v", p, resp, err)
		return
	}
	h.add(number, call, offsetInput{partition: p}, offsetOutput{value: resp.Topics[0].Partitions[0].Offset})
}

// TestCommittedOffsetsAreLinearizable: members come, go and crash, the network fails and the node is killed,
// and every partition's committed offset is one register all the same: what was acknowledged is not lost,
// nothing that a generation wrote after its end appears, and no fetch tells of an older one (I3, I9).
func TestCommittedOffsetsAreLinearizable(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			b, h, v := newBed(t, 1000+seed), newHistory(), &values{}
			members := make([]*consumer, 3)
			for i := range members {
				members[i] = newConsumer(t, b, h, v, i, seed)
			}
			theTopic(t, members[0].cl)
			b.hostile(func(workers *sync.WaitGroup) {
				for _, c := range members {
					workers.Go(func() { c.run(8) })
				}
				onlooker := b.dial()
				workers.Go(func() {
					for i := range 40 {
						fetchOffset(t, onlooker, h, len(members), int32(i%partitions))
					}
				})
			})
			for p := range int32(partitions) {
				members[0].fetch(p)
			}
			h.hold(t, offsetModel())
			refused := 0
			for _, o := range h.ops {
				if o.Output.(offsetOutput).code != 0 {
					refused++
				}
			}
			t.Logf("%d operations, %d refused, %d connections, %d broken", len(h.ops), refused, b.net.number.Load(), b.net.broken.Load())
			if refused == 0 {
				t.Error("no commit was refused")
			}
			for _, c := range members {
				if c.commits == 0 || c.rebalances < 4 {
					t.Errorf("member %d has committed %d times and joined %d times", c.number, c.commits, c.rebalances)
				}
			}
		})
	}
}
