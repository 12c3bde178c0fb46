package control

import (
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// hashBytes is the length of a join token's hash: SHA-256.
const hashBytes = 32

// maxTokenLife bounds how long a join token may wait to be used.
const maxTokenLife = 7 * 24 * 60 * minute

// putJoinToken lets one agent in, once.
func (s *State) putJoinToken(in *controlpb.JoinToken) refused {
	t := &controlpb.JoinToken{
		Hash: append([]byte(nil), in.GetHash()...), Until: in.GetUntil(), Group: in.GetGroup(),
		Roles: sorted(in.GetRoles()), IdPrefixes: sorted(in.GetIdPrefixes()),
	}
	switch {
	case len(t.GetHash()) != hashBytes:
		return refuse(codeInvalidRequest, "a join token's hash has %d bytes, not %d", len(t.GetHash()), hashBytes)
	case !lawfulName(t.GetGroup()):
		return lawless("group", t.GetGroup())
	case len(t.GetRoles()) == 0:
		return refuse(codeInvalidRequest, "a join token of group %q names no roles", t.GetGroup())
	case t.GetUntil() <= s.clock():
		return refuse(codeInvalidRequest, "a join token of group %q ended at %s already", t.GetGroup(), moment(t.GetUntil()))
	case t.GetUntil() > s.clock()+maxTokenLife:
		return refuse(codeInvalidRequest, "a join token of group %q may wait for 7 days at most, not until %s", t.GetGroup(), moment(t.GetUntil()))
	}
	if why := s.checkRoles("a join token", t.GetGroup(), t.GetRoles()); why.code != 0 {
		return why
	}
	if why := s.checkPrefixes("a join token", t.GetGroup(), t.GetIdPrefixes()); why.code != 0 {
		return why
	}
	have, known := s.joinTokens.Get(string(t.GetHash()))
	if !known && s.joinTokens.Len() >= s.limits.MaxJoinTokens {
		return refuse(codePolicy, "there are %d join tokens that wait to be used, as many as the cluster may have", s.joinTokens.Len())
	}
	if _, room := s.word(t.GetGroup()); !room {
		return refuse(codePolicy, "there are as many groups and shares as the cluster may have (%d)", s.limits.MaxNames)
	}
	if known {
		s.agenda.Delete(dueOfToken(have))
	}
	s.joinTokens.Set(string(t.GetHash()), t)
	s.agenda.Set(dueOfToken(t))
	return refused{}
}

// JoinToken finds what hashes so and waits to be used. It is never changed.
func (s *State) JoinToken(hash []byte) (*controlpb.JoinToken, bool) {
	t, ok := s.joinTokens.Get(string(hash))
	return t, ok && t.GetUntil() > s.clock()
}

// consumeToken lets an agent in by a join token, which is dead from then on. The agent gets a binding of its own, by
// the certificate that it is given; one that it had from an earlier token is replaced.
//
// A binding so made does not end the time in which whoever calls from loopback is admitted: it cannot have admin, so
// nobody could change anything any more.
func (s *State) consumeToken(c *controlpb.ConsumeTokenCommand, r *Result) {
	t, ok := s.joinTokens.Get(string(c.GetHash()))
	if !ok || t.GetUntil() <= s.clock() {
		r.refuse(refuse(codeClusterDenied, "the join token is not known: it was used, or its time is over"))
		return
	}
	match := &controlpb.Match{Method: MethodMTLS, Uri: c.GetUri()}
	if c.GetAgent() == "" || len(c.GetAgent()) > maxAgent {
		r.refuse(refuse(codeInvalidRequest, "the name of the agent has %d bytes, it may have 1 to %d", len(c.GetAgent()), maxAgent))
		return
	}
	b := &controlpb.Binding{
		Name: "join-" + hex.EncodeToString(t.GetHash()[:8]), Match: match, Group: t.GetGroup(), Roles: t.GetRoles(),
		IdPrefixes: t.GetIdPrefixes(), MaxAgents: 1,
	}
	if why := checkMatch("binding "+b.GetName(), match); why.code != 0 {
		r.refuse(why)
		return
	}
	s.bindings.Scan(func(_ string, have *binding) bool {
		if have.joined && proto.Equal(have.pb.GetMatch(), match) {
			b.Name = have.pb.GetName()
		}
		return true
	})
	if have, known := s.bindings.Get(b.GetName()); known {
		s.endSessions(func(x *session) bool { return x.binding == have.pb.GetName() })
	} else if s.bindings.Len() >= s.limits.MaxBindings {
		r.refuse(refuse(codePolicy, "there are %d bindings, as many as the cluster may have", s.bindings.Len()))
		return
	}
	s.agenda.Delete(dueOfToken(t))
	s.joinTokens.Delete(string(t.GetHash()))
	s.setBinding(&binding{pb: b, joined: true})
	s.wallsRise()
	r.Binding = b
	s.record(&controlpb.AuditEvent{
		Kind: AuditJoin, Identity: c.GetUri(), Binding: b.GetName(), Group: b.GetGroup(), Agent: c.GetAgent(),
		Detail: fmt.Sprintf("a join token let it in as %v", b.GetRoles()),
	})
}

func (s *State) dropTokensOf(group string) {
	var void []*controlpb.JoinToken
	s.joinTokens.Scan(func(_ string, t *controlpb.JoinToken) bool {
		if t.GetGroup() == group {
			void = append(void, t)
		}
		return true
	})
	for _, t := range void {
		s.agenda.Delete(dueOfToken(t))
		s.joinTokens.Delete(string(t.GetHash()))
	}
}

func dueOfToken(t *controlpb.JoinToken) due {
	return due{at: t.GetUntil(), kind: dueToken, name: string(t.GetHash())}
}

func (s *State) expireToken(d due) int {
	s.agenda.Delete(d)
	s.joinTokens.Delete(d.name)
	return 1
}
