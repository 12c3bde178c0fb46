package objstore

import "context"

type hedgeKey struct{}

// Hedging marks requests that ask a second time for what is asked already, for whoever counts.
func Hedging(ctx context.Context) context.Context { return context.WithValue(ctx, hedgeKey{}, true) }

// IsHedge says whether a request asks a second time.
func IsHedge(ctx context.Context) bool { return ctx.Value(hedgeKey{}) != nil }
