//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record/recordtest"
)

// The size that TestScale measures: a thousand topics of five partitions, and one of a thousand.
const (
	scaleTopics     = 1000
	scalePartitions = 5
	scaleWide       = 1000 // partitions of the topic that one consumer reads alone
	scaleClients    = 2000 // connections to each agent
	scaleQuiet      = 8 * time.Second
	scaleMaxWait    = 5 * time.Second // of consumers
	scaleRecords    = 600
)

// TestScale measures one agent of each role with 6,000 partitions and 2,000 client connections: what
// it costs to exist, and what a record then takes. It prints a table, and fails only where an order of magnitude is
// wrong: the figures of docs/operations.md come from here.
func TestScale(t *testing.T) {
	s := &scale{T: t, cluster: startAgents(t, "file://"+filepath.Join(t.TempDir(), "bucket"), 1)}
	s.produce, s.fetch = s.prod[0], s.analytics[0]
	s.admin = mustDialDirect(t, s.produce.kafka)
	s.row("started", "")
	s.createAndList()
	s.connect()
	s.idle("idle connections")
	stop := s.consumeEverywhere()
	s.idle("each reads 5 partitions, max.wait 5 s")
	s.tail("a consumer of 1,000 partitions beside them")
	stop()
	s.tail("the same alone")
	t.Logf("%d partitions, %d connections to each agent\n%s", scaleTopics*scalePartitions+scaleWide, scaleClients, strings.Join(s.table, "\n"))
}

// scale is the cluster under measurement and what has been measured.
type scale struct {
	*testing.T
	*cluster
	produce, fetch *agent
	admin          *direct
	clients        map[*agent][]*direct
	table          []string
}

// row notes a measurement, with what the processes hold by now.
func (s *scale) row(what, figures string) {
	line := fmt.Sprintf("| %-42s | %-70s | control %8s | produce %8s | fetch %8s |", what, figures,
		mib(s.control.memory("VmRSS")), mib(s.produce.memory("VmRSS")), mib(s.fetch.memory("VmRSS")))
	s.table = append(s.table, line)
	s.Log(line)
}

func scaleTopic(i int) string { return fmt.Sprintf("scale-%04d", i) }

// createAndList makes all topics and lists them at both agents.
func (s *scale) createAndList() {
	start := time.Now()
	for i := 0; i < scaleTopics; i += 100 {
		var names []string
		for j := range 100 {
			names = append(names, scaleTopic(i+j))
		}
		createTopics(s.T, s.admin, scalePartitions, names...)
	}
	created := time.Since(start)
	createTopics(s.T, s.admin, scaleWide, "wide")
	s.row("1,000 topics created, 100 a request", created.Round(time.Millisecond).String())
	for _, a := range []*agent{s.produce, s.fetch} {
		c := mustDialDirect(s.T, a.kafka)
		var took []time.Duration
		busy := a.cpu()
		for range 20 {
			start := time.Now()
			got := mustAsk[*kmsg.MetadataResponse](s.T, c, 12, metadataOf())
			took = append(took, time.Since(start))
			if partitions := countPartitions(got); partitions != scaleTopics*scalePartitions+scaleWide {
				s.Fatalf("Metadata lists %d partitions", partitions)
			}
		}
		s.row("Metadata of everything", fmt.Sprintf("p50 %s, highest %s, %s of processor each", ms(quantile(took, 0.5)), ms(quantile(took, 1)), ms((a.cpu()-busy)/20)))
	}
}

func countPartitions(m *kmsg.MetadataResponse) (n int) {
	for _, t := range m.Topics {
		if !t.IsInternal {
			n += len(t.Partitions)
		}
	}
	return n
}

// connect opens the connections: each introduces itself and asks for one topic.
func (s *scale) connect() {
	s.clients = map[*agent][]*direct{}
	for _, a := range []*agent{s.produce, s.fetch} {
		before := a.memory("VmRSS")
		start := time.Now()
		for i := range scaleClients {
			c := mustDialDirect(s.T, a.kafka)
			hello := kmsg.NewPtrApiVersionsRequest()
			hello.ClientSoftwareName, hello.ClientSoftwareVersion = "e2e", "1"
			mustAsk[*kmsg.ApiVersionsResponse](s.T, c, 3, hello)
			mustAsk[*kmsg.MetadataResponse](s.T, c, 12, metadataOf(scaleTopic(i%scaleTopics)))
			s.clients[a] = append(s.clients[a], c)
		}
		took := time.Since(start)
		each := (a.memory("VmRSS") - before) / scaleClients
		s.row("2,000 connections", fmt.Sprintf("%d ms, %d KiB each", took.Milliseconds(), each>>10))
	}
}

// idle measures what the agents take while nothing is written.
func (s *scale) idle(what string) {
	agents := []*agent{s.produce, s.fetch}
	var busy []time.Duration
	var requests []float64
	for _, a := range agents {
		busy = append(busy, a.cpu())
		requests = append(requests, metric(s.T, a.http, "isthmus_wire_requests_total"))
	}
	control, start := s.control.cpu(), time.Now()
	time.Sleep(scaleQuiet) // what is measured is this time passing
	took := time.Since(start)
	percent := func(d time.Duration) float64 { return 100 * float64(d) / float64(took) }
	for i, a := range agents {
		s.row(what, fmt.Sprintf("%-7s %5.1f requests/s, %4.1f %% of a processor, control %4.1f %%", []string{"produce", "fetch"}[i],
			(metric(s.T, a.http, "isthmus_wire_requests_total")-requests[i])/took.Seconds(), percent(a.cpu()-busy[i]), percent(s.control.cpu()-control)))
	}
}

// consumeEverywhere lets every connection to the fetch agent read the five partitions of its topic, as
// consumers do: in a session, one request after the other. It returns what ends it.
func (s *scale) consumeEverywhere() (stop func()) {
	var running sync.WaitGroup
	end := make(chan struct{})
	for i, c := range s.clients[s.fetch] {
		running.Go(func() {
			if err := s.consume(c, scaleTopic(i%scaleTopics), scalePartitions, end, nil); err != nil {
				s.Errorf("consumer %d: %v", i, err)
			}
		})
	}
	return func() { close(end); running.Wait() }
}

// consume reads a topic from its beginning until end is closed, in a session where the agent has room for
// one; got is told of every batch, by partition.
func (s *scale) consume(c *direct, name string, partitions int32, end <-chan struct{}, got func(partition int32, batch []byte)) error {
	request := fetchAll(name, partitions, 0, 0, scaleMaxWait)
	full := request.Topics[0].Partitions
	for {
		answer, err := ask[*kmsg.FetchResponse](c, 12, request)
		if err != nil {
			return err
		}
		if answer.ErrorCode != 0 {
			return fmt.Errorf("fetch: code %d", answer.ErrorCode)
		}
		var moved []kmsg.FetchRequestTopicPartition
		for _, p := range partitionsIn(answer) {
			if p.ErrorCode != 0 {
				return fmt.Errorf("fetch %s/%d: code %d", name, p.Partition, p.ErrorCode)
			}
			for b := p.RecordBatches; len(b) > 0; {
				size := 12 + int(binary.BigEndian.Uint32(b[8:]))
				full[p.Partition].FetchOffset = int64(binary.BigEndian.Uint64(b)) + int64(binary.BigEndian.Uint32(b[23:])) + 1
				if got != nil {
					got(p.Partition, b[:size])
				}
				b = b[size:]
			}
			if len(p.RecordBatches) > 0 {
				moved = append(moved, full[p.Partition])
			}
		}
		select {
		case <-end:
			return nil
		default:
		}
		next := fetchAll(name, 0, 0, 0, scaleMaxWait)
		next.Topics[0].Partitions = full
		if next.SessionID = answer.SessionID; answer.SessionID != 0 {
			// What follows names only what has moved.
			next.SessionEpoch, next.Topics[0].Partitions = request.SessionEpoch+1, moved
			if len(moved) == 0 {
				next.Topics = nil
			}
		}
		request = next
	}
}

func partitionsIn(answer *kmsg.FetchResponse) (all []kmsg.FetchResponseTopicPartition) {
	for _, t := range answer.Topics {
		all = append(all, t.Partitions...)
	}
	return all
}

// tail writes single records into random ones of a thousand partitions while one consumer reads them all.
func (s *scale) tail(what string) {
	const marker = "sent at "
	end, seen := make(chan struct{}), make(chan time.Duration, 2*scaleRecords)
	started := time.Now().UnixNano()
	consumer := mustDialDirect(s.T, s.fetch.kafka)
	var running sync.WaitGroup
	running.Go(func() {
		err := s.consume(consumer, "wide", scaleWide, end, func(_ int32, batch []byte) {
			_, text, ok := strings.Cut(string(batch), marker)
			var sent int64
			if _, err := fmt.Sscanf(text, "%d", &sent); !ok || err != nil {
				s.Errorf("a batch holds %q", batch)
			}
			if sent >= started { // else it is an earlier measurement's
				seen <- time.Duration(time.Now().UnixNano() - sent)
			}
		})
		if err != nil {
			s.Errorf("consumer of everything: %v", err)
		}
	})
	// It begins with the first idle answer: what is measured is a consumer that waits.
	requests := metric(s.T, s.fetch.http, "isthmus_wire_requests_total", "Fetch")
	s.idle("1,000 partitions waited for")
	busy, busyControl, start := s.fetch.cpu(), s.control.cpu(), time.Now()
	producer := mustDialDirect(s.T, s.produce.kafka)
	var acked []time.Duration
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	acks := make(chan time.Time, scaleRecords)
	running.Go(func() {
		for sent := range acks {
			answer, err := producer.receive(patience)
			if err != nil {
				s.Errorf("producer: %v", err)
				return
			}
			if code := answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
				s.Errorf("produce: code %d", code)
			}
			acked = append(acked, time.Since(sent))
		}
	})
	for range scaleRecords {
		<-tick.C
		now := time.Now()
		batch := recordtest.Batch(recordtest.Options{Values: []string{fmt.Sprintf("%s%d", marker, now.UnixNano())}, Time: now.UnixMilli()})
		if err := producer.send(9, produceOne("wide", rand.Int32N(scaleWide), batch)); err != nil {
			s.Fatal(err)
		}
		acks <- now
	}
	close(acks)
	var took []time.Duration
	for deadline := time.After(patience); len(took) < scaleRecords; {
		select {
		case d := <-seen:
			took = append(took, d)
		case <-deadline:
			s.Fatalf("%d of %d records were read", len(took), scaleRecords)
		}
	}
	span := time.Since(start)
	fetches := metric(s.T, s.fetch.http, "isthmus_wire_requests_total", "Fetch") - requests
	spent, spentControl := s.fetch.cpu()-busy, s.control.cpu()-busyControl
	close(end)
	running.Wait()
	s.row(what, fmt.Sprintf("acknowledged p50 %s p99 %s; read p50 %s p99 %s", ms(quantile(acked, 0.5)), ms(quantile(acked, 0.99)), ms(quantile(took, 0.5)), ms(quantile(took, 0.99))))
	s.row("", fmt.Sprintf("%.0f fetches in all, fetch agent %.1f %% of a processor, control %.1f %%", fetches, 100*spent.Seconds()/span.Seconds(), 100*spentControl.Seconds()/span.Seconds()))
}

// startAgents starts a control plane and so many agents of each role.
func startAgents(t *testing.T, bucket string, each int, args ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, bin: need(t, "ISTHMUS_BIN"), dir: t.TempDir(), bucket: bucket, address: freeAddress(t), controlHTTP: freeAddress(t)}
	c.control = start(t, nil, c.bin, "control", "--data-dir", filepath.Join(c.dir, "control"), "--bucket", bucket,
		"--listen", c.address, "--http", c.controlHTTP)
	ready(t, "control plane", c.controlHTTP)
	member := func(group, roles string) *agent {
		a := &agent{kafka: freeAddress(t), http: freeAddress(t)}
		a.process = start(t, nil, c.bin, append([]string{"agent", "--control", c.address, "--group", group, "--roles", roles,
			"--kafka", a.kafka, "--gossip", freeAddress(t), "--http", a.http}, args...)...)
		return a
	}
	for range each {
		c.prod = append(c.prod, member("prod", "produce"))
		c.analytics = append(c.analytics, member("analytics", "fetch"))
	}
	for _, a := range append(c.prod, c.analytics...) {
		ready(t, "agent", a.http)
	}
	return c
}
