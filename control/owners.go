package control

import "github.com/isthmusdata/isthmus/internal/cow"

// A producer id says whose it is: the number of its group's name stands above the number of the id, so that nothing need be
// remembered of ids that were given out and never used, and none can be given to another group.
//
//	bits 56-62  0
//	bits 40-55  1 + the number of the group's name; 0: nobody's, as ids were before groups had them
//	bits  0-39  the number of the id, which only rises
const (
	ownerShift = 40
	mostIDs    = int64(1) << ownerShift
)

func ownedID(number int64, group uint16) int64 { return (int64(group)+1)<<ownerShift | number }

func numberOf(id int64) int64 { return id & (mostIDs - 1) }

// ownerOf is the group of agents that an id was given to.
func ownerOf(id int64) (group uint16, owned bool) {
	if owner := id >> ownerShift; owner > 0 && owner <= 1<<16 {
		return uint16(owner - 1), true
	}
	return 0, false
}

// given says whether an id has been given out. One that names a group it was not given to is nobody's secret: it is
// of that group, as any other.
func (s *State) given(id int64) bool {
	group, owned := ownerOf(id)
	number := numberOf(id)
	return id > 0 && number >= firstProducer && number < s.nextProducer && (!owned && id == number || owned && int(group) < len(s.words))
}

// foreign says whether an id is another group's.
func foreign(id int64, group uint16) bool {
	owner, owned := ownerOf(id)
	return owned && owner != group
}

// idRow is the producer ids of one group that are remembered, longest unseen first: the order is that of the row of all,
// so that a snapshot need not hold it.
type idRow struct {
	first, last uint32
	n           int64
}

// idRows are the rows of all groups. next and prev chain places of the row of all ids.
type idRows struct {
	rows map[uint16]*idRow
	next []uint32
	prev []uint32
}

func newIDRows() idRows { return idRows{rows: map[uint16]*idRow{}} }

// push puts an id at the end of its group's row.
func (r *idRows) push(place uint32, id int64) {
	group, owned := ownerOf(id)
	if !owned {
		return
	}
	for int(place) >= len(r.next) {
		r.next, r.prev = append(r.next, cow.None), append(r.prev, cow.None)
	}
	row := r.rows[group]
	if row == nil {
		row = &idRow{first: cow.None, last: cow.None}
		r.rows[group] = row
	}
	r.prev[place], r.next[place] = row.last, cow.None
	if row.last == cow.None {
		row.first = place
	} else {
		r.next[row.last] = place
	}
	row.last = place
	row.n++
}

func (r *idRows) remove(place uint32, id int64) {
	group, owned := ownerOf(id)
	if !owned {
		return
	}
	row := r.rows[group]
	before, after := r.prev[place], r.next[place]
	if before == cow.None {
		row.first = after
	} else {
		r.next[before] = after
	}
	if after == cow.None {
		row.last = before
	} else {
		r.prev[after] = before
	}
	if row.n--; row.n == 0 {
		delete(r.rows, group)
	}
}

// touch moves an id to the end of its group's row.
func (r *idRows) touch(place uint32, id int64) {
	group, owned := ownerOf(id)
	if !owned || r.rows[group].last == place {
		return
	}
	r.remove(place, id)
	r.push(place, id)
}

// roomForID says whether a group may have one more producer id, and with evict makes the room: as among all producers, only
// an id idle for long gives way, the one unseen for longest.
func (s *State) roomForID(group uint16, evict bool) bool {
	most := s.Quota(s.words[group]).GetProducerIds()
	row := s.ownIDs.rows[group]
	if most == 0 || row == nil || row.n < most {
		return true
	}
	if !passed(s.clock(), s.producerIDs.At(row.first).at, s.limits.ProducerIdle) {
		return false
	}
	if evict {
		s.forgetProducer(row.first)
	}
	return true
}

// ProducerIDs counts a group's producer ids that are remembered.
func (s *State) ProducerIDs(group string) int64 {
	word, ok := s.wordOf[group]
	if row := s.ownIDs.rows[word]; ok && row != nil {
		return row.n
	}
	return 0
}
