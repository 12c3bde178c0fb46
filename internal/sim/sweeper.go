package sim

import (
	"maps"
	"slices"
	"time"

	state "github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// sweeper deletes garbage by I8: by what is known of an object's session, sequence and nonce, never
// by its age. If it ever deletes what is placed later, the check of that placement finds it missing.
type sweeper struct {
	w        *World
	placed   map[string]bool              // keys of objects that hold placed records
	last     map[string]map[uint64]uint64 // by share and session: the last sequence decided
	dead     map[string]bool              // keys ever queued for deletion
	suspects map[string]bool              // what was garbage when it was listed last
	loose    map[string]segment.Object    // what is stored and was not placed when it was listed last
	keys     map[segment.Object]string    // of what waits for deletion, which is looked at in every sweep
}

func newSweeper(w *World) *sweeper {
	return &sweeper{w: w, placed: map[string]bool{}, last: map[string]map[uint64]uint64{}, suspects: map[string]bool{}, dead: map[string]bool{}, loose: map[string]segment.Object{}, keys: map[segment.Object]string{}}
}

// refer notes that an object holds records, or has held them.
func (s *sweeper) refer(o segment.Object) { s.placed[segment.Key(clusterName, o)] = true }

// stored notes that an object lies in the bucket.
func (s *sweeper) stored(key string) {
	o, err := segment.ParseKey(clusterName, key)
	if err != nil {
		s.w.violated("I8: object %q: %v", key, err)
	}
	s.loose[key] = o
}

// list is what is stored and not placed, in order.
func (s *sweeper) list() []string {
	for key := range s.loose {
		if s.placed[key] {
			delete(s.loose, key)
		}
	}
	return slices.Sorted(maps.Keys(s.loose))
}

// learn notes how far a session has come in a share.
func (s *sweeper) learn(r segment.Reply) {
	of := s.last[r.Share]
	if of == nil {
		of = map[uint64]uint64{}
		s.last[r.Share] = of
	}
	of[r.Session] = max(of[r.Session], r.Last)
}

func (s *sweeper) run() {
	s.w.after(s.w.between(time.Second, 8*time.Second), "sweep", func() {
		if s.w.control.current() {
			s.sweep()
		}
		s.run()
	})
}

// sweep deletes what is garbage for the second time, and what waits for deletion.
func (s *sweeper) sweep() {
	waiting := s.waiting()
	suspects := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(waiting)) {
		if _, there := s.w.bucket.objects[key]; there && waiting[key] == ripe {
			delete(s.w.bucket.objects, key)
			delete(s.loose, key)
			s.w.saw("swept")
		}
	}
	for _, key := range s.list() {
		switch {
		case s.garbage(key) && s.suspects[key] && waiting[key] == 0:
			delete(s.w.bucket.objects, key)
			delete(s.loose, key)
			s.w.saw("swept")
		case s.garbage(key):
			suspects[key] = true
		}
	}
	s.suspects = suspects
}

// What an object is that the state has queued for deletion.
const (
	unripe = iota + 1 // somebody may still be reading it
	ripe
)

// waiting are the objects that the state has queued for deletion.
func (s *sweeper) waiting() map[string]int {
	out := map[string]int{}
	now := s.w.control.front().Time()
	s.w.control.front().EachDeadObject(func(d state.DeadObject) bool {
		key, known := s.keys[d.Object]
		if !known {
			key = segment.Key(clusterName, d.Object)
			s.keys[d.Object] = key
		}
		out[key], s.dead[key] = unripe, true
		if now-d.Since >= s.w.reading.patience.Milliseconds() {
			out[key] = ripe
		}
		return true
	})
	return out
}

// garbage: its sequence is decided or its session over, and it holds nothing that was placed.
func (s *sweeper) garbage(key string) bool {
	o := s.loose[key]
	if careless(o.Group) {
		return false // its own affair
	}
	if r := s.w.checks.replies[sequence{o.ID.Session, o.Share, o.ID.Sequence}]; len(r.Answers) > 0 && !s.dead[key] {
		s.w.violated("I8: %s is of a committed segment, and its commit did not name it", key)
	}
	x, known := s.w.control.front().Session(o.ID.Session)
	return !known || x.Ended || o.ID.Sequence <= s.last[o.Share][o.ID.Session]
}

// end: when all is done, every object is placed, queued for deletion, or garbage by rule.
func (s *sweeper) end() {
	waiting := s.waiting()
	for _, key := range s.list() {
		if waiting[key] == 0 && !s.garbage(key) && !careless(s.loose[key].Group) {
			s.w.violated("I8: object %s is neither placed nor abandoned", key)
		}
	}
}
