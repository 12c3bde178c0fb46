package produce

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

func batchOf(records int) []byte {
	return frame(recordtest.Batch(recordtest.Options{Records: records, Size: 10, Time: time.Now().UnixMilli()}))
}

func idempotent(pid int64, seq int32, records int) []byte {
	return frame(recordtest.Batch(recordtest.Options{Records: records, Size: 10, Time: time.Now().UnixMilli(), Idempotent: true, ProducerID: pid, Sequence: seq}))
}

// coded is a confirmed refusal, as the cache of topics gives it.
type coded int16

func (c coded) Error() string { return kerr.ErrorForCode(int16(c)).Error() }

func (c coded) KafkaCode() int16 { return int16(c) }

// Each partition is answered for itself, in the order of the request.
func TestProduceAnswersEachPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.stop()
		r.seq.ends[topic.Partition{Topic: topic.ID{1}, Index: 2}] = 100
		r.topics.errs["away"] = errors.New("dial: no route")
		r.topics.errs["walled"] = coded(29)
		r.topics.errs["shut"] = fmt.Errorf("ask: %w: there is no binding", topic.ErrDenied)
		p := partitions(t, <-r.serve(request(-1,
			part{"events", 2, batchOf(3)},
			part{"events", 9, batchOf(1)},
			part{"events", 2, batchOf(2)},
			part{"ghosts", 0, batchOf(1)},
			part{"__consumer_offsets", 0, batchOf(1)},
			part{"away", 0, batchOf(1)},
			part{"walled", 0, batchOf(1)},
			part{"shut", 0, batchOf(1)},
			part{"events", 0, batchOf(1)},
			part{"stamped", 1, batchOf(1)},
		)))
		want := []struct {
			code   int16
			offset int64
			text   string
		}{
			{0, 100, ""}, {3, -1, "partitions 0 to 3"}, {0, 103, ""}, {3, -1, `"ghosts"`}, {17, -1, "internal"},
			{19, -1, "no route"}, {29, -1, "walled"}, {29, -1, "no binding"}, {0, 0, ""}, {0, 0, ""},
		}
		for i, w := range want {
			if p[i].ErrorCode != w.code || p[i].BaseOffset != w.offset {
				t.Errorf("partition %d: code %d offset %d, want %d and %d", i, p[i].ErrorCode, p[i].BaseOffset, w.code, w.offset)
			}
			if got := p[i].ErrorMessage; (got == nil) != (w.text == "") || got != nil && !strings.Contains(*got, w.text) {
				t.Errorf("partition %d: message %v, want one with %q", i, got, w.text)
			}
		}
		if p[0].LogAppendTime != -1 || p[9].LogAppendTime != time.Now().Add(-20*time.Millisecond).UnixMilli() {
			t.Errorf("append times %d and %d", p[0].LogAppendTime, p[9].LogAppendTime)
		}
		if len(r.bucket.objects) != 1 {
			t.Errorf("%d objects", len(r.bucket.objects))
		}
	})
}

// Requests of a connection keep their order, also when the first upload is slower than the second.
func TestProduceKeepsTheOrderOfAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.stop()
		first := true
		r.bucket.fault = func(int, string) (error, error) {
			defer func() { first = false }()
			if first {
				return objstore.ErrThrottled, nil
			}
			return nil, nil
		}
		var replies []<-chan wire.Reply
		for i := range int32(20) {
			replies = append(replies, r.serve(request(-1, part{"events", 0, idempotent(7, i*2, 2)})))
			time.Sleep(30 * time.Millisecond)
		}
		for i, one := range replies {
			if p := partitions(t, <-one)[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i)*2 {
				t.Errorf("request %d: code %d offset %d", i, p.ErrorCode, p.BaseOffset)
			}
		}
	})
}

func TestAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.stop()
		if p := <-r.serve(request(0, part{"events", 0, batchOf(1)})); !p.None || p.Close || p.Body != nil {
			t.Errorf("acks=0: %+v", p)
		}
		if p := <-r.serve(request(0, part{"events", 0, batchOf(1)}, part{"ghosts", 0, batchOf(1)})); !p.Close || p.Body != nil {
			t.Errorf("acks=0 with an error: %+v", p)
		}
		if p := partitions(t, <-r.serve(request(1, part{"events", 0, batchOf(1)}))); p[0].ErrorCode != 0 || p[0].BaseOffset != 2 {
			t.Errorf("acks=1: %+v", p[0])
		}
		if p := partitions(t, <-r.serve(request(2, part{"events", 0, batchOf(1)}))); p[0].ErrorCode != 21 || !strings.Contains(*p[0].ErrorMessage, "not 2") {
			t.Errorf("acks=2: %+v", p[0])
		}
		if got := r.seq.ends[topic.Partition{Topic: topic.ID{1}}]; got != 3 {
			t.Errorf("%d records are placed", got)
		}
	})
}

// The reply of the store is lost, and so is that of the control plane: the batch is there once.
func TestLostRepliesPlaceOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.stop()
		r.bucket.fault = func(put int, _ string) (error, error) {
			if put == 1 {
				return nil, objstore.ErrUnknownOutcome
			}
			return nil, nil
		}
		r.seq.loseNext = true
		if p := partitions(t, <-r.serve(request(-1, part{"events", 0, batchOf(3)}))); p[0].ErrorCode != 0 || p[0].BaseOffset != 0 {
			t.Errorf("%+v", p[0])
		}
		if r.bucket.puts != 2 || len(r.bucket.objects) != 1 || len(r.seq.commits) != 2 {
			t.Errorf("%d puts, %d objects, %d commits", r.bucket.puts, len(r.bucket.objects), len(r.seq.commits))
		}
		if got := r.seq.ends[topic.Partition{Topic: topic.ID{1}}]; got != 3 {
			t.Errorf("%d records are placed", got)
		}
	})
}

// The session ends: what was sent is found again, what comes later goes into a new session.
func TestSessionEndsUnderway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.stop()
		if p := partitions(t, <-r.serve(request(-1, part{"events", 0, batchOf(1)}))); p[0].ErrorCode != 0 {
			t.Fatalf("%+v", p[0])
		}
		r.seq.setAway(true)
		waiting := r.serve(request(-1, part{"events", 0, batchOf(1)}))
		time.Sleep(time.Second)
		r.runner.SessionEnded(1)
		time.Sleep(time.Second)
		r.seq.setAway(false)
		if p := partitions(t, <-waiting); p[0].ErrorCode != 19 {
			t.Errorf("unsent batch of the ended session: %+v", p[0])
		}
		if p := partitions(t, <-r.serve(request(-1, part{"events", 0, batchOf(1)}))); p[0].ErrorCode != 0 || p[0].BaseOffset != 1 {
			t.Errorf("batch of the next session: %+v", p[0])
		}
		if r.seq.session != 2 {
			t.Errorf("session %d", r.seq.session)
		}
	})
}

// Nothing is lost while the control plane is away, and clients are told when to come again.
func TestControlPlaneAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.stop()
		<-r.serve(request(-1, part{"events", 0, batchOf(1)}))
		r.seq.setAway(true)
		short := r.serve(request(-1, part{"events", 0, batchOf(1)}))
		time.Sleep(5 * time.Second)
		r.seq.setAway(false)
		if p := partitions(t, <-short); p[0].ErrorCode != 0 || p[0].BaseOffset != 1 {
			t.Errorf("after 5 s: %+v", p[0])
		}
		r.seq.setAway(true)
		began := time.Now()
		long := r.serve(request(-1, part{"events", 0, batchOf(1)}))
		if p := partitions(t, <-long); p[0].ErrorCode != 19 || time.Since(began) != 30*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), p[0])
		}
	})
}

// Past the memory cap the reader waits, and is let on when bytes are let go.
func TestMemoryCapBlocksTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) {
			c.Memory, c.FlushBytes = 1<<20, 512<<10
			c.UploadDeadline = 30 * time.Second
		})
		defer r.stop()
		large := func() []byte {
			return frame(recordtest.Batch(recordtest.Options{Size: 900_000, Time: time.Now().UnixMilli()}))
		}
		r.bucket.took = time.Second
		began := time.Now()
		one := r.serve(request(-1, part{"events", 0, large()}))
		two := r.serve(request(-1, part{"events", 0, large()}))
		if since := time.Since(began); since != time.Second {
			t.Errorf("the second request was taken after %v", since)
		}
		for _, c := range []<-chan wire.Reply{one, two} {
			if p := partitions(t, <-c); p[0].ErrorCode != 0 {
				t.Errorf("%+v", p[0])
			}
		}
		r.bucket.took = time.Hour // the store hangs: a request that finds no room is told so
		r.serve(request(-1, part{"events", 0, large()}))
		req := request(-1, part{"events", 0, large()})
		req.TimeoutMillis = 3000
		began = time.Now()
		if p := partitions(t, <-r.serve(req)); p[0].ErrorCode != 19 || !strings.Contains(*p[0].ErrorMessage, "memory") || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), p[0])
		}
		// What waited for memory has that much less time for the rest.
		req = request(-1, part{"events", 0, large()})
		req.TimeoutMillis = 60_000
		taken := r.serve(req)
		if waited := time.Since(began); waited <= 3*time.Second {
			t.Errorf("taken after %v", waited)
		}
		if p := partitions(t, <-taken); p[0].ErrorCode != 19 || time.Since(began) > 3*time.Second+Default().AnswerTimeout {
			t.Errorf("after %v: %+v", time.Since(began), p[0])
		}
	})
}

// The topic was deleted, and the cache does not know yet.
func TestDeletedTopicIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.stop()
		r.seq.refuse[topic.Partition{Topic: topic.ID{1}}] = 3
		if p := partitions(t, <-r.serve(request(-1, part{"events", 0, batchOf(1)}, part{"events", 1, batchOf(1)}))); p[0].ErrorCode != 3 || p[1].ErrorCode != 0 {
			t.Errorf("%+v", p)
		}
		if len(r.topics.forgot) != 1 || r.topics.forgot[0] != "events" {
			t.Errorf("forgot %v", r.topics.forgot)
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.FlushInterval, c.IdleWait = time.Second, time.Second })
		defer r.stop()
		reply := r.serve(request(-1, part{"events", 0, batchOf(1)}))
		began := time.Now()
		if err := r.runner.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if since := time.Since(began); since != 20*time.Millisecond {
			t.Errorf("drained after %v", since)
		}
		if p := partitions(t, <-reply); p[0].ErrorCode != 0 {
			t.Errorf("%+v", p[0])
		}
		r.seq.setAway(true)
		r.serve(request(-1, part{"events", 0, batchOf(1)}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.runner.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain without a control plane: %v", err)
		}
	})
}

// When the process ends, who still waits is disconnected: an error would say "not placed".
func TestStopDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.bucket.took = time.Hour
		uploading := r.serve(request(-1, part{"events", 0, batchOf(1)}))
		time.Sleep(100 * time.Millisecond)
		open := r.serve(request(-1, part{"events", 0, batchOf(1)}))
		r.stop()
		for _, c := range []<-chan wire.Reply{uploading, open} {
			if p := <-c; !p.Close || p.Body != nil {
				t.Errorf("%+v", p)
			}
		}
		if p := <-r.serve(request(-1, part{"events", 0, batchOf(1)})); !p.Close {
			t.Errorf("after the end: %+v", p)
		}
		if r.runner.pending.held != 0 {
			t.Errorf("%d bytes are not let go", r.runner.pending.held)
		}
	})
}

func TestConfigReportsEveryFault(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("default: %v", err)
	}
	c := Default()
	c.FlushInterval, c.FlushBytes, c.MaxUploads, c.Validation = time.Minute, 1, 0, "some"
	c.UploadDeadline, c.AnswerTimeout = 31*time.Second, 45*time.Second
	err := c.Validate()
	for _, want := range []string{"flush interval", "flush bytes", "max uploads", "validate must be", "upload deadline", "answer timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}
