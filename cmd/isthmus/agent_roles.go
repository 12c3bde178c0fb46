package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/isthmusdata/isthmus/agentgroup"
	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/fetch"
	"github.com/isthmusdata/isthmus/internal/broker"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
	"github.com/isthmusdata/isthmus/produce"
)

// buildRoles makes the parts that only some agents have. A produce-only agent has nothing that
// could read an object, a fetch-only agent nothing that could write one.
func (a *agent) buildRoles(_, _ context.Context) (err error) {
	if a.config.Roles.has("produce") {
		a.producer, err = produce.NewRunner(a.config.Produce, produce.Deps{
			Sequencer: sequencer{a.client, a.membership, a.config.Group}, Uploader: a.stores.putter, Log: a.log, Metrics: a.deps.registry, Meter: a.meter, Wall: a.deps.wall,
		})
		if err != nil {
			return err
		}
	}
	if a.config.Roles.has("fetch") {
		a.fetcher, err = fetch.New(a.config.Fetch, fetch.Deps{
			Cluster: a.grant.Cluster, Incarnation: a.incarnation, Index: index{a.client}, Topics: a.topics,
			PeerTLS: a.certificate.TLS(), PeerCheck: a.certificate.Check, Meter: a.meter, Stores: a.stores.getter, Owners: a.group, Log: a.log, Registry: a.deps.registry,
			Poison: a.deps.poison,
		})
	}
	return err
}

// apis is the whole Kafka surface of this agent: the same requests whatever its role, two of
// which it may have to refuse.
func (a *agent) apis() ([]wire.API, error) {
	deps := broker.Deps{
		Control: controlPlane{a.client}, Group: neighbours{a.group}, Topics: a.topics, ClusterID: a.grant.ClusterID,
		Incarnation: a.incarnation, Log: a.log, Registerer: a.deps.registry,
	}
	if a.fetcher != nil {
		deps.Refiner = a.fetcher
	}
	apis, err := broker.APIs(a.config.Broker, deps)
	if err != nil {
		return nil, err
	}
	if a.producer != nil {
		apis = append(apis, produce.API(produce.NewHandler(a.topics, a.producer)))
	} else {
		apis = append(apis, produce.Refusal{Group: a.config.Group, Roles: a.config.Roles, Log: a.log}.API())
	}
	if a.fetcher != nil {
		apis = append(apis, a.fetched.note(fetch.API(a.fetcher)))
	} else {
		apis = append(apis, fetch.Refusal{Group: a.config.Group, Roles: a.config.Roles, Log: a.log}.API())
	}
	return apis, nil
}

// incarnation is the cluster's present life; it can only change with the control plane's data.
func (a *agent) incarnation() uint32 { return a.grant.Incarnation }

// What follows introduces the roles to the control plane and the group: each declares what it asks
// for, and these fit.

// sequencer is what produce asks of the control plane.
type sequencer struct {
	client     *client.Client
	membership *client.Membership
	group      string
}

func (s sequencer) Commits(ctx context.Context, session uint64) (produce.CommitStream, error) {
	stream, err := s.client.Commits(ctx, session)
	if err != nil {
		return nil, err // not a nil pointer in an interface
	}
	return stream, nil
}

func (s sequencer) EndSession(ctx context.Context, session uint64) error {
	return s.membership.EndSession(ctx, session)
}

func (s sequencer) Login(ctx context.Context) (produce.Session, error) {
	g, err := s.membership.Grant(ctx)
	return produce.Session{ID: g.Session, Incarnation: g.Incarnation, Cluster: g.Cluster, Group: s.group}, err
}

// index is what fetch asks of the control plane.
type index struct{ *client.Client }

func (i index) Watch(ctx context.Context) (fetch.Watch, error) {
	stream, err := i.Client.Watch(ctx)
	if err != nil {
		return nil, err // not a nil pointer in an interface
	}
	return stream, nil
}

// controlPlane is what the broker asks of the control plane.
type controlPlane struct{ *client.Client }

func (c controlPlane) Call(ctx context.Context, call broker.Call) ([]byte, error) {
	answer, err := c.Client.Call(ctx, client.TunnelCall(call))
	if errors.Is(err, client.ErrInvalid) {
		err = fmt.Errorf("%w: %w", broker.ErrInvalid, err)
	}
	return answer, err
}

// neighbours is what the broker asks of the group.
type neighbours struct{ group *agentgroup.Group }

func (n neighbours) Self() broker.Member { return asBroker(n.group.Self()) }

func (n neighbours) Coordinator() broker.Member { return asBroker(n.group.Coordinator()) }

// Members are those that clients may be told of; a killed one is not told of even in the second
// that gossip needs to find out.
func (n neighbours) Members() []broker.Member {
	n.group.Check()
	members := n.group.Members()
	all := make([]broker.Member, len(members))
	for i, m := range members {
		all[i] = asBroker(m)
	}
	return all
}

func (n neighbours) Leader(p topic.Partition, zone, role string) (broker.Member, bool) {
	m, ok := n.group.Leader(p, zone, role)
	return asBroker(m), ok
}

func asBroker(m agentgroup.Member) broker.Member {
	return broker.Member{NodeID: m.NodeID, Host: m.Host, Port: m.Port, Zone: m.Zone, Roles: m.Roles}
}

var (
	_ produce.Sequencer = sequencer{}
	_ fetch.Index       = index{}
	_ broker.Control    = controlPlane{}
	_ broker.Group      = neighbours{}
)
