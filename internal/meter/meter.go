package meter

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Op is what a request asks of object storage.
type Op int

// The operations. Multipart is each request of an upload in parts.
const (
	Put Op = iota
	Get
	Head
	List
	Delete
	Multipart
	ops
)

// Result is what became of a request.
type Result int

// The results. OK is an answer of the bucket, also that an object is there already, or is not. Canceled is what was called off, such as
// the slower of two that ask the same.
const (
	OK Result = iota
	Throttled
	Canceled
	Failed
	results
)

// Count is one number of a share.
type Count int

// Counts beside those of Requests.
const (
	HedgedPuts Count = iota + Count(ops)*Count(results)
	HedgedGets
	PutBytes
	GetBytes
	ProduceRequests
	ProduceBytes
	FetchRequests
	FetchBytes
	// Size is how many there are.
	Size
)

// Requests is the count of an operation and its result.
func Requests(op Op, r Result) Count { return Count(op)*Count(results) + Count(r) }

// Counts are the numbers of a share.
type Counts [Size]int64

// Of reads counts as they are told; those that this program does not know are left out.
func Of(told []int64) (c Counts) {
	copy(c[:], told)
	return c
}

// Calls sums the requests of an operation, whatever became of them.
func (c *Counts) Calls(op Op) (n int64) {
	for r := range results {
		n += c[Requests(op, r)]
	}
	return n
}

// Became sums the requests that came to a result.
func (c *Counts) Became(r Result) (n int64) {
	for op := range ops {
		n += c[Requests(op, r)]
	}
	return n
}

// Add adds others.
func (c *Counts) Add(o *Counts) {
	for i := range c {
		c[i] += o[i]
	}
}

// Share counts for one share. A nil one counts nothing.
type Share struct{ counts [Size]atomic.Int64 }

// Add adds to one count.
func (s *Share) Add(c Count, n int64) {
	if s != nil {
		s.counts[c].Add(n)
	}
}

// Counts reads all of them.
func (s *Share) Counts() (c Counts) {
	for i := range s.counts {
		c[i] = s.counts[i].Load()
	}
	return c
}

// Meter holds the shares of an agent. A nil one counts nothing.
type Meter struct {
	group string

	mu     sync.RWMutex
	shares map[string]*Share
}

// New makes a meter of an agent of a group.
func New(group string) *Meter { return &Meter{group: group, shares: map[string]*Share{}} }

// Share finds the counts of a share. Callers name shares that were granted, so that there are only so many.
func (m *Meter) Share(name string) *Share {
	if m == nil {
		return nil
	}
	m.mu.RLock()
	s := m.shares[name]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s = m.shares[name]; s == nil {
		s = &Share{}
		m.shares[name] = s
	}
	return s
}

// Total is what was counted for a share since the process began.
type Total struct {
	Share  string
	Counts Counts
}

// Totals reads all shares, in the order of their names.
func (m *Meter) Totals() []Total {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]Total, 0, len(m.shares))
	for _, name := range slices.Sorted(maps.Keys(m.shares)) {
		all = append(all, Total{name, m.shares[name].Counts()})
	}
	return all
}
