package cow

// None is the place that no value has.
const None = ^uint32(0)

// Links chain the values of a List.
type Links struct{ Prev, Next uint32 }

// Linked is a pointer to a value that carries its links.
type Linked[T any] interface {
	*T
	Chain() *Links
}

// List is a slab whose values also stand in a row, and whose freed places are used again.
// Touching a value moves it to the end of the row, so that the front is what has rested longest.
// It must be made by NewList.
type List[T any, P Linked[T]] struct {
	slab             Slab[T]
	head, tail, free uint32
	n                int
}

// NewList returns an empty list.
func NewList[T any, P Linked[T]]() List[T, P] {
	return List[T, P]{head: None, tail: None, free: None}
}

// Len is the number of values in the row.
func (l *List[T, P]) Len() int { return l.n }

// First is the place of the front of the row, or None.
func (l *List[T, P]) First() uint32 { return l.head }

// At points at a value for reading, until the list is next changed.
func (l *List[T, P]) At(i uint32) *T { return l.slab.At(i) }

// Mut points at a value for writing, until the next View. Its links are not to be touched.
func (l *List[T, P]) Mut(i uint32) *T { return l.slab.Mut(i) }

func (l *List[T, P]) links(i uint32) *Links { return P(l.slab.Mut(i)).Chain() }

// Push adds a value at the end of the row and returns its place.
func (l *List[T, P]) Push(v T) uint32 {
	i := l.free
	if i == None {
		i = l.slab.Append(v)
	} else {
		l.free = P(l.slab.At(i)).Chain().Next
		*l.slab.Mut(i) = v
	}
	l.append(i)
	l.n++
	return i
}

// Touch moves a value to the end of the row.
func (l *List[T, P]) Touch(i uint32) {
	if l.tail == i {
		return
	}
	l.unlink(i)
	l.append(i)
}

// Remove takes a value out; its place will be used again.
func (l *List[T, P]) Remove(i uint32) {
	l.unlink(i)
	var zero T
	*l.slab.Mut(i) = zero
	*l.links(i) = Links{Prev: None, Next: l.free}
	l.free = i
	l.n--
}

func (l *List[T, P]) append(i uint32) {
	*l.links(i) = Links{Prev: l.tail, Next: None}
	if l.tail == None {
		l.head = i
	} else {
		l.links(l.tail).Next = i
	}
	l.tail = i
}

func (l *List[T, P]) unlink(i uint32) {
	k := *P(l.slab.At(i)).Chain()
	if k.Prev == None {
		l.head = k.Next
	} else {
		l.links(k.Prev).Next = k.Next
	}
	if k.Next == None {
		l.tail = k.Prev
	} else {
		l.links(k.Next).Prev = k.Prev
	}
}

// View marks the list as it stands.
func (l *List[T, P]) View() ListView[T, P] {
	return ListView[T, P]{view: l.slab.View(), head: l.head, n: l.n}
}

// ListView is a List as it once stood.
type ListView[T any, P Linked[T]] struct {
	view View[T]
	head uint32
	n    int
}

// Len is the number of values in the row.
func (v *ListView[T, P]) Len() int { return v.n }

// At points at a value for reading.
func (v *ListView[T, P]) At(i uint32) *T { return v.view.At(i) }

// Each calls f for every value from the front of the row.
func (v *ListView[T, P]) Each(f func(*T)) {
	for i := v.head; i != None; {
		t := v.view.At(i)
		f(t)
		i = P(t).Chain().Next
	}
}
