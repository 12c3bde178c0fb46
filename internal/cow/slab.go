package cow

// pageLen is the number of values a page holds: small enough that the first change after a mark
// copies little, large enough that a mark copies few pointers.
const pageLen = 256

type page[T any] struct {
	gen    uint64 // the generation that may write to it: older pages belong to a view
	values [pageLen]T
}

// Slab is an array that grows. The zero Slab is empty and ready.
type Slab[T any] struct {
	pages []*page[T]
	n     int
	gen   uint64
}

// Len is the number of values.
func (s *Slab[T]) Len() int { return s.n }

// At points at a value for reading, until the slab is next changed.
func (s *Slab[T]) At(i uint32) *T { return &s.pages[i/pageLen].values[i%pageLen] }

// Mut points at a value for writing, until the next View. Pointers from At are stale afterwards.
func (s *Slab[T]) Mut(i uint32) *T { return &s.own(int(i / pageLen)).values[i%pageLen] }

// Append adds a value and returns its place.
func (s *Slab[T]) Append(v T) uint32 {
	i := uint32(s.n)
	if int(i/pageLen) == len(s.pages) {
		s.pages = append(s.pages, &page[T]{gen: s.gen})
	}
	s.n++
	*s.Mut(i) = v
	return i
}

func (s *Slab[T]) own(i int) *page[T] {
	p := s.pages[i]
	if p.gen != s.gen {
		p = &page[T]{gen: s.gen, values: p.values}
		s.pages[i] = p
	}
	return p
}

// View marks the slab as it stands.
func (s *Slab[T]) View() View[T] {
	v := View[T]{pages: append([]*page[T](nil), s.pages...), n: s.n}
	s.gen++ // from now on every page that the view holds is copied before it is written
	return v
}

// View is a Slab as it once stood; it never changes.
type View[T any] struct {
	pages []*page[T]
	n     int
}

// Len is the number of values.
func (v *View[T]) Len() int { return v.n }

// At points at a value for reading.
func (v *View[T]) At(i uint32) *T { return &v.pages[i/pageLen].values[i%pageLen] }
