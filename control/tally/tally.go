package tally

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Kinds of events that are made here.
const (
	Produce = "produce" // bytes and records that were given a place
	Fetch   = "fetch"   // bytes and records that agents have served
	Denied  = "denied"  // a call
)

const (
	mostMoved  = 4096
	mostDenied = 256
)

// Who did something: the identity and binding of a caller, and its group.
type Who struct{ Identity, Binding, Group string }

// Of is who a caller is to the audit.
func Of(c control.Caller) Who { return Who{c.Identity, c.Binding, c.Group} }

type moved struct {
	kind  string
	who   Who
	topic topic.ID // the zero one: all that were too many
}

type denied struct {
	who                       Who
	agent, call, share, about string
	reason                    string
}

type sum struct{ bytes, records, times int64 }

// Tally holds sums. Its zero value is empty and ready.
type Tally struct {
	mu     sync.Mutex
	moved  map[moved]sum
	denied map[denied]sum
	lost   int64 // denials that had no room
}

// Moved counts data of a topic.
func (t *Tally) Moved(kind string, who Who, id topic.ID, bytes, records int64) {
	if bytes <= 0 && records <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k := moved{kind, who, id}
	if _, ok := t.moved[k]; !ok && len(t.moved) >= mostMoved {
		k.topic = topic.ID{}
		if _, ok := t.moved[k]; !ok && len(t.moved) >= 2*mostMoved {
			k.who = Who{}
		}
	}
	if t.moved == nil {
		t.moved = map[moved]sum{}
	}
	s := t.moved[k]
	t.moved[k] = sum{bytes: s.bytes + max(bytes, 0), records: s.records + max(records, 0)}
}

// Denial is one call that was denied.
type Denial struct {
	Who          Who
	Agent        string
	Call         string // its name
	Share, Topic string // where it was about one
	Reason       string // as the caller is told
}

// Denied counts a denial.
func (t *Tally) Denied(d Denial) {
	const most = 256 // bytes of a text: a client may have chosen it
	k := denied{d.Who, clip(d.Agent, most), clip(d.Call, most), clip(d.Share, most), clip(d.Topic, most), clip(d.Reason, most)}
	k.who = Who{clip(k.who.Identity, 4*most), clip(k.who.Binding, most), clip(k.who.Group, most)}
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.denied[k]
	if !ok && len(t.denied) >= mostDenied {
		t.lost++
		return
	}
	if t.denied == nil {
		t.denied = map[denied]sum{}
	}
	s.times++
	t.denied[k] = s
}

func clip(s string, most int) string { return s[:min(len(s), most)] }

// Named is what a topic is called, and by which grant its data moves.
type Named struct{ Topic, Share, Grant string }

// Take empties the tally. name says what a topic is called now; a topic that is gone goes by its id.
func (t *Tally) Take(name func(kind string, who Who, id topic.ID) (Named, bool)) []*controlpb.AuditEvent {
	t.mu.Lock()
	moves, denials, lost := t.moved, t.denied, t.lost
	t.moved, t.denied, t.lost = nil, nil, 0
	t.mu.Unlock()
	var events []*controlpb.AuditEvent
	for k, s := range moves {
		e := &controlpb.AuditEvent{Kind: k.kind, Identity: k.who.Identity, Binding: k.who.Binding, Group: k.who.Group, Bytes: s.bytes, Records: s.records}
		switch n, ok := name(k.kind, k.who, k.topic); {
		case k.topic == topic.ID{}:
			e.Detail = "of topics beyond those that are counted each"
		case ok:
			e.Topic, e.Share, e.Grant = n.Topic, n.Share, n.Grant
		default:
			e.Detail = fmt.Sprintf("of topic %s, which is gone", k.topic)
		}
		events = append(events, e)
	}
	for k, s := range denials {
		e := &controlpb.AuditEvent{Kind: Denied, Identity: k.who.Identity, Binding: k.who.Binding, Group: k.who.Group, Agent: k.agent, Share: k.share, Topic: k.about,
			Detail: k.call + ": " + k.reason}
		if s.times > 1 {
			e.Detail += fmt.Sprintf(" (%d times)", s.times)
		}
		events = append(events, e)
	}
	if lost > 0 {
		events = append(events, &controlpb.AuditEvent{Kind: Denied, Detail: fmt.Sprintf("%d more calls, of more callers than are noted", lost)})
	}
	slices.SortFunc(events, func(a, b *controlpb.AuditEvent) int {
		return cmp.Or(cmp.Compare(a.GetKind(), b.GetKind()), cmp.Compare(a.GetGroup(), b.GetGroup()), cmp.Compare(a.GetIdentity(), b.GetIdentity()),
			cmp.Compare(a.GetShare(), b.GetShare()), cmp.Compare(a.GetTopic(), b.GetTopic()), cmp.Compare(a.GetDetail(), b.GetDetail()))
	})
	return events
}
