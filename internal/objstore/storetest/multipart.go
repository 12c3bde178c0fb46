package storetest

import (
	"errors"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

func (s *suite) begin(key string) objstore.Multipart {
	s.Helper()
	u, err := s.store.Multipart(s.Context(), key)
	if err != nil {
		s.Fatalf("multipart %s: %v", key, err)
	}
	return u
}

func (s *suite) mustPart(u objstore.Multipart, body ...[]byte) {
	s.Helper()
	if err := u.Part(s.Context(), body); err != nil {
		s.Fatalf("part: %v", err)
	}
}

// multipart: an object appears whole at the end, and not before.
func (s *suite) multipart() {
	whole := pattern(2*objstore.MinPart+333, 3)
	u := s.begin("m/parts")
	s.mustPart(u, whole[:100], nil, whole[100:objstore.MinPart])
	s.mustPart(u, whole[objstore.MinPart:2*objstore.MinPart])
	_, err := s.store.Head(s.Context(), "m/parts")
	s.mustBe(err, objstore.ErrNotFound, "head before the end")
	s.mustPart(u, whole[2*objstore.MinPart:])
	page, _, err := s.store.List(s.Context(), "m/", "", 10)
	if err != nil || len(page) != 0 {
		s.Fatalf("list before the end: %v, %v", page, err)
	}
	if err := u.Complete(s.Context()); err != nil {
		s.Fatalf("complete: %v", err)
	}
	s.mustGet("m/parts", whole)
	got, err := s.store.GetRange(s.Context(), "m/parts", objstore.MinPart-5, 10)
	if err != nil || string(got) != string(whole[objstore.MinPart-5:objstore.MinPart+5]) {
		s.Errorf("range over two parts: %d bytes, %v", len(got), err)
	}
	s.mustBe(u.Part(s.Context(), [][]byte{{1}}), objstore.ErrInvalid, "part after the end")
	s.mustBe(u.Complete(s.Context()), objstore.ErrInvalid, "complete after the end")

	small := s.begin("m/small")
	s.mustPart(small, []byte("only"))
	s.mustBe(small.Part(s.Context(), [][]byte{{}, nil}), objstore.ErrInvalid, "part without bytes")
	s.mustBe(small.Part(s.Context(), [][]byte{[]byte("second")}), objstore.ErrInvalid, "part after a small one")
	if err := small.Complete(s.Context()); err != nil {
		s.Fatalf("complete after parts that were refused: %v", err)
	}
	s.mustGet("m/small", []byte("only"))

	if err := s.begin("m/none").Complete(s.Context()); err != nil {
		s.Fatalf("complete without parts: %v", err)
	}
	s.mustGet("m/none", nil)
}

// multipartTaken: an upload never replaces an object.
func (s *suite) multipartTaken() {
	u, empty := s.begin("m/taken"), s.begin("m/taken")
	s.mustPart(u, []byte("late"))
	s.mustPut("m/taken", []byte("first"))
	s.mustBe(u.Complete(s.Context()), objstore.ErrExists, "complete")
	s.mustBe(empty.Complete(s.Context()), objstore.ErrExists, "complete without parts")
	s.mustGet("m/taken", []byte("first"))
	if err := errors.Join(u.Abort(s.Context()), empty.Abort(s.Context())); err != nil {
		s.Errorf("abort: %v", err)
	}
	one, two := s.begin("m/two"), s.begin("m/two")
	s.mustPart(one, []byte("one"))
	s.mustPart(two, []byte("two"))
	if err := two.Complete(s.Context()); err != nil {
		s.Fatalf("complete: %v", err)
	}
	s.mustBe(one.Complete(s.Context()), objstore.ErrExists, "complete second")
	s.mustGet("m/two", []byte("two"))
}

func (s *suite) multipartAborted() {
	u := s.begin("m/aborted")
	s.mustPart(u, []byte("gone"))
	for range 2 {
		if err := u.Abort(s.Context()); err != nil {
			s.Fatalf("abort: %v", err)
		}
	}
	s.mustBe(u.Complete(s.Context()), objstore.ErrInvalid, "complete after abort")
	_, err := s.store.Head(s.Context(), "m/aborted")
	s.mustBe(err, objstore.ErrNotFound, "head of what was aborted")
	s.mustPut("m/aborted", []byte("new"))
}
