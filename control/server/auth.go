package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/authority"
	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/internal/certs"
)

// The methods beside those of package identity.
const (
	methodOpen  = "open"  // from loopback, while there are no bindings
	methodToken = "token" // a join token
)

// Bounds of what a login says, in bytes.
const (
	maxProof    = 16 << 10
	maxClaim    = 128
	maxRoles    = 8
	tokenScheme = "Bearer "
)

// Begin gives what a proof is bound to, and says by which methods one may come.
func (s *service) Begin(ctx context.Context, _ *controlpb.BeginRequest) (*controlpb.BeginResponse, error) {
	t, err := s.leading()
	if err != nil {
		return nil, err
	}
	nonce, err := t.nonces.Give()
	if err != nil {
		return nil, err
	}
	id := s.node.Identity()
	answer := &controlpb.BeginResponse{Cluster: id.Cluster, ClusterId: id.ClusterID, Nonce: nonce, Time: s.wall().UnixMilli()}
	if s.isOpen(ctx) {
		answer.Methods = append(answer.Methods, methodOpen)
	}
	for _, a := range s.authenticators {
		answer.Methods = append(answer.Methods, a.Method())
	}
	answer.Methods = append(answer.Methods, methodToken)
	return answer, nil
}

// Authenticate verifies a proof, finds the binding of who is proven, and gives a token and a certificate. What the
// binding allows beyond letting in is asked at every call.
func (s *service) Authenticate(ctx context.Context, r *controlpb.AuthenticateRequest) (*controlpb.AuthenticateResponse, error) {
	t, err := s.leading()
	if err != nil {
		return nil, err
	}
	if err := lawfulClaim(r); err != nil {
		return nil, err
	}
	if err := t.nonces.Take(r.GetNonce()); err != nil {
		return nil, err
	}
	claims, certify, err := s.admit(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.welcome(claims, r.GetCsr(), certify)
}

func lawfulClaim(r *controlpb.AuthenticateRequest) error {
	if len(r.GetProof()) > maxProof || len(r.GetGroup()) > maxClaim || len(r.GetAgent()) > maxClaim || len(r.GetRoles()) > maxRoles {
		return fmt.Errorf("%w: log in: a proof of %d bytes, a group of %d, an agent of %d, %d roles: more than anybody needs", errInvalid, len(r.GetProof()), len(r.GetGroup()), len(r.GetAgent()), len(r.GetRoles()))
	}
	for _, role := range r.GetRoles() {
		if len(role) > maxClaim {
			return fmt.Errorf("%w: log in: a role of %d bytes", errInvalid, len(role))
		}
	}
	if (r.GetGroup() == "") != (r.GetAgent() == "") {
		return fmt.Errorf("%w: log in: group %q and agent %q: both, or neither for an operator", errInvalid, r.GetGroup(), r.GetAgent())
	}
	return nil
}

// admit says who the caller was proven to be. certify says whether that is worth a certificate.
func (s *service) admit(ctx context.Context, r *controlpb.AuthenticateRequest) (_ authority.Claims, certify bool, err error) {
	switch r.GetMethod() {
	case methodOpen:
		if !s.isOpen(ctx) {
			return authority.Claims{}, false, fmt.Errorf("%w: %s", errUnproven, s.whyNotOpen())
		}
		return authority.Claims{Method: methodOpen, Open: true, Admin: true, Group: r.GetGroup(), Agent: r.GetAgent(), Roles: r.GetRoles()}, true, nil
	case methodToken:
		return s.join(ctx, r)
	}
	proven, err := s.prove(ctx, r)
	if err != nil {
		s.m.logins.WithLabelValues(loginMethod(r.GetMethod()), "refused").Inc()
		s.log.Warn("login is refused", "method", r.GetMethod(), "group", r.GetGroup(), "agent", r.GetAgent(), "peer", peerAddress(ctx), "error", err)
		return authority.Claims{}, false, err
	}
	claims, certify, err := s.bind(ctx, proven, r)
	if err != nil {
		s.m.logins.WithLabelValues(proven.Method, "unbound").Inc()
		s.log.Warn("login is refused", "method", proven.Method, "identity", proven.Name(), "group", r.GetGroup(), "agent", r.GetAgent(), "peer", peerAddress(ctx), "error", err)
		return authority.Claims{}, false, err
	}
	s.m.logins.WithLabelValues(proven.Method, "ok").Inc()
	return claims, certify, nil
}

// prove hands the proof to its method.
func (s *service) prove(ctx context.Context, r *controlpb.AuthenticateRequest) (identity.Proven, error) {
	at := slices.IndexFunc(s.authenticators, func(a identity.Authenticator) bool { return a.Method() == r.GetMethod() })
	if at < 0 {
		return identity.Proven{}, fmt.Errorf("%w: this control plane does not take logins by %.40q", errUnproven, r.GetMethod())
	}
	challenge := identity.Challenge{
		Server: s.node.Identity().ClusterID, Nonce: r.GetNonce(),
		Claim: identity.Claim{Group: r.GetGroup(), Agent: r.GetAgent(), Roles: r.GetRoles(), CSR: r.GetCsr()},
	}
	proven, err := s.authenticators[at].Authenticate(ctx, challenge, r.GetProof(), identity.Peer{Address: peerAddress(ctx), Certificates: peerCertificates(ctx)})
	switch {
	case err == nil:
		return proven, nil
	case identity.Retriable(err):
		return identity.Proven{}, fmt.Errorf("%w: %w", errAway, err)
	case errors.Is(err, identity.ErrMalformed):
		return identity.Proven{}, fmt.Errorf("%w: %w", errInvalid, err)
	}
	return identity.Proven{}, fmt.Errorf("%w: %w", errUnproven, err)
}

// bind finds what a proven identity is here: an operator by a certificate of the cluster's own, or what a binding
// says. An agent's certificate of the cluster's own stands for the login by which it was given, but earns no
// other: so an agent whose platform cannot prove it for a while goes on for as long as that certificate holds.
func (s *service) bind(ctx context.Context, p identity.Proven, r *controlpb.AuthenticateRequest) (_ authority.Claims, certify bool, err error) {
	claims := authority.Claims{Method: p.Method, Identity: p.Name(), Group: r.GetGroup(), Agent: r.GetAgent(), Roles: r.GetRoles()}
	name, err := certs.Parse(p.URI)
	ours := p.Method == identity.MethodMTLS && err == nil && name.Cluster == strings.ToLower(s.node.Identity().Cluster)
	if ours && name.Kind == certs.Admin {
		if r.GetGroup() != "" {
			return claims, false, fmt.Errorf("%w: the certificate %s is an operator's, and no agent's", errDenied, name)
		}
		claims.Admin = true
		return claims, false, nil
	}
	if ours && (name.Group != r.GetGroup() || name.ID != r.GetAgent()) {
		return claims, false, fmt.Errorf("%w: the certificate is of %s, and not of agent %s of group %s", errDenied, name, r.GetAgent(), r.GetGroup())
	}
	if ours && name.Kind == certs.Agent {
		return s.again(ctx, claims, p, r)
	}
	found, why := s.bindingFor(r, func(b *controlpb.Binding) bool { return identity.Match(matchRule(b.GetMatch()), p) })
	if found == nil {
		return claims, false, fmt.Errorf("%w: %s, proven by %s, %s", errDenied, p.Name(), p.Method, why)
	}
	return claimed(claims, found), true, nil
}

// again lets an agent in by a certificate of the cluster's own: by the binding that stands in it and no other, for
// an agent of another binding may have drawn, or taken, the same name. It is renewed by itself only where the binding
// means it, as that of a join token does; elsewhere it stands for the login by which it was given, and lets an agent
// whose platform cannot prove it for a while go on for as long as it holds.
func (s *service) again(ctx context.Context, claims authority.Claims, p identity.Proven, r *controlpb.AuthenticateRequest) (_ authority.Claims, certify bool, err error) {
	shown := peerCertificates(ctx)[0]
	given := authority.BindingOf(shown)
	if given == "" && s.isOpen(ctx) {
		claims.Open, claims.Admin = true, true
		return claims, true, nil
	}
	if certs.Epoch(shown) < s.leastEpoch(claims.Group) {
		return claims, false, fmt.Errorf("%w: the certificate of %s is of an epoch that was rotated away", errDenied, p.Name())
	}
	found, why := s.bindingFor(r, func(b *controlpb.Binding) bool { return given != "" && certificateBinding(b) == given })
	if found == nil {
		return claims, false, fmt.Errorf("%w: %s %s", errDenied, p.Name(), why)
	}
	return claimed(claims, found), identity.Match(matchRule(found.GetMatch()), p), nil
}

func claimed(c authority.Claims, b *controlpb.Binding) authority.Claims {
	c.Binding, c.Match, c.Admin = b.GetName(), matchHash(b), b.GetAdmin()
	return c
}

// certificateBinding is how a certificate names a binding: with whom it means, so that it dies with another meaning.
func certificateBinding(b *controlpb.Binding) string {
	return b.GetName() + "/" + hex.EncodeToString(matchHash(b))
}

// bindingFor is the first binding, by name, that means the caller and covers what it claims; or why none does.
func (s *service) bindingFor(r *controlpb.AuthenticateRequest, means func(*controlpb.Binding) bool) (found *controlpb.Binding, why string) {
	why = "is in no binding: isthmus binding create --help"
	s.node.Peek(func(st *control.State) {
		st.EachBinding(func(b *controlpb.Binding) bool {
			if !means(b) {
				return true
			}
			if why = uncovered(b, r); why == "" {
				found = b
			}
			return found == nil
		})
	})
	return found, why
}

// uncovered says what of a claim goes beyond a binding.
func uncovered(b *controlpb.Binding, r *controlpb.AuthenticateRequest) string {
	if r.GetGroup() == "" {
		if b.GetAdmin() {
			return ""
		}
		return fmt.Sprintf("is bound by %s to group %s and is no operator", b.GetName(), b.GetGroup())
	}
	if b.GetGroup() != r.GetGroup() {
		return fmt.Sprintf("is bound by %s to group %q, and not to %s", b.GetName(), b.GetGroup(), r.GetGroup())
	}
	for _, role := range r.GetRoles() {
		if !slices.Contains(b.GetRoles(), role) {
			return fmt.Sprintf("is bound by %s to the roles %v, and not to %s", b.GetName(), b.GetRoles(), role)
		}
	}
	return ""
}

// welcome gives the token, and a certificate where one is wanted and earned.
func (s *service) welcome(c authority.Claims, csr []byte, certify bool) (*controlpb.AuthenticateResponse, error) {
	token, c, err := s.authority.Sign(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	answer := &controlpb.AuthenticateResponse{
		Token: token, Expires: c.Expires, RenewMs: (authority.TokenLife / 3).Milliseconds(),
		Identity: c.Identity, Binding: c.Binding, Authority: s.authority.Certificate(),
	}
	if len(csr) == 0 || !certify || c.Group == "" {
		return answer, nil
	}
	answer.CertificateEpoch = s.keysEpoch(c.Group)
	name := certs.Name{Kind: certs.Agent, Cluster: s.node.Identity().Cluster, Group: c.Group, ID: c.Agent}
	by, life := "", authority.AgentLife
	if c.Binding != "" {
		by = c.Binding + "/" + hex.EncodeToString(c.Match)
	}
	if c.Identity == name.String() {
		life = authority.JoinedLife // it is this certificate by which the agent proves itself
	}
	answer.Certificate, err = s.authority.IssueAgent(csr, name, by, answer.CertificateEpoch, life)
	if err != nil {
		return nil, fmt.Errorf("%w: certificate of agent %s of group %s: %w", errInvalid, c.Agent, c.Group, err)
	}
	return answer, nil
}

// callerOf says who calls: what its token says, if its binding is still there and means the same. What the binding
// allows by now is for State.Allow to say. Without a token it is whoever
// is admitted openly. A stream asks when it opens, and goes on by its session, which ends with the binding.
func (s *service) callerOf(ctx context.Context) (control.Caller, error) {
	token, err := bearer(ctx)
	if err != nil {
		return control.Caller{}, err
	}
	if token == "" {
		if !s.isOpen(ctx) {
			return control.Caller{}, fmt.Errorf("%w: no token came with the call: %s", errUnproven, s.whyNotOpen())
		}
		return control.Caller{Open: true, Admin: true}, nil
	}
	c, err := s.authority.Verify(token)
	if err != nil {
		return control.Caller{}, fmt.Errorf("%w: %w", errUnproven, err)
	}
	return s.holder(ctx, c)
}

// holder is who bears a token.
func (s *service) holder(ctx context.Context, c authority.Claims) (control.Caller, error) {
	who := control.Caller{Agent: c.Agent, Identity: c.Identity, Binding: c.Binding, Group: c.Group, Roles: c.Roles, Admin: c.Admin, Open: c.Open}
	switch {
	case c.Open && !s.isOpen(ctx):
		return control.Caller{}, fmt.Errorf("%w: %s", errUnproven, s.whyNotOpen())
	case c.Open:
		who.Admin = true // of the share default, as whoever else is admitted openly
		return who, nil
	case c.Binding == "": // an operator by certificate
		return who, nil
	}
	var b *controlpb.Binding
	known := false
	s.node.Peek(func(st *control.State) { b, known = st.Binding(c.Binding) })
	switch {
	case !known:
		return control.Caller{}, fmt.Errorf("%w: the binding %s, by which %s was let in, is gone", errUnproven, c.Binding, c.Identity)
	case !slices.Equal(matchHash(b), c.Match):
		return control.Caller{}, fmt.Errorf("%w: the binding %s means others since %s was let in by it", errUnproven, c.Binding, c.Identity)
	}
	return who, nil
}

// isOpen says whether a caller without proof is admitted: it comes from this machine alone and no operator has made a
// binding. The first one ends it, at once and for all.
func (s *service) isOpen(ctx context.Context) bool { return !fromOutside(ctx) && s.unbound() }

func (s *service) unbound() (open bool) {
	s.node.Peek(func(st *control.State) { open = st.Open() })
	return open
}

func (s *service) whyNotOpen() string {
	if s.unbound() {
		return "log in: this address is reached from beyond its machine"
	}
	return "log in: this cluster has bindings"
}

// sayOpen warns of what open means, at every start of a term.
func (s *service) sayOpen() {
	if s.local && s.unbound() {
		s.log.Warn("there are no bindings: whoever reaches this address from this machine is an operator and may be any agent; the first binding ends that (isthmus binding create --help)", "listen", s.config.Listen)
	}
}

// bearer is the token of a call; "" is none.
func bearer(ctx context.Context) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1 || !strings.HasPrefix(values[0], tokenScheme):
		return "", fmt.Errorf("%w: a call has one authorization: Bearer TOKEN", errUnproven)
	}
	return strings.TrimPrefix(values[0], tokenScheme), nil
}

func peerAddress(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return "unknown"
}

// matchHash is one number for whom a binding means: a token does not outlive another meaning.
func matchHash(b *controlpb.Binding) []byte {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(b.GetMatch())
	if err != nil {
		return nil // a message of strings that were read as such
	}
	sum := sha256.Sum256(raw)
	return sum[:8]
}

func matchRule(m *controlpb.Match) identity.MatchRule {
	return identity.MatchRule{Method: m.GetMethod(), ARN: m.GetArn(), UniqueID: m.GetUniqueId(), Issuer: m.GetIssuer(), Subject: m.GetSubject(), URI: m.GetUri()}
}

// loginMethod keeps what callers write out of the labels of a metric.
func loginMethod(method string) string {
	switch method {
	case identity.MethodSigV4, identity.MethodOIDC, identity.MethodMTLS, methodOpen, methodToken:
		return method
	}
	return "other"
}

func (s *service) wall() time.Time { return s.clock() }
