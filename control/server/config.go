package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/isthmusdata/isthmus/control/raft"
	"github.com/isthmusdata/isthmus/control/tunnel"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// Config is one control node.
type Config struct {
	// Cluster names the cluster; every key in the bucket begins with it.
	Cluster string
	// BucketURL is the bucket of the share topic.DefaultShare, as agents are told it.
	BucketURL string
	// Listen is host:port for gRPC.
	Listen string
	// Outside is a second host:port, for callers from other machines beside those of a loopback Listen; empty: none.
	Outside string
	// Insecure allows plain text where Listen is reachable from other machines, beside TLS.
	Insecure bool
	// Advertise are further names and addresses that clients know the node by; its certificate holds them.
	Advertise []string
	// Version of the program, for Status.
	Version string
	// AutoCreate allows clients' metadata requests to create topics, with DefaultPartitions.
	AutoCreate        bool
	DefaultPartitions int32
	// Tick is how often leases and what is due are looked at.
	Tick time.Duration
	// AuditInterval is how often what was moved and denied is written to the audit.
	AuditInterval time.Duration
	// MeterInterval is how often what agents did for each share is written down.
	MeterInterval time.Duration
	// CommitWindow bounds the commits of one stream that wait for the log.
	CommitWindow int
	// WatchQueue bounds the events and locations that wait for one watch.
	WatchQueue int
	// WatchPartitions bounds the partitions of one watch.
	WatchPartitions int
	// PlanPartitions bounds the partitions of one Plan or ListOffsets, PlanBytes what one Plan covers of
	// each, PlanLocations the locations in its answer.
	PlanPartitions, PlanLocations int
	PlanBytes                     int64
	// TopicNames bounds the topics asked for at once.
	TopicNames int
	// Connections, Streams (of one connection) and MessageBytes bound what agents may open and send.
	Connections  int
	Streams      uint32
	MessageBytes int
	// Raft is the log; its Limits hold the session lease and heartbeat.
	Raft raft.Config
	// Tunnel is the coordinator of consumer groups and what admin requests may ask. What it has in
	// common with the fields above and with Raft.Limits is taken from there.
	Tunnel tunnel.Config
}

// Default returns the configuration of a single node; Raft.Dir and BucketURL are the caller's.
func Default() Config {
	return Config{
		Cluster:           "main",
		Listen:            "127.0.0.1:7400",
		Version:           "unknown",
		AutoCreate:        true,
		DefaultPartitions: 1,
		Tick:              500 * time.Millisecond,
		AuditInterval:     time.Minute,
		MeterInterval:     time.Minute,
		CommitWindow:      64,
		WatchQueue:        16 << 10,
		WatchPartitions:   100_000,
		PlanPartitions:    10_000,
		PlanLocations:     100_000,
		PlanBytes:         256 << 20,
		TopicNames:        100_000,
		Connections:       4096,
		Streams:           1024,
		MessageBytes:      16 << 20,
		Raft:              raft.Default(),
		Tunnel:            tunnel.Default(),
	}
}

// aligned tells the tunnel what is set elsewhere, so that nothing is said twice.
func (c Config) aligned() Config {
	c.Tunnel.NumPartitions, c.Tunnel.AutoCreate = c.DefaultPartitions, c.AutoCreate
	c.Tunnel.OffsetsRetention = c.Raft.Limits.OffsetsRetention
	c.Tunnel.OffsetMetadataMaxBytes = c.Raft.Limits.MaxOffsetMetadata
	return c
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	faults := []error{
		c.Raft.Validate(), c.Tunnel.Validate(), checkListen(c.Listen),
		checkOutside(c.Outside),
		segment.CheckName("cluster", c.Cluster),
	}
	if c.BucketURL == "" {
		faults = append(faults, errors.New("no bucket is named: give --bucket s3://BUCKET/PREFIX or file:///DIR"))
	}
	for _, n := range []struct {
		name  string
		value int
	}{
		{"default partitions", int(c.DefaultPartitions)}, {"tick ns", int(c.Tick)}, {"audit interval ns", int(c.AuditInterval)}, {"meter interval ns", int(c.MeterInterval)}, {"commit window", c.CommitWindow},
		{"watch queue", c.WatchQueue}, {"watch partitions", c.WatchPartitions}, {"plan partitions", c.PlanPartitions},
		{"plan locations", c.PlanLocations}, {"plan bytes", int(c.PlanBytes)}, {"topic names", c.TopicNames},
		{"connections", c.Connections}, {"streams", int(c.Streams)},
	} {
		if n.value < 1 {
			faults = append(faults, fmt.Errorf("%s %d is not positive", n.name, n.value))
		}
	}
	if c.MessageBytes < 1<<20 {
		faults = append(faults, fmt.Errorf("message bound %d B is below 1 MiB", c.MessageBytes))
	}
	return errors.Join(faults...)
}
