package objstore

import "context"

type lentKey struct{}

// Lend offers a read a buffer to read into, for callers that use theirs again: new memory is zeroed, and each of its pages
// faulted in, which costs as much as the reading. A store that reads into it returns a part of it, and does not touch
// it after it has returned; one that cannot returns a slice of its own, as ever. The buffer travels in ctx, so that
// every store that wraps another passes it on.
func Lend(ctx context.Context, buffer []byte) context.Context {
	return context.WithValue(ctx, lentKey{}, buffer)
}

// Room is where a store reads n bytes to: the front of the buffer that was lent, if n fit, or a new slice.
func Room(ctx context.Context, n int64) []byte {
	if lent, ok := ctx.Value(lentKey{}).([]byte); ok && n <= int64(len(lent)) {
		return lent[:n:n]
	}
	return make([]byte, n)
}
