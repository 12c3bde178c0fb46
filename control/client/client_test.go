package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// script is a control plane that answers each attempt as the test has written down.
type script struct {
	controlpb.UnimplementedTunnelServiceServer
	controlpb.UnimplementedIndexServiceServer
	controlpb.UnimplementedMembershipServiceServer
	controlpb.UnimplementedSequencerServiceServer

	mu       sync.Mutex
	attempts []attempt // what each call ends with, in order; then success
	seen     int
	sessions []uint64
	plan     *controlpb.PlanResponse
	topics   *controlpb.TopicsResponse
	beats    []*controlpb.HeartbeatResponse
	logins   uint64
	fetched  []*controlpb.Usage // that the last heartbeat brought
	away     atomic.Bool        // heartbeats are not answered
}

type attempt struct {
	code    codes.Code
	refused bool
	ended   bool
}

func (s *script) next(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	if len(s.attempts) == 0 {
		return nil
	}
	a := s.attempts[0]
	s.attempts = s.attempts[1:]
	trailer := metadata.MD{}
	if a.refused {
		trailer.Set(controlpb.RefusedTrailer, "1")
	}
	if a.ended {
		trailer.Set(controlpb.EndedTrailer, "1")
	}
	if err := grpc.SetTrailer(ctx, trailer); err != nil {
		return err
	}
	return status.Error(a.code, "as the script says")
}

func (s *script) Call(ctx context.Context, r *controlpb.CallRequest) (*controlpb.CallResponse, error) {
	return &controlpb.CallResponse{Body: r.GetBody()}, s.next(ctx)
}

func (s *script) Plan(ctx context.Context, r *controlpb.PlanRequest) (*controlpb.PlanResponse, error) {
	s.mu.Lock()
	s.sessions = append(s.sessions, r.GetSession())
	s.mu.Unlock()
	return s.plan, s.next(ctx)
}

func (s *script) Topics(ctx context.Context, _ *controlpb.TopicsRequest) (*controlpb.TopicsResponse, error) {
	return s.topics, s.next(ctx)
}

func (s *script) Login(ctx context.Context, _ *controlpb.LoginRequest) (*controlpb.LoginResponse, error) {
	if err := s.next(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins++
	return &controlpb.LoginResponse{Session: s.logins, LeaseMs: 1000, HeartbeatMs: 1}, nil
}

func (s *script) Heartbeat(_ context.Context, r *controlpb.HeartbeatRequest) (*controlpb.HeartbeatResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetched = r.GetFetched()
	if s.away.Load() {
		return nil, status.Error(codes.Unavailable, "away")
	}
	if len(s.beats) == 0 {
		return &controlpb.HeartbeatResponse{}, nil
	}
	b := s.beats[0]
	s.beats = s.beats[1:]
	return b, nil
}

func (s *script) Commit(stream grpc.BidiStreamingServer[controlpb.CommitRequest, controlpb.CommitResponse]) error {
	if err := s.next(stream.Context()); err != nil {
		return err
	}
	if err := stream.SendHeader(metadata.Pairs(controlpb.ReadyHeader, "1")); err != nil {
		return err
	}
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(&controlpb.CommitResponse{Session: r.GetSession(), Share: r.GetShare(), Sequence: r.GetSequence(), Outcome: uint32(r.GetAcked())}); err != nil {
			return err
		}
	}
}

// serve starts the script at addresses; a nil one is an address where nobody listens.
func serve(t *testing.T, scripts ...*script) *Client {
	t.Helper()
	return serveWith(t, func(*Config) {}, nil, scripts...)
}

// serveWith does so for a client with other settings, and with somebody who lets it in.
func serveWith(t *testing.T, change func(*Config), auth controlpb.AuthServiceServer, scripts ...*script) *Client {
	t.Helper()
	listeners := map[string]*bufconn.Listener{}
	c := Default()
	c.BackoffMin, c.BackoffMax, c.Patience, c.DeniedPause = time.Millisecond, 2*time.Millisecond, 10*time.Second, time.Millisecond
	for i, s := range scripts {
		addr := string(rune('a'+i)) + ":1"
		c.Addrs = append(c.Addrs, addr)
		if s == nil {
			continue
		}
		l := bufconn.Listen(1 << 16)
		g := grpc.NewServer()
		controlpb.RegisterTunnelServiceServer(g, s)
		controlpb.RegisterIndexServiceServer(g, s)
		controlpb.RegisterMembershipServiceServer(g, s)
		controlpb.RegisterSequencerServiceServer(g, s)
		if auth != nil {
			controlpb.RegisterAuthServiceServer(g, auth)
		}
		served := make(chan error, 1)
		go func() { served <- g.Serve(l) }()
		t.Cleanup(func() {
			g.Stop()
			if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				t.Error(err)
			}
		})
		listeners[addr] = l
	}
	change(&c)
	cl, err := Dial(c, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry(),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			if l := listeners[addr]; l != nil {
				return l.DialContext(ctx)
			}
			return nil, errors.New("connection refused")
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close() })
	return cl
}

const (
	createTopics    = 19
	offsetFetch     = 9
	lostAnswer      = codes.Aborted
	notLeader       = codes.Unavailable
	invalidArgument = codes.InvalidArgument
)

func TestWhatIsRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		key      int16
		attempts []attempt
		seen     int
		err      error
	}{
		"refused, then answered":           {createTopics, []attempt{{notLeader, true, false}, {notLeader, true, false}}, 3, nil},
		"lost, and may not be repeated":    {createTopics, []attempt{{code: lostAnswer}}, 1, ErrUnavailable},
		"broken, and may not be repeated":  {createTopics, []attempt{{code: notLeader}}, 1, ErrUnavailable},
		"lost, and may be repeated":        {offsetFetch, []attempt{{code: lostAnswer}, {code: notLeader}}, 3, nil},
		"invalid is final":                 {offsetFetch, []attempt{{invalidArgument, true, false}}, 1, ErrInvalid},
		"denied is final":                  {offsetFetch, []attempt{{codes.PermissionDenied, true, false}}, 1, ErrDenied},
		"failed is final":                  {offsetFetch, []attempt{{code: codes.Internal}}, 1, ErrInternal},
		"ended session, then another":      {offsetFetch, []attempt{{codes.FailedPrecondition, true, true}}, 2, nil},
		"overloaded, then answered":        {createTopics, []attempt{{codes.ResourceExhausted, true, false}}, 2, nil},
		"ended session of a one-time call": {createTopics, []attempt{{codes.FailedPrecondition, true, true}}, 2, nil},
	} {
		s := &script{attempts: c.attempts}
		body, err := serve(t, s).Call(t.Context(), TunnelCall{Key: c.key, Body: []byte("x"), ClientID: "\xff"})
		if !errors.Is(err, c.err) || c.err == nil && (err != nil || string(body) != "x") {
			t.Errorf("%s: %q, %v", name, body, err)
		}
		if s.seen != c.seen {
			t.Errorf("%s: %d attempts, want %d", name, s.seen, c.seen)
		}
	}
}

func TestTurnsToTheLeader(t *testing.T) {
	follower := &script{attempts: []attempt{{notLeader, true, false}, {notLeader, true, false}, {notLeader, true, false}}}
	leader := &script{}
	cl := serve(t, nil, follower, leader)
	for range 3 {
		if _, err := cl.Call(t.Context(), TunnelCall{Key: createTopics}); err != nil {
			t.Fatal(err)
		}
	}
	if follower.seen != 1 || leader.seen != 3 {
		t.Errorf("the follower was asked %d times, the leader %d times", follower.seen, leader.seen)
	}
}

func TestPatienceEnds(t *testing.T) {
	cl := serve(t, nil)
	cl.config.Patience = 20 * time.Millisecond
	_, err := cl.Topics(t.Context(), topic.Query{All: true})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "--control") || !strings.Contains(err.Error(), "a:1") {
		t.Errorf("%v", err)
	}
}

// TestAnswersAreChecked: what a control plane sends is bounded and makes sense, or is an error.
func TestAnswersAreChecked(t *testing.T) {
	p := topic.Partition{Topic: topic.ID{1}}
	object := func() *controlpb.Object { return &controlpb.Object{Share: "s", Nonce: make([]byte, 12), Size: 100} }
	good := func() *controlpb.PlanResponse {
		return &controlpb.PlanResponse{Objects: []*controlpb.Object{object()}, Partitions: []*controlpb.PartitionPlan{{
			HighWatermark: 9, Extents: []*controlpb.Extent{{Base: 3, Records: 6, Length: 50, Position: 50}},
		}}}
	}
	ask := func(r *controlpb.PlanResponse) ([]segment.PartitionPlan, error) {
		return serve(t, &script{plan: r}).Plan(t.Context(), []segment.PlanQuery{{Partition: p, Offset: 3}})
	}
	if got, err := ask(good()); err != nil || got[0].Locations[0].End() != 9 || got[0].Locations[0].Partition != p {
		t.Errorf("%+v %v", got, err)
	}
	for name, harm := range map[string]func(*controlpb.PlanResponse){
		"too few":        func(r *controlpb.PlanResponse) { r.Partitions = nil },
		"nonce":          func(r *controlpb.PlanResponse) { r.Objects[0].Nonce = []byte{1} },
		"no such object": func(r *controlpb.PlanResponse) { r.Partitions[0].Extents[0].Object = 1 },
		"outside":        func(r *controlpb.PlanResponse) { r.Partitions[0].Extents[0].Length = 51 },
		"overflow":       func(r *controlpb.PlanResponse) { r.Partitions[0].Extents[0].Length = 1<<32 - 1 },
		"negative":       func(r *controlpb.PlanResponse) { r.Partitions[0].Extents[0].Base = -1 },
	} {
		r := good()
		harm(r)
		if got, err := ask(r); !errors.Is(err, ErrInternal) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	for name, r := range map[string]*controlpb.TopicsResponse{
		"none": {}, "no id": {Topics: []*controlpb.Topic{{Name: "a"}}},
		"bad config": {Topics: []*controlpb.Topic{{Name: "a", Id: make([]byte, 16), Config: map[string]string{"nonsense": "1"}}}},
	} {
		if got, err := serve(t, &script{topics: r}).Topics(t.Context(), topic.Query{Names: []string{"a"}}); !errors.Is(err, ErrInternal) {
			t.Errorf("topics, %s: %+v %v", name, got, err)
		}
	}
}

func TestCommitStreamOpensAtTheLeader(t *testing.T) {
	follower := &script{attempts: []attempt{{notLeader, true, false}}}
	cl := serve(t, follower, &script{})
	s, err := cl.Commits(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []segment.Outcome{segment.Answered, 99} { // the script answers with acked
		if err := s.Send(&segment.Commit{Session: 1, Share: "s", Sequence: 2, Acked: uint64(outcome)}); err != nil {
			t.Fatal(err)
		}
		r, err := s.Recv()
		if outcome == segment.Answered && (err != nil || r.Sequence != 2) || outcome == 99 && !errors.Is(err, ErrInternal) {
			t.Errorf("outcome %d: %+v %v", outcome, r, err)
		}
	}
	s.Close()
	if _, err := s.Recv(); err == nil {
		t.Error("a closed stream answers")
	}
}

// TestMembershipHearsOfTheEnd: an ended session is told to whoever commits in it before the next begins.
func TestMembershipHearsOfTheEnd(t *testing.T) {
	s := &script{beats: []*controlpb.HeartbeatResponse{{Seeds: []string{"x"}}, {Seeds: []string{"x"}}, {Ended: true}}}
	cl := serve(t, s)
	news := make(chan string, 16)
	m := NewMembership(cl, LoginRequest{Agent: "a", Group: "g"}, Hooks{
		Granted: func(g Grant) { news <- "granted" },
		Ended:   func(uint64) { news <- "ended" },
		Seeds:   func(seeds []string) { news <- strings.Join(seeds, ",") },
	}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	for _, want := range []string{"granted", "x", "ended", "granted"} {
		if got := <-news; got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// TestMembershipNoticesSilence: half a lease without an answer is told, and so is the next answer; nothing is
// told twice.
func TestMembershipNoticesSilence(t *testing.T) {
	s := &script{}
	news := make(chan bool, 16)
	m := NewMembership(serve(t, s), LoginRequest{Agent: "a", Group: "g"}, Hooks{
		Granted: func(Grant) {}, Ended: func(uint64) {}, Seeds: func([]string) {}, Reached: func(ok bool) { news <- ok },
	}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	reached := true
	for range 2 {
		for _, away := range []bool{true, false} {
			s.away.Store(away)
			for first := true; first || reached == away; first = false { // a slow machine may hear silence of its own
				told := <-news
				if told == reached {
					t.Fatalf("told twice: %v", told)
				}
				reached = told
			}
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestMembershipGivesUpWhatCannotSucceed(t *testing.T) {
	s := &script{attempts: []attempt{{codes.PermissionDenied, true, false}}}
	m := NewMembership(serve(t, s), LoginRequest{Agent: "a", Group: "g"}, Hooks{}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err := m.Run(t.Context()); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "group g") {
		t.Error(err)
	}
}

// TestMembershipAsksAgainWhileDenied: an agent that is not let in says so and asks again; let in, it hears of every
// change of the walls once, and of the walls as they are after each login.
func TestMembershipAsksAgainWhileDenied(t *testing.T) {
	no := attempt{codes.PermissionDenied, true, false}
	s := &script{attempts: []attempt{no, no}, beats: []*controlpb.HeartbeatResponse{
		{Walls: 3}, {Walls: 3}, {Walls: 4, Shares: []*controlpb.Share{{Name: "a", Bucket: "mem://", Roles: []*controlpb.ShareRole{{RoleArn: "arn"}}}}},
		{Walls: 4, Quota: &controlpb.Quota{Requests: 5}}, {Walls: 4, Quota: &controlpb.Quota{Requests: 5}, Agents: 2}, {Ended: true},
		{Walls: 4}, {Walls: 4}, {Walls: 5},
	}}
	news := make(chan string, 16)
	m := NewMembership(serve(t, s), LoginRequest{Agent: "a", Group: "g"}, Hooks{
		Granted: func(Grant) { news <- "granted" }, Ended: func(uint64) { news <- "ended" }, Seeds: func([]string) {},
		Denied: func(error) { news <- "denied" },
		Walls: func(b Beat) {
			said := fmt.Sprintf("walls %d, %d requests, %d agents", b.Walls, b.Quota.Requests, b.Agents)
			for _, s := range b.Shares {
				said += " " + s.Name + " as " + s.Roles[0].ARN
			}
			news <- said
		},
	}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	for _, want := range []string{
		"denied", "denied", "granted", "walls 3, 0 requests, 0 agents", "walls 4, 0 requests, 0 agents a as arn",
		"walls 4, 5 requests, 0 agents", "walls 4, 5 requests, 2 agents", "ended", "granted", "walls 4, 0 requests, 0 agents", "walls 5, 0 requests, 0 agents",
	} {
		if got := <-news; got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestConfigReportsEveryFault(t *testing.T) {
	c := Default()
	c.Addrs, c.Patience, c.BackoffMax = []string{"nonsense"}, 0, time.Microsecond
	err := c.Validate()
	for _, w := range []string{"nonsense", "patience", "longest pause"} {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%v does not say %q", err, w)
		}
	}
	c = Default()
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "--control") {
		t.Errorf("no address: %v", err)
	}
}
