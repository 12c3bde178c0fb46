package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// gossipKeyBytes is the length of a group's gossip key: AES-256.
const gossipKeyBytes = 32

// Login opens a session. The key is used only if the group has none yet.
func (s *service) Login(ctx context.Context, r *controlpb.LoginRequest) (*controlpb.LoginResponse, error) {
	if _, err := s.leading(); err != nil {
		return nil, err
	}
	who, err := s.callerOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := loginAs(&who, r); err != nil {
		return nil, err
	}
	if err := s.permitted(who, control.Call{Kind: control.CallLogin}); err != nil {
		return nil, err
	}
	key := make([]byte, gossipKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("draw gossip key of group %q: %w", r.GetGroup(), err)
	}
	results, err := s.node.Propose(ctx, &controlpb.Command{Op: &controlpb.Command_Login{
		Login: &controlpb.LoginCommand{Request: r, GossipKey: key, Identity: who.Identity, Binding: who.Binding},
	}})
	if err != nil {
		return nil, fmt.Errorf("log in agent %q of group %q: %w", r.GetAgent(), r.GetGroup(), err)
	}
	if results[0].Code != 0 || results[0].Login == nil {
		return nil, loginRefused(r, results[0])
	}
	answer := proto.CloneOf(results[0].Login)
	s.leases.grant(answer.GetSession(), s.now())
	s.log.Info("agent logged in", "agent", r.GetAgent(), "group", r.GetGroup(), "roles", r.GetRoles(), "zone", r.GetZone(),
		"session", answer.GetSession(), "node", answer.GetNodeId())
	return answer, nil
}

// loginAs holds a login to what the caller was proven to be. Where anybody is admitted, it is what it says.
func loginAs(who *control.Caller, r *controlpb.LoginRequest) error {
	if who.Open && who.Agent == "" {
		who.Agent, who.Group, who.Roles = r.GetAgent(), r.GetGroup(), r.GetRoles()
		return nil
	}
	if who.Agent != r.GetAgent() || who.Group != r.GetGroup() {
		return fmt.Errorf("%w: log in as agent %q of group %q: the token is of %s", errDenied, r.GetAgent(), r.GetGroup(), nameOf(*who))
	}
	for _, role := range r.GetRoles() {
		if !slices.Contains(who.Roles, role) {
			return fmt.Errorf("%w: log in agent %q of group %q with role %q: the token is for %v", errDenied, r.GetAgent(), r.GetGroup(), role, who.Roles)
		}
	}
	who.Roles = r.GetRoles()
	return nil
}

func loginRefused(r *controlpb.LoginRequest, why control.Result) error {
	code := why.Code
	if why.Reason != "" {
		return fmt.Errorf("%w: log in agent %q of group %q: %s", errDenied, r.GetAgent(), r.GetGroup(), why.Reason)
	}
	switch code {
	case codeInvalidRequest:
		return fmt.Errorf("%w: log in agent %q of group %q: a name is empty, too long or has characters other than letters, digits, . _ and -", errInvalid, r.GetAgent(), r.GetGroup())
	case codePolicy:
		return fmt.Errorf("%w: log in agent %q of group %q: there are as many groups and shares as the cluster may have", errDenied, r.GetAgent(), r.GetGroup())
	case codeTooMany:
		return fmt.Errorf("%w: log in agent %q of group %q: there are as many sessions as the cluster may have", errDenied, r.GetAgent(), r.GetGroup())
	}
	return fmt.Errorf("log in agent %q of group %q: refused with code %d", r.GetAgent(), r.GetGroup(), code)
}

// Heartbeat renews a lease. Only the state says that a session has ended, after a leadership check: a
// leader that was deposed without noticing knows nothing of the sessions of the next.
func (s *service) Heartbeat(ctx context.Context, r *controlpb.HeartbeatRequest) (*controlpb.HeartbeatResponse, error) {
	if _, err := s.leading(); err != nil {
		return nil, err
	}
	who, err := s.callerOf(ctx)
	if err != nil {
		return nil, err
	}
	var x control.Session
	known := false
	answer := &controlpb.HeartbeatResponse{}
	read := func(st *control.State) {
		if x, known = st.Session(r.GetSession()); known {
			answer.Shares, answer.Quota, answer.Agents, answer.Walls = st.SharesOf(x), st.Quota(x.Group), st.Agents(x.Group), st.Walls()
			answer.Keys = keysFor(st, x.Group, r.GetKeysEpoch())
		}
	}
	s.node.Peek(read)
	if !known || x.Ended {
		if err := s.node.View(ctx, read); err != nil {
			return nil, err
		}
	}
	if known && !owns(who, &x) {
		return nil, fmt.Errorf("%w: session %d is not of %s", errDenied, x.ID, nameOf(who))
	}
	if !known || x.Ended {
		s.leases.drop(r.GetSession())
		return &controlpb.HeartbeatResponse{Ended: true}, nil
	}
	if err := s.permitted(who, control.Call{Kind: control.CallMembership}); err != nil {
		return nil, err
	}
	s.leases.grant(x.ID, s.now())
	s.rotation.note(x.ID, r.GetKeysEpoch())
	s.tallyFetched(&x, r.GetFetched())
	s.meters.take(x.ID, r.GetMetered())
	answer.Seeds = (*s.seeds.Load())[x.Group]
	return answer, nil
}

// EndSession answers after the end is applied: from then on a sequence that is not committed never
// will be. It may be asked for a session that has ended already, or was never known; for another's only by an operator.
func (s *service) EndSession(ctx context.Context, r *controlpb.EndSessionRequest) (*controlpb.EndSessionResponse, error) {
	if _, err := s.leading(); err != nil {
		return nil, err
	}
	who, err := s.callerOf(ctx)
	if err != nil {
		return nil, err
	}
	s.node.Peek(func(st *control.State) {
		if x, known := st.Session(r.GetSession()); known && !who.Admin && !owns(who, &x) {
			err = fmt.Errorf("%w: session %d is not of %s", errDenied, x.ID, nameOf(who))
			return
		}
		err = permit(st, who, control.Call{Kind: control.CallMembership})
	})
	if err != nil {
		return nil, err
	}
	if _, err := s.node.Propose(ctx, endSession(r.GetSession())); err != nil {
		return nil, fmt.Errorf("end session %d: %w", r.GetSession(), err)
	}
	s.leases.drop(r.GetSession())
	return &controlpb.EndSessionResponse{}, nil
}
