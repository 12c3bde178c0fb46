package fetch

import (
	"context"
	"errors"
	"time"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// named is what a name or id was found to stand for.
type named struct {
	topic topic.Topic
	err   error
}

// lookupPatience is how long names are looked up one after another, as they are when all are
// cached; those that are left are then looked up at once, by one question, for there may be thousands that no
// topic has.
const lookupPatience = 5 * time.Millisecond

// resolve finds the topics that the client names.
func (f *fetch) resolve(ctx context.Context) {
	ctx, cancel := f.h.sched.Timeout(ctx, f.h.cfg.PlanTimeout)
	defer cancel()
	at := map[ref]int{}
	var refs []ref
	for i := range f.parts {
		r := f.parts[i].topicRef()
		if _, ok := at[r]; !ok {
			at[r] = len(refs)
			refs = append(refs, r)
		}
	}
	found := make([]named, len(refs))
	start, n := f.h.now(), 0
	for ; n < len(refs) && f.h.now()-start < lookupPatience; n++ {
		found[n].topic, found[n].err = f.lookup(ctx, refs[n])
	}
	f.lookupAll(ctx, refs[n:], found[n:])
	for i := range f.parts {
		p := &f.parts[i]
		n := &found[at[p.topicRef()]]
		f.settle(p, n.topic, n.err)
	}
}

// lookupAll looks several names up.
func (f *fetch) lookupAll(ctx context.Context, refs []ref, found []named) {
	if len(refs) == 0 {
		return
	}
	var names []string
	var ids []topic.ID
	for _, r := range refs {
		if f.version >= 13 {
			ids = append(ids, r.id)
		} else {
			names = append(names, r.name)
		}
	}
	topics, errs := f.h.deps.Topics.LookupAll(ctx, names, ids)
	for i := range refs {
		found[i] = named{topics[i], errs[i]}
	}
}

// topicRef is the topic's part of the name.
func (p *part) topicRef() ref { return ref{name: p.name, id: p.id} }

func (f *fetch) lookup(ctx context.Context, r ref) (topic.Topic, error) {
	if f.version >= 13 {
		return f.h.deps.Topics.LookupID(ctx, r.id)
	}
	return f.h.deps.Topics.Lookup(ctx, r.name)
}

// settle notes what a topic's name stands for, or why it stands for nothing.
func (f *fetch) settle(p *part, t topic.Topic, err error) {
	var coded interface{ KafkaCode() int16 }
	switch {
	case errors.Is(err, topic.ErrUnknown):
		p.code = f.unknown()
	case errors.Is(err, topic.ErrDenied):
		p.code = codeUnauthorized
	case errors.As(err, &coded):
		if p.code = coded.KafkaCode(); p.code != codeUnauthorized {
			p.code = f.unknown() // such as a name that no topic can have
		}
	case err != nil:
		p.code = codeStorage // nothing was learned; clients ask again
		f.h.rate.Warn("topic", "topic could not be looked up", "topic", p.name, "id", p.id.String(), "error", err)
	case f.version >= 13 && t.ID != p.id:
		p.code = codeInconsistentID
	default:
		p.partition, p.share, p.title = topic.Partition{Topic: t.ID, Index: p.index}, t.Share, t.Name
		p.resolved, p.internal, p.code = true, t.Internal, f.epochFault(p)
	}
}

// unknown is the code for a topic that does not exist, as the request names it.
func (f *fetch) unknown() int16 {
	if f.version >= 13 {
		return codeUnknownID
	}
	return codeUnknownTopic
}

// epochFault compares the leader epoch that the client knows with the incarnation (KIP-320).
func (f *fetch) epochFault(p *part) int16 {
	switch {
	case p.epoch < 0 || p.epoch == f.epoch:
		return 0
	case p.epoch < f.epoch:
		return codeFencedEpoch
	default:
		return codeUnknownEpoch
	}
}

// renamed looks the names of topics up once more whose id is unknown by a confirmed read: a
// topic may have been deleted and created again. It reports whether a name stands for another.
func (f *fetch) renamed(ctx context.Context, refused []int) bool {
	if f.version >= 13 {
		return false
	}
	changed := false
	for _, i := range refused {
		p := &f.parts[i]
		if p.again || p.view.code == codeUnauthorized {
			continue
		}
		p.again = true
		before := p.partition
		f.h.deps.Topics.Forget(p.name)
		ctx, cancel := f.h.sched.Timeout(ctx, f.h.cfg.PlanTimeout)
		t, err := f.h.deps.Topics.Lookup(ctx, p.name)
		cancel()
		f.settle(p, t, err)
		changed = changed || p.partition != before
	}
	return changed
}
