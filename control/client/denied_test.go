package client

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// doorkeeper lets nobody in until it is told to.
type doorkeeper struct {
	controlpb.UnimplementedAuthServiceServer
	asked atomic.Int32
	open  atomic.Bool
}

func (d *doorkeeper) Begin(context.Context, *controlpb.BeginRequest) (*controlpb.BeginResponse, error) {
	return &controlpb.BeginResponse{Nonce: []byte("n"), Methods: []string{methodOpen}, Time: time.Now().UnixMilli()}, nil
}

func (d *doorkeeper) Authenticate(context.Context, *controlpb.AuthenticateRequest) (*controlpb.AuthenticateResponse, error) {
	d.asked.Add(1)
	if !d.open.Load() {
		return nil, status.Error(codes.PermissionDenied, "in no binding")
	}
	return &controlpb.AuthenticateResponse{Token: "t", RenewMs: 100_000}, nil
}

// TestWhoIsNotLetInAsksOnceInAWhile: the calls of an agent that is not let in do not each ask to be.
func TestWhoIsNotLetInAsksOnceInAWhile(t *testing.T) {
	door := &doorkeeper{}
	cl := serveWith(t, func(c *Config) {
		c.Auth, c.DeniedPause = &Auth{Open: true}, time.Hour
	}, door, &script{topics: &controlpb.TopicsResponse{}})
	for range 20 {
		if _, err := cl.Topics(t.Context(), topic.Query{}); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "in no binding") {
			t.Fatal(err)
		}
	}
	if n := door.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	cl.login.one.Lock()
	cl.login.deniedUntil = time.Now()
	cl.login.one.Unlock()
	door.open.Store(true)
	if _, err := cl.Topics(t.Context(), topic.Query{}); err != nil {
		t.Error(err)
	}
}
