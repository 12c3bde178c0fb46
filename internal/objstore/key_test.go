package objstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// FuzzCheckKey: a key that passes stays where it is put, and fits every store.
func FuzzCheckKey(f *testing.F) {
	for _, seed := range []string{"a/b", "", "/", "a//b", "../a", "a/..", "a/./b", ".tmp/x", "a\\b", "a\x00", "ä/日", "a/...", strings.Repeat("x", 256)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if CheckKey(key) != nil {
			return
		}
		joined := path.Join("/root/bucket", key)
		if joined != "/root/bucket/"+key || !utf8.ValidString(key) || strings.ContainsAny(key, "\\\x00\n") {
			t.Errorf("key %q leads to %q", key, joined)
		}
	})
}

// TestClipRange compares with the obvious arithmetic, at sizes where it overflows too.
func TestClipRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edge := rapid.OneOf(rapid.Int64Range(0, 20), rapid.Int64Range(math.MaxInt64-20, math.MaxInt64), rapid.Int64Range(MaxWhole-3, MaxWhole+3))
		position, size := edge.Draw(t, "position"), edge.Draw(t, "size")
		length := rapid.OneOf(rapid.Just(int64(-1)), edge).Draw(t, "length")
		if CheckRange(position, length) != nil {
			return
		}
		n, err := ClipRange(position, length, size)
		end := float64(position) + float64(length)
		switch {
		case err != nil && length > 0 && end <= float64(size) && position < size-20:
			t.Fatalf("refused %d+%d of %d: %v", position, length, size, err)
		case err == nil && (n < 0 || n > MaxWhole || position > size || n > size-position):
			t.Fatalf("%d bytes of %d+%d of %d", n, position, length, size)
		case err == nil && length > 0 && n != length:
			t.Fatalf("%d bytes where %d were asked for", n, length)
		case err == nil && length < 0 && n != size-position:
			t.Fatalf("%d bytes where %d are left", n, size-position)
		}
	})
}

func TestErrorNamesClassCauseAndTry(t *testing.T) {
	cause := errors.New("no space left")
	err := fmt.Errorf("upload: %w", &Error{Op: "put", Name: "a/b", Class: ErrUnavailable, Cause: cause, Try: "make room"})
	if got, want := err.Error(), "upload: put a/b: store unavailable: no space left; try: make room"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, cause) || errors.Is(err, ErrDenied) || Class(err) != "unavailable" {
		t.Errorf("%v wraps the wrong errors", err)
	}
	if Class(nil) != "ok" || Class(cause) != "other" || Class(fmt.Errorf("x: %w", context.Canceled)) != "canceled" {
		t.Error("classes of errors that are not ours")
	}
}

// TestErrorsOfContexts: before a request is sent only the context's error, after it also that the outcome is unknown,
// and the context's own cause either way.
func TestErrorsOfContexts(t *testing.T) {
	if err := Ended(t.Context(), "put", "k"); err != nil {
		t.Errorf("a living context: %v", err)
	}
	why := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	for _, c := range []struct {
		err     error
		unknown bool
	}{{Ended(ctx, "put", "k"), false}, {Lost(ctx, "put", "k", true), true}, {Lost(ctx, "get", "k", false), false}} {
		if !errors.Is(c.err, context.Canceled) || !errors.Is(c.err, why) || errors.Is(c.err, ErrUnknownOutcome) != c.unknown {
			t.Errorf("%v: want unknown %v", c.err, c.unknown)
		}
	}
}

func TestParts(t *testing.T) {
	var p Parts
	for _, c := range []struct {
		size int64
		ok   bool
	}{{MinPart, true}, {0, false}, {MinPart + 1, true}, {MinPart - 1, true}, {1, false}, {MinPart, false}} {
		if err := p.Add(c.size); (err == nil) != c.ok {
			t.Errorf("part of %d bytes: %v", c.size, err)
		}
	}
	if p.Count != 3 || p.Size != 3*MinPart {
		t.Errorf("got %+v", p)
	}
	p = Parts{Count: MaxParts, last: MinPart}
	if p.Add(1) == nil {
		t.Error("more parts than there can be")
	}
}
