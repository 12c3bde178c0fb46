package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
	"google.golang.org/grpc/codes"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/raft"
	"github.com/isthmusdata/isthmus/control/tunnel"
)

func (b *bed) refused(words ...string) {
	b.t.Helper()
	b.deps.Registerer = prometheus.NewRegistry()
	n, err := Start(b.t.Context(), b.config, b.deps)
	if err == nil {
		err = n.WaitReady(b.t.Context())
		n.Stop(b.t.Context())
	}
	if err == nil {
		b.t.Fatalf("started; an error with %q is due", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			b.t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func TestBusyPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := newBed(t)
	b.config.Listen = l.Addr().String()
	b.refused(b.config.Listen, "--listen")
}

func TestListenAddress(t *testing.T) {
	for addr, ok := range map[string]bool{"127.0.0.1:0": true, "[::1]:1": true, "0.0.0.0:7400": true, "host.example:7400": true, "nonsense": false} {
		if err := checkListen(addr); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestConfigReportsEveryFault(t *testing.T) {
	c := Default()
	c.Cluster, c.Raft.Dir, c.CommitWindow = "a/b", "", 0
	err := c.Validate()
	for _, w := range []string{"--data-dir", "--bucket", "cluster", "commit window 0"} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%v does not say %q", err, w)
		}
	}
	c = Default()
	c.Raft.Dir, c.BucketURL = t.TempDir(), "mem://"
	if err := c.Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func TestUsedDataDirectory(t *testing.T) {
	b := newBed(t)
	b.start()
	second := newBed(t)
	second.config.Raft.Dir = b.config.Raft.Dir
	second.config.Listen = "127.0.0.1:0"
	second.refused("in use by another process")
}

// TestBucketOfAShareIsForGood: started with another bucket URL, agents would look for old objects there.
func TestBucketOfAShareIsForGood(t *testing.T) {
	b := newBed(t)
	b.start()
	b.stop()
	b.config.BucketURL, b.config.Listen, b.deps.Listener = "file:///elsewhere", "127.0.0.1:0", nil
	b.refused(`share "default" lies in bucket mem://`, "--bucket mem://")
}

// TestStopIsInOrder: a request that is parked, and streams, do not hold a stop up.
func TestStopIsInOrder(t *testing.T) {
	b := newBed(t)
	b.start()
	a := b.agent("a", "produce", "fetch")
	s := a.commits(t)
	w, err := a.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parked := make(chan error, 1)
	ctx, cancel := contextOf(t)
	go func() { parked <- joinAlone(ctx, a.Client) }()
	eventually(t, "the request is parked", func() bool { return parkedRequests(t, b) == 1 })
	b.stop()
	if _, err := s.Recv(); err == nil {
		t.Error("a commit stream outlives its node")
	}
	if _, err := w.Recv(); err == nil {
		t.Error("a watch outlives its node")
	}
	cancel()
	if err := <-parked; err == nil {
		t.Error("a parked request was answered by a node that stopped")
	}
	b.start() // the directory was given up
}

// joinAlone joins a consumer group, whose first rebalance waits for others.
func joinAlone(ctx context.Context, c *client.Client) error {
	id := ""
	for {
		r := kmsg.NewPtrJoinGroupRequest()
		r.Version = 5
		r.Group, r.ProtocolType, r.MemberID, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = "group", "consumer", id, 30_000, 60_000
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name = "range"
		r.Protocols = append(r.Protocols, p)
		raw, err := c.Call(ctx, client.TunnelCall{Key: r.Key(), Version: r.Version, Body: r.AppendTo(nil), ClientID: "test", ClientHost: "/127.0.0.1"})
		if err != nil {
			return err
		}
		answer := kmsg.NewPtrJoinGroupResponse()
		answer.Version = r.Version
		if err := answer.ReadFrom(raw); err != nil {
			return err
		}
		if answer.ErrorCode != 79 { // MEMBER_ID_REQUIRED
			return nil
		}
		id = answer.MemberID
	}
}

func parkedRequests(t *testing.T, b *bed) float64 {
	families, err := b.deps.Registerer.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "isthmus_control_group_parked_requests" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no such metric")
	return 0
}

func TestErrorsOnTheWire(t *testing.T) {
	for _, c := range []struct {
		err     error
		code    codes.Code
		refused bool
	}{
		{raft.ErrNotLeader, codes.Unavailable, true},
		{fmt.Errorf("%w: %w", raft.ErrUnknownOutcome, raft.ErrNotLeader), codes.Aborted, false},
		{raft.ErrOverloaded, codes.ResourceExhausted, true},
		{raft.ErrTooLarge, codes.InvalidArgument, true},
		{errDenied, codes.PermissionDenied, true},
		{errEnded, codes.FailedPrecondition, true},
		{errStopping, codes.Unavailable, true},
		{tunnel.ErrMalformed, codes.InvalidArgument, true},
		{tunnel.ErrAway, codes.Unavailable, true},
		{context.DeadlineExceeded, codes.DeadlineExceeded, false},
		{errors.New("other"), codes.Internal, false},
	} {
		s, trailer := toStatus(fmt.Errorf("do: %w", c.err))
		if s.Code() != c.code || (len(trailer.Get(controlpb.RefusedTrailer)) > 0) != c.refused || !strings.Contains(s.Message(), c.err.Error()) {
			t.Errorf("%v: %v %v", c.err, s, trailer)
		}
	}
}

// TestConnectionsAreBounded: one that is too many waits until another leaves.
func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := bound(inner, 1)
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	for range 2 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-accepted
	if len(l.places) != 1 {
		t.Errorf("%d places are taken", len(l.places))
	}
	first.Close()
	first.Close() // gives its place back once
	second := <-accepted
	l.Close()
	second.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// TestFailureOfTheNodeIsTold: the process learns why it must exit.
func TestFailureOfTheNodeIsTold(t *testing.T) {
	b := newBed(t)
	b.start()
	why := errors.New("disk on fire")
	b.node.raft.Fail(why)
	<-b.node.Done()
	if err := b.node.Ready(); err == nil {
		t.Error("ready")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := b.node.Stop(ctx); !errors.Is(err, why) {
		t.Errorf("stopped with %v", err)
	}
	b.node = nil
}
