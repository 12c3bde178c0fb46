package coordinator

import (
	"errors"
	"time"
)

// Config bounds the groups. Names in brackets are Kafka's broker configs.
type Config struct {
	// MinSessionTimeout and MaxSessionTimeout bound what a member may ask for
	// [group.min.session.timeout.ms, group.max.session.timeout.ms].
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// InitialRebalanceDelay is how long an empty group waits for more members
	// after its first one [group.initial.rebalance.delay.ms].
	InitialRebalanceDelay time.Duration
	// NewMemberJoinTimeout is how long a member that does not know its id yet is
	// waited for; it cannot send heartbeats.
	NewMemberJoinTimeout time.Duration
	// MaxMembers is the most members, pending ones included, of one group [group.max.size].
	MaxMembers int
	// MaxGroups is the most groups held, empty ones included; restored ones are held in any case.
	MaxGroups int
	// MaxMemberBytes bounds what one member says of itself.
	MaxMemberBytes int
	// MaxGroupBytes bounds what is stored of a group in one command: it must fit
	// into an entry of the log. Half of it is for what the members say of
	// themselves, the rest for what their leader assigns.
	MaxGroupBytes int
	// MaxTotalBytes bounds what the members of all groups say of themselves.
	MaxTotalBytes int
}

// Default is Kafka's, but for the initial delay, which is shorter: 250 ms catches
// members that start together without making a single one wait three seconds;
// and for the bounds, which Kafka leaves open.
func Default() Config {
	return Config{
		MinSessionTimeout:     6 * time.Second,
		MaxSessionTimeout:     30 * time.Minute,
		InitialRebalanceDelay: 250 * time.Millisecond,
		NewMemberJoinTimeout:  5 * time.Minute,
		MaxMembers:            2000,
		MaxGroups:             100_000,
		MaxMemberBytes:        128 << 10,
		MaxGroupBytes:         480 << 10,
		MaxTotalBytes:         256 << 20,
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var errs []error
	if c.MinSessionTimeout < time.Millisecond {
		errs = append(errs, errors.New("coordinator: min session timeout must be at least 1ms"))
	}
	if c.MaxSessionTimeout < c.MinSessionTimeout {
		errs = append(errs, errors.New("coordinator: max session timeout must not be below the min session timeout"))
	}
	if c.InitialRebalanceDelay < 0 {
		errs = append(errs, errors.New("coordinator: initial rebalance delay must not be negative"))
	}
	if c.NewMemberJoinTimeout < time.Millisecond {
		errs = append(errs, errors.New("coordinator: new member join timeout must be at least 1ms"))
	}
	if c.MaxMembers < 1 || c.MaxGroups < 1 {
		errs = append(errs, errors.New("coordinator: max members and max groups must be at least 1"))
	}
	if c.MaxMemberBytes < 1 || c.MaxGroupBytes < 2*c.MaxMemberBytes || c.MaxTotalBytes < c.MaxGroupBytes {
		errs = append(errs, errors.New("coordinator: max member bytes must be at least 1, max group bytes at least twice that, and max total bytes no less"))
	}
	return errors.Join(errs...)
}
