package standin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/policy/eval"
)

const (
	stsVersion  = "2011-06-15"
	least       = 900  // seconds of a session
	chainedMost = 3600 // seconds of a session that was begun from a session
	maxPolicy   = 2048 // characters of a session policy
)

// ask is one request to STS.
type ask struct {
	*World
	r     *http.Request
	form  url.Values
	who   *caller // nil: it was not signed
	event *Event
}

func (w *World) serveSTS(rw http.ResponseWriter, r *http.Request, e *Event) *fault {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if err != nil || len(body) > maxForm {
		return faultf(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Request size exceeded the limit")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return faultf(http.StatusBadRequest, "MalformedQueryString", "Malformed query string")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return faultf(http.StatusBadRequest, "MalformedInput", "Malformed body")
	}
	if len(form) == 0 {
		form = query
	}
	a := &ask{World: w, r: r, form: form, event: e}
	for name, values := range form {
		if len(values) != 1 {
			return faultf(http.StatusBadRequest, "MalformedQueryString", "%s is there more than once", name)
		}
	}
	if form.Get("Version") != stsVersion {
		return faultf(http.StatusBadRequest, "NoSuchVersion", "Write Version=%s", stsVersion)
	}
	action := form.Get("Action")
	e.Action = "sts:" + action
	actions := map[string]func() (any, *fault){
		"AssumeRole": a.assumeRole, "GetCallerIdentity": a.getCallerIdentity, "GetWebIdentityToken": a.getWebIdentityToken,
		"AssumeRoleWithWebIdentity": a.assumeRoleWithWebIdentity,
	}
	act, ok := actions[action]
	if !ok {
		return faultf(http.StatusBadRequest, "InvalidAction", "Could not find operation %s for version %s", action, stsVersion)
	}
	if action != "AssumeRoleWithWebIdentity" {
		if f := a.authenticate(query, body); f != nil {
			return f
		}
	}
	answer, f := act()
	if f != nil {
		return f
	}
	respond(rw, http.StatusOK, answer)
	return nil
}

func (a *ask) authenticate(query url.Values, body []byte) *fault {
	s, f := parseSigned(a.r, query, &stsDialect)
	if f != nil {
		return f
	}
	if s != nil {
		sum := sha256.Sum256(body) // what was sent, whatever a header says
		s.payload = hex.EncodeToString(sum[:])
	}
	if a.who, f = a.World.authenticate(a.r, query, s, STS, &stsDialect); f != nil {
		return f
	}
	a.event.Principal = a.who.arn
	return nil
}

func validation(format string, args ...any) *fault {
	return faultf(http.StatusBadRequest, "ValidationError", format, args...)
}

type callerIdentity struct {
	XMLName   xml.Name                              `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	Result    struct{ Arn, UserId, Account string } `xml:"GetCallerIdentityResult"`
	RequestID string                                `xml:"ResponseMetadata>RequestId"`
}

// getCallerIdentity needs no permission, and no policy denies it.
func (a *ask) getCallerIdentity() (any, *fault) {
	if f := a.known(); f != nil {
		return nil, f
	}
	answer := callerIdentity{RequestID: requestID()}
	answer.Result.Arn, answer.Result.UserId, answer.Result.Account = a.who.arn, a.who.id, a.who.account
	return answer, nil
}

// known refuses parameters that would be ignored: a caller would think that they had been heeded.
func (a *ask) known(names ...string) *fault {
	for name := range a.form {
		if name == "Action" || name == "Version" || strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		ok := false
		for _, known := range names {
			prefix, many := strings.CutSuffix(known, "*")
			ok = ok || name == known || many && strings.HasPrefix(name, prefix)
		}
		if !ok {
			return validation("The stand-in does not know the parameter %s", name)
		}
	}
	return nil
}

// wanted is a session that somebody asks for.
type wanted struct {
	role    principal
	arn     string
	session string
	seconds int
	policy  *policy.Document
	tags    map[string]string
	keys    map[string][]string // of the request
}

var (
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalID  = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)
)

// session reads what both ways of assuming a role have in common.
func (a *ask) session(chained bool) (*wanted, *fault) {
	s := &wanted{arn: a.form.Get("RoleArn"), session: a.form.Get("RoleSessionName"), keys: a.keys(a.r, a.who)}
	a.event.Resource = s.arn
	if len(s.arn) < 20 || len(s.arn) > 2048 {
		return nil, validation("%s is invalid", strconv.Quote(s.arn))
	}
	if !sessionName.MatchString(s.session) {
		return nil, validation("1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*, and have 2 to 64 characters", s.session)
	}
	role, found := a.roleOf(s.arn)
	s.role = role
	longest := time.Hour
	if found {
		longest = role.longest
	}
	var f *fault
	if s.seconds, f = duration(a.form.Get("DurationSeconds"), longest, chained); f != nil {
		return nil, f
	}
	if text := a.form.Get("Policy"); text != "" {
		if len(text) > maxPolicy {
			return nil, validation("1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to %d", maxPolicy)
		}
		doc, err := policy.Parse([]byte(text))
		if err != nil {
			return nil, faultf(http.StatusBadRequest, "MalformedPolicyDocument", "Syntax errors in policy: %v", err)
		}
		s.policy = &doc
	}
	s.keys["sts:RoleSessionName"] = []string{s.session}
	if !found {
		return nil, a.mayNot("sts:"+a.form.Get("Action"), s.arn) // as if it were there and trusted nobody
	}
	return s, nil
}

func duration(text string, longest time.Duration, chained bool) (int, *fault) {
	if text == "" {
		return chainedMost, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	switch {
	case err != nil || seconds < least:
		return 0, validation("1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to %d", text, least)
	case chained && seconds > chainedMost:
		return 0, validation("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	case time.Duration(seconds)*time.Second > longest:
		return 0, validation("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return int(seconds), nil
}

func (a *ask) mayNot(action, resource string) *fault {
	who := "the web identity"
	if a.who != nil {
		who = "User: " + a.who.arn
	}
	a.event.Action, a.event.Resource = action, resource
	return faultf(http.StatusForbidden, "AccessDenied", "%s is not authorized to perform: %s on resource: %s", who, action, resource)
}

type assumed struct {
	Credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
	}
	AssumedRoleUser struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		Arn           string
	}
}

type assumeRoleResponse struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleResponse"`
	Result    assumed  `xml:"AssumeRoleResult"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

// assumeRole needs both: the caller's policies and the role's trust. (AWS is content with a trust policy that
// names a principal of the role's own account; here that needs the permission too.)
func (a *ask) assumeRole() (any, *fault) {
	if f := a.known("RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "ExternalId", "SourceIdentity", "Tags.member.*"); f != nil {
		return nil, f
	}
	s, f := a.session(a.who.kind == "role")
	if f != nil {
		return nil, f
	}
	if id := a.form.Get("ExternalId"); id != "" {
		if !externalID.MatchString(id) || len(id) > 1224 {
			return nil, validation("1 validation error detected: Value at 'externalId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@:\\/-]*")
		}
		s.keys["sts:ExternalId"] = []string{id}
	}
	actions := []string{"sts:AssumeRole"}
	if source := a.form.Get("SourceIdentity"); source != "" {
		actions = append(actions, "sts:SetSourceIdentity")
		s.keys["sts:SourceIdentity"] = []string{source}
	}
	if f := a.sessionTags(s); f != nil {
		return nil, f
	}
	if len(s.tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	for _, action := range actions {
		request := eval.Request{Action: action, Resource: s.arn, Context: s.keys}
		if f := a.decide(a.event, a.who, nil, a.who.account, request); f != nil {
			return nil, f
		}
		if d := eval.Trusts(s.role.trust, request); !d.Allowed() {
			a.event.By = d.String()
			return nil, a.mayNot(action, s.arn)
		}
	}
	source := a.form.Get("SourceIdentity")
	if a.who.source != "" {
		source = a.who.source // it stays along a chain
	}
	result, f := a.begin(s, credential{source: source})
	if f != nil {
		return nil, f
	}
	return assumeRoleResponse{Result: result, RequestID: requestID()}, nil
}

// begin makes the session.
func (a *ask) begin(s *wanted, c credential) (assumed, *fault) {
	var out assumed
	now := a.opts.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	role := a.principals[s.arn]
	if role == nil || role.id != s.role.id {
		return out, a.mayNot(a.event.Action, s.arn) // it was deleted meanwhile
	}
	c.who, c.session, c.policy, c.tags = role, s.session, s.policy, s.tags
	c.issued, c.expires = now, now.Add(time.Duration(s.seconds)*time.Second).Truncate(time.Second)
	minted, f := a.mint(c)
	if f != nil {
		return out, f
	}
	out.Credentials.AccessKeyID, out.Credentials.SecretAccessKey, out.Credentials.SessionToken = minted.key, minted.secret, minted.token
	out.Credentials.Expiration = minted.expires.UTC().Format(time.RFC3339)
	out.AssumedRoleUser.AssumedRoleID, out.AssumedRoleUser.Arn = minted.userID(), minted.arn()
	return out, nil
}

// sessionTags reads Tags.member.N.Key and .Value.
func (a *ask) sessionTags(s *wanted) *fault {
	const most = 50
	for n := 1; ; n++ {
		prefix := "Tags.member." + strconv.Itoa(n)
		if !a.form.Has(prefix + ".Key") {
			break
		}
		key, value := a.form.Get(prefix+".Key"), a.form.Get(prefix+".Value")
		if n > most || key == "" || len(key) > 128 || len(value) > 256 {
			return validation("Tags must be at most %d, each with a key of 1 to 128 characters and a value of up to 256", most)
		}
		if s.tags == nil {
			s.tags = map[string]string{}
		}
		s.tags[key] = value
		s.keys["aws:RequestTag/"+key] = []string{value}
		s.keys["aws:TagKeys"] = append(s.keys["aws:TagKeys"], key)
	}
	return nil
}

type webIdentityResponse struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleWithWebIdentityResponse"`
	Result  struct {
		assumed
		SubjectFromWebIdentityToken string
		Audience                    string
		Provider                    string
	} `xml:"AssumeRoleWithWebIdentityResult"`
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

// assumeRoleWithWebIdentity is not signed: the token says who it is, and the role's trust whether that is enough.
func (a *ask) assumeRoleWithWebIdentity() (any, *fault) {
	if f := a.known("RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "WebIdentityToken"); f != nil {
		return nil, f
	}
	s, f := a.session(false)
	if f != nil {
		return nil, f
	}
	claims, f := a.verifyToken(a.form.Get("WebIdentityToken"))
	if f != nil {
		return nil, f
	}
	provider := strings.TrimPrefix(claims.Issuer, "https://")
	account := strings.Split(s.arn, ":")[4]
	s.keys["aws:FederatedProvider"] = []string{a.arn("iam", account, "oidc-provider/"+provider)}
	s.keys[provider+":sub"], s.keys[provider+":aud"] = []string{claims.Subject}, []string{claims.Audience}
	d := eval.Trusts(s.role.trust, eval.Request{Action: "sts:AssumeRoleWithWebIdentity", Resource: s.arn, Context: s.keys})
	if !d.Allowed() {
		a.event.By = d.String()
		return nil, a.mayNot("sts:AssumeRoleWithWebIdentity", s.arn)
	}
	answer := webIdentityResponse{RequestID: requestID()}
	if answer.Result.assumed, f = a.begin(s, credential{provider: provider}); f != nil {
		return nil, f
	}
	answer.Result.SubjectFromWebIdentityToken, answer.Result.Audience, answer.Result.Provider = claims.Subject, claims.Audience, provider
	return answer, nil
}

// jsonOf marshals what can be.
func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps and structs of strings and numbers
	}
	return b
}
