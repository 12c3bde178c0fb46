package standin

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/policy/eval"
)

// caller is who a request is from, and what that identity may do at this moment.
type caller struct {
	credential
	arn      string
	kind     string
	account  string
	name     string // of the user or role
	id       string // as aws:userid
	identity []policy.Document
	tls      bool
	region   string // that the request was signed for
}

// authenticate verifies a signature and finds whose it is.
func (w *World) authenticate(r *http.Request, query url.Values, s *signed, service Service, d *dialect) (*caller, *fault) {
	switch {
	case s == nil:
		return nil, &d.missing
	case s.service != string(service):
		return nil, d.malformed.because("The credential is scoped to the service " + strconv.Quote(s.service) + ".")
	case service == S3 && !supportedPayload(s.payload):
		if s.payload == "" {
			return nil, faultf(http.StatusBadRequest, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
		}
		return nil, notImplemented("a body sent as " + s.payload)
	}
	if header, ok := s.coversAmz(r.Header); !ok && s.expires == 0 {
		return nil, faultf(http.StatusForbidden, "AccessDenied", "There were headers present in the request which were not signed: %s", header)
	}
	now := w.opts.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.credentials[s.key]
	switch {
	case c == nil || c.token != "" && s.token == "":
		return nil, &d.unknownKey
	case !s.verify(r, query, s.payload, c.secret):
		return nil, &d.mismatch
	case !s.current(now) && (!w.opts.Moved || !s.current(time.Now())):
		return nil, &d.skewed
	case c.token != s.token:
		return nil, &d.badToken
	case !c.expires.IsZero() && !now.Before(c.expires):
		return nil, &d.expiredToken
	}
	return &caller{
		credential: *c, arn: c.arn(), kind: c.who.kind, account: c.who.account, name: c.who.name, id: c.userID(),
		identity: c.who.permission, tls: r.TLS != nil, region: s.region,
	}, nil
}

// keys are what policies know of every request: who, when and how.
func (w *World) keys(r *http.Request, who *caller) map[string][]string {
	now := w.opts.Now().UTC()
	k := map[string][]string{
		"aws:CurrentTime":           {now.Format(time.RFC3339)},
		"aws:EpochTime":             {strconv.FormatInt(now.Unix(), 10)},
		"aws:SecureTransport":       {strconv.FormatBool(r.TLS != nil)},
		"aws:PrincipalIsAWSService": {"false"},
		"aws:ViaAWSService":         {"false"},
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		k["aws:SourceIp"] = []string{host}
	}
	if r.UserAgent() != "" {
		k["aws:UserAgent"] = []string{r.UserAgent()}
	}
	if who == nil {
		return k
	}
	k["aws:PrincipalArn"] = []string{who.who.arn}
	k["aws:PrincipalAccount"] = []string{who.account}
	k["aws:userid"] = []string{who.id}
	k["aws:PrincipalType"] = []string{"User"}
	k["aws:RequestedRegion"] = []string{who.region}
	if who.kind == "user" {
		k["aws:username"] = []string{who.name}
	} else {
		k["aws:PrincipalType"] = []string{"AssumedRole"}
		k["aws:TokenIssueTime"] = []string{who.issued.UTC().Format(time.RFC3339)}
		k["aws:FederatedProvider"] = nonEmpty(who.provider)
		k["aws:SourceIdentity"] = nonEmpty(who.source)
	}
	k["aws:PrincipalOrgID"] = nonEmpty(w.opts.Org)
	for name, value := range who.tags {
		k["aws:PrincipalTag/"+name] = []string{value}
	}
	for name, values := range k {
		if values == nil {
			delete(k, name) // absent, not empty
		}
	}
	return k
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// tlsVersion as policies write it.
func tlsVersion(r *http.Request) []string {
	if r.TLS == nil {
		return nil
	}
	return []string{fmt.Sprintf("1.%d", r.TLS.Version-0x0301)}
}

// allow decides an action of S3 on a resource of this bucket.
func (c *call) allow(action, resource string, keys map[string][]string) *fault {
	c.mu.Lock()
	bucketPolicy, owner := c.bucketPolicy(), c.who.account
	if c.bucket != nil {
		owner = c.bucket.account
	}
	c.mu.Unlock()
	context := c.keys(c.r, c.who)
	context["s3:ResourceAccount"] = []string{owner}
	context["aws:ResourceAccount"] = []string{owner}
	context["s3:authType"] = []string{"REST-HEADER"}
	if c.signed.expires > 0 {
		context["s3:authType"] = []string{"REST-QUERY-STRING"}
	}
	context["s3:signatureversion"] = []string{algorithm}
	context["s3:signatureAge"] = []string{strconv.FormatInt(max(0, c.opts.Now().Sub(c.signed.at).Milliseconds()), 10)}
	context["s3:x-amz-content-sha256"] = []string{c.signed.payload}
	if v := tlsVersion(c.r); v != nil {
		context["s3:TlsVersion"] = v
	}
	for key, values := range keys {
		context[key] = values
	}
	return c.decide(c.event, c.who, bucketPolicy, owner, eval.Request{Action: "s3:" + action, Resource: resource, Context: context})
}

func (c *call) bucketPolicy() []policy.Document {
	if c.bucket == nil || c.bucket.policy == nil {
		return nil
	}
	return []policy.Document{*c.bucket.policy}
}

// mayUseKey decides an action of KMS, where the bucket has a key.
func (c *call) mayUseKey(action string) *fault {
	c.mu.Lock()
	key, region, owner := c.bucket.key, c.bucket.region, c.bucket.account
	c.mu.Unlock()
	if key == "" {
		return nil
	}
	context := c.keys(c.r, c.who)
	context["kms:ViaService"] = []string{"s3." + region + ".amazonaws.com"}
	context["kms:EncryptionContext:aws:s3:arn"] = []string{c.bucketARN()}
	context["kms:EncryptionContextKeys"] = []string{"aws:s3:arn"}
	context["kms:CallerAccount"] = []string{c.who.account}
	return c.decide(c.event, c.who, nil, owner, eval.Request{Action: "kms:" + action, Resource: key, Context: context})
}

// decide asks the evaluator. Within an account one of identity and resource must allow it, between accounts both;
// a denial anywhere wins.
func (w *World) decide(e *Event, who *caller, resource []policy.Document, owner string, request eval.Request) *fault {
	set := eval.Set{Identity: who.identity, Session: who.policy, Resource: resource, Principal: who.arn}
	d := eval.Evaluate(set, request)
	if d.Allowed() && who.account != owner {
		set.Resource = nil
		d = eval.Evaluate(set, request)
		if d.Allowed() {
			set.Identity, set.Session, set.Resource = nil, nil, resource
			d = eval.Evaluate(set, request)
		}
	}
	if e.Action == "" || !d.Allowed() {
		e.Action, e.Resource = request.Action, request.Resource
	}
	if d.Allowed() {
		return nil
	}
	e.By = d.String()
	reason := "because no identity-based policy allows the " + request.Action + " action"
	if d.Explicit() {
		reason = "with an explicit deny"
	}
	return faultf(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: %s on resource: %s %s",
		who.arn, request.Action, strconv.Quote(request.Resource), reason)
}

// roleOf finds a role by its ARN.
func (w *World) roleOf(arn string) (p principal, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if found := w.principals[arn]; found != nil && found.kind == "role" && strings.HasPrefix(arn, "arn:") {
		return *found, true
	}
	return principal{}, false
}
