package control

import "github.com/isthmusdata/isthmus/control/controlpb"

// share is a named set of topics with a bucket of its own.
type share struct {
	word   uint16
	bucket string
}

// createShare makes a share, or finds it made alike. Its bucket is its own for good, for its objects
// lie there.
func (s *State) createShare(c *controlpb.Share) int16 {
	name, bucket := c.GetName(), c.GetBucket()
	if have, ok := s.shares.Get(name); ok {
		if have.bucket == bucket {
			return 0
		}
		return codeInvalidRequest
	}
	if !lawfulName(name) || len(bucket) > maxAddress {
		return codeInvalidRequest
	}
	w, ok := s.word(name)
	if !ok {
		return codePolicy
	}
	s.shares.Set(name, share{word: w, bucket: bucket})
	return 0
}
