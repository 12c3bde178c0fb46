package agentgroup

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// Config says where a group gossips and how quickly it believes what.
type Config struct {
	Cluster string // name of the cluster
	Group   string // name of the group; with the cluster's it is the label of all gossip

	// Bind is the IP address and port to gossip on, TCP and UDP; port 0 takes a free one.
	Bind string
	// Advertise is the IP address other members reach this one at; empty: Bind's, or the
	// machine's private address where Bind names none.
	Advertise string

	// ProbeInterval is the time between two probes by each member, in turn of all others. A dead
	// one is probed by somebody within five intervals, 99 times in 100; one more passes until it
	// is suspected, and SuspicionMult more (times log10 of the group's size, if that is above 1)
	// until it is declared dead.
	ProbeInterval time.Duration
	// ProbeTimeout is how long an answer may take before others are asked to probe.
	ProbeTimeout time.Duration
	// SuspicionMult is how many intervals a silent member has to show that it lives.
	SuspicionMult int
	// GossipInterval is the time between two rounds of news.
	GossipInterval time.Duration
	// SyncInterval is the time between two exchanges of all that is known with one member.
	SyncInterval time.Duration

	// Settle is how long a member must have lived before leadership moves to it.
	Settle time.Duration
	// JoinTimeout bounds an attempt to reach a seed.
	JoinTimeout time.Duration
	// LeaveTimeout bounds how long a leaving member waits until its goodbye is sent.
	LeaveTimeout time.Duration
}

// Default is tuned for agents of one region that may share a busy machine.
func Default() Config {
	return Config{
		Bind:           "127.0.0.1:7946",
		ProbeInterval:  200 * time.Millisecond,
		ProbeTimeout:   150 * time.Millisecond,
		SuspicionMult:  3,
		GossipInterval: 50 * time.Millisecond,
		SyncInterval:   10 * time.Second,
		Settle:         10 * time.Second,
		JoinTimeout:    2 * time.Second,
		LeaveTimeout:   time.Second,
	}
}

// maxNames keeps the label, cluster/group, within memberlist's bound.
const maxNames = 250

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	if c.Cluster == "" || c.Group == "" || len(c.Cluster)+len(c.Group) > maxNames {
		faults = append(faults, fmt.Errorf("cluster %q and group %q: both are needed, with at most %d bytes together", c.Cluster, c.Group, maxNames))
	}
	if _, _, err := splitBind(c.Bind); err != nil {
		faults = append(faults, err)
	}
	if c.Advertise != "" && net.ParseIP(c.Advertise) == nil {
		faults = append(faults, fmt.Errorf("gossip advertise address %q is not an IP address", c.Advertise))
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"probe interval", c.ProbeInterval}, {"probe timeout", c.ProbeTimeout}, {"gossip interval", c.GossipInterval},
		{"sync interval", c.SyncInterval}, {"join timeout", c.JoinTimeout}, {"leave timeout", c.LeaveTimeout},
	} {
		if d.d <= 0 {
			faults = append(faults, fmt.Errorf("gossip %s %v is not positive", d.name, d.d))
		}
	}
	if c.ProbeTimeout > c.ProbeInterval {
		faults = append(faults, fmt.Errorf("gossip probe timeout %v is above the probe interval %v", c.ProbeTimeout, c.ProbeInterval))
	}
	if c.SuspicionMult < 1 {
		faults = append(faults, fmt.Errorf("gossip suspicion of %d intervals: at least 1", c.SuspicionMult))
	}
	if c.Settle < 0 {
		faults = append(faults, fmt.Errorf("settling time %v is negative", c.Settle))
	}
	return errors.Join(faults...)
}

// splitBind reads an IP address (none: any) and a port.
func splitBind(bind string) (host string, port int, err error) {
	h, p, err := net.SplitHostPort(bind)
	if err != nil {
		return "", 0, fmt.Errorf("gossip address %q: %w (it is IP:PORT, port 0 for a free one)", bind, err)
	}
	port, err = net.LookupPort("udp", p)
	if err != nil {
		return "", 0, fmt.Errorf("gossip address %q: %w", bind, err)
	}
	switch {
	case h == "localhost":
		h = "127.0.0.1"
	case h == "" || net.ParseIP(h).IsUnspecified():
		h = "0.0.0.0"
	case net.ParseIP(h) == nil:
		return "", 0, fmt.Errorf("gossip address %q: %q is not an IP address", bind, h)
	}
	return h, port, nil
}
