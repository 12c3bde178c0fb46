package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/isthmusdata/isthmus/internal/wire"
)

// lastFetch knows when a client has fetched last.
type lastFetch struct{ at atomic.Int64 } // Unix nanoseconds

// note lets an API's requests be noted.
func (l *lastFetch) note(api wire.API) wire.API {
	inner := api.Handler
	api.Handler = wire.HandlerFunc(func(ctx context.Context, r *wire.Request, reply func(wire.Reply)) {
		l.at.Store(time.Now().UnixNano())
		inner.Serve(ctx, r, reply)
	})
	return api
}

// lately says whether that was not long ago.
func (l *lastFetch) lately() bool { return time.Since(time.Unix(0, l.at.Load())) < canaryIdle }
