package control

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control/controlpb"
)

// binding says what a proven identity is. It is never changed, only replaced.
type binding struct {
	pb     *controlpb.Binding
	joined bool // by a join token, not by an operator
}

// covers says whether the binding leaves a share to its group's grants.
func (b *binding) covers(share string) bool {
	return len(b.pb.GetShares()) == 0 || slices.Contains(b.pb.GetShares(), share)
}

// Bounds of what a binding says, beside Limits: a binding is for people to read.
const (
	maxPrefixes = 64
	maxPrefix   = 256 // bytes of one
	maxIdentity = 2048
)

// Ways in which an identity is proved.
const (
	MethodSigV4 = "aws-sigv4"
	MethodOIDC  = "aws-oidc"
	MethodMTLS  = "mtls"
)

// putBinding makes a binding or replaces the one of its name. Who came by it and is not what it says any more has to log
// in again; what else changed holds from the next call on.
func (s *State) putBinding(in *controlpb.Binding, key []byte) refused {
	b := normalBinding(in)
	if why := s.checkBinding(b); why.code != 0 {
		return why
	}
	have, known := s.bindings.Get(b.GetName())
	switch {
	case s.Open() && !b.GetAdmin():
		return refuse(codePolicy, "binding %q: the first binding must have admin, for from then on nobody else may change anything", b.GetName())
	case known && have.pb.GetAdmin() && !b.GetAdmin() && s.admins() == 1:
		return refuse(codePolicy, "binding %q is the last one with admin: give it to another before", b.GetName())
	case !known && s.bindings.Len() >= s.limits.MaxBindings:
		return refuse(codePolicy, "there are %d bindings, as many as the cluster may have", s.bindings.Len())
	}
	if b.GetGroup() != "" {
		if _, room := s.word(b.GetGroup()); !room {
			return refuse(codePolicy, "there are as many groups and shares as the cluster may have (%d)", s.limits.MaxNames)
		}
	}
	if known {
		if why := s.needsKey(have.pb.GetGroup(), key); why.code != 0 {
			return why
		}
	}
	s.setBinding(&binding{pb: b})
	lost := false
	s.endSessions(func(x *session) bool {
		switch {
		case x.binding == "":
			return true // open: the first binding has ended that
		case x.binding != b.GetName():
			return false
		}
		gone := !known || s.words[x.group] != b.GetGroup() || !proto.Equal(have.pb.GetMatch(), b.GetMatch()) ||
			slices.ContainsFunc(x.roles, func(role string) bool { return !slices.Contains(b.GetRoles(), role) })
		lost = lost || gone
		return gone
	})
	if lost && known {
		s.beginRotation(have.pb.GetGroup(), key)
	}
	return refused{}
}

// Open says that no operator has made a binding: whoever calls from loopback is admitted as admin, each agent with the
// group and the roles that it names.
func (s *State) Open() bool { return s.bound == 0 }

// EachBinding calls f for every binding, by name, until f returns false. Bindings are never changed.
func (s *State) EachBinding(f func(*controlpb.Binding) bool) {
	s.bindings.Scan(func(_ string, b *binding) bool { return f(b.pb) })
}

// setBinding and deleteBinding keep count of the bindings that operators have made.
func (s *State) setBinding(b *binding) {
	s.deleteBinding(b.pb.GetName())
	s.bindings.Set(b.pb.GetName(), b)
	if !b.joined {
		s.bound++
	}
}

func (s *State) deleteBinding(name string) {
	if b, ok := s.bindings.Delete(name); ok && !b.joined {
		s.bound--
	}
}

// normalBinding is a copy in which lists are sorted and hold nothing twice.
func normalBinding(in *controlpb.Binding) *controlpb.Binding {
	m := in.GetMatch()
	return &controlpb.Binding{
		Name: in.GetName(), Group: in.GetGroup(), Admin: in.GetAdmin(), MaxAgents: in.GetMaxAgents(),
		Roles: sorted(in.GetRoles()), Shares: sorted(in.GetShares()), IdPrefixes: sorted(in.GetIdPrefixes()),
		Match: &controlpb.Match{
			Method: m.GetMethod(), Arn: m.GetArn(), UniqueId: m.GetUniqueId(), Issuer: m.GetIssuer(), Subject: m.GetSubject(), Uri: m.GetUri(),
		},
	}
}

func sorted(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *State) checkBinding(b *controlpb.Binding) refused {
	name := b.GetName()
	if !lawfulName(name) {
		return lawless("binding", name)
	}
	about := fmt.Sprintf("binding %q", name)
	if why := checkMatch(about, b.GetMatch()); why.code != 0 {
		return why
	}
	switch {
	case b.GetGroup() == "" && !b.GetAdmin():
		return refuse(codeInvalidRequest, "%s: it has neither a group nor admin: name the group of its agents", about)
	case b.GetGroup() == "" && len(b.GetRoles())+len(b.GetShares())+len(b.GetIdPrefixes()) > 0:
		return refuse(codeInvalidRequest, "%s: roles, shares and id prefixes are a group's: name the group", about)
	case b.GetGroup() == "":
	case !lawfulName(b.GetGroup()):
		return lawless("group", b.GetGroup())
	case len(b.GetRoles()) == 0:
		return refuse(codeInvalidRequest, "%s: name the roles of its agents: produce, fetch or jobs", about)
	}
	switch {
	case b.GetMaxAgents() < 0:
		return refuse(codeInvalidRequest, "%s: at most %d agents", about, b.GetMaxAgents())
	case len(b.GetShares()) > s.limits.MaxNames:
		return refuse(codeInvalidRequest, "%s: %d shares, more than there can be", about, len(b.GetShares()))
	}
	if why := s.checkRoles(about, b.GetGroup(), b.GetRoles()); why.code != 0 {
		return why
	}
	for _, share := range b.GetShares() {
		if _, ok := s.shares.Get(share); !ok {
			return s.noShare(about, share)
		}
	}
	return s.checkPrefixes(about, b.GetGroup(), b.GetIdPrefixes())
}

// checkRoles holds roles to those that there are, and to those that the group may have.
func (s *State) checkRoles(about, group string, roles []string) refused {
	for _, role := range roles {
		if role != RoleProduce && role != RoleFetch && role != RoleJobs {
			return refuse(codeInvalidRequest, "%s: role %.32q is neither produce nor fetch nor jobs", about, role)
		}
		if g, ok := s.agentGroups.Get(group); ok && len(g.GetRoles()) > 0 && !slices.Contains(g.GetRoles(), role) {
			return refuse(codePolicy, "%s: group %q may only have the roles %s: change the group before", about, group, strings.Join(g.GetRoles(), ", "))
		}
	}
	return refused{}
}

// checkPrefixes keeps the ids of different groups apart: none may own what another does, but for AnyID.
func (s *State) checkPrefixes(about, group string, prefixes []string) (why refused) {
	if len(prefixes) > maxPrefixes {
		return refuse(codeInvalidRequest, "%s: %d id prefixes, at most %d", about, len(prefixes), maxPrefixes)
	}
	for _, prefix := range prefixes {
		switch {
		case prefix == "":
			return refuse(codeInvalidRequest, "%s: an id prefix is empty: write %q for every id", about, AnyID)
		case len(prefix) > maxPrefix:
			return refuse(codeInvalidRequest, "%s: an id prefix has %d bytes, at most %d", about, len(prefix), maxPrefix)
		case prefix != AnyID && strings.Contains(prefix, "*"):
			return refuse(codeInvalidRequest, "%s: id prefix %q: write it without *, for it always is a prefix; %q alone is every id", about, prefix, AnyID)
		}
		s.eachPrefix(func(other, holder, theirs string) bool {
			if holder != group && prefix != AnyID && theirs != AnyID && (strings.HasPrefix(theirs, prefix) || strings.HasPrefix(prefix, theirs)) {
				why = refuse(codePolicy, "%s: id prefix %q overlaps %q of %s, which is of group %q", about, prefix, theirs, other, holder)
			}
			return why.code == 0
		})
		if why.code != 0 {
			return why
		}
	}
	return refused{}
}

// eachPrefix calls f for every id prefix that a group has or has been promised.
func (s *State) eachPrefix(f func(about, group, prefix string) bool) {
	more := true
	s.bindings.Scan(func(name string, b *binding) bool {
		for _, prefix := range b.pb.GetIdPrefixes() {
			more = more && f(fmt.Sprintf("binding %q", name), b.pb.GetGroup(), prefix)
		}
		return more
	})
	s.joinTokens.Scan(func(_ string, t *controlpb.JoinToken) bool {
		for _, prefix := range t.GetIdPrefixes() {
			more = more && f("a join token", t.GetGroup(), prefix)
		}
		return more
	})
}

// checkMatch holds a match to what its method proves. A star is only at the end, and leaves something to match.
func checkMatch(about string, m *controlpb.Match) refused {
	set := map[string]string{"arn": m.GetArn(), "unique id": m.GetUniqueId(), "issuer": m.GetIssuer(), "subject": m.GetSubject(), "uri": m.GetUri()}
	var needs, may []string
	switch m.GetMethod() {
	case MethodSigV4:
		needs, may = []string{"arn"}, []string{"unique id"}
	case MethodOIDC:
		needs = []string{"issuer", "subject"}
	case MethodMTLS:
		needs = []string{"uri"}
	default:
		return refuse(codeInvalidRequest, "%s: method %.32q is neither %s nor %s nor %s", about, m.GetMethod(), MethodSigV4, MethodOIDC, MethodMTLS)
	}
	for _, field := range []string{"arn", "unique id", "issuer", "subject", "uri"} {
		value := set[field]
		switch needed := slices.Contains(needs, field); {
		case needed && value == "":
			return refuse(codeInvalidRequest, "%s: an identity by %s is matched by its %s, and there is none", about, m.GetMethod(), field)
		case !needed && value != "" && !slices.Contains(may, field):
			return refuse(codeInvalidRequest, "%s: an identity by %s has no %s", about, m.GetMethod(), field)
		case len(value) > maxIdentity:
			return refuse(codeInvalidRequest, "%s: its %s has %d bytes, at most %d", about, field, len(value), maxIdentity)
		}
		patterned := field == "arn" || field == "subject" || field == "uri"
		if star := strings.IndexByte(value, '*'); star >= 0 && (!patterned || star != len(value)-1) {
			return refuse(codeInvalidRequest, "%s: %s %.200q: a * stands only at the end of an arn, a subject or a uri, and matches any rest", about, field, value)
		}
	}
	return checkForm(about, m)
}

// checkForm refuses what no identity can match, and what would match those of everybody.
func checkForm(about string, m *controlpb.Match) refused {
	switch m.GetMethod() {
	case MethodSigV4:
		part := strings.SplitN(m.GetArn(), ":", 6)
		if len(part) != 6 || part[0] != "arn" || !strings.HasPrefix(part[1], "aws") || part[2] != "iam" || part[3] != "" || !digits(part[4], 12) ||
			!strings.HasPrefix(part[5], "role/") && !strings.HasPrefix(part[5], "user/") {
			return refuse(codeInvalidRequest, "%s: arn %.200q is not like arn:aws:iam::ACCOUNT:role/NAME or arn:aws:iam::ACCOUNT:user/NAME", about, m.GetArn())
		}
	case MethodOIDC:
		if !strings.HasPrefix(m.GetIssuer(), "https://") {
			return refuse(codeInvalidRequest, "%s: issuer %.200q does not begin with https://", about, m.GetIssuer())
		}
		if m.GetSubject() == "*" {
			return refuse(codeInvalidRequest, "%s: subject * is everybody at that issuer: name more of it", about)
		}
	case MethodMTLS:
		if rest, ok := strings.CutPrefix(m.GetUri(), "spiffe://"); !ok || len(rest) < 2 || rest[0] == '*' {
			return refuse(codeInvalidRequest, "%s: uri %.200q is not like spiffe://TRUST-DOMAIN/PATH", about, m.GetUri())
		}
	}
	return refused{}
}

func digits(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789") == ""
}

// admins counts bindings with admin.
func (s *State) admins() (n int) {
	s.bindings.Scan(func(_ string, b *binding) bool {
		if b.pb.GetAdmin() {
			n++
		}
		return true
	})
	return n
}

// removeBinding ends a binding and the sessions of those who came by it; what they knew of their group's keys is replaced.
func (s *State) removeBinding(name string, key []byte) refused {
	b, ok := s.bindings.Get(name)
	switch {
	case !ok:
		return refuse(codeNotFound, "there is no binding %.80q", name)
	case b.pb.GetAdmin() && s.admins() == 1 && s.bound > 1:
		return refuse(codePolicy, "binding %q is the last one with admin, and there are others: give admin to another before", name)
	}
	if why := s.needsKey(b.pb.GetGroup(), key); why.code != 0 {
		return why
	}
	s.dropBinding(b)
	s.beginRotation(b.pb.GetGroup(), key)
	return refused{}
}

func (s *State) dropBinding(b *binding) {
	s.deleteBinding(b.pb.GetName())
	s.endSessions(func(x *session) bool { return x.binding == b.pb.GetName() })
}

// endSessions ends the sessions that live and of which end says so, oldest first.
func (s *State) endSessions(end func(*session) bool) {
	var ids []uint64
	s.sessions.Scan(func(id uint64, x *session) bool {
		if !x.ended && end(x) {
			ids = append(ids, id)
		}
		return true
	})
	for _, id := range ids {
		s.endSession(id)
	}
}
