package broker

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

var errAway = errors.New("nobody leads")

// fakeControl is a control plane in memory: topics it really keeps, other requests it answers with
// an empty response of their kind, unless serve says otherwise.
type fakeControl struct {
	mu     sync.Mutex
	topics map[string]topic.Topic
	offset map[topic.Partition]segment.OffsetFound
	reads  int
	calls  []Call
	away   bool
	denied bool            // the agent is not let in
	walled map[string]bool // topics that exist and are not granted
	serve  func(ctx context.Context, c Call, req kmsg.Request) (kmsg.Response, error)
	hold   func(ctx context.Context, q topic.Query) // runs before a read of topics
	stall  func(ctx context.Context)                // runs before a read of offsets
}

func newFakeControl(names ...string) *fakeControl {
	c := &fakeControl{topics: make(map[string]topic.Topic), offset: make(map[topic.Partition]segment.OffsetFound)}
	for _, name := range names {
		c.create(name, 2)
	}
	c.topics["__consumer_offsets"] = topic.Topic{Name: "__consumer_offsets", ID: idOf("__consumer_offsets", 0), Partitions: 1, Internal: true}
	return c
}

// idOf is an id that depends on the name and on how often it was created.
func idOf(name string, life int) topic.ID {
	h := sha256.Sum256(append([]byte(name), byte(life)))
	return topic.ID(h[:16])
}

func (c *fakeControl) create(name string, partitions int32) topic.Topic {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.createLocked(name, partitions)
}

func (c *fakeControl) createLocked(name string, partitions int32) topic.Topic {
	life := 0
	for _, t := range c.topics {
		for t.ID == idOf(name, life) {
			life++
		}
	}
	t := topic.Topic{Name: name, ID: idOf(name, life), Partitions: partitions, Config: topic.DefaultConfig()}
	c.topics[name] = t
	return t
}

func (c *fakeControl) setAway(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

// silence is why nothing is answered; it is called under the lock.
func (c *fakeControl) silence() error {
	switch {
	case c.away:
		return errAway
	case c.denied:
		return fmt.Errorf("ask: %w: there is no binding", topic.ErrDenied)
	}
	return nil
}

func (c *fakeControl) readCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}

func (c *fakeControl) Topics(ctx context.Context, q topic.Query) ([]topic.Found, error) {
	if c.hold != nil {
		c.hold(ctx, q)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	if err := c.silence(); err != nil {
		return nil, err
	}
	var found []topic.Found
	if q.All {
		for _, t := range c.topics {
			if !c.walled[t.Name] {
				found = append(found, topic.Found{Topic: t})
			}
		}
		slices.SortFunc(found, func(a, b topic.Found) int { return strings.Compare(a.Topic.Name, b.Topic.Name) })
		return found, nil
	}
	for _, name := range q.Names {
		t, ok := c.topics[name]
		ok = ok && !c.walled[name]
		switch {
		case !ok && q.Create:
			t = c.createLocked(name, 1)
		case !ok:
			found = append(found, topic.Found{Topic: topic.Topic{Name: name}, Code: kerr.UnknownTopicOrPartition.Code})
			continue
		}
		found = append(found, topic.Found{Topic: t})
	}
	for _, id := range q.IDs {
		f := topic.Found{Code: kerr.UnknownTopicID.Code}
		for _, t := range c.topics {
			if t.ID == id {
				f = topic.Found{Topic: t}
			}
			if t.ID == id && c.walled[t.Name] {
				f = topic.Found{Topic: topic.Topic{ID: id}, Code: kerr.TopicAuthorizationFailed.Code}
			}
		}
		found = append(found, f)
	}
	return found, nil
}

func (c *fakeControl) ListOffsets(ctx context.Context, qs []segment.OffsetQuery) ([]segment.OffsetFound, error) {
	if c.stall != nil {
		c.stall(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.silence(); err != nil {
		return nil, err
	}
	var found []segment.OffsetFound
	for _, q := range qs {
		f := segment.OffsetFound{Code: kerr.UnknownTopicID.Code}
		for _, t := range c.topics {
			if t.ID == q.Partition.Topic && q.Partition.Index < t.Partitions {
				f = c.offset[q.Partition]
			}
		}
		found = append(found, f)
	}
	return found, nil
}

func (c *fakeControl) Call(ctx context.Context, call Call) ([]byte, error) {
	req := kmsg.RequestForKey(call.Key)
	req.SetVersion(call.Version)
	if err := req.ReadFrom(call.Body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.calls = append(c.calls, call)
	err, serve := c.silence(), c.serve
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if serve == nil {
		serve = c.admin
	}
	resp, err := serve(ctx, call, req)
	if err != nil {
		return nil, err
	}
	resp.SetVersion(call.Version)
	return resp.AppendTo(nil), nil
}

// admin creates and deletes topics for real.
func (c *fakeControl) admin(_ context.Context, _ Call, req kmsg.Request) (kmsg.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch req := req.(type) {
	case *kmsg.CreateTopicsRequest:
		resp := kmsg.NewPtrCreateTopicsResponse()
		for _, t := range req.Topics {
			rt := kmsg.NewCreateTopicsResponseTopic()
			rt.Topic = t.Topic
			if _, ok := c.topics[t.Topic]; ok {
				rt.ErrorCode = kerr.TopicAlreadyExists.Code
			} else {
				rt.TopicID = c.createLocked(t.Topic, max(t.NumPartitions, 1)).ID
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil
	case *kmsg.DeleteTopicsRequest:
		resp := kmsg.NewPtrDeleteTopicsResponse()
		for _, t := range req.Topics {
			rt := kmsg.NewDeleteTopicsResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			name := ""
			for _, known := range c.topics {
				if t.Topic != nil && known.Name == *t.Topic || t.Topic == nil && known.ID == topic.ID(t.TopicID) {
					name = known.Name
				}
			}
			if name == "" {
				rt.ErrorCode = kerr.UnknownTopicOrPartition.Code
			}
			delete(c.topics, name)
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil
	}
	return req.ResponseKind(), nil
}

// fakeGroup is a fixed set of members; the leader of a partition is the member with the role at
// its index, of the zone if there is one.
type fakeGroup struct {
	self    int32
	members []Member
	cut     bool
}

func (g *fakeGroup) Members() []Member { return g.members }

func (g *fakeGroup) Self() Member {
	for _, m := range g.members {
		if m.NodeID == g.self {
			return m
		}
	}
	return Member{NodeID: g.self, Host: "self", Port: 9}
}

// Coordinator is the first other member when this one is cut off.
func (g *fakeGroup) Coordinator() Member {
	if g.cut {
		return g.members[0]
	}
	return g.Self()
}

func (g *fakeGroup) Leader(p topic.Partition, zone, role string) (Member, bool) {
	var near, all []Member
	for _, m := range g.members {
		if !slices.Contains(m.Roles, role) {
			continue
		}
		if all = append(all, m); m.Zone == zone {
			near = append(near, m)
		}
	}
	if zone != "" && len(near) > 0 {
		all = near
	}
	if len(all) == 0 {
		return Member{}, false
	}
	return all[int(p.Index)%len(all)], true
}

// agent is one agent's listener under test.
type agent struct {
	t      *testing.T
	deps   Deps
	apis   []wire.API
	server *wire.Server
	pipes  *wiretest.Pipes
}

// newAgent serves everything but the data path on ln, or in memory when ln is nil.
func newAgent(t *testing.T, cfg Config, control *fakeControl, group Group, ln net.Listener, change ...func(*Deps)) *agent {
	t.Helper()
	topics, err := NewTopicCache(DefaultTopics(), control)
	if err != nil {
		t.Fatal(err)
	}
	deps := Deps{Control: control, Group: group, Topics: topics, ClusterID: "isthmus-test",
		Incarnation: func() uint32 { return 3 }, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&deps)
	}
	a := &agent{t: t, deps: deps}
	if a.apis, err = APIs(cfg, deps); err != nil {
		t.Fatal(err)
	}
	none := wire.HandlerFunc(func(_ context.Context, _ *wire.Request, reply func(wire.Reply)) { reply(wire.Reply{Close: true}) })
	all := append(slices.Clone(a.apis), wire.ProduceAPI(none), wire.FetchAPI(none))
	if a.server, err = wire.NewServer(wire.Default(), wire.Deps{Log: deps.Log}, all); err != nil {
		t.Fatal(err)
	}
	if ln == nil {
		a.pipes = wiretest.NewPipes()
		ln = a.pipes
	}
	served := make(chan error, 1)
	go func() { served <- a.server.Serve(ln) }()
	t.Cleanup(func() {
		a.server.Close()
		if err := <-served; !errors.Is(err, wire.ErrStopped) {
			t.Errorf("serve: %v", err)
		}
	})
	return a
}

// alone is a group of one agent with both roles.
func alone() *fakeGroup {
	return &fakeGroup{self: 1, members: []Member{{NodeID: 1, Host: "a", Port: 9092, Zone: "z1", Roles: []string{RoleProduce, RoleFetch}}}}
}

// ask sends one request on a connection of its own and returns the answer.
func (a *agent) ask(req kmsg.Request, version int16, clientID ...string) kmsg.Response {
	a.t.Helper()
	resp, err := a.try(req, version, clientID...)
	if err != nil {
		a.t.Fatalf("%s version %d: %v", kmsg.NameForKey(req.Key()), version, err)
	}
	return resp
}

func (a *agent) try(req kmsg.Request, version int16, clientID ...string) (kmsg.Response, error) {
	client, err := a.send(req, version, clientID...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var length [4]byte
	if _, err := io.ReadFull(client, length[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(client, body); err != nil {
		return nil, err
	}
	body = body[4:]
	if req.IsFlexible() && req.Key() != int16(kmsg.ApiVersions) {
		body = body[1:]
	}
	resp := req.ResponseKind()
	resp.SetVersion(version)
	return resp, resp.ReadFrom(body)
}

// send begins a connection with one request.
func (a *agent) send(req kmsg.Request, version int16, clientID ...string) (net.Conn, error) {
	client := a.pipes.Dial()
	req.SetVersion(version)
	id := strings.Join(clientID, ",")
	_, err := client.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(id)).AppendRequest(nil, req, 77))
	return client, err
}
