package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/faultnet"
)

// consumers is one consumer group, whose members come and go. Each reads, checks and then commits, so
// that a group may read records again after a rebalance, and must never
//
//	skip   begin behind what any member of the group has read, or leave out an offset
//	rewind begin before an offset whose commit was acknowledged
type consumers struct {
	name, topic string
	brokers     func() []string

	mu        sync.Mutex
	processed map[int32]int64 // offset after the last that any member has read
	committed map[int32]int64 // highest that was acknowledged
	counts    groupCounts
	faults    []string
	members   []*member
}

// groupCounts is what happened to a group.
type groupCounts struct {
	Read        int64 `json:"read"`
	Again       int64 `json:"read_again"` // after a rebalance, which is allowed
	Skipped     int64 `json:"skipped"`
	Rewound     int64 `json:"rewound"`
	Assignments int64 `json:"assignments"` // times that a member was given partitions
	Commits     int64 `json:"commits"`
	Uncommitted int64 `json:"commits_without_success"`
	Interrupted int64 `json:"interrupted"` // times that a client said it had lost the group, and joined again
}

// member is one client of a group.
type member struct {
	group  *consumers
	client *kgo.Client
	stop   context.CancelFunc
	done   chan struct{}
	dials  *dialer

	mu   sync.Mutex
	next map[int32]int64 // of the partitions it has read from since they were assigned
}

func newConsumers(name, topic string, brokers func() []string) *consumers {
	return &consumers{name: name, topic: topic, brokers: brokers, processed: map[int32]int64{}, committed: map[int32]int64{}}
}

// join starts a member.
func (c *consumers) join() error {
	m := &member{group: c, done: make(chan struct{}), next: map[int32]int64{}, dials: &dialer{}}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(c.brokers()...), kgo.ClientID(c.name), kgo.ConsumerGroup(c.name), kgo.ConsumeTopics(c.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(15*time.Second), kgo.HeartbeatInterval(2*time.Second), kgo.Dialer(m.dials.dial),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { m.assigned(p) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { m.revoked(p) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { m.revoked(p) }),
	)
	if err != nil {
		return fmt.Errorf("start a member of group %s: %w", c.name, err)
	}
	m.client = client
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	c.mu.Lock()
	c.members = append(c.members, m)
	c.mu.Unlock()
	go m.run(ctx)
	return nil
}

// leave ends a member: politely, or as a process does whose machine is gone.
func (c *consumers) leave(i int, politely bool) {
	c.mu.Lock()
	m := c.members[i]
	c.members = append(c.members[:i:i], c.members[i+1:]...)
	c.mu.Unlock()
	if !politely {
		m.dials.cut()
	}
	m.stop()
	<-m.done
	m.client.CloseAllowingRebalance()
}

// churn lets members come and go until ctx ends.
func (c *consumers) churn(ctx context.Context, rng *rand.Rand) error {
	for pause(ctx, time.Duration(12+rng.IntN(15))*time.Second) {
		c.leave(rng.IntN(len(c.members)), rng.IntN(3) > 0)
		pause(ctx, time.Duration(rng.IntN(5000))*time.Millisecond)
		if err := c.join(); err != nil {
			return err
		}
	}
	return nil
}

// caughtUp reports whether the group has read and committed up to the ends.
func (c *consumers) caughtUp(ends map[int32]int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, end := range ends {
		if c.processed[p] < end || c.committed[p] < end {
			return false
		}
	}
	return true
}

// unread counts the records before the ends that no member has read.
func (c *consumers) unread(ends map[int32]int64) (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, end := range ends {
		n += max(0, end-c.processed[p])
	}
	return n
}

func (c *consumers) fault(format string, args ...any) {
	if len(c.faults) < 20 {
		c.faults = append(c.faults, fmt.Sprintf(format, args...))
	}
}

func (m *member) assigned(partitions map[string][]int32) {
	m.revoked(partitions)
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	if len(partitions) > 0 {
		m.group.counts.Assignments++
	}
}

func (m *member) revoked(partitions map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range partitions[m.group.topic] {
		delete(m.next, p)
	}
}

func (m *member) run(ctx context.Context) {
	defer close(m.done)
	for ctx.Err() == nil {
		fetches := m.client.PollRecords(ctx, 5000)
		fetches.EachError(func(_ string, p int32, err error) {
			m.group.mu.Lock()
			defer m.group.mu.Unlock()
			var lost *kgo.ErrGroupSession
			switch {
			case ctx.Err() != nil || errors.Is(err, context.Canceled): // it leaves
			case errors.As(err, &lost):
				m.group.counts.Interrupted++
			default:
				m.group.fault("group %s, partition %d: %v", m.group.name, p, err)
			}
		})
		fetches.EachRecord(m.read)
		if fetches.NumRecords() > 0 {
			m.commit(ctx)
		}
		m.client.AllowRebalance()
	}
}

// read checks one record's offset against what the member and its group have read.
func (m *member) read(r *kgo.Record) {
	m.mu.Lock()
	want, going := m.next[r.Partition]
	m.next[r.Partition] = r.Offset + 1
	m.mu.Unlock()
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	processed := g.processed[r.Partition]
	switch {
	case going && r.Offset != want, r.Offset > processed:
		g.counts.Skipped++
		g.fault("group %s, partition %d: read offset %d, and nobody the one before (next of this member %d, of the group %d)", g.name, r.Partition, r.Offset, want, processed)
	case !going && r.Offset < g.committed[r.Partition]:
		g.counts.Rewound++
		g.fault("group %s, partition %d: begins at %d, though a commit of %d was acknowledged", g.name, r.Partition, r.Offset, g.committed[r.Partition])
	}
	if r.Offset < processed {
		g.counts.Again++
	} else {
		g.counts.Read++
	}
	g.processed[r.Partition] = max(processed, r.Offset+1)
}

// commit says what was read. Whether it was taken may stay unknown; what is acknowledged counts.
func (m *member) commit(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	m.client.CommitOffsetsSync(bounded, m.client.UncommittedOffsets(), func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		m.group.mu.Lock()
		defer m.group.mu.Unlock()
		m.group.counts.Commits++
		if err == nil {
			err = m.group.acknowledged(req, resp)
		}
		if err != nil {
			m.group.counts.Uncommitted++
		}
	})
}

// acknowledged notes which offsets of a commit were taken. The caller holds mu.
func (c *consumers) acknowledged(req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) (err error) {
	asked := map[int32]int64{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			asked[p.Partition] = p.Offset
		}
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				err = kerr.ErrorForCode(p.ErrorCode)
				continue
			}
			c.committed[p.Partition] = max(c.committed[p.Partition], asked[p.Partition])
		}
	}
	return err
}

// dialer makes a client's connections, until its machine is gone.
type dialer struct {
	mu    sync.Mutex
	gone  bool
	conns []net.Conn
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var plain net.Dialer
	conn, err := plain.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		conn.Close()
		return nil, errors.New("this machine is gone")
	}
	d.conns = append(d.conns, conn)
	return conn, nil
}

func (d *dialer) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
	for _, conn := range d.conns {
		faultnet.Reset(conn)
	}
}
