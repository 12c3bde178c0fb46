package meter

// Request sums what one request of a client moves, by share. Nearly all requests are about one share, and then nothing is allocated.
type Request struct {
	share string
	bytes int64
	more  []Request // of other shares
}

// Add adds bytes of a share, which may be none.
func (r *Request) Add(share string, bytes int) {
	if r.share == "" {
		r.share = share
	}
	if r.share == share {
		r.bytes += int64(bytes)
		return
	}
	for i := range r.more {
		if r.more[i].share == share {
			r.more[i].bytes += int64(bytes)
			return
		}
	}
	r.more = append(r.more, Request{share: share, bytes: int64(bytes)})
}

// Tell counts the request and its bytes for each share.
func (r *Request) Tell(m *Meter, requests, bytes Count) {
	if r.share == "" || m == nil {
		return
	}
	s := m.Share(r.share)
	s.Add(requests, 1)
	s.Add(bytes, r.bytes)
	for i := range r.more {
		r.more[i].Tell(m, requests, bytes)
	}
}
