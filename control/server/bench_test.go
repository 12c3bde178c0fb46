package server

import (
	"testing"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// BenchmarkCommit measures placements through gRPC, the log on disk and the state, with as many commits
// in flight on one stream as its window allows.
func BenchmarkCommit(b *testing.B) {
	bed := newBed(b)
	bed.start()
	p := bed.agent("producer", control.RoleProduce)
	part := topic.Partition{Topic: p.topic(b, "events").ID}
	s := p.commits(b)
	b.ReportAllocs()
	sent := make(chan error, 1)
	go func() {
		for i := range uint64(b.N) {
			c := p.commit(i+1, part, 100)
			c.Acked = max(i, 200) - 200
			if err := s.Send(c); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for range b.N {
		if _, err := s.Recv(); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-sent; err != nil {
		b.Fatal(err)
	}
}
