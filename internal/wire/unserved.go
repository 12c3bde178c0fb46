package wire

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// unserved answers a version that is advertised but not served. Only Produce has such versions,
// 0 to 2, which carry message sets older than record batches: every partition is refused with
// UNSUPPORTED_VERSION (35). With acks=0 there is no answer, and closing is how Kafka tells.
func unserved(r *Request) Reply {
	req, ok := r.Body.(*kmsg.ProduceRequest)
	if !ok || req.Acks == 0 {
		return Reply{Close: true}
	}
	resp := kmsg.NewPtrProduceResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition = p.Partition
			rp.ErrorCode = kerr.UnsupportedVersion.Code
			rp.BaseOffset, rp.LogAppendTime, rp.LogStartOffset = -1, -1, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return Reply{Body: resp}
}
