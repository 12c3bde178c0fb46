package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/quota"
	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

// stores answers Produce, serves answers Fetch with so many bytes, gathered.
func stores(_ context.Context, r *Request, reply func(Reply)) {
	if r.Body.(*kmsg.ProduceRequest).Acks == 0 {
		reply(Reply{None: true})
		return
	}
	reply(Reply{Body: kmsg.NewPtrProduceResponse()})
}

func serves(size int, allowances *[]int64) HandlerFunc {
	return func(_ context.Context, r *Request, reply func(Reply)) {
		*allowances = append(*allowances, r.Allowance())
		reply(Reply{Throttle: true, Gathered: net.Buffers{make([]byte, 10), make([]byte, size-10)}})
	}
}

// produceOf is a frame of size bytes.
func produceOf(t *testing.T, size int, acks int16) []byte {
	t.Helper()
	for pad := 0; ; pad++ {
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis = acks, 1000
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic = "t"
		p := kmsg.NewProduceRequestTopicPartition()
		p.Records = make([]byte, size-100+pad)
		topic.Partitions = append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
		b := request(req, 9, 1)
		if len(b) >= size {
			return b
		}
	}
}

func fetchOf() []byte {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes = 1 << 20
	return request(req, 12, 1)
}

// told is the throttle time of a Fetch answer of version 12, or of any answer by its type.
func told(t *testing.T, c net.Conn, body kmsg.Response) time.Duration {
	t.Helper()
	_, b, err := answer(c)
	if err != nil {
		t.Fatal(err)
	}
	b = b[1:] // no tags
	if body == nil {
		return time.Duration(binary.BigEndian.Uint32(b)) * time.Millisecond
	}
	if err := body.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	ms, _ := body.(kmsg.ThrottleResponse).Throttle()
	return time.Duration(ms) * time.Millisecond
}

func produced() kmsg.Response {
	r := kmsg.NewPtrProduceResponse()
	r.SetVersion(9)
	return r
}

func beaten() kmsg.Response {
	r := kmsg.NewPtrHeartbeatResponse()
	r.SetVersion(4)
	return r
}

// quotaRig serves all that a quota counts, without a network.
func quotaRig(t *testing.T, l quota.Limits, allowances *[]int64) (*rig, *wiretest.Pipes) {
	p := wiretest.NewPipes()
	r := newRig(t, Default(), p, heartbeats(HandlerFunc(echo)), ProduceAPI(HandlerFunc(stores)), FetchAPI(serves(10_000, allowances)))
	r.SetQuota(l)
	time.Sleep(time.Second) // virtual: credit of one second
	return r, p
}

// TestWhoProducesTooMuchWaits: the answer comes at once and says for how long nothing is read, and others are served meanwhile.
func TestWhoProducesTooMuchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := quotaRig(t, quota.Limits{BytesIn: 10_000}, new([]int64))
		c := p.Dial()
		send := produceOf(t, 30_000, 1)
		mustSend(t, c, send)
		want := time.Duration(len(send)-10_000) * time.Second / 10_000
		if got := told(t, c, produced()); got != want.Round(time.Millisecond) {
			t.Errorf("told to wait %s; wanted %s", got, want)
		}
		start := time.Now()
		mustSend(t, c, beat(1)) // a pipe takes it when it is read
		if got := told(t, c, beaten()); got != 0 {
			t.Errorf("told to wait %s when the debt was paid", got)
		}
		if took := time.Since(start); took < want-time.Millisecond || took > want+time.Millisecond {
			t.Errorf("read again after %s; wanted %s", took, want)
		}
		if got := testutil.ToFloat64(r.metrics.throttled.WithLabelValues(quotaBytesIn)); got < want.Seconds()-.001 || got > want.Seconds()+.001 {
			t.Errorf("throttled for %f s; wanted %s", got, want)
		}
	})
}

// TestOthersAreServedMeanwhile: a connection that has overdrawn nothing is read, and what it spends counts with the rest.
func TestOthersAreServedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := quotaRig(t, quota.Limits{BytesIn: 10_000}, new([]int64))
		greedy, other := p.Dial(), p.Dial()
		mustSend(t, greedy, produceOf(t, 30_000, 1))
		first := told(t, greedy, produced())
		start := time.Now()
		mustSend(t, other, beat(1))
		if got := told(t, other, beaten()); got != 0 || time.Since(start) != 0 {
			t.Errorf("a heartbeat waited %s and was told to wait %s", time.Since(start), got)
		}
		mustSend(t, other, produceOf(t, 10_000, 1))
		if second := told(t, other, produced()); second < first+time.Second {
			t.Errorf("the second waits %s, the first %s", second, first)
		}
	})
}

// TestWithoutAnAnswerTooNothingIsRead: a producer of acks=0 cannot be told, and waits in its socket.
func TestWithoutAnAnswerTooNothingIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := quotaRig(t, quota.Limits{BytesIn: 10_000}, new([]int64))
		c := p.Dial()
		mustSend(t, c, produceOf(t, 30_000, 0))
		start := time.Now()
		mustSend(t, c, beat(1))
		told(t, c, beaten())
		if took := time.Since(start); took < 2*time.Second {
			t.Errorf("read again after %s", took)
		}
	})
}

// TestWhoFetchesTooMuchWaits: the answer is told of, its bytes are otherwise as the handler gave them, and in debt
// the next one is allowed no records.
func TestWhoFetchesTooMuchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var allowances []int64
		_, p := quotaRig(t, quota.Limits{BytesOut: 1_000}, &allowances)
		c, other := p.Dial(), p.Dial()
		mustSend(t, c, fetchOf())
		_, b, err := answer(c)
		if err != nil || len(b) != 1+10_000 {
			t.Fatalf("an answer of %d bytes, %v", len(b), err)
		}
		ms := binary.BigEndian.Uint32(b[1:])
		if ms < 9_000 || ms > 9_020 || !bytes.Equal(b[5:], make([]byte, len(b)-5)) {
			t.Errorf("told to wait %d ms", ms)
		}
		mustSend(t, other, fetchOf())
		if got := told(t, other, nil); got < 19*time.Second {
			t.Errorf("the next one is told to wait %s", got)
		}
		start := time.Now()
		mustSend(t, c, fetchOf())
		told(t, c, nil)
		if took := time.Since(start); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("read again after %s", took)
		}
		if fmt.Sprint(allowances) != "[1000 0 0]" {
			t.Errorf("allowed %d", allowances)
		}
	})
}

func TestWhoAsksTooOftenWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := quotaRig(t, quota.Limits{Requests: 10}, new([]int64))
		c := p.Dial()
		start := time.Now()
		for i := range int32(30) {
			mustSend(t, c, beat(i))
			told(t, c, beaten())
		}
		if took := time.Since(start); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("30 requests at 10 a second, of which 10 at once, took %s", took)
		}
	})
}

func TestConnectionsOfAQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := quotaRig(t, quota.Limits{Connections: 2}, new([]int64))
		first, second := p.Dial(), p.Dial()
		if left := readAll(t, p.Dial()); len(left) != 0 {
			t.Errorf("a third connection was told %q", left)
		}
		r.SetQuota(quota.Limits{Connections: 1}) // those that are open stay
		for _, c := range []net.Conn{first, second} {
			mustSend(t, c, beat(1))
			told(t, c, beaten())
		}
		r.SetQuota(quota.Limits{})
		c := p.Dial()
		mustSend(t, c, beat(1))
		told(t, c, beaten())
	})
}

// TestAThrottledConnectionEndsAtOnce: neither a stop nor a client that goes waits for a debt.
func TestAThrottledConnectionEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := quotaRig(t, quota.Limits{BytesIn: 100}, new([]int64))
		c := p.Dial()
		mustSend(t, c, produceOf(t, 5_000, 1))
		if got := told(t, c, produced()); got < 40*time.Second {
			t.Fatalf("told to wait %s", got)
		}
		go func() { _, _ = c.Write(beat(1)) }() // ends when the connection does
		synctest.Wait()
		start := time.Now()
		gone := make(chan error, 1)
		go func() { gone <- r.Drain(t.Context()) }()
		readAll(t, c)
		_ = c.Close()
		if err := <-gone; err != nil || time.Since(start) > 2*lingerTime {
			t.Errorf("drained after %s: %v", time.Since(start), err)
		}
	})
}
