package objstore

import (
	"context"
	"sync/atomic"
)

type hedgeKey struct{}

// Hedging marks requests that ask a second time for what is asked already, for whoever counts.
func Hedging(ctx context.Context) context.Context { return context.WithValue(ctx, hedgeKey{}, true) }

// IsHedge says whether a request asks a second time.
func IsHedge(ctx context.Context) bool { return ctx.Value(hedgeKey{}) != nil }

type repeatsKey struct{}

// CountRepeats has a store count in ctx what it sends again by itself.
func CountRepeats(ctx context.Context) context.Context {
	return context.WithValue(ctx, repeatsKey{}, new(atomic.Int64))
}

// Repeat says that a request is sent again.
func Repeat(ctx context.Context) {
	if n, ok := ctx.Value(repeatsKey{}).(*atomic.Int64); ok {
		n.Add(1)
	}
}

// Repeats is how often a request was sent again, if that was counted.
func Repeats(ctx context.Context) int64 {
	if n, ok := ctx.Value(repeatsKey{}).(*atomic.Int64); ok {
		return n.Load()
	}
	return 0
}
