package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// Config is how to reach the control plane.
type Config struct {
	// Addrs are host:port of its nodes; each is asked in turn until the leader answers.
	Addrs []string
	// Patience is how long a call without a deadline of its own is tried.
	Patience time.Duration
	// ConnectTimeout bounds one attempt to connect.
	ConnectTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause between attempts, which doubles and is jittered.
	BackoffMin, BackoffMax time.Duration
	// DeniedPause is how long an agent that is not let in waits before it asks again; for half as long every other call
	// of a client that was not let in is answered as the last login was.
	DeniedPause time.Duration
	// KeepaliveTime is how long a silent connection is believed; KeepaliveTimeout how long it may take to answer.
	KeepaliveTime, KeepaliveTimeout time.Duration
	// MessageBytes bounds one answer.
	MessageBytes int
	// TLS is how the control plane is known; nil: it is reached in plain text.
	TLS *tls.Config
	// LeaveStrangers ends a call at once when what answers is not the control plane that TLS says. A process that runs
	// for long waits instead until it is: somebody may be mending it.
	LeaveStrangers bool
	// Auth is who the client is; nil: its calls carry no token.
	Auth *Auth
}

// Default returns the configuration; Addrs are the caller's.
func Default() Config {
	return Config{
		Patience:         30 * time.Second,
		ConnectTimeout:   3 * time.Second,
		BackoffMin:       50 * time.Millisecond,
		BackoffMax:       2 * time.Second,
		DeniedPause:      5 * time.Second,
		KeepaliveTime:    10 * time.Second,
		KeepaliveTimeout: 5 * time.Second,
		MessageBytes:     32 << 20,
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	if len(c.Addrs) == 0 {
		faults = append(faults, errors.New("no control plane is named: give --control HOST:PORT"))
	}
	for _, a := range c.Addrs {
		if _, _, err := net.SplitHostPort(a); err != nil {
			faults = append(faults, fmt.Errorf("control plane address %q: %w (write HOST:PORT)", a, err))
		}
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"patience", c.Patience}, {"connect timeout", c.ConnectTimeout}, {"least pause", c.BackoffMin},
		{"longest pause", c.BackoffMax}, {"denied pause", c.DeniedPause}, {"keepalive time", c.KeepaliveTime}, {"keepalive timeout", c.KeepaliveTimeout},
	} {
		if d.d <= 0 {
			faults = append(faults, fmt.Errorf("%s %s is not positive", d.name, d.d))
		}
	}
	if c.BackoffMax < c.BackoffMin {
		faults = append(faults, fmt.Errorf("longest pause %s is below the least %s", c.BackoffMax, c.BackoffMin))
	}
	if c.MessageBytes < 1<<20 {
		faults = append(faults, fmt.Errorf("message bound %d B is below 1 MiB", c.MessageBytes))
	}
	return errors.Join(faults...)
}
