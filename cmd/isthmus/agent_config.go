package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"

	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/fetch"
	"github.com/isthmusdata/isthmus/internal/broker"
	"github.com/isthmusdata/isthmus/internal/units"
	"github.com/isthmusdata/isthmus/internal/wire"
	"github.com/isthmusdata/isthmus/produce"
)

// The loopback addresses that commands use when none are named.
const (
	defaultControl = "127.0.0.1:7400"
	defaultKafka   = "127.0.0.1:9092"
	defaultGossip  = "127.0.0.1:7946"
	controlHTTP    = "127.0.0.1:7480"
	agentHTTP      = "127.0.0.1:7481"
)

// agentConfig is everything one agent is told. The packages' own configs are filled from it.
type agentConfig struct {
	Login     loginConfig
	Join      string // token; empty: none
	State     string // folder; empty: what a join token gives lives in memory alone
	Group     string
	Roles     roles
	Zone      string
	Kafka     string
	Advertise string
	Gossip    string
	Peer      string
	HTTP      string // empty: none
	TLSCert   string
	TLSKey    string
	Insecure  bool
	Memory    units.Bytes // of the whole agent

	Credentials credentialsConfig // for buckets
	AllowExcess bool              // serve with roles that can do more than they should
	Cache       units.Bytes       // of that, for segments that several consumers read

	flushBytes units.Bytes
	maxFrame   units.Bytes
	Produce    produce.Config
	Fetch      fetch.Config
	Wire       wire.Config
	Broker     broker.Config
}

func defaultAgent() agentConfig {
	c := agentConfig{
		Login: defaultLogin(), Credentials: defaultCredentials(), Kafka: defaultKafka, Gossip: defaultGossip, HTTP: agentHTTP,
		Memory: units.GiB, Cache: 256 * units.MiB,
		Produce: produce.Default(), Fetch: fetch.Default(), Wire: wire.Default(), Broker: broker.Default(),
	}
	c.flushBytes, c.maxFrame = units.Bytes(c.Produce.FlushBytes), units.Bytes(c.Wire.MaxFrame)
	return c
}

func (c *agentConfig) addFlags(f *pflag.FlagSet) {
	c.Login.addFlags(f)
	f.StringVar(&c.Join, "join", c.Join, "one-time token that lets this agent in, as the other side prints it")
	f.StringVar(&c.State, "state", c.State, "folder that keeps what the agent got for its token, so that a restart needs no other; none: in memory")
	f.StringVar(&c.Group, "group", c.Group, "group of agents that this one belongs to: one account, VPC or region")
	f.Var(&c.Roles, "roles", "what the agent may do, one or more of: "+rolesHelp())
	f.StringVar(&c.Zone, "zone", c.Zone, "availability zone; clients name theirs with zone=NAME in client.id")
	f.StringVar(&c.Kafka, "kafka", c.Kafka, "address for Kafka clients")
	f.StringVar(&c.Advertise, "advertise", c.Advertise, "HOST:PORT that Kafka clients are told, if it differs from --kafka")
	f.StringVar(&c.Gossip, "gossip", c.Gossip, "address for the gossip of the group, TCP and UDP")
	f.StringVar(&c.Peer, "peer", c.Peer, "address for agents of the group that read from this one's cache (fetch); default: a free port beside --gossip")
	f.StringVar(&c.HTTP, "http", c.HTTP, "address of metrics, health and profiles; empty: none")
	f.StringVar(&c.TLSCert, "tls-cert", c.TLSCert, "PEM file of the Kafka listener's certificate; read again when it changes")
	f.StringVar(&c.TLSKey, "tls-key", c.TLSKey, "PEM file of its key")
	f.BoolVar(&c.Insecure, "insecure", c.Insecure, "allow plain text on addresses that other machines can reach")
	f.Var(&c.Memory, "memory", "memory that the agent may use")
	f.Var(&c.Cache, "cache", "part of it that holds segments for consumers to come")
	f.DurationVar(&c.Produce.FlushInterval, "flush-interval", c.Produce.FlushInterval, "least distance between two segments of a share, 25ms to 1s")
	f.Var(&c.flushBytes, "flush-bytes", "size at which a segment is stored at once")
	f.DurationVar(&c.Produce.UploadDeadline, "upload-deadline", c.Produce.UploadDeadline, "time after which a segment that is not stored is given up, and its clients told to retry")
	f.StringVar(&c.Produce.Validation, "validate", c.Produce.Validation, "headers, or deep: every record of every batch is decompressed and checked")
	f.Var(&c.maxFrame, "max-request-bytes", "largest request of a client")
	f.IntVar(&c.Wire.MaxConnections, "max-connections", c.Wire.MaxConnections, "most connections of clients")
	c.Credentials.addFlags(f)
	f.BoolVar(&c.AllowExcess, "allow-excess", c.AllowExcess, "serve with an IAM role that can do more at its bucket than it should, as on servers that do not know s3:if-none-match")
	f.BoolVar(&c.Broker.AutoCreate, "auto-create-topics", c.Broker.AutoCreate, "create a topic when a client asks for it by name")
}

// groupName is what a group may be called: it is part of every key that its agents write.
var groupName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

// Validate derives the packages' configs and reports every fault of all of them at once.
func (c *agentConfig) Validate() error {
	faults := []error{}
	add := func(err error) { faults = append(faults, err) }
	if !groupName.MatchString(c.Group) {
		add(fmt.Errorf("--group %q: name the agent's group with lower-case letters, digits, dots and dashes, such as prod", c.Group))
	}
	if len(c.Roles) == 0 {
		add(errors.New("--roles: say what the agent may do: produce, fetch, or produce,fetch"))
	}
	tlsFix := "give it a certificate with --tls-cert and --tls-key"
	if (c.TLSCert == "") != (c.TLSKey == "") {
		add(errors.New("--tls-cert and --tls-key: both or neither"))
	}
	add(exposed(c.Kafka, "--kafka", tlsFix, c.Insecure || c.TLSCert != ""))
	add(c.Login.check())
	if c.joins() {
		if secret, err := c.Login.secret(); err == nil && !secret {
			add(errors.New("--join and --state: the agent will prove itself by a certificate, which needs TLS: name the control plane's --control-pin or --control-ca"))
		}
		if c.Login.Cert != "" || c.Login.Way != loginAuto {
			add(errors.New("--join and --state: leave out --login and --login-cert, for the agent proves itself by what the token gives it"))
		}
	}
	if c.Roles.has("fetch") {
		if _, err := units.Loopback(c.peerAddress()); err != nil {
			add(fmt.Errorf("--peer: %w", err))
		}
	}
	if c.HTTP != "" {
		add(exposed(c.HTTP, "--http", "keep it on loopback", c.Insecure))
	}
	if c.Advertise != "" {
		if _, _, err := net.SplitHostPort(c.Advertise); err != nil {
			add(fmt.Errorf("--advertise %q: write HOST:PORT: %w", c.Advertise, err))
		}
	}
	if c.Memory < 192*units.MiB {
		add(fmt.Errorf("--memory %v: an agent needs at least 192MiB", c.Memory))
	} else if c.Cache > c.Memory/2 {
		add(fmt.Errorf("--cache %v: at most half of --memory %v, the rest is for what is under way", c.Cache, c.Memory))
	}
	if c.maxFrame > c.Memory/2 {
		add(fmt.Errorf("--max-request-bytes %v: at most half of --memory %v", c.maxFrame, c.Memory))
	}
	c.derive()
	add(c.Credentials.check())
	add(c.Produce.Validate())
	add(c.Fetch.Validate())
	add(c.Wire.Validate())
	add(c.Broker.Validate())
	return errors.Join(faults...)
}

// Bytes that a partition takes in a request that waits for records, and in a fetch session.
const (
	waitingPartition = 512
	sessionPartition = 256
)

// derive deals the agent's memory out to its parts.
func (c *agentConfig) derive() {
	memory := int64(c.Memory)
	c.Produce.FlushBytes = int(c.flushBytes)
	c.Produce.Memory = memory / 2
	c.Wire.MaxFrame = int(c.maxFrame)
	c.Wire.MaxMemory = memory / 2
	c.Fetch.CacheBytes = int64(c.Cache)
	c.Fetch.FlightBytes = max(memory/8, 2*c.Fetch.MaxChunk)
	c.Fetch.CopiedBytes = memory / 16
	c.Fetch.ColdCacheBytes = max(memory/8, c.Fetch.MaxChunk) // readers of the same history drift apart: what one has read, the next finds
	c.Fetch.MaxWaitingPartitions = int(memory / 16 / waitingPartition)
	c.Fetch.MaxSessionPartitions = int(memory / 16 / sessionPartition)
	c.Fetch.ColdFlightBytes = max(memory/16, c.Fetch.MaxChunk)
}

// peerAddress is --peer, or a free port on the host of --gossip.
func (c *agentConfig) peerAddress() string {
	if c.Peer != "" {
		return c.Peer
	}
	host, _, err := net.SplitHostPort(c.Gossip)
	if err != nil {
		host = "127.0.0.1" // the gossip address is refused for itself
	}
	return net.JoinHostPort(host, "0")
}

func (c *agentConfig) certificate(log *slog.Logger) (*wire.Certificate, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	return wire.LoadCertificate(c.TLSCert, c.TLSKey, log)
}
