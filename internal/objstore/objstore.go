package objstore

import (
	"context"
	"errors"
	"time"
)

// Errors are classified once, here; callers decide by errors.Is. Every error an
// implementation returns is an *Error and wraps exactly one of these, or the context's. A write
// whose context ended after it had been sent wraps both ErrUnknownOutcome and the
// context's error: it may still be carried out.
var (
	// ErrExists: a conditional put found an object under the key.
	ErrExists = errors.New("object exists already")
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("object not found")
	// ErrNoBucket: there is no such bucket or folder.
	ErrNoBucket = errors.New("bucket not found")
	// ErrDenied: the credentials do not allow this.
	ErrDenied = errors.New("access denied")
	// ErrThrottled: the store asks to slow down; nothing happened.
	ErrThrottled = errors.New("throttled by the store")
	// ErrUnknownOutcome: the request may have been carried out, now or later.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrUnavailable: the request was certainly not carried out; it may be tried again.
	ErrUnavailable = errors.New("store unavailable")
	// ErrInvalid: the request can never succeed (a bad key, a range outside the object).
	ErrInvalid = errors.New("invalid request")
)

// Putter stores new objects.
type Putter interface {
	// PutNew stores the concatenation of body under key unless an object is there already
	// (ErrExists). crc32c is the Castagnoli checksum of the whole body. When PutNew returns
	// nil, every reader can read the object. It makes one attempt: the caller counts and retries.
	// The slices of body are read until PutNew returns and never changed.
	PutNew(ctx context.Context, key string, body [][]byte, crc32c uint32) error
}

// Getter reads ranges of objects.
type Getter interface {
	// GetRange reads length bytes from position into a new slice, or into what was lent for it (Lend); a range that reaches
	// past the end of the object is ErrInvalid, never a short read, and so are a length of 0
	// and one above MaxWhole. length < 0 reads to the end, of at most MaxWhole bytes;
	// only an object of 0 bytes is read so from its end.
	GetRange(ctx context.Context, key string, position, length int64) ([]byte, error)
}

// MaxWhole bounds a read to the end of an object of unknown size, in bytes.
const MaxWhole = 128 << 20

// Info describes a stored object.
type Info struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // by the store's clock
}

// Store is everything an implementation offers. Roles ask for less.
// All methods may be called concurrently.
type Store interface {
	Putter
	Getter
	// Head describes an object, or returns ErrNotFound.
	Head(ctx context.Context, key string) (Info, error)
	// Delete removes an object; a missing one is no error.
	Delete(ctx context.Context, key string) error
	// List returns up to limit objects whose keys begin with prefix and follow after,
	// in the order of the bytes of their keys; more says that others follow the last of the page.
	List(ctx context.Context, prefix, after string, limit int) (page []Info, more bool, err error)
	// Multipart starts an upload in parts, for objects written as they are made.
	Multipart(ctx context.Context, key string) (Multipart, error)
	// Close releases what the store holds.
	Close() error
}

// Multipart is one upload in parts. Its methods are called by one goroutine.
type Multipart interface {
	// Part appends a part; all but the last hold at least MinPart bytes.
	Part(ctx context.Context, body [][]byte) error
	// Complete makes the object visible, unless one is there already (ErrExists; a store
	// whose server ignores the condition checks before and says so in its doc).
	Complete(ctx context.Context) error
	// Abort gives up; what was uploaded is removed.
	Abort(ctx context.Context) error
}

// MinPart is the least size of every part but the last, and MaxParts the most parts of
// one upload; both are S3's.
const (
	MinPart  = 5 << 20
	MaxParts = 10_000
)

// Clocked is a store that knows what time it is: a second clock for whoever cannot
// trust its own.
type Clocked interface {
	// Clock asks the store for its time, to the second at worst.
	Clock(ctx context.Context) (time.Time, error)
}

// Clock asks a store for its time, or says that it has none.
func Clock(ctx context.Context, s Store) (time.Time, error) {
	if c, ok := s.(Clocked); ok {
		return c.Clock(ctx)
	}
	return time.Time{}, &Error{Op: "clock", Class: ErrInvalid, Cause: errors.ErrUnsupported}
}
