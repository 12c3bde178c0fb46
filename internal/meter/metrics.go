package meter

import "github.com/prometheus/client_golang/prometheus"

var (
	opNames     = [ops]string{"put", "get", "head", "list", "delete", "multipart"}
	resultNames = [results]string{"ok", "throttled", "canceled", "failed"}
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("isthmus_meter_"+name, help, append([]string{"group", "share"}, labels...), nil)
}

var (
	s3Requests    = desc("s3_requests_total", "Requests to object storage for a share, by operation and result.", "op", "result")
	s3Hedges      = desc("s3_hedges_total", "Requests to object storage that asked a second time.", "op")
	s3Bytes       = desc("s3_bytes_total", "Bytes of objects stored and read.", "op")
	kafkaRequests = desc("kafka_requests_total", "Requests of Kafka clients that touch a share.", "api")
	kafkaBytes    = desc("kafka_bytes_total", "Bytes of record batches received and sent.", "api")
)

// Describe implements prometheus.Collector.
func (m *Meter) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s3Requests, s3Hedges, s3Bytes, kafkaRequests, kafkaBytes} {
		to <- d
	}
}

// Collect implements prometheus.Collector. Requests that never came are left out, but for those that every role knows.
func (m *Meter) Collect(to chan<- prometheus.Metric) {
	for _, t := range m.Totals() {
		tell := func(d *prometheus.Desc, c Count, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(t.Counts[c]), append([]string{m.group, t.Share}, labels...)...)
		}
		for op := range ops {
			for r := range results {
				if c := Requests(op, r); t.Counts[c] > 0 || op <= Get {
					tell(s3Requests, c, opNames[op], resultNames[r])
				}
			}
		}
		tell(s3Hedges, HedgedPuts, "put")
		tell(s3Hedges, HedgedGets, "get")
		tell(s3Bytes, PutBytes, "put")
		tell(s3Bytes, GetBytes, "get")
		tell(kafkaRequests, ProduceRequests, "produce")
		tell(kafkaRequests, FetchRequests, "fetch")
		tell(kafkaBytes, ProduceBytes, "produce")
		tell(kafkaBytes, FetchBytes, "fetch")
	}
}
