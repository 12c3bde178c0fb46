package produce

// room is the memory for batches that are accepted and not yet let go. All shares have it in common: one whose store is slow
// or throttles would come to hold all of it, and its clients would hold up everybody's. So once batches of several
// shares have come, none holds more than a quarter.
//
// It is pure; callers hold one lock around it.
type room struct {
	most   int64
	held   int64
	shares map[string]int64 // of every share that batches have come for
}

// claim is what some batches of one share take.
type claim struct {
	share string
	bytes int64
}

// add counts a batch among claims, which are few.
func add(claims []claim, b *Batch) []claim {
	bytes := int64(len(b.Bytes)) + overhead
	for i := range claims {
		if claims[i].share == b.Share {
			claims[i].bytes += bytes
			return claims
		}
	}
	return append(claims, claim{b.Share, bytes})
}

// fits reports whether there is room for claims. What is larger than all that may be held is let in alone.
func (r *room) fits(claims []claim) bool {
	total, several := int64(0), len(claims) > 1 || len(r.shares) > 1
	for _, c := range claims {
		total += c.bytes
		held, known := r.shares[c.share]
		several = several || !known && len(r.shares) > 0
		if several && held > 0 && held+c.bytes > r.most/4 {
			return false
		}
	}
	return r.held == 0 || r.held+total <= r.most
}

// take fills room, whether or not there is any.
func (r *room) take(claims []claim) {
	for _, c := range claims {
		r.held += c.bytes
		r.shares[c.share] += c.bytes
	}
}

// give empties it again.
func (r *room) give(claims []claim) {
	for _, c := range claims {
		r.held -= c.bytes
		r.shares[c.share] -= c.bytes
	}
}
