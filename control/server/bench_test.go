package server

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// BenchmarkCommit measures placements through gRPC, the log on disk, the state and a watch of all of them, with as many
// commits in flight on one stream as its window allows. The processor time is that of both ends.
func BenchmarkCommit(b *testing.B) {
	for _, partitions := range []int{1, 24, 1000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) { benchCommit(b, partitions) })
	}
}

func benchCommit(b *testing.B, partitions int) {
	bed := newBed(b)
	bed.start()
	p := bed.agent("producer", control.RoleProduce, control.RoleFetch)
	parts := make([]topic.Partition, partitions)
	for i := range parts {
		parts[i] = topic.Partition{Topic: p.topic(b, fmt.Sprintf("events-%d", i)).ID}
	}
	slices.SortFunc(parts, topic.Partition.Compare)
	watch, err := p.Watch(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if err := watch.Add(parts); err != nil {
		b.Fatal(err)
	}
	watched := make(chan struct{})
	go func() { // until the watch is closed
		defer close(watched)
		for {
			if _, err := watch.Recv(); err != nil {
				return
			}
		}
	}()
	s := p.commits(b)
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	sent := make(chan error, 1)
	go func() { sent <- sendCommits(s, p, parts, b.N) }()
	for range b.N {
		r, err := s.Recv()
		if err != nil {
			b.Fatal(err)
		}
		if r.Outcome != segment.Answered || len(r.Answers) != partitions {
			b.Fatalf("commit %d: outcome %d and %d answers", r.Sequence, r.Outcome, len(r.Answers))
		}
	}
	if err := <-sent; err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N*partitions)/(processorTime(b)-before).Seconds(), "placements/cpu-s")
	if err := watch.Close(); err != nil {
		b.Fatal(err)
	}
	<-watched
}

type commitSender interface {
	Send(c *segment.Commit) error
}

func sendCommits(s commitSender, p *agent, parts []topic.Partition, n int) error {
	for i := range uint64(n) {
		c := p.commit(i+1, parts[0], 100)
		c.Acked = max(i, 200) - 200
		c.Manifest.Size = uint32(128 + 1000*len(parts))
		for j, part := range parts[1:] {
			r := c.Manifest.Rows[0]
			r.Partition, r.Position = part, r.Position+uint32(1000*(j+1))
			c.Manifest.Rows = append(c.Manifest.Rows, r)
		}
		if err := s.Send(c); err != nil {
			return err
		}
	}
	return nil
}

// processorTime is what this process has taken so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
