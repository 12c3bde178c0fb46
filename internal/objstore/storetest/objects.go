package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

func (s *suite) put() {
	for _, size := range []int{0, 1, 61, 4096, 1<<20 + 1} {
		key := fmt.Sprintf("c/data/%d", size)
		body := pattern(size, 1)
		s.mustPut(key, body)
		s.mustGet(key, body)
	}
}

// gathered bodies arrive as if they had been one, and the slices are left as they were.
func (s *suite) gathered() {
	bodies := map[string][][]byte{
		"nothing":     nil,
		"empty":       {{}},
		"empties":     {{}, nil, {}},
		"one":         {[]byte("abc")},
		"some":        {[]byte("a"), {}, []byte("bc"), nil, []byte("defg"), {}},
		"large":       {pattern(70<<10, 1), {}, pattern(3, 2), pattern(200<<10, 3)},
		"many slices": nil,
	}
	for i := range 3000 {
		bodies["many slices"] = append(bodies["many slices"], pattern(i%7, byte(i)))
	}
	for name, body := range bodies {
		whole := bytes.Join(body, nil)
		key := "gathered/" + strings.ReplaceAll(name, " ", "-")
		s.mustPut(key, body...)
		s.mustGet(key, whole)
		if !bytes.Equal(bytes.Join(body, nil), whole) {
			s.Fatalf("%s: the put changed the body", name)
		}
	}
}

// once: a key is written once, and whoever comes later changes nothing.
func (s *suite) once() {
	first, second := []byte("first"), []byte("second")
	s.mustPut("k/one", first)
	for range 3 {
		err := s.store.PutNew(s.Context(), "k/one", [][]byte{second}, objstore.Sum([][]byte{second}))
		s.mustBe(err, objstore.ErrExists, "put again")
	}
	err := s.store.PutNew(s.Context(), "k/one", [][]byte{first}, objstore.Sum([][]byte{first}))
	s.mustBe(err, objstore.ErrExists, "put the same bytes again")
	s.mustGet("k/one", first)

	s.mustPut("k/empty")
	err = s.store.PutNew(s.Context(), "k/empty", [][]byte{second}, objstore.Sum([][]byte{second}))
	s.mustBe(err, objstore.ErrExists, "put over an object of 0 bytes")
}

// race: of 16 puts at the same time one wins, and its bytes are what is read.
func (s *suite) race() {
	const racers = 16
	for round := range 5 {
		key := fmt.Sprintf("race/%d", round)
		var winner atomic.Int32
		winner.Store(-1)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for racer := range racers {
			wg.Go(func() {
				body := [][]byte{pattern(1000+racer, byte(racer))}
				<-start
				err := s.store.PutNew(s.Context(), key, body, objstore.Sum(body))
				for errors.Is(err, objstore.ErrUnavailable) || errors.Is(err, objstore.ErrThrottled) { // a conflict: nothing happened
					err = s.store.PutNew(s.Context(), key, body, objstore.Sum(body))
				}
				switch {
				case err == nil:
					if other := winner.Swap(int32(racer)); other != -1 {
						s.Errorf("%s: racers %d and %d both won", key, other, racer)
					}
				case !errors.Is(err, objstore.ErrExists):
					s.Errorf("%s: racer %d: %v", key, racer, err)
				}
			})
		}
		close(start)
		wg.Wait()
		if s.Failed() {
			return
		}
		if winner.Load() < 0 {
			s.Fatalf("%s: nobody won", key)
		}
		s.mustGet(key, pattern(1000+int(winner.Load()), byte(winner.Load())))
	}
}

func (s *suite) ranges() {
	body := pattern(100, 7)
	s.mustPut("r/hundred", body)
	s.mustPut("r/empty")
	for _, c := range []struct {
		position, length int64
		want             []byte
	}{
		{0, 100, body}, {0, 1, body[:1]}, {99, 1, body[99:]}, {10, 20, body[10:30]}, {50, 50, body[50:]},
		{0, -1, body}, {40, -1, body[40:]}, {99, -1, body[99:]},
	} {
		got, err := s.store.GetRange(s.Context(), "r/hundred", c.position, c.length)
		if err != nil || !bytes.Equal(got, c.want) {
			s.Errorf("range %d+%d: got %d bytes, error %v", c.position, c.length, len(got), err)
		}
	}
	for _, size := range []int{20, 30, 19} { // just enough, more than that, and too little
		lent := bytes.Repeat([]byte{0xee}, size)
		got, err := s.store.GetRange(objstore.Lend(s.Context(), lent), "r/hundred", 10, 20)
		if err != nil || !bytes.Equal(got, body[10:30]) || size >= 20 && &got[0] != &lent[0] {
			s.Errorf("20 bytes with %d lent: got %d, error %v, or not in what was lent", size, len(got), err)
		}
		if rest := lent[min(20, size):]; !bytes.Equal(rest, bytes.Repeat([]byte{0xee}, len(rest))) {
			s.Errorf("20 bytes with %d lent: those behind were touched", size)
		}
	}
	for _, c := range []struct{ position, length int64 }{
		{0, 101}, {99, 2}, {100, 1}, {1000, 1}, {100, -1}, {101, -1}, {1 << 62, 1 << 20},
		{-1, 10}, {-5, -1}, {0, 0}, {10, 0}, {0, objstore.MaxWhole + 1}, {1 << 62, 1 << 62},
	} {
		got, err := s.store.GetRange(s.Context(), "r/hundred", c.position, c.length)
		s.mustBe(err, objstore.ErrInvalid, "range %d+%d", c.position, c.length)
		if got != nil {
			s.Errorf("range %d+%d: %d bytes beside the error", c.position, c.length, len(got))
		}
	}
	if got, err := s.store.GetRange(s.Context(), "r/empty", 0, -1); err != nil || len(got) != 0 {
		s.Errorf("whole of an empty object: %d bytes, error %v", len(got), err)
	}
	_, err := s.store.GetRange(s.Context(), "r/empty", 0, 1)
	s.mustBe(err, objstore.ErrInvalid, "a byte of an empty object")
	for _, key := range []string{"r/missing", "r", "r/hundred/below", "elsewhere/missing"} {
		_, err := s.store.GetRange(s.Context(), key, 0, 10)
		s.mustBe(err, objstore.ErrNotFound, "get %s", key)
		_, err = s.store.GetRange(s.Context(), key, 0, -1)
		s.mustBe(err, objstore.ErrNotFound, "get all of %s", key)
	}
	// What is returned is the caller's.
	first, err := s.store.GetRange(s.Context(), "r/hundred", 0, -1)
	if err != nil {
		s.Fatal(err)
	}
	clear(first)
	s.mustGet("r/hundred", body)
}

func (s *suite) head() {
	s.mustPut("h/a", pattern(1234, 1))
	info, err := s.store.Head(s.Context(), "h/a")
	if err != nil || info.Key != "h/a" || info.Size != 1234 || info.Modified.IsZero() {
		s.Fatalf("head: %+v, %v", info, err)
	}
	for _, key := range []string{"h/b", "h", "h/a/b"} {
		_, err = s.store.Head(s.Context(), key)
		s.mustBe(err, objstore.ErrNotFound, "head %s", key)
	}
}

func (s *suite) delete() {
	s.mustPut("d/a", []byte("a"))
	s.mustPut("d/b", []byte("b"))
	for _, key := range []string{"d/a", "d/a", "d/never", "d", "nowhere/at/all", "d/b/below"} {
		if err := s.store.Delete(s.Context(), key); err != nil {
			s.Fatalf("delete %s: %v", key, err)
		}
	}
	_, err := s.store.GetRange(s.Context(), "d/a", 0, -1)
	s.mustBe(err, objstore.ErrNotFound, "get what was deleted")
	_, err = s.store.Head(s.Context(), "d/a")
	s.mustBe(err, objstore.ErrNotFound, "head of what was deleted")
	s.mustGet("d/b", []byte("b"))
	s.mustPut("d/a", []byte("again"))
	s.mustGet("d/a", []byte("again"))
}

// keys: what isthmus and its users name objects by can be stored, and what could lead out of the
// bucket cannot.
func (s *suite) keys() {
	good := []string{
		"single",
		"prod-eu/data/default/prod.group_1/3f/1-42-7-0123456789abcdef01234567",
		"c/meta/1/journal-00000000000000000001",
		"a b/c+d/e%20f/g&h=i",
		"x/~tilde/(paren)/it's/semi;colon,comma@at!",
		"x/a:b/*star?/#hash/\"quotes\"/<angle>/{brace}|pipe^",
		"x/..dots/dots../a..b/.hidden",
		"umlaut/ä/日本/🎲",
		"long/" + strings.Repeat("n", 255),
	}
	for i, key := range good {
		body := pattern(10, byte(i))
		s.mustPut(key, body)
		s.mustGet(key, body)
		if info, err := s.store.Head(s.Context(), key); err != nil || info.Key != key {
			s.Errorf("head %q: %+v, %v", key, info, err)
		}
	}
	page, more, err := s.store.List(s.Context(), "", "", 100)
	if err != nil || more || len(page) != len(good) {
		s.Errorf("list: %d of %d objects, more %v, %v", len(page), len(good), more, err)
	}
	for _, key := range good {
		if err := s.store.Delete(s.Context(), key); err != nil {
			s.Errorf("delete %q: %v", key, err)
		}
	}
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", ".tmp/a", "a\x00b", "a\nb", "a\\b",
		"a/\xff", strings.Repeat("n", 256), strings.Repeat("n/", 600) + "n",
	} {
		s.mustBe(s.store.PutNew(s.Context(), key, nil, 0), objstore.ErrInvalid, "put %q", key)
		_, err := s.store.GetRange(s.Context(), key, 0, 1)
		s.mustBe(err, objstore.ErrInvalid, "get %q", key)
		_, err = s.store.Head(s.Context(), key)
		s.mustBe(err, objstore.ErrInvalid, "head %q", key)
		s.mustBe(s.store.Delete(s.Context(), key), objstore.ErrInvalid, "delete %q", key)
		_, err = s.store.Multipart(s.Context(), key)
		s.mustBe(err, objstore.ErrInvalid, "multipart %q", key)
	}
}

// concurrent: many at once, each finds its own.
func (s *suite) concurrent() {
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 20 {
				key, body := fmt.Sprintf("w/%d/%d", worker, i), pattern(500+i, byte(worker*20+i))
				if err := s.store.PutNew(s.Context(), key, [][]byte{body[:100], body[100:]}, objstore.Sum([][]byte{body})); err != nil {
					s.Errorf("put %s: %v", key, err)
					return
				}
				got, err := s.store.GetRange(s.Context(), key, 100, 400)
				if err != nil || !bytes.Equal(got, body[100:500]) {
					s.Errorf("get %s: %d bytes, %v", key, len(got), err)
				}
				if i%2 == 0 {
					if err := s.store.Delete(s.Context(), key); err != nil {
						s.Errorf("delete %s: %v", key, err)
					}
				}
				if _, _, err := s.store.List(s.Context(), "w/", "", 10); err != nil {
					s.Errorf("list: %v", err)
				}
			}
		})
	}
	wg.Wait()
	page, more, err := s.store.List(s.Context(), "w/", "", 1000)
	if err != nil || more || len(page) != 80 {
		s.Errorf("list: %d objects, more %v, %v; want 80", len(page), more, err)
	}
}

// cancelled: a request whose context has ended does nothing and says so.
func (s *suite) cancelled() {
	s.mustPut("c/there", []byte("x"))
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	requests := map[string]func() error{
		"put":       func() error { return s.store.PutNew(ctx, "c/new", nil, 0) },
		"get":       func() error { _, err := s.store.GetRange(ctx, "c/there", 0, 1); return err },
		"head":      func() error { _, err := s.store.Head(ctx, "c/there"); return err },
		"delete":    func() error { return s.store.Delete(ctx, "c/there") },
		"list":      func() error { _, _, err := s.store.List(ctx, "c/", "", 10); return err },
		"multipart": func() error { _, err := s.store.Multipart(ctx, "c/parts"); return err },
		"clock":     func() error { _, err := objstore.Clock(ctx, s.store); return err },
	}
	for name, request := range requests {
		err := request()
		if !errors.Is(err, context.Canceled) || errors.Is(err, objstore.ErrUnknownOutcome) {
			s.Errorf("%s: got error %v, want only that the context was cancelled", name, err)
		}
	}
	s.mustGet("c/there", []byte("x"))
	_, err := s.store.Head(s.Context(), "c/new")
	s.mustBe(err, objstore.ErrNotFound, "head of what a cancelled put would have stored")
}

// clock: a store's time does not run backwards, and agrees with that of its objects.
func (s *suite) clock() {
	before, err := objstore.Clock(s.Context(), s.store)
	if err != nil {
		s.Fatalf("clock: %v", err)
	}
	s.mustPut("t/a", []byte("x"))
	info, err := s.store.Head(s.Context(), "t/a")
	if err != nil {
		s.Fatal(err)
	}
	after, err := objstore.Clock(s.Context(), s.store)
	if err != nil {
		s.Fatalf("clock: %v", err)
	}
	if after.Before(before) || info.Modified.Before(before.Add(-time.Second)) || info.Modified.After(after.Add(time.Second)) {
		s.Errorf("clock said %v before and %v after an object of %v", before, after, info.Modified)
	}
}
