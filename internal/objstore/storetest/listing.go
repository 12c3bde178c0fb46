package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// list: every combination of prefix and start finds what a sorted list of the keys would.
func (s *suite) list() {
	keys := []string{
		"a-b", "a.b", "a/b", "a/b-c", "a/c/d", "a/c/e", "a/c0", "a/c-", "a0", "ab/c", "b", "c/d/e/f/g", "c/d/e/f/h",
		"c/d-e", "d/1", "d/10", "d/2", "z/~", "z/é", "z/日",
	}
	for i, key := range keys {
		s.mustPut(key, make([]byte, i))
	}
	sizes := map[string]int64{}
	for i, key := range keys {
		sizes[key] = int64(i)
	}
	slices.Sort(keys)
	prefixes := []string{"", "a", "a/", "a/c", "a/c/", "a/c/d", "a/c/dx", "a-", "ab", "b", "b/", "c/d/e/f/", "c/d", "d/1", "z/", "zz", "q/"}
	afters := append([]string{"", "a", "a/", "a/c", "a/c/", "a/c/dd", "b0", "c/d/e", "d/", "d/11", "z", "zzz"}, keys...)
	limits := []int{1, 3, len(keys), 5000}
	for i, prefix := range prefixes {
		for j, after := range afters {
			s.checkList(keys, sizes, prefix, after, limits[(i+j)%len(limits)]) // each limit meets each prefix and each start
		}
	}
	_, _, err := s.store.List(s.Context(), "", "", 0)
	s.mustBe(err, objstore.ErrInvalid, "list of no objects")
	_, _, err = s.store.List(s.Context(), "a\x00", "", 10)
	s.mustBe(err, objstore.ErrInvalid, "list of a prefix that no key has")
}

func (s *suite) checkList(keys []string, sizes map[string]int64, prefix, after string, limit int) {
	s.Helper()
	var want []string
	for _, key := range keys {
		if strings.HasPrefix(key, prefix) && key > after {
			want = append(want, key)
		}
	}
	page, more, err := s.store.List(s.Context(), prefix, after, limit)
	if err != nil {
		s.Fatalf("list prefix %q after %q: %v", prefix, after, err)
	}
	var got []string
	for _, info := range page {
		got = append(got, info.Key)
		if info.Size != sizes[info.Key] || info.Modified.IsZero() {
			s.Errorf("list prefix %q after %q: %+v, want size %d", prefix, after, info, sizes[info.Key])
		}
	}
	expected, expectMore := want, false
	if len(want) > limit {
		expected, expectMore = want[:limit], true
	}
	if !slices.Equal(got, expected) || more != expectMore {
		s.Errorf("list prefix %q after %q limit %d:\n got %q more %v\nwant %q more %v", prefix, after, limit, got, more, expected, expectMore)
	}
}

// pages: walking in pages meets every object once and in order, also when pages are longer than a
// server's.
func (s *suite) pages() {
	const objects = 1100
	var want []string
	for i := range objects {
		want = append(want, fmt.Sprintf("p/%02x/%d", i%19, i))
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < objects; i += 8 {
				if err := s.store.PutNew(s.Context(), want[i], nil, 0); err != nil {
					s.Errorf("put %s: %v", want[i], err)
				}
			}
		})
	}
	wg.Wait()
	s.mustPut("o/before")
	s.mustPut("q/after")
	slices.Sort(want)
	for _, limit := range []int{17, 1000, 1050, 2000} {
		var got []string
		for after, more := "", true; more; {
			page, next, err := s.store.List(s.Context(), "p/", after, limit)
			if err != nil {
				s.Fatalf("list in pages of %d: %v", limit, err)
			}
			if len(page) == 0 || len(page) > limit || next && len(page) < limit {
				s.Fatalf("a page of %d objects (more %v) where %d were asked for", len(page), next, limit)
			}
			for _, info := range page {
				got = append(got, info.Key)
			}
			after, more = got[len(got)-1], next
		}
		if !slices.Equal(got, want) {
			s.Errorf("pages of %d: %d objects, want %d in order", limit, len(got), len(want))
		}
	}
}
