package objstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Error is what every store returns: what was tried on what, its class, the cause, and
// what a person can try.
type Error struct {
	Op    string // put, get, head, delete, list, multipart, clock, open
	Name  string // the key, or the bucket where there is none
	Class error  // one of the Err variables; nil when the context ended before anything was sent
	Cause error  // may be nil
	Try   string // what to try; may be empty
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Name != "" {
		fmt.Fprintf(&b, " %s", e.Name)
	}
	if e.Class != nil {
		fmt.Fprintf(&b, ": %v", e.Class)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if e.Try != "" {
		fmt.Fprintf(&b, "; try: %s", e.Try)
	}
	return b.String()
}

// Unwrap lets errors.Is find the class and the cause.
func (e *Error) Unwrap() []error {
	wrapped := make([]error, 0, 2)
	if e.Class != nil {
		wrapped = append(wrapped, e.Class)
	}
	if e.Cause != nil {
		wrapped = append(wrapped, e.Cause)
	}
	return wrapped
}

// Invalid is an error of class ErrInvalid, or nil when cause is nil: a check can stand
// in one line before the request.
func Invalid(op, name string, cause error) error {
	if cause == nil {
		return nil
	}
	return &Error{Op: op, Name: name, Class: ErrInvalid, Cause: cause}
}

// Ended is the error of a request whose context ended before it was sent, or nil while it lives.
func Ended(ctx context.Context, op, name string) error {
	if ctx.Err() == nil {
		return nil
	}
	return &Error{Op: op, Name: name, Cause: ContextError(ctx)}
}

// Check says why a request for key cannot begin: the key is none, or the context has ended.
func Check(ctx context.Context, op, key string) error {
	if err := Invalid(op, key, CheckKey(key)); err != nil {
		return err
	}
	return Ended(ctx, op, key)
}

// ContextError is the error of a context that has ended, with its cause where it has one
// of its own, so that errors.Is finds both.
func ContextError(ctx context.Context) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, err) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// Lost is the error of a request whose context ended after it was sent: a write may still
// be carried out, a read has simply ended.
func Lost(ctx context.Context, op, name string, write bool) error {
	e := &Error{Op: op, Name: name, Cause: ContextError(ctx)}
	if write {
		e.Class = ErrUnknownOutcome
	}
	return e
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Class names what became of a request in one word, for metrics and tables: ok, exists, missing,
// no_bucket, denied, throttled, unknown, unavailable, invalid, canceled or other.
func Class(err error) string {
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	switch {
	case err == nil:
		return "ok"
	case isContext(err):
		return "canceled"
	}
	return "other"
}

// classes is the list of all classes; nobody writes to it.
var classes = []struct {
	err  error
	name string
}{
	{ErrExists, "exists"},
	{ErrNotFound, "missing"},
	{ErrNoBucket, "no_bucket"},
	{ErrDenied, "denied"},
	{ErrThrottled, "throttled"},
	{ErrUnknownOutcome, "unknown"},
	{ErrUnavailable, "unavailable"},
	{ErrInvalid, "invalid"},
}
