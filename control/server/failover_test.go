package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// TestI3NodeFailsUnderCommits: a node fails while commits are on their way through its log. What it
// answered before is final; of the rest nobody knows, so that the stream breaks instead of saying anything,
// and the same commits, sent again to the node's next life, are answered as they were or placed now.
func TestI3NodeFailsUnderCommits(t *testing.T) {
	for _, after := range []int{0, 1, 7, 60, 150} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) { failUnderCommits(t, after) })
	}
}

func failUnderCommits(t *testing.T, after int) {
	const n = 200
	b := newBed(t)
	b.start()
	p := b.agent("producer", control.RoleProduce)
	part := topic.Partition{Topic: p.topic(t, "events").ID}
	s := p.commits(t)
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range uint64(n) {
			if s.Send(p.commit(i+1, part, 2)) != nil {
				return // it breaks, which is the point
			}
		}
	})
	why := errors.New("the disk is on fire")
	var told []segment.Reply
	for {
		if len(told) == after {
			b.node.raft.Fail(why)
		}
		r, err := s.Recv()
		if err != nil {
			break
		}
		if r.Outcome != segment.Answered || len(r.Answers) != 1 || r.Answers[0].Verdict != segment.Placed {
			t.Fatalf("a failing node says %+v", r)
		}
		told = append(told, r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := b.node.Stop(ctx); !errors.Is(err, why) {
		t.Fatalf("stopped with %v", err)
	}
	sending.Wait()
	b.start()
	again := p.commits(t)
	for i := range uint64(n) {
		r := send(t, again, p.commit(i+1, part, 2))
		if r.Outcome != segment.Answered || r.Answers[0].Offset != topic.Offset(2*i) {
			t.Fatalf("commit %d, sent again: %+v", i+1, r)
		}
		if int(i) < len(told) && fmt.Sprint(r.Answers) != fmt.Sprint(told[i].Answers) {
			t.Fatalf("commit %d: first %+v, again %+v", i+1, told[i], r)
		}
	}
}
