package server

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/authority"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/internal/certs"
)

// join lets one agent in by a token, whose hash alone is stored, and which is dead afterwards: the agent has a binding
// and a certificate of its own by then. A claim that the token does not cover leaves it alive, for its owner to ask again.
func (s *service) join(ctx context.Context, r *controlpb.AuthenticateRequest) (_ authority.Claims, certify bool, err error) {
	refuse := func(format string, args ...any) (authority.Claims, bool, error) {
		s.m.logins.WithLabelValues(methodToken, "refused").Inc()
		err := fmt.Errorf("%w: %s", errUnproven, fmt.Sprintf(format, args...))
		s.log.Warn("a join token is refused", "group", r.GetGroup(), "agent", r.GetAgent(), "peer", peerAddress(ctx), "error", err)
		return authority.Claims{}, false, err
	}
	if r.GetGroup() == "" || len(r.GetCsr()) == 0 {
		return refuse("a join token is for an agent, which gets a certificate")
	}
	if err := authority.CheckCSR(r.GetCsr()); err != nil {
		return authority.Claims{}, false, fmt.Errorf("%w: %w", errInvalid, err)
	}
	name := certs.Name{Kind: certs.Agent, Cluster: s.node.Identity().Cluster, Group: r.GetGroup(), ID: r.GetAgent()}
	if err := name.Check(); err != nil {
		return authority.Claims{}, false, fmt.Errorf("%w: %w", errInvalid, err)
	}
	hash := sha256.Sum256(r.GetProof())
	var token *controlpb.JoinToken
	known := false
	s.node.Peek(func(st *control.State) { token, known = st.JoinToken(hash[:]) })
	if !known {
		return refuse("the join token is not known: it was used, or its time is over")
	}
	asks := &controlpb.Binding{Name: "the join token", Group: token.GetGroup(), Roles: token.GetRoles()}
	if why := uncovered(asks, r); why != "" {
		return refuse("the agent %s", why)
	}
	results, err := s.node.Propose(ctx, &controlpb.Command{Op: &controlpb.Command_ConsumeToken{
		ConsumeToken: &controlpb.ConsumeTokenCommand{Hash: hash[:], Agent: r.GetAgent(), Uri: name.String()},
	}})
	if err != nil {
		return authority.Claims{}, false, fmt.Errorf("use a join token: %w", err)
	}
	if results[0].Code != 0 || results[0].Binding == nil {
		return refuse("%s", results[0].Reason)
	}
	s.m.logins.WithLabelValues(methodToken, "ok").Inc()
	s.log.Info("an agent has joined by a token", "group", r.GetGroup(), "agent", r.GetAgent(), "binding", results[0].Binding.GetName(), "peer", peerAddress(ctx))
	claims := authority.Claims{Method: identity.MethodMTLS, Identity: name.String(), Group: r.GetGroup(), Agent: r.GetAgent(), Roles: r.GetRoles()}
	return claimed(claims, results[0].Binding), true, nil
}
