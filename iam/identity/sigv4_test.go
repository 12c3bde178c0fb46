package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const prodID = "AROA0123456789ABCDEF"

// world is an STS, a control plane that asks it, and an agent with a role.
type world struct {
	*clock
	sts      *testSTS
	verifier *SigV4
	keys     aws.Credentials
}

func newWorld(t *testing.T, change ...func(*SigV4Options)) *world {
	w := &world{clock: &clock{at: start}}
	w.sts = newSTS(t, w.now)
	w.keys = w.sts.session("222222222222", "isthmus-agent-prod", prodID, "i-0123456789")
	o := SigV4Options{Regions: []string{"eu-west-1", "us-east-1"}, Endpoint: w.sts.URL, Now: w.now}
	for _, c := range change {
		c(&o)
	}
	var err error
	if w.verifier, err = NewSigV4(o); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) proof(t *testing.T, c Challenge) []byte {
	t.Helper()
	p, err := NewSigV4Source(fixed(w.keys), "eu-west-1", w.now).Proof(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) login(c Challenge, proof []byte) (Proven, error) {
	return w.verifier.Authenticate(context.Background(), c, proof, testPeer)
}

// refused wants an error of a class that says something, and no identity beside it.
func refused(t *testing.T, p Proven, err, class error, says string) {
	t.Helper()
	if !errors.Is(err, class) || !strings.Contains(fmt.Sprint(err), says) || p != (Proven{}) {
		t.Errorf("got %+v and %v; wanted the class %v and %q", p, err, class, says)
	}
}

func TestARoleIsProven(t *testing.T) {
	w := newWorld(t)
	got, err := w.login(challenge(1), w.proof(t, challenge(1)))
	want := Proven{Method: MethodSigV4, ARN: "arn:aws:iam::222222222222:role/isthmus-agent-prod", UniqueID: prodID, Account: "222222222222", Bound: true}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; wanted %+v", got, err, want)
	}
	if w.sts.last.Host != "sts.eu-west-1.amazonaws.com" || fmt.Sprint(w.sts.actions) != "[GetCallerIdentity]" {
		t.Errorf("STS was asked as %s for %s", w.sts.last.Host, w.sts.actions)
	}
}

func TestAUserIsProven(t *testing.T) {
	w := newWorld(t)
	w.keys = w.sts.user("222222222222", "machines/printer", "AIDA0123456789ABCDEF")
	got, err := w.login(challenge(1), w.proof(t, challenge(1)))
	if err != nil || got.ARN != "arn:aws:iam::222222222222:user/printer" || got.UniqueID != "AIDA0123456789ABCDEF" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestReplayOnTheSameServer(t *testing.T) {
	w := newWorld(t)
	proof := w.proof(t, challenge(1))
	if _, err := w.login(challenge(1), proof); err != nil {
		t.Fatal(err)
	}
	calls := w.sts.asked()
	p, err := w.login(challenge(1), proof)
	refused(t, p, err, ErrRefused, "used already")
	if w.sts.asked() != calls {
		t.Error("STS was asked about a proof that was used")
	}
}

func TestReplayWithAnotherNonce(t *testing.T) {
	w := newWorld(t)
	p, err := w.login(challenge(2), w.proof(t, challenge(1)))
	refused(t, p, err, ErrRefused, "SignatureDoesNotMatch")
}

func TestReplayOnAnotherServer(t *testing.T) {
	w := newWorld(t)
	other := challenge(1)
	other.Server = "other-cluster"
	p, err := w.login(other, w.proof(t, challenge(1)))
	refused(t, p, err, ErrRefused, "SignatureDoesNotMatch")
}

func TestAProofIsForOneClaim(t *testing.T) {
	for name, change := range map[string]func(*Claim){
		"group":       func(c *Claim) { c.Group = "prod-west" },
		"agent":       func(c *Claim) { c.Agent = "agent-2" },
		"roles":       func(c *Claim) { c.Roles = []string{"produce", "fetch"} },
		"certificate": func(c *Claim) { c.CSR = []byte("somebody else's key") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			other := challenge(1)
			change(&other.Claim)
			p, err := w.login(other, w.proof(t, challenge(1)))
			refused(t, p, err, ErrRefused, "SignatureDoesNotMatch")
		})
	}
}

// sign is what somebody makes who holds the credentials and does not use our source.
func (w *world) sign(t *testing.T, change func(*http.Request)) signed {
	t.Helper()
	at := w.now().Truncate(time.Second)
	f := signed{accessKey: w.keys.AccessKeyID, date: at.Format(dateLayout), region: "eu-west-1", token: w.keys.SessionToken}
	r := call(context.Background(), mustURL("https://sts.eu-west-1.amazonaws.com"), challenge(1), f)
	f.signature = signatureOf(t, r, w.keys, at, change)
	return f
}

// TestSignedByHand shows that the tests below fail by what they change, and not by how they sign.
func TestSignedByHand(t *testing.T) {
	w := newWorld(t)
	if _, err := w.login(challenge(1), w.sign(t, func(*http.Request) {}).encode()); err != nil {
		t.Error(err)
	}
}

func TestOtherActions(t *testing.T) {
	for name, body := range map[string]string{
		"another":              "Action=AssumeRole&Version=2011-06-15",
		"a second":             callBody + "&Action=GetSessionToken",
		"in other letters":     "action=GetSessionToken&" + callBody,
		"nothing but a change": callBody + "&",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			f := w.sign(t, func(r *http.Request) { setBody(r, body) })
			p, err := w.login(challenge(1), f.encode())
			refused(t, p, err, ErrRefused, "SignatureDoesNotMatch")
			if len(w.sts.actions) != 0 {
				t.Errorf("STS carried out %s", w.sts.actions)
			}
		})
	}
}

func TestParameterAndHeaderTricks(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"parameters in the URL":    func(r *http.Request) { r.URL.RawQuery = "Action=GetCallerIdentity" },
		"an answer as JSON":        func(r *http.Request) { r.Header.Set("Accept", "application/json") },
		"another path":             func(r *http.Request) { r.URL.Path = "/other" },
		"GET":                      func(r *http.Request) { r.Method = http.MethodGet },
		"without the nonce":        func(r *http.Request) { r.Header.Del(headerNonce) },
		"without the server":       func(r *http.Request) { r.Header.Del(headerServer) },
		"without the claim":        func(r *http.Request) { r.Header.Del(headerClaim) },
		"two nonces":               func(r *http.Request) { r.Header.Add(headerNonce, "00") },
		"another host":             func(r *http.Request) { r.Host = "sts.evil.example" },
		"the global host":          func(r *http.Request) { r.Host = "sts.amazonaws.com" },
		"another type of content":  func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
		"another header beside it": func(r *http.Request) { r.Header.Set("X-Amz-Target", "other") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p, err := w.login(challenge(1), w.sign(t, change).encode())
			refused(t, p, err, ErrRefused, "SignatureDoesNotMatch")
		})
	}
}

// TestFieldsOfAProof: nothing that could end a line, a header or a field gets as far as a request.
func TestFieldsOfAProof(t *testing.T) {
	w := newWorld(t)
	good, _, err := parseSigned(w.proof(t, challenge(1)))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*signed){
		"a key with a slash":           func(f *signed) { f.accessKey = "ASIA0000000000000001/20261125/us-east-1/sts/aws4_request" },
		"a key with another field":     func(f *signed) { f.accessKey += ", SignedHeaders=host" },
		"a key with a header":          func(f *signed) { f.accessKey += "\r\nHost: evil.example" },
		"no key":                       func(f *signed) { f.accessKey = "" },
		"a huge key":                   func(f *signed) { f.accessKey = strings.Repeat("A", 129) },
		"a region that is a host":      func(f *signed) { f.region = "evil.example#" },
		"a region with a path":         func(f *signed) { f.region = "eu-west-1/../x" },
		"a region with a dot":          func(f *signed) { f.region = "eu-west-1.evil" },
		"a region with a port":         func(f *signed) { f.region = "eu-west-1:80" },
		"a region with a user":         func(f *signed) { f.region = "x@evil-1" },
		"no region":                    func(f *signed) { f.region = "" },
		"a date of another layout":     func(f *signed) { f.date = "2026-11-25T12:00:00Z" },
		"a date that is none":          func(f *signed) { f.date = "20261341T000000Z" },
		"a date with fractions":        func(f *signed) { f.date = "20261125T120000.5Z" },
		"a signature in large letters": func(f *signed) { f.signature = strings.Repeat("A", 64) },
		"a short signature":            func(f *signed) { f.signature = f.signature[1:] },
		"two signatures":               func(f *signed) { f.signature += "," + f.signature },
		"an oversized token":           func(f *signed) { f.token = strings.Repeat("A", MaxSessionToken+1) },
		"a token with a header":        func(f *signed) { f.token = "a\r\nX-Isthmus-Nonce: 00" },
		"a token with a space":         func(f *signed) { f.token = "a b" },
		"another line":                 func(f *signed) { f.token += "\nhttps://evil.example/" },
	} {
		f := good
		change(&f)
		p, err := w.login(challenge(1), f.encode())
		refused(t, p, err, ErrMalformed, "")
		if t.Failed() {
			t.Fatalf("%s: %q", name, f.encode())
		}
	}
	for _, proof := range []string{"", "isthmus-sigv4-1", "{}", "isthmus-sigv4-2" + string(good.encode()[15:]), string(good.encode()) + "\n", strings.Repeat("A", 1<<20)} {
		p, err := w.login(challenge(1), []byte(proof))
		refused(t, p, err, ErrMalformed, "")
	}
	if w.sts.asked() != 0 {
		t.Errorf("STS was asked %d times about what is no proof", w.sts.asked())
	}
}

func TestForeignHostsAndRegions(t *testing.T) {
	w := newWorld(t)
	for _, region := range []string{"ap-south-1", "cn-north-1", "us-gov-west-1"} {
		proof, err := NewSigV4Source(fixed(w.keys), region, w.now).Proof(context.Background(), challenge(1))
		if err != nil {
			t.Fatal(err)
		}
		p, err := w.login(challenge(1), proof)
		refused(t, p, err, ErrRefused, "for STS of "+region)
	}
	// Signed for one region, said to be of another that is allowed.
	f, _, err := parseSigned(w.proof(t, challenge(1)))
	if err != nil {
		t.Fatal(err)
	}
	f.region = "us-east-1"
	p, err := w.login(challenge(1), f.encode())
	refused(t, p, err, ErrRefused, "SignatureDoesNotMatch")
	if w.sts.asked() != 1 {
		t.Errorf("STS was asked %d times", w.sts.asked())
	}
	for region, host := range map[string]string{
		"eu-west-1": "sts.eu-west-1.amazonaws.com", "cn-north-1": "sts.cn-north-1.amazonaws.com.cn", "us-gov-west-1": "sts.us-gov-west-1.amazonaws.com",
	} {
		if got := stsHost(region); got != host {
			t.Errorf("STS of %s is asked at %s", region, got)
		}
	}
}

func TestWrongAccountWithAnEqualRoleName(t *testing.T) {
	w := newWorld(t)
	w.keys = w.sts.session("999999999999", "isthmus-agent-prod", "AROAEVILEVILEVILEVIL", "i-0123456789")
	got, err := w.login(challenge(1), w.proof(t, challenge(1)))
	if err != nil {
		t.Fatal(err)
	}
	if Match(MatchRule{Method: MethodSigV4, ARN: roleProd}, got) {
		t.Errorf("%+v passes for %s", got, roleProd)
	}
}

func TestARecreatedRoleIsAnotherIfItsIDIsPinned(t *testing.T) {
	w := newWorld(t)
	byName, byID := MatchRule{Method: MethodSigV4, ARN: roleProd}, MatchRule{Method: MethodSigV4, ARN: roleProd, UniqueID: prodID}
	before, err := w.login(challenge(1), w.proof(t, challenge(1)))
	if err != nil {
		t.Fatal(err)
	}
	w.keys = w.sts.session("222222222222", "isthmus-agent-prod", "AROAANOTHERANOTHERAN", "i-0123456789")
	after, err := w.login(challenge(2), w.proof(t, challenge(2)))
	if err != nil {
		t.Fatal(err)
	}
	if !Match(byName, before) || !Match(byID, before) || !Match(byName, after) || Match(byID, after) {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestSessionNamesDecideNothing: whoever assumes a role chooses the session's name.
func TestSessionNamesDecideNothing(t *testing.T) {
	for _, name := range []string{"isthmus-agent-prod", "prod-east-agent-1", "root"} {
		w := newWorld(t)
		w.keys = w.sts.session("222222222222", "intern", "AROAINTERNINTERNINTE", name)
		got, err := w.login(challenge(1), w.proof(t, challenge(1)))
		if err != nil || got.ARN != "arn:aws:iam::222222222222:role/intern" || got.UniqueID != "AROAINTERNINTERNINTE" {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestClockShifted(t *testing.T) {
	for _, off := range []time.Duration{-2 * time.Minute, -61 * time.Second, 61 * time.Second, 2 * time.Minute, 10 * time.Minute} {
		w := newWorld(t)
		proof := w.proof(t, challenge(1))
		w.add(off)
		p, err := w.login(challenge(1), proof)
		word := "behind"
		if off < 0 {
			word = "ahead of"
		}
		refused(t, p, err, ErrClock, word)
		if w.sts.asked() != 0 {
			t.Errorf("shifted by %s, STS was asked", off)
		}
	}
	for _, off := range []time.Duration{-time.Minute, time.Minute} {
		w := newWorld(t)
		proof := w.proof(t, challenge(1))
		w.add(off)
		if _, err := w.login(challenge(1), proof); err != nil {
			t.Errorf("shifted by %s: %v", off, err)
		}
	}
}

// TestBothClocksAreWrong: agent and server agree, and STS does not.
func TestBothClocksAreWrong(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		w := newWorld(t)
		w.sts.now = func() time.Time { return w.now().Add(off) }
		p, err := w.login(challenge(1), w.proof(t, challenge(1)))
		refused(t, p, err, ErrClock, "SignatureDoesNotMatch")
	}
}

func TestForeignCredentials(t *testing.T) {
	w := newWorld(t)
	known := w.keys
	w.keys.SecretAccessKey = "guessed"
	p, err := w.login(challenge(1), w.proof(t, challenge(1)))
	refused(t, p, err, ErrRefused, "SignatureDoesNotMatch")
	w.keys = known
	w.keys.AccessKeyID = "ASIA9999999999999999"
	p, err = w.login(challenge(2), w.proof(t, challenge(2)))
	refused(t, p, err, ErrRefused, "InvalidClientTokenId")
	w.keys = known
	w.keys.SessionToken = ""
	p, err = w.login(challenge(3), w.proof(t, challenge(3)))
	refused(t, p, err, ErrRefused, "InvalidClientTokenId")
}

// TestWhatSTSAnswers: an answer that is not exactly one of STS's proves nothing.
func TestWhatSTSAnswers(t *testing.T) {
	const arn, id, account = "arn:aws:sts::222222222222:assumed-role/isthmus-agent-prod/i-1", prodID + ":i-1", "222222222222"
	good := reply(arn, id, account)
	edit := func(old, put string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the answer", old)
		}
		return strings.Replace(good, old, put, 1)
	}
	status := func(code int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	xml := func(body string) http.HandlerFunc { return status(200, "text/xml", body) }
	evil := httptest.NewServer(xml(good))
	defer evil.Close()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		class  error
		says   string
	}{
		"truncated":                {xml(good[:len(good)-30]), ErrUnavailable, "XML"},
		"truncated within":         {xml(good[:150]), ErrUnavailable, "XML"},
		"empty":                    {xml(""), ErrUnavailable, "lacks"},
		"an element twice":         {xml(edit("<UserId>", "<Arn>arn:aws:iam::222222222222:user/root</Arn><UserId>")), ErrUnavailable, "twice"},
		"the result twice":         {xml(edit("</GetCallerIdentityResult>", "</GetCallerIdentityResult><GetCallerIdentityResult></GetCallerIdentityResult>")), ErrUnavailable, "twice"},
		"a second answer behind":   {xml(good + good), ErrUnavailable, "twice"},
		"text behind":              {xml(good + "x"), ErrUnavailable, "text"},
		"an unknown element":       {xml(edit("<UserId>", "<Other/><UserId>")), ErrUnavailable, "does not belong"},
		"an element elsewhere":     {xml(edit("<ResponseMetadata>", "<Arn>x</Arn><ResponseMetadata>")), ErrUnavailable, "does not belong"},
		"an element within":        {xml(edit("i-1</Arn>", "<Arn>x</Arn></Arn>")), ErrUnavailable, "does not belong"},
		"another answer":           {xml(strings.ReplaceAll(good, "GetCallerIdentity", "AssumeRole")), ErrUnavailable, "does not belong"},
		"another namespace":        {xml(edit("sts.amazonaws.com", "evil.example")), ErrUnavailable, "does not belong"},
		"no namespace":             {xml(edit(` xmlns="`+stsNamespace+`"`, "")), ErrUnavailable, "does not belong"},
		"an attribute":             {xml(edit("<Arn>", `<Arn kind="x">`)), ErrUnavailable, "attribute"},
		"a comment":                {xml(edit("<Arn>", "<Arn><!-- -->")), ErrUnavailable, "comment"},
		"a document type":          {xml(`<!DOCTYPE x [<!ENTITY a "b">]>` + good), ErrUnavailable, "comment or directive"},
		"an entity":                {xml(edit("i-1</Arn>", "&a;</Arn>")), ErrUnavailable, "entity"},
		"without an account":       {xml(edit("<Account>222222222222</Account>", "")), ErrUnavailable, "lacks"},
		"an error with status 200": {xml(`<ErrorResponse xmlns="` + stsNamespace + `"/>`), ErrUnavailable, "does not belong"},
		"JSON":                     {xml(`{"GetCallerIdentityResponse":{}}`), ErrUnavailable, ""},
		"a wrong type of content":  {status(200, "application/json", good), ErrUnavailable, "application/json"},
		"HTML":                     {status(200, "text/html", good), ErrUnavailable, "text/html"},
		"no type of content":       {status(200, "", good), ErrUnavailable, "content of type"},
		"huge":                     {xml(good + strings.Repeat(" ", 1<<20)), ErrUnavailable, "more than"},
		"201":                      {status(201, "text/xml", good), ErrRefused, "201"},
		"a redirect":               {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, evil.URL, http.StatusFound) }, ErrUnavailable, "redirects are not followed"},
		"a redirect that keeps the call": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, evil.URL, http.StatusTemporaryRedirect)
		}, ErrUnavailable, "redirects are not followed"},
		"500":                        {status(500, "text/xml", ""), ErrUnavailable, "500"},
		"throttled":                  {status(400, "text/xml", "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"), ErrUnavailable, "Throttling"},
		"expired credentials":        {status(403, "text/xml", "<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>"), ErrRefused, "have expired"},
		"the region is off":          {status(403, "text/xml", "<ErrorResponse><Error><Code>RegionDisabledException</Code></Error></ErrorResponse>"), ErrRefused, "turn STS"},
		"an error that is none":      {status(403, "text/html", "<html>"), ErrRefused, "403"},
		"hung up":                    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ErrUnavailable, "HTTPS"},
		"another account":            {xml(reply(arn, id, "333333333333")), ErrRefused, "its account"},
		"another partition":          {xml(reply(strings.Replace(arn, "aws", "aws-cn", 1), id, account)), ErrRefused, "partition"},
		"another partition's word":   {xml(reply(strings.Replace(arn, "aws", "evil", 1), id, account)), ErrRefused, "partition"},
		"an id of another session":   {xml(reply(arn, prodID+":i-2", account)), ErrRefused, "one session"},
		"an id without a session":    {xml(reply(arn, prodID, account)), ErrRefused, "one session"},
		"a session with a slash":     {xml(reply(arn+"/x", id+"/x", account)), ErrRefused, "one session"},
		"the root of an account":     {xml(reply("arn:aws:iam::222222222222:root", account, account)), ErrRefused, "KIND/NAME"},
		"a federated user":           {xml(reply("arn:aws:sts::222222222222:federated-user/x", "222222222222:x", account)), ErrRefused, "neither a role nor a user"},
		"a role that is not assumed": {xml(reply("arn:aws:iam::222222222222:role/isthmus-agent-prod", prodID, account)), ErrRefused, "neither a role nor a user"},
		"no ARN":                     {xml(reply("isthmus-agent-prod", id, account)), ErrRefused, "KIND/NAME"},
		"a star for a name":          {xml(reply("arn:aws:sts::222222222222:assumed-role/*/i-1", id, account)), ErrRefused, "one session"},
		"no id":                      {xml(reply(arn, ":i-1", account)), ErrRefused, "AROA"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.sts.answers(c.answer)
			p, err := w.login(challenge(1), w.proof(t, challenge(1)))
			refused(t, p, err, c.class, c.says)
		})
	}
	w := newWorld(t)
	w.sts.answers(xml(`<?xml version="1.0" encoding="UTF-8"?>` + good))
	if p, err := w.login(challenge(1), w.proof(t, challenge(1))); err != nil || p.ARN != roleProd {
		t.Errorf("the answer as it should be: %+v, %v", p, err)
	}
}

func TestSTSIsAway(t *testing.T) {
	w := newWorld(t)
	w.sts.Close()
	p, err := w.login(challenge(1), w.proof(t, challenge(1)))
	refused(t, p, err, ErrUnavailable, "must reach STS")
	if !Retriable(err) {
		t.Errorf("%v cannot be tried again", err)
	}
}

func TestSTSIsAskedSeldom(t *testing.T) {
	one := Rate{PerSecond: 0.001, Burst: 2}
	many := Rate{PerSecond: 1000, Burst: 1000}
	for name, c := range map[string]struct {
		limits  CallLimits
		says    string
		address func(i int) string
	}{
		"of a source":        {CallLimits{Source: one, Key: many, Overall: many}, "from one address", func(int) string { return "192.0.2.7:1" }},
		"of a network of it": {CallLimits{Source: one, Key: many, Overall: many}, "from one address", func(i int) string { return fmt.Sprintf("[2001:db8::%d]:1", i) }},
		"of a key":           {CallLimits{Source: many, Key: one, Overall: many}, "with one access key", func(i int) string { return fmt.Sprintf("192.0.2.%d:1", i) }},
		"of all":             {CallLimits{Source: many, Key: many, Overall: one}, "of everybody", func(i int) string { return fmt.Sprintf("192.0.2.%d:1", i) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *SigV4Options) { o.Limits = c.limits })
			for i := range 4 {
				ch := challenge(byte(i))
				p, err := w.verifier.Authenticate(context.Background(), ch, w.proof(t, ch), Peer{Address: c.address(i)})
				if i < 2 && err != nil {
					t.Fatal(err)
				} else if i >= 2 {
					refused(t, p, err, ErrLimited, c.says)
				}
			}
			if w.sts.asked() != 2 {
				t.Errorf("STS was asked %d times", w.sts.asked())
			}
			w.add(time.Hour)
			ch := challenge(9)
			if _, err := w.verifier.Authenticate(context.Background(), ch, w.proof(t, ch), Peer{Address: c.address(9)}); err != nil {
				t.Errorf("an hour later: %v", err)
			}
		})
	}
}

func TestChallengesOfTheWrongShape(t *testing.T) {
	w := newWorld(t)
	for _, c := range []Challenge{{}, {Server: "a\nb", Nonce: make([]byte, 32)}, {Server: "a", Nonce: make([]byte, 15)}, {Server: "a", Nonce: make([]byte, 129)}} {
		p, err := w.login(c, w.proof(t, challenge(1)))
		refused(t, p, err, ErrMalformed, "challenge")
		if _, err := NewSigV4Source(fixed(w.keys), "eu-west-1", w.now).Proof(context.Background(), c); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v was signed: %v", c, err)
		}
	}
}

func TestOptionsOfSigV4(t *testing.T) {
	for says, o := range map[string]SigV4Options{
		"no region":         {},
		"not a region":      {Regions: []string{"evil.example"}},
		"two partitions":    {Regions: []string{"eu-west-1", "cn-north-1"}},
		"not https":         {Regions: []string{"eu-west-1"}, Endpoint: "http://sts.example"},
		"not https://HOST":  {Regions: []string{"eu-west-1"}, Endpoint: "https://user@sts.example"},
		"not https://HOST ": {Regions: []string{"eu-west-1"}, Endpoint: "https://sts.example/?x=1"},
	} {
		if _, err := NewSigV4(o); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(says)) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// noCredentials are those of a machine without a role.
type noCredentials struct{}

func (noCredentials) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, errors.New("no provider in chain")
}

func TestAnAgentWithoutCredentials(t *testing.T) {
	_, err := NewSigV4Source(noCredentials{}, "eu-west-1", time.Now).Proof(context.Background(), challenge(1))
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "role of its own account") {
		t.Error(err)
	}
	_, err = NewSigV4Source(noCredentials{}, "", time.Now).Proof(context.Background(), challenge(1))
	if !strings.Contains(fmt.Sprint(err), "AWS_REGION") {
		t.Error(err)
	}
}
