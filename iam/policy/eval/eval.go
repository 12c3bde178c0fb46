package eval

import (
	"strings"

	"github.com/isthmusdata/isthmus/iam/policy"
)

// Request is what somebody wants to do.
type Request struct {
	Action   string              // such as s3:GetObject
	Resource string              // ARN
	Context  map[string][]string // condition keys; one that is absent here is absent
}

// Set is every document that has a say.
type Set struct {
	Identity  []policy.Document
	Session   *policy.Document
	Resource  []policy.Document
	Principal string // ARN of who asks, for Resource
}

// Effect is how a request is decided.
type Effect int

// The effects.
const (
	ImplicitDeny Effect = iota // nothing allows it
	ExplicitDeny               // a statement denies it
	Allow
)

func (e Effect) String() string {
	return [...]string{"implicit deny", "explicit deny", "allow"}[e]
}

// Decision says how, and by which statement of which kind of document.
type Decision struct {
	Effect Effect
	By     string // identity, session, resource or trust: which denied, or did not allow, or allowed
	Sid    string // of the statement; empty where there is none, or it has none
}

// Allowed says whether the request may be carried out.
func (d Decision) Allowed() bool { return d.Effect == Allow }

// Explicit says whether a statement denies it.
func (d Decision) Explicit() bool { return d.Effect == ExplicitDeny }

func (d Decision) String() string {
	s := d.Effect.String() + " by " + d.By
	if d.Sid != "" {
		s += " " + d.Sid
	}
	return s
}

// Evaluate decides a request.
func Evaluate(s Set, r Request) Decision {
	c := newRequest(r, s.Principal)
	identity, session, resource := c.decide(s.Identity, "identity", false), Decision{}, c.decide(s.Resource, "resource", true)
	if s.Session != nil {
		session = c.decide([]policy.Document{*s.Session}, "session", false)
	}
	for _, d := range []Decision{identity, session, resource} {
		if d.Explicit() {
			return d
		}
	}
	granted := identity
	if !granted.Allowed() && resource.Allowed() {
		granted = resource
	}
	if granted.Allowed() && s.Session != nil && !session.Allowed() {
		return session
	}
	return granted
}

// Trusts decides whether a trust policy lets whoever Context tells of (aws:PrincipalArn, aws:PrincipalAccount,
// aws:FederatedProvider) begin a session.
func Trusts(trust policy.Document, r Request) Decision {
	c := newRequest(r, "")
	return c.decide([]policy.Document{trust}, "trust", true)
}

// request is a Request prepared for looking at many statements.
type request struct {
	Request
	principal string
	context   map[string][]string // keys in lower case
}

func newRequest(r Request, principal string) *request {
	c := &request{Request: r, principal: principal, context: make(map[string][]string, len(r.Context))}
	for key, values := range r.Context {
		c.context[strings.ToLower(key)] = values
	}
	return c
}

func (c *request) value(key string) string {
	if v := c.context[strings.ToLower(key)]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// decide looks at the documents of one kind.
func (c *request) decide(docs []policy.Document, by string, principals bool) Decision {
	d := Decision{By: by}
	for _, doc := range docs {
		for i := range doc.Statement {
			s := &doc.Statement[i]
			deny := s.Effect == "Deny"
			if principals && !c.isPrincipal(s.Principal) || !c.covers(s, by == "trust") || !c.holds(s.Condition, deny) {
				continue
			}
			if deny {
				return Decision{Effect: ExplicitDeny, By: by, Sid: s.Sid}
			}
			if s.Effect == "Allow" && !d.Allowed() {
				d = Decision{Effect: Allow, By: by, Sid: s.Sid}
			}
		}
	}
	return d
}

// covers says whether a statement is about the action and the resource. A trust policy's resource is its role.
func (c *request) covers(s *policy.Statement, trust bool) bool {
	action := func(pattern string) bool { return glob(strings.ToLower(pattern), strings.ToLower(c.Action)) }
	if len(s.Action) > 0 && !anyOf(s.Action, action) || len(s.NotAction) > 0 && anyOf(s.NotAction, action) {
		return false
	}
	if trust {
		return true
	}
	deny := s.Effect == "Deny"
	resource := func(unknown bool) func(string) bool {
		return func(pattern string) bool {
			expanded, ok := c.expand(pattern)
			if !ok {
				return unknown
			}
			return glob(expanded, c.Resource)
		}
	}
	if len(s.NotResource) > 0 {
		return !anyOf(s.NotResource, resource(!deny))
	}
	return anyOf(s.Resource, resource(deny))
}

func anyOf(list []string, f func(string) bool) bool {
	for _, s := range list {
		if f(s) {
			return true
		}
	}
	return false
}

// isPrincipal says whether a statement is about who asks: by its ARN, that of its role, or its account.
func (c *request) isPrincipal(p *policy.Principal) bool {
	if p == nil {
		return false
	}
	if p.Everybody {
		return true
	}
	if provider := c.value("aws:FederatedProvider"); provider != "" && anyOf(p.Federated, func(s string) bool { return s == provider }) {
		return true
	}
	arn, account := c.value("aws:PrincipalArn"), c.value("aws:PrincipalAccount")
	if account == "" {
		account = accountOf(c.principal)
	}
	return anyOf(p.AWS, func(s string) bool {
		switch {
		case s == "":
			return false
		case s == "*", s == arn, s == c.principal, s == roleOf(c.principal):
			return true
		}
		return account != "" && (s == account || strings.HasSuffix(s, ":root") && accountOf(s) == account)
	})
}

func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}

// roleOf is the ARN of the role that a session is of.
func roleOf(session string) string {
	parts := strings.SplitN(session, ":", 6)
	if len(parts) != 6 || parts[2] != "sts" {
		return session
	}
	name, ok := strings.CutPrefix(parts[5], "assumed-role/")
	if !ok {
		return session
	}
	name, _, _ = strings.Cut(name, "/")
	return strings.Join([]string{parts[0], parts[1], "iam", "", parts[4], "role/" + name}, ":")
}

// expand puts values in the place of ${key}. One that is absent makes it mean nothing.
func (c *request) expand(s string) (string, bool) {
	if !strings.Contains(s, "${") {
		return s, true
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		key, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", false
		}
		switch key {
		case "*", "?", "$":
			b.WriteString(quote(key))
		default:
			value := c.value(key)
			if value == "" {
				return "", false
			}
			b.WriteString(quote(value))
		}
		s = after
	}
}

// escape stands before a character that glob takes as it is, itself included. By itself it matches nothing.
const escape = '\x00'

var (
	quoted   = strings.NewReplacer("*", "\x00*", "?", "\x00?", "\x00", "\x00\x00")
	unquoted = strings.NewReplacer("\x00*", "*", "\x00?", "?", "\x00\x00", "\x00")
)

func quote(s string) string { return quoted.Replace(s) }

// glob matches * (any characters) and ? (one).
func glob(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
			continue
		case p < len(pattern) && pattern[p] == '?':
			p++
			i++
			continue
		case p+1 < len(pattern) && pattern[p] == escape && pattern[p+1] == s[i]:
			p += 2
			i++
			continue
		case p < len(pattern) && pattern[p] != escape && pattern[p] == s[i]:
			p++
			i++
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
