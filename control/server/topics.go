package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/control/raft"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// Topics describes topics, names before ids, or all by name. Missing names are created if asked and
// allowed; of two that ask at once, one creates and both are answered with what is there.
func (s *service) Topics(ctx context.Context, r *controlpb.TopicsRequest) (*controlpb.TopicsResponse, error) {
	who, err := s.ask(ctx, control.CallTopics, r.GetSession(), len(r.GetNames())+len(r.GetIds()), s.config.TopicNames)
	if err != nil {
		return nil, err
	}
	for _, id := range r.GetIds() {
		if len(id) != len(topic.ID{}) {
			return nil, fmt.Errorf("%w: topic id of %d B, it has 16", errInvalid, len(id))
		}
	}
	found, missing := s.describe(who, r)
	if r.GetCreate() && s.config.AutoCreate && len(missing) > 0 {
		codes, err := s.create(ctx, who, missing)
		if err != nil {
			return nil, err
		}
		found, _ = s.describe(who, r)
		for i := range found {
			if code, refused := codes[found[i].Topic.Name]; refused && found[i].Code == codeUnknownTopic {
				found[i].Code = code
			}
		}
	}
	answer := &controlpb.TopicsResponse{Topics: make([]*controlpb.Topic, len(found))}
	for i := range found {
		answer.Topics[i] = encodeTopic(found[i])
	}
	return answer, nil
}

// describe reads what is asked for, after ask has confirmed that this node leads.
func (s *service) describe(who control.Caller, r *controlpb.TopicsRequest) (found []topic.Found, missing []string) {
	s.node.Peek(func(st *control.State) {
		if r.GetAll() {
			st.EachTopic(func(t topic.Topic) bool {
				if f := shown(st, who, t, codeUnknownTopic); f.Code == 0 {
					found = append(found, f)
				}
				return true
			})
			return
		}
		for _, name := range r.GetNames() {
			t, ok := st.TopicByName(name)
			if !ok {
				found = append(found, topic.Found{Topic: topic.Topic{Name: name}, Code: codeUnknownTopic})
				missing = append(missing, name)
				continue
			}
			found = append(found, shown(st, who, t, codeUnknownTopic))
		}
		for _, raw := range r.GetIds() {
			id := topic.ID(raw)
			t, ok := st.TopicByID(id)
			if !ok {
				found = append(found, topic.Found{Topic: topic.Topic{ID: id}, Code: codeUnknownTopicID})
				continue
			}
			found = append(found, shown(st, who, t, codeTopicDenied))
		}
	})
	return found, missing
}

// shown is a topic as the caller may see it. One that no grant of its group covers does not exist for it: hidden is what it
// is told. Asked for by its id, which only those know who were shown it, it is denied, and they learn why it is gone.
func shown(st *control.State, who control.Caller, t topic.Topic, hidden int16) topic.Found {
	if st.Allow(who, control.Call{Kind: control.CallTopics, Topic: t.Name, Share: t.Share}).Allowed {
		return topic.Found{Topic: t}
	}
	if hidden == codeUnknownTopic {
		return topic.Found{Topic: topic.Topic{Name: t.Name}, Code: hidden}
	}
	return topic.Found{Topic: topic.Topic{ID: t.ID}, Code: hidden}
}

// create proposes topics with the cluster's defaults, all that fit into one entry at a time, and returns
// the codes of those that are refused. A topic that somebody else has created meanwhile is not. Names that no grant lets the
// caller create are not proposed: they stay unknown.
func (s *service) create(ctx context.Context, who control.Caller, names []string) (map[string]int16, error) {
	codes := map[string]int16{}
	pending := make([]*raft.Pending, 0, len(names))
	asked := make([]string, 0, len(names))
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		share, allowed := s.shareFor(who, name)
		if !allowed {
			continue
		}
		c, err := s.createTopic(name, share, who.Group)
		if err != nil {
			return nil, err
		}
		p, err := s.node.Enqueue(c)
		if errors.Is(err, raft.ErrInvalid) || errors.Is(err, raft.ErrTooLarge) {
			codes[name] = codeInvalidTopic
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("create topic %q: %w", name, err)
		}
		pending, asked = append(pending, p), append(asked, name)
	}
	for i, p := range pending {
		results, err := p.Wait(ctx)
		if err != nil {
			return nil, fmt.Errorf("create topic %q: %w", asked[i], err)
		}
		switch code := results[0].Code; code {
		case 0:
			s.log.Info("topic created on first use", "topic", asked[i], "partitions", s.config.DefaultPartitions)
		case codeTopicExists:
		default:
			codes[asked[i]] = code
		}
	}
	return codes, nil
}

// shareFor is the share that a topic belongs to which the caller has created by asking for it, if it may.
func (s *service) shareFor(who control.Caller, name string) (share string, allowed bool) {
	s.node.Peek(func(st *control.State) {
		var d control.Decision
		share, d = st.ShareFor(who, name)
		allowed = d.Allowed
	})
	return share, allowed
}

func (s *service) createTopic(name, share, group string) (*controlpb.Command, error) {
	id := make([]byte, len(topic.ID{}))
	if _, err := rand.Read(id); err != nil {
		return nil, fmt.Errorf("draw id of topic %q: %w", name, err)
	}
	return &controlpb.Command{Op: &controlpb.Command_CreateTopic{CreateTopic: &controlpb.CreateTopicCommand{
		Name: name, Id: id, Partitions: s.config.DefaultPartitions, Share: share, Group: group,
	}}}, nil
}
