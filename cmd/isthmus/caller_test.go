package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record"
)

// caller is a connection to one agent on which a test says exactly what it wants, in exactly the
// version it wants, and sees exactly what is answered.
type caller struct {
	t       *testing.T
	conn    net.Conn
	format  *kmsg.RequestFormatter
	next    int32
	waiting []kmsg.Request // sent and not yet answered
}

// dial connects to an agent.
func (l *lands) dial(name string) *caller {
	l.t.Helper()
	return dialKafka(l.t, l.address(name))
}

func dialKafka(t *testing.T, address string) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &caller{t: t, conn: conn, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID("cluster-test"))}
}

// call sends one request in a version and returns its answer.
func call[R kmsg.Response](c *caller, version int16, request kmsg.Request) R {
	c.t.Helper()
	c.send(version, request)
	return receive[R](c)
}

// send sends a request and waits for nothing.
func (c *caller) send(version int16, request kmsg.Request) {
	c.t.Helper()
	request.SetVersion(version)
	if _, err := c.conn.Write(c.format.AppendRequest(nil, request, c.next)); err != nil {
		c.t.Fatalf("send %s: %v", kmsg.NameForKey(request.Key()), err)
	}
	c.next++
	c.waiting = append(c.waiting, request)
}

// receive reads the answer to the oldest request that has none.
func receive[R kmsg.Response](c *caller) R {
	c.t.Helper()
	request := c.waiting[0]
	c.waiting = c.waiting[1:]
	response, err := c.answer(request, c.next-int32(len(c.waiting))-1)
	if err != nil {
		c.t.Fatalf("read the answer to %s version %d: %v", kmsg.NameForKey(request.Key()), request.GetVersion(), err)
	}
	return response.(R)
}

func (c *caller) answer(request kmsg.Request, correlation int32) (kmsg.Response, error) {
	body, err := readFrame(c.conn)
	if err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(body)); got != correlation {
		return nil, fmt.Errorf("answer to request %d, want %d: answers must leave in order", got, correlation)
	}
	body = body[4:]
	if request.IsFlexible() && request.Key() != int16(kmsg.ApiVersions) {
		body = body[1:] // no tags
	}
	response := request.ResponseKind()
	response.SetVersion(request.GetVersion())
	return response, response.ReadFrom(body)
}

func readFrame(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n < 4 || n > 64<<20 {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	return body, err
}

// closed expects that the agent ends the connection without another byte.
func (c *caller) closed() {
	c.t.Helper()
	n, err := c.conn.Read(make([]byte, 1))
	var timeout net.Error
	if n > 0 || err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Errorf("the connection lives on: read %d bytes, %v", n, err)
	}
}

// produceRequest is a Produce request in which partition i of a topic gets batches[i].
func produceRequest(acks int16, topic string, batches ...[]byte) *kmsg.ProduceRequest {
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = acks, int32(patience.Milliseconds())
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	for i, b := range batches {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i), b
		t.Partitions = append(t.Partitions, p)
	}
	request.Topics = append(request.Topics, t)
	return request
}

// produce sends a batch to each partition of a topic and returns what is said of each.
func (c *caller) produce(version int16, topic string, batches ...[]byte) []kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	answer := call[*kmsg.ProduceResponse](c, version, produceRequest(-1, topic, batches...))
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != len(batches) {
		c.t.Fatalf("produce: answered for %+v", answer.Topics)
	}
	return answer.Topics[0].Partitions
}

// stored produces one batch to partition 0 and expects that it is accepted.
func (c *caller) stored(topic string, batch []byte) (base int64) {
	c.t.Helper()
	p := c.produce(9, topic, batch)[0]
	if p.ErrorCode != 0 {
		c.t.Fatalf("produce to %s: code %d, %s", topic, p.ErrorCode, said(p.ErrorMessage))
	}
	return p.BaseOffset
}

// said is an optional text.
func said(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// fetchRequest asks for one partition of a topic from an offset on. It waits for records as long as
// a test does, so that an answer without any means that the agent had a reason.
func fetchRequest(topic string, partition int32, offset int64) *kmsg.FetchRequest {
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes = int32(2*patience.Milliseconds()), 1, 50<<20
	request.SessionEpoch = -1 // none
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	t.Partitions = []kmsg.FetchRequestTopicPartition{fetchPartition(partition, offset)}
	request.Topics = append(request.Topics, t)
	return request
}

func fetchPartition(partition int32, offset int64) kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = partition, offset, 10<<20, -1
	return p
}

// fetch sends a request about one topic and returns what is said of its partitions.
func (c *caller) fetch(version int16, request *kmsg.FetchRequest) []kmsg.FetchResponseTopicPartition {
	c.t.Helper()
	return fetched(c.t, call[*kmsg.FetchResponse](c, version, request))
}

func fetched(t *testing.T, answer *kmsg.FetchResponse) []kmsg.FetchResponseTopicPartition {
	t.Helper()
	if answer.ErrorCode != 0 {
		t.Fatalf("fetch: code %d for the whole answer", answer.ErrorCode)
	}
	var all []kmsg.FetchResponseTopicPartition
	for _, topic := range answer.Topics {
		all = append(all, topic.Partitions...)
	}
	return all
}

// batchesOf splits fetched bytes into whole batches.
func batchesOf(t *testing.T, b []byte) []record.Batch {
	t.Helper()
	var all []record.Batch
	for len(b) > 0 {
		one, rest, err := record.Split(b)
		if err != nil {
			t.Fatalf("fetched bytes are no whole batches: %v", err)
		}
		if err := record.Verify(one); err != nil {
			t.Fatalf("a fetched batch is not sound: %v", err)
		}
		all, b = append(all, one), rest
	}
	return all
}

// producerID draws a producer id, as an idempotent producer does first.
func (c *caller) producerID() int64 {
	c.t.Helper()
	answer := call[*kmsg.InitProducerIDResponse](c, 4, kmsg.NewPtrInitProducerIDRequest())
	if answer.ErrorCode != 0 || answer.ProducerID < 0 || answer.ProducerEpoch != 0 {
		c.t.Fatalf("draw a producer id: code %d, id %d, epoch %d", answer.ErrorCode, answer.ProducerID, answer.ProducerEpoch)
	}
	return answer.ProducerID
}
