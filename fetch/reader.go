package fetch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/sched"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// errNoRoom: the memory for chunks is in use by answers that are still being written.
var errNoRoom = errors.New("no memory for more chunks now")

// errClosed: the agent is stopping.
var errClosed = errors.New("reader is closed")

// seenChunks is how many chunks of history are remembered as read in part.
const seenChunks = 4096

// reader brings the bytes of locations: from the cache, from the chunk's owner, or from the
// bucket. Every chunk is read by one flight however many requests want it, and a flight
// outlives the request that began it.
//
// A request waits for memory only while it holds none, so that two can never wait for each
// other; what it cannot have at once it goes without, and its client asks again.
type reader struct {
	cfg     *Config
	cluster string
	stores  func(share string) (Getter, error)
	owners  Owners
	peers   *peerClient
	log     *slog.Logger
	metrics *metrics
	sched   sched.Sched
	ctx     context.Context // ends flights
	flights sync.WaitGroup
	slots   [classes]chan struct{} // a token for each GET that may run now
	waiting atomic.Int64           // requests that wait for memory

	mu    sync.Mutex
	cache *cache
	freed chan struct{} // closed, and made anew, when memory may have become free
	short bool          // somebody waits for freed
	done  bool          // no flight may begin any more
	seen  *simplelru.LRU[string, struct{}]
	hedge hedger
	gates map[string]*gate // by share
}

// need is a location whose bytes are wanted. Once acquired it has a piece, held, or an err.
type need struct {
	loc   segment.Location
	class class
	raw   bool // for a peer: only the range of loc is known
	ahead bool // nobody has asked yet
	piece *piece
	err   error
	again bool // read once more after a corrupt piece
}

// load is one flight: pieces of one chunk, from a peer or from the bucket.
type load struct {
	object segment.Object
	size   int64 // of the object
	key    string
	chunk  span
	class  class
	peer   string
	needs  []*need
	pieces []*piece
}

func newReader(ctx context.Context, cfg *Config, d *Deps, m *metrics) (*reader, error) {
	seen, err := simplelru.NewLRU[string, struct{}](seenChunks, nil)
	if err != nil {
		return nil, fmt.Errorf("make list of read chunks: %w", err)
	}
	r := &reader{cfg: cfg, cluster: d.Cluster, stores: d.Stores, owners: d.Owners, log: d.Log, metrics: m, sched: d.Sched, ctx: ctx,
		peers: newPeerClient(cfg, d), cache: newCache(cfg), freed: make(chan struct{}), seen: seen, gates: map[string]*gate{},
		hedge: hedger{budget: cfg.HedgeBudget, floor: cfg.HedgeFloor}}
	r.slots[tailClass], r.slots[coldClass] = tokens(cfg.TailReads), tokens(cfg.ColdReads)
	if d.Poison {
		r.cache.buffers.poison()
	}
	return r, nil
}

// acquire gives every need a piece, read or being read, or an error. forward says whether
// owners are asked; block, whether a request that holds nothing waits for memory.
func (r *reader) acquire(ctx context.Context, needs []*need, forward, block bool) {
	for {
		r.join(needs)
		loads := r.plan(needs, forward)
		if len(loads) == 0 {
			return
		}
		full, freed := r.begin(needs, loads)
		for _, l := range loads {
			if len(l.pieces) > 0 {
				r.sched.Go(func() {
					defer r.flights.Done()
					r.fly(l)
				})
			}
		}
		if !full {
			return
		}
		if !block {
			fail(needs, errNoRoom)
			return
		}
		r.metrics.roomWaits.Inc()
		r.waiting.Add(1)
		come := r.sched.Wait(ctx, sched.Never, freed)
		r.waiting.Add(-1)
		if come != 0 {
			fail(needs, errNoRoom)
			return
		}
	}
}

// awaited reports whether requests wait for memory, which answers hold that are being written.
func (r *reader) awaited() bool { return r.waiting.Load() > 0 }

func fail(needs []*need, err error) {
	for _, n := range needs {
		if n.piece == nil && n.err == nil {
			n.err = err
		}
	}
}

// join gives needs the pieces that cover them already.
func (r *reader) join(needs []*need) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range needs {
		switch {
		case n.piece != nil || n.err != nil:
		case !fits(&n.loc):
			n.err = fmt.Errorf("%w: location %d+%d in an object of %d bytes", segment.ErrFormat, n.loc.Position, n.loc.Length, n.loc.Size)
		case n.ahead:
			if r.cache.covered(n.loc.Object, spanOf(&n.loc)) {
				n.err = errCovered
			}
		default:
			if n.piece = r.cache.find(n.loc.Object, spanOf(&n.loc), n.class); n.piece != nil {
				r.metrics.hits.WithLabelValues(n.class.String()).Inc()
			}
		}
	}
}

// errCovered ends a need of a read ahead whose bytes are there already.
var errCovered = errors.New("read already")

// plan groups what is missing by chunk, and finds each chunk's owner.
func (r *reader) plan(needs []*need, forward bool) []*load {
	type chunkKey struct {
		object segment.Object
		from   int64
		class  class
	}
	var loads []*load
	groups := map[chunkKey]*load{}
	for _, n := range needs {
		if n.piece != nil || n.err != nil {
			continue
		}
		chunk := chunkOf(r.cfg, &n.loc)
		k := chunkKey{n.loc.Object, chunk.from, n.class}
		l := groups[k]
		if l == nil {
			l = &load{object: n.loc.Object, size: int64(n.loc.Size), key: segment.Key(r.cluster, n.loc.Object), class: n.class, chunk: chunk}
			l.peer = r.owner(l, forward && !n.loc.Stamped)
			groups[k] = l
			loads = append(loads, l)
		}
		l.chunk.to = max(l.chunk.to, chunk.to)
		l.needs = append(l.needs, n)
	}
	return loads
}

// owner returns the address of the agent to ask for a chunk, or nothing when that is this one.
// Compacted segments, which hold one partition's history together, are read by whoever serves
// the partition: clients are led to one agent for it, and history then needs no hop.
func (r *reader) owner(l *load, forward bool) string {
	if !forward || r.owners == nil {
		return ""
	}
	addr, self := r.owners.Owner(chunkID(l.key, l.chunk))
	if self || addr == "" || !r.peers.usable(addr) {
		return ""
	}
	return addr
}

// begin makes the pieces that are missing, in order, until memory runs out. It reports full
// when that happened before the request held anything.
func (r *reader) begin(needs []*need, loads []*load) (full bool, freed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		fail(needs, errClosed)
		return false, nil
	}
	for _, l := range loads {
		for _, s := range r.spans(l) {
			if r.cache.covered(l.object, s) {
				continue
			}
			p := r.cache.begin(l.object, s, l.class, l.peer, l.needs[0].ahead)
			if p == nil {
				break
			}
			l.pieces = append(l.pieces, p)
			r.metrics.misses.WithLabelValues(l.class.String()).Inc()
		}
		if len(l.pieces) > 0 {
			r.flights.Add(1)
		}
		for _, n := range l.needs {
			switch {
			case n.ahead:
				n.err = errCovered
			default:
				n.piece = r.cache.find(l.object, spanOf(&n.loc), n.class)
			}
		}
	}
	missing, holds := false, false
	for _, n := range needs {
		holds = holds || n.piece != nil
		missing = missing || (n.piece == nil && n.err == nil)
	}
	if missing && holds {
		fail(needs, errNoRoom)
	}
	full = missing && !holds
	r.short = r.short || full
	return full, r.freed
}

// spans lists the ranges in which a load is read: of a peer exactly what is wanted, of the
// bucket the whole chunk, or for history what coldSpans says.
func (r *reader) spans(l *load) []span {
	var asked []span
	for _, n := range l.needs {
		asked = append(asked, spanOf(&n.loc))
	}
	switch {
	case l.peer != "":
		return coalesce(asked, 0)
	case l.class == tailClass:
		return []span{l.chunk}
	default:
		id := chunkID(l.key, l.chunk)
		seen := r.seen.Contains(id)
		r.seen.Add(id, struct{}{})
		return coldSpans(r.cfg, l.chunk, asked, seen)
	}
}

// await returns the verified bytes of an acquired need. A corrupt piece is thrown away and read
// once more, from the bucket.
func (r *reader) await(ctx context.Context, n *need) ([]byte, error) {
	for n.err == nil {
		if r.sched.Wait(ctx, sched.Never, n.piece.filled) != 0 {
			return nil, ctx.Err()
		}
		data, err := r.verified(n)
		if err == nil {
			return data, nil
		}
		if n.piece.err != nil {
			return nil, err
		}
		r.discard(n, err)
		if n.again {
			return nil, err
		}
		n.again = true
		r.acquire(ctx, []*need{n}, false, false)
	}
	return nil, n.err
}

// verified returns the bytes of a need whose piece is filled, checked once per location.
func (r *reader) verified(n *need) ([]byte, error) {
	p := n.piece
	if p.err != nil {
		return nil, p.err
	}
	s := spanOf(&n.loc)
	data := p.data[s.from-p.from : s.to-p.from : s.to-p.from]
	key := checked{span: s, base: n.loc.Base, records: n.loc.Records}
	r.mu.Lock()
	sound := p.sound[key]
	r.mu.Unlock()
	if sound {
		return data, nil
	}
	var err error
	if n.raw {
		err = verifyBatches(data)
	} else {
		err = segment.VerifyRange(data, &n.loc)
	}
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	if p.sound == nil {
		p.sound = map[checked]bool{}
	}
	p.sound[key] = true
	r.mu.Unlock()
	return data, nil
}

// verifyBatches checks that b is whole batches with the checksums they carry.
func verifyBatches(b []byte) error {
	for len(b) > 0 {
		batch, rest, err := record.Split(b)
		if err == nil {
			err = record.CheckCRC(batch)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", segment.ErrFormat, err)
		}
		b = rest
	}
	return nil
}

// discard throws a corrupt piece away.
func (r *reader) discard(n *need, err error) {
	from := "bucket"
	if n.piece.peer != "" {
		from = n.piece.peer
	}
	r.metrics.corrupt.Inc()
	r.log.Error("chunk is corrupt", "key", segment.Key(r.cluster, n.loc.Object), "position", n.loc.Position,
		"length", n.loc.Length, "partition", n.loc.Partition.String(), "offset", int64(n.loc.Base), "from", from, "error", err)
	r.mu.Lock()
	r.cache.drop(n.piece)
	r.mu.Unlock()
	r.release(n)
}

// release gives back what needs hold.
func (r *reader) release(needs ...*need) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range needs {
		if n.piece != nil {
			r.cache.release(n.piece)
			n.piece = nil
		}
	}
	r.free()
}

// free lets those who wait for memory look again.
func (r *reader) free() {
	if !r.short {
		return
	}
	r.short = false
	close(r.freed)
	r.freed = make(chan struct{})
}

// ahead begins to read what a reader of history will want next, as far as that is free.
func (r *reader) ahead(locations []segment.Location) {
	needs := make([]*need, len(locations))
	for i := range locations {
		needs[i] = &need{loc: locations[i], class: coldClass, ahead: true}
	}
	r.acquire(r.ctx, needs, true, false)
}

// usage returns the bytes that a class holds.
func (r *reader) usage(c class) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cache.shares[c].used
}

// close lets no flight begin any more and waits for those under way; ctx has ended before.
func (r *reader) close() {
	r.mu.Lock()
	r.done = true
	r.free()
	r.mu.Unlock()
	r.flights.Wait()
	r.peers.close()
}

// locationOf makes the location of a range of which nothing else is known.
func locationOf(o segment.Object, size uint32, s span) segment.Location {
	return segment.Location{Object: o, Size: size, Position: uint32(s.from), Length: uint32(s.size()), Records: 1, Base: topic.NoOffset}
}
