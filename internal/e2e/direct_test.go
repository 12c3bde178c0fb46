//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// direct is a connection on which a test says exactly what it wants, one request at a time or several.
type direct struct {
	net.Conn
	format  *kmsg.RequestFormatter
	next    int32
	waiting []kmsg.Request // sent and not yet answered
	scratch []byte
}

func dialDirect(address string) (*direct, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return &direct{Conn: conn, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID("e2e"))}, nil
}

// mustDialDirect is dialDirect for connections that live as long as their test.
func mustDialDirect(t *testing.T, address string) *direct {
	t.Helper()
	c, err := dialDirect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// send sends a request in a version and waits for nothing.
func (c *direct) send(version int16, request kmsg.Request) error {
	request.SetVersion(version)
	c.scratch = c.format.AppendRequest(c.scratch[:0], request, c.next)
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write(c.scratch); err != nil {
		return fmt.Errorf("send %s: %w", kmsg.NameForKey(request.Key()), err)
	}
	c.next++
	c.waiting = append(c.waiting, request)
	return nil
}

// receive reads the answer to the oldest request that has none, within so long.
func (c *direct) receive(within time.Duration) (kmsg.Response, error) {
	request, id := c.waiting[0], c.next-int32(len(c.waiting))
	c.waiting = c.waiting[1:]
	fail := func(err error) (kmsg.Response, error) {
		return nil, fmt.Errorf("read the answer to %s version %d: %w", kmsg.NameForKey(request.Key()), request.GetVersion(), err)
	}
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return fail(err)
	}
	var length [4]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return fail(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(c, body); err != nil {
		return fail(err)
	}
	if len(body) < 5 || int32(binary.BigEndian.Uint32(body)) != id {
		return fail(fmt.Errorf("it has %d bytes and is not that of request %d", len(body), id))
	}
	response := request.ResponseKind()
	head := 4
	if response.IsFlexible() && response.Key() != int16(kmsg.ApiVersions) {
		head = 5 // no tags
	}
	if err := response.ReadFrom(body[head:]); err != nil {
		return fail(err)
	}
	return response, nil
}

// ask sends one request and returns its answer.
func ask[R kmsg.Response](c *direct, version int16, request kmsg.Request) (R, error) {
	var none R
	if err := c.send(version, request); err != nil {
		return none, err
	}
	response, err := c.receive(patience)
	if err != nil {
		return none, err
	}
	return response.(R), nil
}

// mustAsk is ask for answers that a test cannot go on without.
func mustAsk[R kmsg.Response](t *testing.T, c *direct, version int16, request kmsg.Request) R {
	t.Helper()
	response, err := ask[R](c, version, request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// createTopics makes topics by one request.
func createTopics(t *testing.T, c *direct, partitions int32, names ...string) {
	t.Helper()
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = int32(patience.Milliseconds())
	for _, name := range names {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, -1
		request.Topics = append(request.Topics, topic)
	}
	for _, topic := range mustAsk[*kmsg.CreateTopicsResponse](t, c, 7, request).Topics {
		if topic.ErrorCode != 0 {
			t.Fatalf("create topic %s: code %d", topic.Topic, topic.ErrorCode)
		}
	}
}

// metadataOf asks for topics by name, or for all when none is named.
func metadataOf(names ...string) *kmsg.MetadataRequest {
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, topic)
	}
	return request
}

// produceOne is a Produce request of one batch for one partition.
func produceOne(topic string, partition int32, batch []byte) *kmsg.ProduceRequest {
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, int32(patience.Milliseconds())
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	t.Partitions = append(t.Partitions, p)
	request.Topics = append(request.Topics, t)
	return request
}

// fetchAll is a Fetch request for all partitions of a topic from an offset on; session epoch 0 begins a session.
func fetchAll(topic string, partitions int32, offset int64, epoch int32, maxWait time.Duration) *kmsg.FetchRequest {
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes, request.SessionEpoch = int32(maxWait.Milliseconds()), 1, 50<<20, epoch
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	for i := range partitions {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = i, offset, 1<<20
		t.Partitions = append(t.Partitions, p)
	}
	request.Topics = append(request.Topics, t)
	return request
}
