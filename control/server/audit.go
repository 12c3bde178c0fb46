package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/raft"
	"github.com/isthmusdata/isthmus/control/tally"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

const (
	auditPart      = 256  // events of one command
	mostUsage      = 4096 // topics of one heartbeat that are counted
	lastAuditPause = 2 * time.Second
)

// flushAudit writes down what was counted, once in an interval. What cannot be written, for this node does not lead any more, is
// counted on and written when it leads again.
func (s *service) flushAudit(ctx context.Context) error {
	now := s.now()
	if now-s.audited < s.config.AuditInterval {
		return nil
	}
	s.audited = now
	return s.writeAudit(ctx)
}

func (s *service) writeAudit(ctx context.Context) error {
	var events []*controlpb.AuditEvent
	s.node.Peek(func(st *control.State) {
		events = s.tally.Take(func(kind string, who tally.Who, id topic.ID) (tally.Named, bool) { return named(st, kind, who, id) })
	})
	written := 0
	for part := range slices.Chunk(events, auditPart) {
		_, err := s.node.Propose(ctx, &controlpb.Command{Op: &controlpb.Command_Audit{Audit: &controlpb.AuditCommand{Events: part}}})
		if err != nil {
			return fmt.Errorf("write the audit: %d of %d events are lost: %w", len(events)-written, len(events), err)
		}
		written += len(part)
	}
	return nil
}

// lastAudit writes down what was counted before this node stops.
func (s *service) lastAudit() {
	if s.term.Load() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastAuditPause)
	defer cancel()
	if err := s.writeAudit(ctx); err != nil && !errors.Is(err, raft.ErrNotLeader) {
		s.log.Warn("the audit misses what was counted last", "error", err)
	}
	if err := s.writeMeters(ctx); err != nil && !errors.Is(err, raft.ErrNotLeader) {
		s.log.Warn("what agents told last is not written down", "error", err)
	}
}

// named finds a topic's name and share, and the grant by which data of it moves.
func named(st *control.State, kind string, who tally.Who, id topic.ID) (tally.Named, bool) {
	t, ok := st.TopicByID(id)
	if !ok {
		return tally.Named{}, false
	}
	call := control.Call{Kind: control.CallPlan, Share: t.Share, Topic: t.Name}
	if kind == tally.Produce {
		call.Kind = control.CallCommit
	}
	d := st.Allow(control.Caller{Identity: who.Identity, Binding: who.Binding, Group: who.Group, Roles: []string{kind}, Open: st.Open()}, call)
	return tally.Named{Topic: t.Name, Share: t.Share, Grant: d.Grant}, true
}

// tallyPlaced counts what a commit has placed, under the state's lock. A repeated commit places nothing.
func (s *service) tallyPlaced(st *control.State, r control.Result) {
	if r.Reply.Session == 0 || len(r.Events) == 0 {
		return
	}
	x, ok := st.Session(r.Reply.Session)
	if !ok {
		return
	}
	who := whoOf(&x)
	for i := range r.Events {
		e := &r.Events[i]
		var bytes, records int64
		for j := range e.Locations {
			bytes, records = bytes+int64(e.Locations[j].Length), records+int64(e.Locations[j].Records)
		}
		s.tally.Moved(tally.Produce, who, e.Partition.Topic, bytes, records)
	}
}

// tallyRefused counts what of a commit the walls have refused.
func (s *service) tallyRefused(r *controlpb.CommitRequest, reply segment.Reply) {
	denied := func(a segment.Answer) bool { return a.Verdict == segment.Refused && a.Code == codeTopicDenied }
	whole := reply.Outcome == segment.Unauthorized
	if !whole && !slices.ContainsFunc(reply.Answers, denied) {
		return
	}
	s.node.Peek(func(st *control.State) {
		d := tally.Denial{Call: "Commit", Share: r.GetShare(), Reason: "neither role nor grants let it write to the share"}
		if x, ok := st.Session(reply.Session); ok {
			d.Who, d.Agent = whoOf(&x), x.Agent
		}
		if whole {
			s.tally.Denied(d)
			return
		}
		m, err := segment.ParseManifest(r.GetManifest())
		if err != nil || len(m.Rows) != len(reply.Answers) {
			return // the answer is that of an earlier commit of the same sequence
		}
		d.Reason = "no grant lets it write to the topic"
		for i, a := range reply.Answers {
			id := m.Rows[i].Partition.Topic
			if !denied(a) || i > 0 && denied(reply.Answers[i-1]) && m.Rows[i-1].Partition.Topic == id {
				continue
			}
			d.Topic = id.String()
			if t, ok := st.TopicByID(id); ok {
				d.Topic = t.Name
			}
			s.tally.Denied(d)
		}
	})
}

func whoOf(x *control.Session) tally.Who {
	return tally.Who{Identity: x.Identity, Binding: x.Binding, Group: x.Group}
}

// tallyFetched counts what an agent says that it has served. It is the agent's word: the control plane does not see the bytes.
func (s *service) tallyFetched(x *control.Session, fetched []*controlpb.Usage) {
	who := whoOf(x)
	for _, u := range fetched[:min(len(fetched), mostUsage)] {
		if len(u.GetTopicId()) == len(topic.ID{}) {
			s.tally.Moved(tally.Fetch, who, topic.ID(u.GetTopicId()), u.GetBytes(), u.GetRecords())
		}
	}
}

// tallyDenied counts a call that was answered with an error, if it was that somebody may not.
func (s *service) tallyDenied(ctx context.Context, method string, err error) {
	if !errors.Is(err, errDenied) && !errors.Is(err, errUnproven) || s.term.Load() == nil {
		return
	}
	who, unknown := s.callerOf(ctx)
	if unknown != nil {
		who = control.Caller{}
	}
	s.tally.Denied(tally.Denial{Who: tally.Of(who), Agent: who.Agent, Call: method, Reason: fmt.Sprintf("%v, from %s", err, hostOf(ctx))})
}

// tallyTunnel counts a request of Kafka's that the walls answered with no.
func (s *service) tallyTunnel(who control.Caller, key int16, what control.Call, reason string) {
	if what.Group != "" {
		reason += ", consumer group " + what.Group
	}
	s.tally.Denied(tally.Denial{Who: tally.Of(who), Agent: who.Agent, Call: kmsg.NameForKey(key), Share: what.Share, Topic: what.Topic, Reason: reason})
}

// denyRead counts a partition that a caller may not read.
func (s *service) denyRead(st *control.State, who control.Caller, call string, p topic.Partition, d control.Decision) {
	t, _ := st.TopicByID(p.Topic)
	s.tally.Denied(tally.Denial{Who: tally.Of(who), Agent: who.Agent, Call: call, Share: t.Share, Topic: t.Name, Reason: d.Reason})
}

// hostOf is where a call comes from, without the port, which differs each time.
func hostOf(ctx context.Context) string {
	address := peerAddress(ctx)
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
