package server

import (
	"context"
	"crypto/rand"
	"fmt"

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
	who := control.Caller{Group: r.GetGroup(), Roles: r.GetRoles()}
	if d := control.Allow(who, control.Call{Kind: control.CallMembership}); !d.Allowed {
		return nil, refuse(who, d)
	}
	key := make([]byte, gossipKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("draw gossip key of group %q: %w", r.GetGroup(), err)
	}
	results, err := s.node.Propose(ctx, &controlpb.Command{Op: &controlpb.Command_Login{
		Login: &controlpb.LoginCommand{Request: r, GossipKey: key},
	}})
	if err != nil {
		return nil, fmt.Errorf("log in agent %q of group %q: %w", r.GetAgent(), r.GetGroup(), err)
	}
	if results[0].Code != 0 || results[0].Login == nil {
		return nil, loginRefused(r, results[0].Code)
	}
	answer := proto.CloneOf(results[0].Login)
	s.leases.grant(answer.GetSession(), s.now())
	s.log.Info("agent logged in", "agent", r.GetAgent(), "group", r.GetGroup(), "roles", r.GetRoles(), "zone", r.GetZone(),
		"session", answer.GetSession(), "node", answer.GetNodeId())
	return answer, nil
}

func loginRefused(r *controlpb.LoginRequest, code int16) error {
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
	var x control.Session
	known := false
	answer := &controlpb.HeartbeatResponse{}
	read := func(st *control.State) {
		if x, known = st.Session(r.GetSession()); known {
			answer.Shares = st.SharesOf(x)
			answer.Keys = keysFor(st, x.Group, r.GetKeysEpoch())
		}
	}
	s.node.Peek(read)
	if !known || x.Ended {
		if err := s.node.View(ctx, read); err != nil {
			return nil, err
		}
	}
	if !known || x.Ended {
		s.leases.drop(r.GetSession())
		return &controlpb.HeartbeatResponse{Ended: true}, nil
	}
	who := x.Caller()
	if d := control.Allow(who, control.Call{Kind: control.CallMembership}); !d.Allowed {
		return nil, refuse(who, d)
	}
	s.leases.grant(x.ID, s.now())
	s.rotation.note(x.ID, r.GetKeysEpoch())
	answer.Seeds = (*s.seeds.Load())[x.Group]
	return answer, nil
}

// EndSession answers after the end is applied: from then on a sequence that is not committed never
// will be. It may be asked for a session that has ended already, or was never known.
func (s *service) EndSession(ctx context.Context, r *controlpb.EndSessionRequest) (*controlpb.EndSessionResponse, error) {
	if _, err := s.leading(); err != nil {
		return nil, err
	}
	who := control.Caller{Session: r.GetSession()}
	if d := control.Allow(who, control.Call{Kind: control.CallMembership}); !d.Allowed {
		return nil, refuse(who, d)
	}
	if _, err := s.node.Propose(ctx, endSession(r.GetSession())); err != nil {
		return nil, fmt.Errorf("end session %d: %w", r.GetSession(), err)
	}
	s.leases.drop(r.GetSession())
	return &controlpb.EndSessionResponse{}, nil
}
