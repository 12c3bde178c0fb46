package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/cost"
	"github.com/isthmusdata/isthmus/internal/meter"
)

// TestCostOfACluster: what agents did at the bucket and for their clients reaches the control plane by group and share, as their own metrics
// have it, and is priced. It is there when the agents are gone and the control plane was started anew.
func TestCostOfACluster(t *testing.T) {
	dir := t.TempDir()
	l := startControlAlone(t, dir, "file://"+filepath.Join(dir, "bucket"), func(c *controlConfig) { c.MeterInterval = 100 * time.Millisecond })
	measured := func(args ...string) (m cost.Measured) {
		t.Helper()
		l.must(json.Unmarshal([]byte(l.operate(append([]string{"cost", "-o", "json"}, args...)...)), &m))
		return m
	}
	if m := measured(); len(m.Spent) != 0 || m.All.Cost != 0 {
		t.Errorf("nothing was done yet: %+v", m)
	}
	if table := l.operate("cost"); !strings.Contains(table, "Nothing was done") {
		t.Errorf("nothing was done yet:\n%s", table)
	}
	l.addAgent("prod-1", "prod", rolesOf("produce"))
	l.addAgent("analytics-1", "analytics", rolesOf("fetch"))
	l.create("events", 1)
	const n, size = 50, 20_000
	var sent []*kgo.Record
	for i := range n {
		sent = append(sent, &kgo.Record{Topic: "events", Value: bytes.Repeat([]byte{byte(i)}, size)})
	}
	l.produce(l.client("prod", kgo.ProducerBatchCompression(kgo.NoCompression())), sent...)
	reader := l.client("analytics", kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	l.poll(reader, n)
	reader.Close()
	prod, analytics := l.running("prod-1").meter, l.running("analytics-1").meter
	for _, name := range []string{"prod-1", "analytics-1"} {
		l.must(l.running(name).stop(l.ctx)) // it tells what it has not told yet
	}
	wrote, read := prod.Share("default").Counts(), analytics.Share("default").Counts()
	if wrote[meter.ProduceBytes] < n*size || wrote[meter.ProduceRequests] == 0 || wrote.Calls(meter.Put) == 0 || wrote[meter.PutBytes] < n*size || wrote.Calls(meter.Get) != 0 {
		t.Errorf("the producing agent counted %+v", wrote)
	}
	if read[meter.FetchBytes] < n*size || read[meter.FetchRequests] == 0 || read.Calls(meter.Get) == 0 || read[meter.GetBytes] < n*size || read.Calls(meter.Put) != 0 {
		t.Errorf("the fetching agent counted %+v", read)
	}
	check := func(when string, args ...string) {
		t.Helper()
		eventually(t, when+", all is told", func() bool {
			m := measured(args...)
			return len(m.Spent) == 2 && m.Spent[0].Group == "analytics" && m.Spent[0].Share == "default" && m.Spent[1].Group == "prod" &&
				m.Spent[0].Gets == read.Calls(meter.Get) && m.Spent[1].Puts == wrote.Calls(meter.Put) &&
				m.All.In == float64(wrote[meter.ProduceBytes])/(1<<30) && m.All.Out == float64(read[meter.FetchBytes])/(1<<30) &&
				m.All.Kafka == wrote[meter.ProduceRequests]+read[meter.FetchRequests] && m.All.Cost > 0 && m.All.Month > m.All.Cost &&
				len(m.Storage) == 1 && m.Storage[0].GiB*(1<<30) >= n*size && len(m.Beside) > 0
		})
	}
	check("while the control plane runs")
	l.restartControl(func() {})
	check("after a restart")
	check("of the month", "--since", "30d")
	table := l.operate("cost", "--since", "2h")
	for _, word := range []string{"analytics", "prod", "default", "STORED NOW", "PUT a GiB written"} {
		if !strings.Contains(table, word) {
			t.Errorf("no %q in\n%s", word, table)
		}
	}
	if _, _, err := costOf(t, "--control", "127.0.0.1:1", "--since", "90d"); err == nil || !strings.Contains(err.Error(), "90d") {
		t.Errorf("--since 90d: %v", err)
	}
}
