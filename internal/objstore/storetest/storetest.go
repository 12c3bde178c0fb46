package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// Run runs the suite. open returns an empty store; it is called for each part of the suite.
func Run(t *testing.T, open func(t *testing.T) objstore.Store) {
	parts := []struct {
		name string
		run  func(*suite)
	}{
		{"put", (*suite).put},
		{"gathered", (*suite).gathered},
		{"once", (*suite).once},
		{"race", (*suite).race},
		{"range", (*suite).ranges},
		{"head", (*suite).head},
		{"delete", (*suite).delete},
		{"keys", (*suite).keys},
		{"list", (*suite).list},
		{"pages", (*suite).pages},
		{"multipart", (*suite).multipart},
		{"multipart taken", (*suite).multipartTaken},
		{"multipart aborted", (*suite).multipartAborted},
		{"concurrent", (*suite).concurrent},
		{"cancelled", (*suite).cancelled},
		{"clock", (*suite).clock},
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			store := open(t)
			t.Cleanup(func() {
				if err := store.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			part.run(&suite{T: t, store: store})
		})
	}
}

type suite struct {
	*testing.T
	store objstore.Store
}

// put stores one object, or fails the test.
func (s *suite) mustPut(key string, body ...[]byte) {
	s.Helper()
	if err := s.store.PutNew(s.Context(), key, body, objstore.Sum(body)); err != nil {
		s.Fatalf("put %s: %v", key, err)
	}
}

// mustGet reads a whole object and compares it.
func (s *suite) mustGet(key string, want []byte) {
	s.Helper()
	got, err := s.store.GetRange(s.Context(), key, 0, -1)
	if err != nil {
		s.Fatalf("get %s: %v", key, err)
	}
	if !bytes.Equal(got, want) {
		s.Fatalf("get %s: %d bytes that are not the %d put", key, len(got), len(want))
	}
}

// mustBe checks the class of an error.
func (s *suite) mustBe(err, class error, what string, a ...any) {
	s.Helper()
	if !errors.Is(err, class) {
		s.Fatalf("%s: got error %v, want %v", fmt.Sprintf(what, a...), err, class)
	}
	if want := objstore.Class(class); objstore.Class(err) != want {
		s.Fatalf("%s: error %v is of class %s too, want %s alone", fmt.Sprintf(what, a...), err, objstore.Class(err), want)
	}
	var detail *objstore.Error
	if !errors.As(err, &detail) || detail.Op == "" {
		s.Fatalf("%s: error %v does not say what was tried", fmt.Sprintf(what, a...), err)
	}
}

// pattern makes n bytes that differ by position and seed.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}
