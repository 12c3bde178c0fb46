package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// throttles counts what brokers told a client of waiting.
type throttles struct{ told atomic.Int64 }

func (h *throttles) OnBrokerThrottle(_ kgo.BrokerMetadata, d time.Duration, afterResponse bool) {
	if d > 0 && afterResponse {
		h.told.Add(1)
	}
}

var _ kgo.HookBrokerThrottle = (*throttles)(nil)

// TestClientsAreHeldToAQuota: clients that do more than their group may are told to wait, wait, and lose nothing; the audit tells what they
// have done.
func TestClientsAreHeldToAQuota(t *testing.T) {
	dir := t.TempDir()
	l := startControlAlone(t, dir, "file://"+filepath.Join(dir, "bucket"), func(c *controlConfig) { c.AuditInterval = 100 * time.Millisecond })
	l.operate("group", "create", "prod", "--bytes-in", "400000")
	l.operate("group", "create", "analytics", "--bytes-out", "400000")
	for _, name := range []string{"prod-1", "prod-2"} {
		l.addAgent(name, "prod", rolesOf("produce"))
	}
	for _, name := range []string{"analytics-1", "analytics-2"} {
		l.addAgent(name, "analytics", rolesOf("fetch"))
	}
	eventually(t, "each agent has its half", func() bool {
		for name, kind := range map[string]string{"prod-1": "bytes_in", "prod-2": "bytes_in", "analytics-1": "bytes_out", "analytics-2": "bytes_out"} {
			if l.gauge(name, "isthmus_wire_quota", kind) != 200_000 {
				return false
			}
		}
		return true
	})
	l.create("events", 1)

	var in, out throttles
	producer := l.client("prod", kgo.WithHooks(&in), kgo.ProducerBatchMaxBytes(100_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	var sent []*kgo.Record
	for i := range 12 {
		sent = append(sent, &kgo.Record{Topic: "events", Value: bytes.Repeat([]byte{byte(i)}, 60_000)})
	}
	l.produce(producer, sent...)
	if in.told.Load() == 0 {
		t.Error("a producer of 720 kB at 200 kB/s was never told to wait")
	}
	reader := l.client("analytics", kgo.WithHooks(&out), kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for i, r := range l.poll(reader, len(sent)) {
		if r.Offset != int64(i) || !bytes.Equal(r.Value, sent[i].Value) {
			t.Errorf("record %d came with offset %d", i, r.Offset)
		}
	}
	if out.told.Load() == 0 {
		t.Error("a consumer of 720 kB at 200 kB/s was never told to wait")
	}
	reader.Close()
	eventually(t, "the audit tells what was produced and fetched", func() bool {
		return l.audited("prod", "produce") == 12 && l.audited("analytics", "fetch") >= 12
	})
}

// audited are the records of a kind in the audit of a group.
func (l *lands) audited(group, kind string) (records int64) {
	l.t.Helper()
	for line := range strings.Lines(l.operate("audit", "-o", "json", "--limit", "1000", "--group", group)) {
		var e struct {
			Kind, Topic, Share string
			Bytes, Records     int64
		}
		l.must(json.Unmarshal([]byte(line), &e))
		if e.Kind == kind && e.Topic == "events" && e.Share == "default" && e.Bytes > 60_000*e.Records {
			records += e.Records
		}
	}
	return records
}

// gauge is what an agent's metric says under one label.
func (l *lands) gauge(agent, metric, label string) float64 {
	l.t.Helper()
	families, err := l.running(agent).deps.registry.Gather()
	l.must(err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == metric && len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}
