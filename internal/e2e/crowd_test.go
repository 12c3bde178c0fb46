//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record/recordtest"
)

// The crowd is a process of its own, this test program again, so that its work is not done in the
// process that plays the honest clients. It attacks the loopback addresses it is given until its standard input ends.
const crowdVariable = "ISTHMUS_E2E_CROWD" // addresses at the produce and the fetch agent, and names of attacks, by semicolons

func init() {
	if what := os.Getenv(crowdVariable); what != "" {
		crowd(strings.Split(what, ";"))
		os.Exit(0)
	}
}

// attack is one kind of misbehaviour: clients many of it at once at each address, one after the other's end.
type attack struct {
	clients int
	run     func(a *assault) error
}

// attacks by name. Each bounds what it opens and sends; none needs more than a laptop.
var attacks = map[string]attack{
	"half-open connections":      {300, (*assault).halfOpen},
	"stalled large frames":       {100, (*assault).stalledFrame},
	"frames byte by byte":        {100, (*assault).dribble},
	"metadata flood, pipelined":  {4, (*assault).metadataFlood},
	"answers that nobody reads":  {50, (*assault).slowReader},
	"giant arrays":               {2, (*assault).giantArrays},
	"huge topic lists":           {2, (*assault).hugeTopicLists},
	"thousands of groups":        {20, (*assault).groups},
	"members that never sync":    {50, (*assault).neverSync},
	"thousands of producer ids":  {50, (*assault).producerIDs},
	"thousands of connections":   {1500, (*assault).connection},
	"reconnect storm":            {10, (*assault).reconnect},
	"ApiVersions without end":    {4, (*assault).apiVersions},
	"fetches that wait forever":  {300, (*assault).endlessFetch},
	"tiny fetches of everything": {4, (*assault).tinyFetches},
	"thousands of sessions":      {2, (*assault).sessions},
	"many tiny partitions":       {2, (*assault).tinyBatches},
}

// assault is one hostile client.
type assault struct {
	ctx     context.Context
	address string
	number  int
	sent    *atomic.Int64 // requests or connections
}

// hostileTopics is what the attacks read and write: nothing of the honest clients'.
const (
	hostileWide       = "hostile-wide"
	hostilePartitions = 1000
)

func crowd(args []string) {
	addresses, names := args[:2], args[2:]
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it only says when to stop
		cancel()
	}()
	counts := make(map[string]*atomic.Int64)
	var running sync.WaitGroup
	for _, name := range names {
		counts[name] = new(atomic.Int64)
		for _, address := range addresses {
			for i := range attacks[name].clients {
				running.Go(func() {
					a := &assault{ctx: ctx, address: address, number: i, sent: counts[name]}
					for ctx.Err() == nil {
						// An attack ends when it is cut off; that is what should become of it.
						_ = attacks[name].run(a)
						a.pause(50 * time.Millisecond)
					}
				})
			}
		}
	}
	running.Wait()
	slices.Sort(names)
	for _, name := range names {
		fmt.Printf("%s: %d\n", name, counts[name].Load())
	}
}

func (a *assault) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-a.ctx.Done():
	}
}

// dial opens a connection that ends with the assault.
func (a *assault) dial() (*direct, func(), error) {
	c, err := dialDirect(a.address)
	if err != nil {
		return nil, nil, err
	}
	a.sent.Add(1)
	stop := context.AfterFunc(a.ctx, func() { c.Close() })
	return c, func() { stop(); c.Close() }, nil
}

// with runs a conversation on a connection of its own.
func (a *assault) with(talk func(c *direct) error) error {
	c, done, err := a.dial()
	if err != nil {
		return err
	}
	defer done()
	return talk(c)
}

// untilClosed waits until the agent ends the connection, or the assault is over.
func untilClosed(c *direct) error {
	_, err := io.Copy(io.Discard, c)
	return err
}

func (a *assault) halfOpen() error {
	return a.with(func(c *direct) error {
		whole := requestBytes(12, metadataOf("x"))
		if _, err := c.Write(whole[:a.number%len(whole)]); err != nil {
			return err
		}
		return untilClosed(c)
	})
}

// stalledFrame claims a large frame and never sends it: Produce and others in turn.
func (a *assault) stalledFrame() error {
	return a.with(func(c *direct) error {
		key, size := byte(0), 90<<20
		if a.number%2 == 1 {
			key, size = 3, 15<<20
		}
		claim := append(binary.BigEndian.AppendUint32(nil, uint32(size)), 0, key, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0)
		if _, err := c.Write(claim); err != nil {
			return err
		}
		return untilClosed(c)
	})
}

// dribble sends a large frame just fast enough not to be called stalled.
func (a *assault) dribble() error {
	return a.with(func(c *direct) error {
		claim := append(binary.BigEndian.AppendUint32(nil, 4<<20), 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0)
		for {
			if _, err := c.Write(claim); err != nil {
				return err
			}
			claim = []byte{0}
			if a.pause(200 * time.Millisecond); a.ctx.Err() != nil {
				return a.ctx.Err()
			}
		}
	})
}

func (a *assault) metadataFlood() error {
	return a.flood(12, metadataOf(), 32)
}

func (a *assault) apiVersions() error {
	return a.flood(0, kmsg.NewPtrApiVersionsRequest(), 64)
}

// flood keeps so many equal requests on their way, and reads the answers as they come.
func (a *assault) flood(version int16, request kmsg.Request, ahead int) error {
	return a.with(func(c *direct) error {
		whole := requestBytes(version, request)
		tokens := make(chan struct{}, ahead)
		failed := make(chan error, 1)
		go func() {
			in := bufio.NewReaderSize(c, 64<<10)
			for {
				var length [4]byte
				_, err := io.ReadFull(in, length[:])
				if err == nil {
					_, err = in.Discard(int(binary.BigEndian.Uint32(length[:])))
				}
				if err != nil {
					failed <- err
					return
				}
				<-tokens
			}
		}()
		for {
			select {
			case tokens <- struct{}{}:
			case err := <-failed:
				return err
			case <-a.ctx.Done():
				return a.ctx.Err()
			}
			if _, err := c.Write(whole); err != nil {
				return err
			}
			a.sent.Add(1)
		}
	})
}

func requestBytes(version int16, request kmsg.Request) []byte {
	request.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("crowd")).AppendRequest(nil, request, 1)
}

// slowReader asks for everything many times over and reads nothing.
func (a *assault) slowReader() error {
	return a.with(func(c *direct) error {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			if err := tcp.SetReadBuffer(4 << 10); err != nil {
				return err
			}
		}
		whole := requestBytes(12, metadataOf())
		for range 64 {
			if _, err := c.Write(whole); err != nil {
				return err
			}
			a.sent.Add(1)
		}
		a.pause(time.Minute)
		return nil
	})
}

// giantArrays says that arrays are longer than any request could be, and sends ones that are as long as they fit.
func (a *assault) giantArrays() error {
	for _, bytes := range [][]byte{
		{0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff},
		{0, 0, 0, 16, 0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		err := a.with(func(c *direct) error {
			if _, err := c.Write(bytes); err != nil {
				return err
			}
			return untilClosed(c)
		})
		if a.ctx.Err() != nil {
			return err
		}
	}
	return a.with(func(c *direct) error {
		offsets := kmsg.NewPtrListOffsetsRequest()
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = hostileWide
		topic.Partitions = make([]kmsg.ListOffsetsRequestTopicPartition, 200_000)
		for i := range topic.Partitions {
			topic.Partitions[i].Partition, topic.Partitions[i].Timestamp = int32(i), -1
		}
		offsets.Topics = append(offsets.Topics, topic)
		_, err := ask[kmsg.Response](c, 7, offsets)
		a.sent.Add(1)
		return err
	})
}

// hugeTopicLists asks for a hundred thousand topics that do not exist, by Metadata and by Fetch.
func (a *assault) hugeTopicLists() error {
	return a.with(func(c *direct) error {
		names := make([]string, 100_000)
		for i := range names {
			names[i] = fmt.Sprintf("no-%d-%d", a.number, i)
		}
		metadata := metadataOf(names...)
		if _, err := ask[kmsg.Response](c, 12, metadata); err != nil {
			return err
		}
		a.sent.Add(1)
		fetch := kmsg.NewPtrFetchRequest()
		fetch.MaxBytes, fetch.SessionEpoch = 1, -1
		for _, name := range names[:50_000] {
			topic := kmsg.NewFetchRequestTopic()
			topic.Topic, topic.Partitions = name, make([]kmsg.FetchRequestTopicPartition, 1)
			fetch.Topics = append(fetch.Topics, topic)
		}
		_, err := ask[kmsg.Response](c, 12, fetch)
		a.sent.Add(1)
		return err
	})
}

// joinOf is the request of a member that knows no id.
func joinOf(group string, sessionTimeout time.Duration) *kmsg.JoinGroupRequest {
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType = group, "consumer"
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = int32(sessionTimeout.Milliseconds()), int32(sessionTimeout.Milliseconds())
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = "range", make([]byte, 64)
	join.Protocols = append(join.Protocols, protocol)
	return join
}

// groups begins one consumer group after the other, and leaves each where it is.
func (a *assault) groups() error {
	return a.with(func(c *direct) error {
		for i := 0; ; i++ {
			group := fmt.Sprintf("hostile-%d-%d-%d", a.number, i, rand.Uint32())
			if _, err := ask[kmsg.Response](c, 4, joinOf(group, 30*time.Second)); err != nil {
				return err
			}
			commit := kmsg.NewPtrOffsetCommitRequest()
			commit.Group, commit.Generation = group, -1
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic = hostileWide
			partition := kmsg.NewOffsetCommitRequestTopicPartition()
			topic.Partitions = append(topic.Partitions, partition)
			commit.Topics = append(commit.Topics, topic)
			if _, err := ask[kmsg.Response](c, 7, commit); err != nil {
				return err
			}
			a.sent.Add(2)
		}
	})
}

// neverSync joins, all in one group, and goes away without a word; the next one waits for it.
func (a *assault) neverSync() error {
	return a.with(func(c *direct) error {
		join := joinOf("hostile-stuck", 6*time.Second)
		first, err := ask[*kmsg.JoinGroupResponse](c, 4, join)
		if err != nil {
			return err
		}
		a.sent.Add(1)
		join.MemberID = first.MemberID
		if err := c.send(4, join); err != nil {
			return err
		}
		a.pause(time.Duration(rand.IntN(3000)) * time.Millisecond)
		return nil
	})
}

func (a *assault) producerIDs() error {
	return a.with(func(c *direct) error {
		for {
			id, err := ask[*kmsg.InitProducerIDResponse](c, 4, kmsg.NewPtrInitProducerIDRequest())
			if err != nil {
				return err
			}
			batch := recordtest.Batch(recordtest.Options{Idempotent: true, ProducerID: id.ProducerID, Time: time.Now().UnixMilli()})
			if _, err := ask[kmsg.Response](c, 9, produceOne(hostileWide, rand.Int32N(hostilePartitions), batch)); err != nil {
				return err
			}
			a.sent.Add(2)
		}
	})
}

func (a *assault) connection() error {
	return a.with(func(c *direct) error {
		if _, err := ask[kmsg.Response](c, 0, kmsg.NewPtrApiVersionsRequest()); err != nil {
			return err
		}
		return untilClosed(c)
	})
}

func (a *assault) reconnect() error {
	for a.ctx.Err() == nil {
		err := a.with(func(c *direct) error {
			if a.number%2 == 0 {
				return nil
			}
			_, err := ask[kmsg.Response](c, 0, kmsg.NewPtrApiVersionsRequest())
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *assault) endlessFetch() error {
	return a.with(func(c *direct) error {
		for range 8 {
			fetch := fetchAll(hostileWide, 100, 0, -1, math.MaxInt32*time.Millisecond)
			fetch.MinBytes, fetch.MaxBytes = math.MaxInt32, math.MaxInt32
			if err := c.send(12, fetch); err != nil {
				return err
			}
			a.sent.Add(1)
		}
		return untilClosed(c)
	})
}

func (a *assault) tinyFetches() error {
	fetch := fetchAll(hostileWide, hostilePartitions, 0, -1, 0)
	fetch.MaxBytes, fetch.MinBytes = 1, 0
	return a.flood(12, fetch, 8)
}

// sessions begins one fetch session after the other and uses none.
func (a *assault) sessions() error {
	return a.flood(12, fetchAll(hostileWide, 1000, 0, 0, 0), 8)
}

func (a *assault) tinyBatches() error {
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, 30_000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = hostileWide
	batch := recordtest.Batch(recordtest.Options{Time: time.Now().UnixMilli()})
	for i := range int32(hostilePartitions) {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = i, batch
		topic.Partitions = append(topic.Partitions, p)
	}
	request.Topics = append(request.Topics, topic)
	return a.flood(9, request, 5)
}
