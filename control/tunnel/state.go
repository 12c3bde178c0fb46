package tunnel

import (
	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// What the tunnel reads of the state, in one place. Values that the state gives
// out are never written to.

// committed is a group's offset of one partition.
type committed struct {
	offset   int64
	epoch    int32
	metadata string
}

// nothing is what is said where nothing is committed.
var nothing = committed{offset: -1, epoch: -1}

func committedOf(o control.CommittedOffset) committed {
	return committed{int64(o.Offset), o.LeaderEpoch, o.Metadata}
}

func offsetOf(s *control.State, group string, p topic.Partition) committed {
	o, ok := s.Offset(group, p)
	if !ok {
		return nothing
	}
	return committedOf(o)
}

func hasGroup(s *control.State, name string) bool {
	_, ok := s.Group(name)
	return ok
}

func hasShare(s *control.State, name string) bool {
	found := false
	s.EachShare(func(have, _ string) bool {
		found = have == name
		return !found
	})
	return found
}
