package agentgroup

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// RoleFetch is the role of the members that hold chunks.
const RoleFetch = "fetch"

// rememberGone is how long a ring remembers that a member went, to make it settle again.
const rememberGone = time.Hour

// Ring says who should do what in a group. It is a value: With makes the next one, and nothing else
// changes it. Times are durations since any fixed start, the same for one chain of rings.
//
// Every member has a weight for every key (a partition or a chunk) that only depends on its
// node id and the key, and the heaviest candidate has it: rendezvous hashing. So if a member
// goes, what it had is spread over the others, and nothing else moves; if one comes, it takes its
// share from all, and nothing moves between the others.
//
// Hysteresis: candidates that are settled go before those that are not. A member is settled when
// it says so itself (it has lived for the settling time) and this ring has not seen it go and
// come back within the settling time. Leadership leaves a member at once when it goes, and comes to
// a new or returned one once, after it has settled, instead of following it through a crash loop
// or a lossy network. Where no candidate has settled, as in a group that has just started, there is
// nothing to be steady about, and all count.
//
// A member that is cut off from the control plane can neither commit nor say that something is not there,
// while its neighbours can. So it leads nothing, as long as it is the exception: at most half of those with
// the role are cut off. Otherwise it is the control plane that is away, and moving would help nobody. It
// goes on to own chunks, for the bucket is another way.
//
// The candidates' order: the asked zone before others, then settled before unsettled, then
// weight. A newcomer that is alone in its zone leads there at once: an unsettled leader nearby is
// better than zone-crossing traffic.
//
// Two agents may differ for as long as gossip takes, or, after a member came back, for the settling time;
// leadership is a hint, and the worst of it is that batches of a partition meet in two caches.
type Ring struct {
	members []Member // resolved
	zones   map[string]bool
	settle  time.Duration
	gone    map[int32]time.Duration // when a member was last seen to go
	back    map[int32]time.Duration // when one that had gone was seen again

	mu      sync.Mutex                   // a client that asks for all partitions asks the same electorate each time
	elected map[constituency]*electorate // what elect has found
}

// NewRing returns a ring without members.
func NewRing(settle time.Duration) *Ring { return &Ring{settle: settle} }

// With returns the ring after the members of the group are these, at the time now.
func (r *Ring) With(now time.Duration, members []Member) *Ring {
	next := &Ring{
		members: resolve(members),
		settle:  r.settle,
		gone:    make(map[int32]time.Duration),
		back:    make(map[int32]time.Duration),
		zones:   make(map[string]bool),
	}
	for i := range next.members {
		next.zones[next.members[i].Zone] = true
	}
	for id, at := range r.gone {
		if now-at < rememberGone {
			next.gone[id] = at
		}
	}
	for _, m := range r.members {
		if _, stays := next.find(m.NodeID); !stays {
			next.gone[m.NodeID] = now
		}
	}
	for _, m := range next.members {
		if at, returned := r.back[m.NodeID]; returned && now-at < r.settle {
			next.back[m.NodeID] = at
		}
		if _, returned := next.gone[m.NodeID]; returned {
			next.back[m.NodeID] = now
			delete(next.gone, m.NodeID)
		}
	}
	return next
}

// Members are the members, one for each node id, in the order of node ids. The slice is shared.
func (r *Ring) Members() []Member { return r.members }

func (r *Ring) find(id int32) (Member, bool) {
	for _, m := range r.members {
		if m.NodeID == id {
			return m, true
		}
	}
	return Member{}, false
}

// Leader is the member with the role that clients in the zone should turn to for a partition;
// with zone "" that of the whole group. It is false when no member has the role.
func (r *Ring) Leader(now time.Duration, p topic.Partition, zone, role string) (Member, bool) {
	if !r.zones[zone] {
		zone = "" // a client may name any, and one that nobody is in prefers nobody
	}
	return r.heaviest(now, partitionKey(p), constituency{zone: zone, role: role})
}

// passesOver reports whether members with the role that are cut off are passed over: some are, and they
// are no more than half.
func (r *Ring) passesOver(role string) bool {
	cut, all := 0, 0
	for i := range r.members {
		if m := &r.members[i]; m.HasRole(role) {
			all++
			if m.Cut {
				cut++
			}
		}
	}
	return cut > 0 && 2*cut <= all
}

// Coordinator is the member that clients of consumer groups should turn to when they have asked self: self,
// or the first that is not cut off if self is and is passed over.
func (r *Ring) Coordinator(self Member) Member {
	if self.Cut && r.passesOver("") {
		for _, m := range r.members {
			if !m.Cut {
				return m
			}
		}
	}
	return self
}

// Owner is the member that holds a chunk for a zone: one with the role fetch, a chunk server and
// exactly this zone. It is false when there is none.
func (r *Ring) Owner(now time.Duration, chunk, zone string) (Member, bool) {
	h := fnv.New64a()
	h.Write([]byte(chunk)) // a hash never fails
	return r.heaviest(now, h.Sum64(), constituency{zone: zone, role: RoleFetch, owner: true})
}

// heaviest is the member of an electorate with the greatest weight for a key.
func (r *Ring) heaviest(now time.Duration, key uint64, c constituency) (Member, bool) {
	e := r.elect(now, c)
	best, bestWeight := -1, uint64(0)
	for i, node := range e.nodes {
		// Members ascend by node id, so that a tie of weights goes to the lower id everywhere.
		if w := mix(key ^ node); best < 0 || w > bestWeight {
			best, bestWeight = i, w
		}
	}
	if best < 0 {
		return Member{}, false
	}
	return r.members[e.members[best]], true
}

// constituency is what is the same for all keys that are asked about.
type constituency struct {
	zone, role string
	owner      bool // of chunks, in exactly the zone
}

// electorate is the members among whom weight alone decides: the candidates of the highest rank.
type electorate struct {
	since, until time.Duration // when it is right
	members      []int         // their places in the ring
	nodes        []uint64      // the mixed node id of each
}

// elect finds who may lead or own at a time. A client that asks where all partitions are asks this once, and not for
// each of them: with 500 members and 100,000 partitions that was a second of a processor for each role.
func (r *Ring) elect(now time.Duration, c constituency) *electorate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.elected[c]; e != nil && e.since <= now && now < e.until {
		return e
	}
	passed := !c.owner && r.passesOver(c.role)
	e := &electorate{since: now, until: math.MaxInt64}
	best := -1
	for i := range r.members {
		m := &r.members[i]
		if at, returned := r.back[m.NodeID]; returned && now-at < r.settle {
			e.until = min(e.until, at+r.settle) // then it settles, and the electorate may be another
		}
		if !m.HasRole(c.role) || passed && m.Cut || c.owner && (m.Zone != c.zone || m.Peer == "") {
			continue
		}
		rank := 0
		if c.zone != "" && m.Zone == c.zone {
			rank += 2
		}
		if r.settled(now, m) {
			rank++
		}
		if rank > best {
			best, e.members, e.nodes = rank, e.members[:0], e.nodes[:0]
		}
		if rank == best {
			e.members, e.nodes = append(e.members, i), append(e.nodes, mixNode(m.NodeID))
		}
	}
	if r.elected == nil {
		r.elected = map[constituency]*electorate{}
	}
	r.elected[c] = e
	return e
}

func (r *Ring) settled(now time.Duration, m *Member) bool {
	at, returned := r.back[m.NodeID]
	return m.Settled && (!returned || now-at >= r.settle)
}

func partitionKey(p topic.Partition) uint64 {
	h := fnv.New64a()
	h.Write(p.Topic[:])
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(p.Index)))
	return h.Sum64()
}

// mixNode makes a weight of it together with a key: mixed once more, every bit of both moves every bit of the result; FNV alone
// would give neighbouring partitions to the same member.
func mixNode(node int32) uint64 { return mix(uint64(uint32(node)) + 0x9e3779b97f4a7c15) }

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
