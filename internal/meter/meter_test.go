package meter

import (
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestARequestCountsOnceForEachShare, with all of its bytes, in whatever order they come.
func TestARequestCountsOnceForEachShare(t *testing.T) {
	m := New("prod")
	for range 2 {
		var r Request
		for _, b := range []struct {
			share string
			bytes int
		}{{"a", 1}, {"b", 10}, {"a", 2}, {"c", 0}, {"b", 20}} {
			r.Add(b.share, b.bytes)
		}
		r.Tell(m, FetchRequests, FetchBytes)
	}
	var nothing Request
	nothing.Tell(m, FetchRequests, FetchBytes)
	nothing.Add("a", 1)
	nothing.Tell(nil, FetchRequests, FetchBytes)
	want := []Total{{"a", Counts{FetchRequests: 2, FetchBytes: 6}}, {"b", Counts{FetchRequests: 2, FetchBytes: 60}}, {"c", Counts{FetchRequests: 2}}}
	got := m.Totals()
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, wanted %+v", got[i], want[i])
		}
	}
}

func TestMetrics(t *testing.T) {
	m, reg := New("prod"), prometheus.NewRegistry()
	reg.MustRegister(m)
	s := m.Share("orders")
	s.Add(Requests(Put, OK), 3)
	s.Add(Requests(Put, Throttled), 1)
	s.Add(Requests(List, Failed), 2)
	s.Add(HedgedPuts, 1)
	s.Add(PutBytes, 100)
	s.Add(ProduceRequests, 7)
	s.Add(ProduceBytes, 90)
	var none *Meter
	none.Share("x").Add(PutBytes, 1)
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP isthmus_meter_kafka_bytes_total Bytes of record batches received and sent.
# TYPE isthmus_meter_kafka_bytes_total counter
isthmus_meter_kafka_bytes_total{api="fetch",group="prod",share="orders"} 0
isthmus_meter_kafka_bytes_total{api="produce",group="prod",share="orders"} 90
# HELP isthmus_meter_kafka_requests_total Requests of Kafka clients that touch a share.
# TYPE isthmus_meter_kafka_requests_total counter
isthmus_meter_kafka_requests_total{api="fetch",group="prod",share="orders"} 0
isthmus_meter_kafka_requests_total{api="produce",group="prod",share="orders"} 7
# HELP isthmus_meter_s3_bytes_total Bytes of objects stored and read.
# TYPE isthmus_meter_s3_bytes_total counter
isthmus_meter_s3_bytes_total{group="prod",op="get",share="orders"} 0
isthmus_meter_s3_bytes_total{group="prod",op="put",share="orders"} 100
# HELP isthmus_meter_s3_hedges_total Requests to object storage that asked a second time.
# TYPE isthmus_meter_s3_hedges_total counter
isthmus_meter_s3_hedges_total{group="prod",op="get",share="orders"} 0
isthmus_meter_s3_hedges_total{group="prod",op="put",share="orders"} 1
# HELP isthmus_meter_s3_requests_total Requests to object storage for a share, by operation and result.
# TYPE isthmus_meter_s3_requests_total counter
isthmus_meter_s3_requests_total{group="prod",op="get",result="canceled",share="orders"} 0
isthmus_meter_s3_requests_total{group="prod",op="get",result="failed",share="orders"} 0
isthmus_meter_s3_requests_total{group="prod",op="get",result="ok",share="orders"} 0
isthmus_meter_s3_requests_total{group="prod",op="get",result="throttled",share="orders"} 0
isthmus_meter_s3_requests_total{group="prod",op="list",result="failed",share="orders"} 2
isthmus_meter_s3_requests_total{group="prod",op="put",result="canceled",share="orders"} 0
isthmus_meter_s3_requests_total{group="prod",op="put",result="failed",share="orders"} 0
isthmus_meter_s3_requests_total{group="prod",op="put",result="ok",share="orders"} 3
isthmus_meter_s3_requests_total{group="prod",op="put",result="throttled",share="orders"} 1
`))
	if err != nil {
		t.Error(err)
	}
	c := s.Counts()
	if c.Calls(Put) != 4 || c.Calls(List) != 2 || c.Became(OK) != 3 || c.Became(Failed) != 2 {
		t.Errorf("%+v", c)
	}
	if known := Of(append(c[:], 9, 9)); known != c {
		t.Errorf("with counts of a later version: %+v", known)
	}
	if short := Of(c[:1]); short != (Counts{0: 3}) {
		t.Errorf("of an earlier version: %+v", short)
	}
}

// TestCountsAtOnce: nothing that many count at once is lost.
func TestCountsAtOnce(t *testing.T) {
	m := New("prod")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				m.Share("orders").Add(PutBytes, 1)
				_ = m.Totals()
			}
		})
	}
	all.Wait()
	if got := m.Totals()[0].Counts[PutBytes]; got != 8000 {
		t.Errorf("%d", got)
	}
}
