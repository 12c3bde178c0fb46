package identity

import (
	"errors"
	"fmt"
	"strings"
)

// The classes of errors; errors.Is finds them.
var (
	ErrRefused     = errors.New("refused")      // it does not prove it, and will not when it is sent again
	ErrUnavailable = errors.New("unavailable")  // who had to be asked did not answer as it should: try again
	ErrClock       = errors.New("clock")        // the clocks of agent, server or issuer are too far apart
	ErrMalformed   = errors.New("malformed")    // it is not a proof
	ErrLimited     = errors.New("rate limited") // too many; try again later
)

// Error says what was wrong with a proof, or with verifying it. It holds no secret and nothing that was sent but what
// was found well formed.
type Error struct {
	Class  error // one of those above
	Reason string
	Try    string // what a person may do about it; may be empty
	Cause  error  // for the log; may be nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Reason)
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if e.Try != "" {
		fmt.Fprintf(&b, " (%s)", e.Try)
	}
	return b.String()
}

func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Class}
	}
	return []error{e.Class, e.Cause}
}

// Retriable says whether the same agent may succeed with a new proof and nothing else changed.
func Retriable(err error) bool { return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrLimited) }

func failf(class error, try, format string, args ...any) *Error {
	return &Error{Class: class, Reason: fmt.Sprintf(format, args...), Try: try}
}

func causef(class error, cause error, try, format string, args ...any) *Error {
	return &Error{Class: class, Reason: fmt.Sprintf(format, args...), Try: try, Cause: cause}
}

// only says whether s has least to most bytes, all of them of chars.
func only(s string, least, most int, chars string) bool {
	return len(s) >= least && len(s) <= most && strings.Trim(s, chars) == ""
}
