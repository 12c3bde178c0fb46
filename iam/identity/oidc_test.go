package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// issued is a control plane that takes the tokens of one issuer.
type issued struct {
	*clock
	issuer   *testIssuer
	verifier *OIDC
}

func newIssued(t *testing.T, change ...func(*OIDCOptions)) *issued {
	w := &issued{clock: &clock{at: start}, issuer: newIssuer(t)}
	o := OIDCOptions{Issuers: []Issuer{{URL: w.issuer.URL}}, Now: w.now}
	for _, c := range change {
		c(&o)
	}
	w.verifier = made(NewOIDC(o))
	return w
}

func (w *issued) login(c Challenge, proof []byte) (Proven, error) {
	return w.verifier.Authenticate(context.Background(), c, proof, testPeer)
}

func (w *issued) claims(id string) map[string]any { return w.issuer.claimsFor(challenge(1), id) }

func TestATokenIsProof(t *testing.T) {
	w := newIssued(t)
	from := &tokenSTS{issuer: w.issuer, tagging: true}
	proof, err := NewOIDCSource(from).Proof(context.Background(), challenge(1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.login(challenge(1), proof)
	want := Proven{Method: MethodOIDC, Issuer: w.issuer.URL, Subject: "arn:aws:iam::222222222222:role/agents/prod", Account: "222222222222", Bound: true, Expires: got.Expires}
	if err != nil || got != want || !got.Expires.Equal(start.Add(2*time.Minute)) {
		t.Errorf("got %+v, %v; wanted %+v", got, err, want)
	}
	in := from.asked[0]
	if fmt.Sprintf("%s %s", in.Audience, *in.SigningAlgorithm) != "[isthmus:prod-cluster-01] ES384" || *in.DurationSeconds > 300 {
		t.Errorf("asked for %v, %s, %d s", in.Audience, *in.SigningAlgorithm, *in.DurationSeconds)
	}
	rsa := compact(map[string]any{"alg": "RS256", "kid": "rsa"}, made(json.Marshal(w.claims("rsa"))), rs256(testKeys().rsa))
	if _, err := w.login(challenge(1), rsa); err != nil {
		t.Errorf("RS256: %v", err)
	}
	if w.issuer.questions() != 1 {
		t.Errorf("the issuer was asked %d times", w.issuer.questions())
	}
}

// TestARoleThatMayNotTag gets a token that is bound to the server alone, and a control plane may want more.
func TestARoleThatMayNotTag(t *testing.T) {
	w := newIssued(t)
	proof, err := NewOIDCSource(&tokenSTS{issuer: w.issuer}).Proof(context.Background(), challenge(1))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.login(challenge(1), proof); err != nil || got.Bound {
		t.Errorf("got %+v, %v", got, err)
	}
	p, err := w.login(challenge(2), proof)
	refused(t, p, err, ErrRefused, "used already")

	strict := newIssued(t, func(o *OIDCOptions) { o.RequireBound = true })
	proof, err = NewOIDCSource(&tokenSTS{issuer: strict.issuer}).Proof(context.Background(), challenge(1))
	if err != nil {
		t.Fatal(err)
	}
	p, err = strict.login(challenge(1), proof)
	refused(t, p, err, ErrRefused, "sts:TagGetWebIdentityToken")
	if _, err := strict.login(challenge(1), strict.issuer.token(strict.claims("bound"))); err != nil {
		t.Error(err)
	}
}

func TestTokensThatSTSDoesNotMake(t *testing.T) {
	for code, c := range map[string]struct {
		class error
		says  string
	}{
		"AccessDenied": {ErrRefused, "sts:GetWebIdentityToken for the audience isthmus:prod-cluster-01"},
		"OutboundWebIdentityFederationDisabledException": {ErrRefused, "turn outbound web identity federation on"},
		"ServiceUnavailable":                             {ErrUnavailable, "STS of its region"},
	} {
		_, err := NewOIDCSource(&tokenSTS{denied: code}).Proof(context.Background(), challenge(1))
		if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestAReusedTokenIsRefused(t *testing.T) {
	w := newIssued(t)
	token := w.issuer.token(w.claims("a"))
	if _, err := w.login(challenge(1), token); err != nil {
		t.Fatal(err)
	}
	for _, again := range [][]byte{token, w.issuer.token(w.claims("a")), w.issuer.token(with(w.claims("a"), claimsOfSTS, nil))} {
		p, err := w.login(challenge(1), again)
		refused(t, p, err, ErrRefused, "")
	}
	if _, err := w.login(challenge(1), w.issuer.token(w.claims("b"))); err != nil {
		t.Errorf("another token: %v", err)
	}
}

// TestARefusedTokenIsNotUsed: who guesses ids of others' tokens does not use them up, for a token is noted last.
func TestARefusedTokenIsNotUsed(t *testing.T) {
	w := newIssued(t)
	p, err := w.login(challenge(1), w.issuer.token(with(w.claims("a"), "aud", "somebody else")))
	refused(t, p, err, ErrRefused, "is for")
	if _, err := w.login(challenge(1), w.issuer.token(w.claims("a"))); err != nil {
		t.Error(err)
	}
}

func TestATokenOfAnotherLogin(t *testing.T) {
	w := newIssued(t)
	other := challenge(1)
	other.Server = "other-cluster"
	p, err := w.login(other, w.issuer.token(w.claims("a")))
	refused(t, p, err, ErrRefused, "isthmus:other-cluster alone")
	p, err = w.login(challenge(2), w.issuer.token(w.claims("a")))
	refused(t, p, err, ErrRefused, "another nonce")
	for name, change := range map[string]func(*Claim){
		"group": func(c *Claim) { c.Group = "analytics" }, "roles": func(c *Claim) { c.Roles = nil }, "certificate": func(c *Claim) { c.CSR = []byte("x") },
	} {
		c := challenge(1)
		change(&c.Claim)
		p, err = w.login(c, w.issuer.token(w.claims("a "+name)))
		refused(t, p, err, ErrRefused, "bound to another group")
	}
	half := w.claims("half")
	half[claimsOfSTS] = map[string]any{"aws_account": "222222222222", "request_tags": map[string]string{tagNonce: challenge(1).nonce()}}
	p, err = w.login(challenge(1), w.issuer.token(half))
	refused(t, p, err, ErrRefused, "bound to another group")
}

// TestClaimsOfAToken: each with a signature that holds.
func TestClaimsOfAToken(t *testing.T) {
	w := newIssued(t)
	at := start.Unix()
	good := w.claims("x")
	for name, c := range map[string]struct {
		claims map[string]any
		class  error
		says   string
	}{
		"another audience":                {with(good, "aud", "isthmus:prod-cluster-010"), ErrRefused, "alone"},
		"an audience of other letters":    {with(good, "aud", "isthmus:Prod-cluster-01"), ErrRefused, "alone"},
		"an audience with a space":        {with(good, "aud", "isthmus:prod-cluster-01 "), ErrRefused, "alone"},
		"a pattern for an audience":       {with(good, "aud", "isthmus:*"), ErrRefused, "alone"},
		"two audiences":                   {with(good, "aud", []string{"isthmus:prod-cluster-01", "https://evil.example"}), ErrRefused, "alone"},
		"the same audience twice":         {with(good, "aud", []string{"isthmus:prod-cluster-01", "isthmus:prod-cluster-01"}), ErrRefused, "alone"},
		"audiences in one string":         {with(good, "aud", "isthmus:prod-cluster-01,https://evil.example"), ErrRefused, "alone"},
		"no audience":                     {with(good, "aud", nil), ErrRefused, "alone"},
		"an empty list of audiences":      {with(good, "aud", []string{}), ErrRefused, "alone"},
		"an audience that is an object":   {with(good, "aud", map[string]any{"0": "isthmus:prod-cluster-01"}), ErrRefused, "claims of the token"},
		"a list within the list":          {with(good, "aud", []any{[]string{"isthmus:prod-cluster-01"}}), ErrRefused, "claims of the token"},
		"expired":                         {with(with(good, "iat", at-200), "exp", at-1), ErrRefused, "expired"},
		"expires now":                     {with(good, "exp", at), ErrRefused, "or for none"},
		"never expires":                   {with(good, "exp", nil), ErrRefused, "expires"},
		"expires in ages":                 {with(good, "exp", at+301), ErrRefused, "more than"},
		"expires beyond time":             {with(good, "exp", int64(1)<<61), ErrRefused, ""},
		"expires before it is issued":     {with(with(good, "exp", at+10), "iat", at+20), ErrRefused, "or for none"},
		"issued never":                    {with(good, "iat", nil), ErrRefused, "issued"},
		"issued long ago, lives for long": {with(good, "iat", at-1000), ErrRefused, "more than"},
		"issued in the future":            {with(with(good, "iat", at+100), "exp", at+200), ErrClock, "here it is"},
		"not valid yet":                   {with(good, "nbf", at+100), ErrRefused, "not valid before"},
		"times in words":                  {with(good, "exp", "tomorrow"), ErrRefused, "claims of the token"},
		"no id":                           {with(good, "jti", nil), ErrRefused, "no id"},
		"an empty id":                     {with(good, "jti", ""), ErrRefused, "no id"},
		"a huge id":                       {with(good, "jti", strings.Repeat("a", 257)), ErrRefused, "no id"},
		"no subject":                      {with(good, "sub", nil), ErrRefused, "nobody"},
		"a subject of another account":    {with(good, "sub", "arn:aws:iam::333333333333:role/agents/prod"), ErrRefused, "not one of its account"},
		"a subject that is a session":     {with(good, "sub", "arn:aws:sts::222222222222:assumed-role/prod/x"), ErrRefused, "not one of its account"},
		"a subject that is no ARN":        {with(good, "sub", "root"), ErrRefused, "not one of its account"},
		"an account that is none":         {with(good, claimsOfSTS, map[string]any{"aws_account": "*"}), ErrRefused, "not one of its account"},
		"nested claims that are a list":   {with(good, claimsOfSTS, []string{}), ErrRefused, "claims of the token"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := w.login(challenge(1), w.issuer.token(c.claims))
			refused(t, p, err, c.class, c.says)
		})
	}
	lists := with(w.claims("list"), "aud", []string{"isthmus:prod-cluster-01"})
	if _, err := w.login(challenge(1), w.issuer.token(lists)); err != nil {
		t.Errorf("a list of one audience: %v", err)
	}
	if _, err := w.login(challenge(1), w.issuer.token(good)); err != nil {
		t.Errorf("the token as it should be: %v", err)
	}
}

// TestClaimsGivenTwice: readers that take the first and readers that take the last differ on them.
func TestClaimsGivenTwice(t *testing.T) {
	w := newIssued(t)
	whole := string(made(json.Marshal(w.claims("x"))))
	for _, more := range []string{`"aud":"isthmus:prod-cluster-01",`, `"sub":"arn:aws:iam::222222222222:role/admin",`, `"iss":"` + w.issuer.URL + `",`} {
		payload := "{" + more + whole[1:]
		p, err := w.login(challenge(1), compact(es384Header, []byte(payload), es384(testKeys().p384)))
		refused(t, p, err, ErrMalformed, "")
	}
	// Names in other letters are other names.
	p, err := w.login(challenge(1), w.issuer.token(with(with(w.claims("x"), "AUD", "isthmus:prod-cluster-01"), "aud", nil)))
	refused(t, p, err, ErrRefused, "alone")
}

// TestSignaturesOfTokens: who made it, and by what.
func TestSignaturesOfTokens(t *testing.T) {
	w := newIssued(t)
	keys := testKeys()
	w.issuer.publish("p256", &keys.p256.PublicKey, "ES256")
	w.issuer.publish("small", &keys.small.PublicKey, "RS256")
	w.issuer.publish("twice", &keys.p384.PublicKey, "ES384")
	w.issuer.publish("twice", &keys.p384b.PublicKey, "ES384")
	w.issuer.set = append(w.issuer.set, w.issuer.set[0], w.issuer.set[1])
	w.issuer.set[len(w.issuer.set)-2].KeyID, w.issuer.set[len(w.issuer.set)-2].Use = "enc", "enc"
	w.issuer.set[len(w.issuer.set)-1].KeyID, w.issuer.set[len(w.issuer.set)-1].Algorithm = "pss", "PS256"
	payload := made(json.Marshal(w.claims("x")))
	other := newIssuer(t)
	jwk := map[string]any{"kty": "EC", "crv": "P-384", "x": "AAAA", "y": "AAAA"}
	hs := func(secret []byte) func([]byte) []byte {
		return func(text []byte) []byte { h := hmac.New(sha256.New, secret); h.Write(text); return h.Sum(nil) }
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: made(x509.MarshalPKIXPublicKey(&keys.rsa.PublicKey))})
	none := func([]byte) []byte { return nil }
	head := func(more ...any) map[string]any {
		h := map[string]any{"alg": "ES384", "kid": "one"}
		for i := 0; i < len(more); i += 2 {
			h = with(h, more[i].(string), more[i+1])
		}
		return h
	}
	forged := es384(keys.p384b)
	for name, c := range map[string]struct {
		token []byte
		class error
		says  string
	}{
		"alg none":                          {compact(head("alg", "none"), payload, none), ErrMalformed, "ES384 or RS256"},
		"alg None":                          {compact(head("alg", "nOnE"), payload, none), ErrMalformed, "ES384 or RS256"},
		"alg ES384 without a signature":     {compact(head(), payload, none), ErrRefused, "not signed"},
		"HS256 with the public key":         {compact(head("alg", "HS256", "kid", "rsa"), payload, hs(public)), ErrMalformed, "ES384 or RS256"},
		"RS256 said, HS256 made":            {compact(head("alg", "RS256", "kid", "rsa"), payload, hs(public)), ErrRefused, "not signed"},
		"ES256":                             {compact(head("alg", "ES256", "kid", "p256"), payload, forged), ErrMalformed, "ES384 or RS256"},
		"ES384 by a key of another curve":   {compact(head("kid", "p256"), payload, forged), ErrRefused, "no key"},
		"ES384 by the name of an RSA key":   {compact(head("kid", "rsa"), payload, forged), ErrRefused, "no key"},
		"RS256 by a key of 1024 bits":       {compact(head("alg", "RS256", "kid", "small"), payload, rs256(keys.small)), ErrRefused, "no key"},
		"a key that is for encryption":      {compact(head("kid", "enc"), payload, es384(keys.p384)), ErrRefused, "no key"},
		"a key of another algorithm":        {compact(head("alg", "RS256", "kid", "pss"), payload, rs256(keys.rsa)), ErrRefused, "no key"},
		"another's key":                     {compact(head(), payload, forged), ErrRefused, "not signed"},
		"two keys of one name":              {compact(head("kid", "twice"), payload, es384(keys.p384)), ErrRefused, "no key"},
		"no name of a key":                  {compact(head("kid", nil), payload, es384(keys.p384)), ErrMalformed, "name its key"},
		"a kid that is a path":              {compact(head("kid", "../../../../dev/null"), payload, forged), ErrRefused, "no key"},
		"a kid that is a URL":               {compact(head("kid", other.URL+"/keys"), payload, forged), ErrRefused, "no key"},
		"a kid that is a query":             {compact(head("kid", "one'--"), payload, forged), ErrRefused, "no key"},
		"a kid with a line feed":            {compact(head("kid", "one\n"), payload, es384(keys.p384)), ErrMalformed, "name its key"},
		"a huge kid":                        {compact(head("kid", strings.Repeat("a", 257)), payload, es384(keys.p384)), ErrMalformed, "name its key"},
		"jku":                               {compact(head("jku", other.URL+"/keys"), payload, forged), ErrRefused, "not signed"},
		"x5u":                               {compact(head("x5u", other.URL+"/keys"), payload, forged), ErrRefused, "not signed"},
		"a key within":                      {compact(head("jwk", jwk), payload, forged), ErrMalformed, ""},
		"crit":                              {compact(head("crit", []string{"exp"}, "exp", 1), payload, es384(keys.p384)), ErrRefused, "not signed"},
		"two tokens":                        {append(w.issuer.token(w.claims("x")), ".x"...), ErrMalformed, ""},
		"JSON serialization":                {[]byte(`{"payload":"e30","signatures":[{"header":{"alg":"ES384"},"signature":"e30"}]}`), ErrMalformed, ""},
		"encrypted":                         {[]byte("e30.e30.e30.e30.e30"), ErrMalformed, ""},
		"nothing":                           {nil, ErrMalformed, ""},
		"claims that are no JSON":           {compact(head(), []byte("iss="+w.issuer.URL), es384(keys.p384)), ErrMalformed, "not JSON"},
		"oversized":                         {w.issuer.token(with(w.claims("x"), "more", strings.Repeat("a", maxToken))), ErrMalformed, "at most"},
		"another issuer, its own signature": {compact(head(), made(json.Marshal(with(w.claims("x"), "iss", other.URL))), es384(keys.p384)), ErrRefused, "not one of this control plane's"},
		"an issuer with a slash behind":     {compact(head(), made(json.Marshal(with(w.claims("x"), "iss", w.issuer.URL+"/"))), es384(keys.p384)), ErrRefused, "not one of this control plane's"},
		"no issuer":                         {compact(head(), made(json.Marshal(with(w.claims("x"), "iss", nil))), es384(keys.p384)), ErrRefused, "not one of this control plane's"},
	} {
		t.Run(name, func(t *testing.T) {
			w.askAgain()
			p, err := w.login(challenge(1), c.token)
			if name == "a key within" && errors.Is(err, ErrRefused) {
				return // the library may read it, and need not: it does not verify by it
			}
			refused(t, p, err, c.class, c.says)
		})
	}
	if n := other.questions(); n != 0 {
		t.Errorf("a place that tokens name was asked %d times", n)
	}
	if _, err := w.login(challenge(1), w.issuer.token(w.claims("x"))); err != nil {
		t.Errorf("the token as it should be: %v", err)
	}
}

// TestKeysOfOneIssuerAreNotAnothers: both are configured, and one signs in the other's name.
func TestKeysOfOneIssuerAreNotAnothers(t *testing.T) {
	second := newIssuer(t)
	second.set = nil
	second.publish("two", &testKeys().p384b.PublicKey, "ES384")
	w := newIssued(t, func(o *OIDCOptions) { o.Issuers = append(o.Issuers, Issuer{URL: second.URL}) })
	payload := made(json.Marshal(w.claims("x")))
	for _, kid := range []string{"one", "two"} {
		w.askAgain()
		p, err := w.login(challenge(1), compact(with(es384Header, "kid", kid), payload, es384(testKeys().p384b)))
		refused(t, p, err, ErrRefused, "")
	}
}

func TestAnIssuerOfOneAccount(t *testing.T) {
	w := newIssued(t, func(o *OIDCOptions) { o.Issuers[0].Account = "111111111111" })
	p, err := w.login(challenge(1), w.issuer.token(w.claims("x")))
	refused(t, p, err, ErrRefused, "its issuer of 111111111111")
	p, err = w.login(challenge(1), w.issuer.token(with(w.claims("y"), claimsOfSTS, nil)))
	refused(t, p, err, ErrRefused, "its issuer of 111111111111")
}

// TestKeysAreAskedForSeldom: a new key is found at once, an invented one costs a question in a while, and an issuer that is away stops nobody.
func TestKeysAreAskedForSeldom(t *testing.T) {
	w := newIssued(t)
	login := func(kid string, id string) error {
		_, err := w.login(challenge(1), compact(with(es384Header, "kid", kid), made(json.Marshal(w.claimsNow(id))), es384(testKeys().p384)))
		return err
	}
	if err := login("one", "1"); err != nil {
		t.Fatal(err)
	}
	if err := login("new", "2"); !errors.Is(err, ErrUnavailable) { // asked moments ago
		t.Errorf("a key that was not asked for: %v", err)
	}
	w.issuer.publish("new", &testKeys().p384.PublicKey, "ES384")
	w.add(keysInterval)
	if err := login("new", "3"); err != nil {
		t.Errorf("a new key: %v", err)
	}
	before := w.issuer.questions()
	for i := range 50 {
		if err := login(fmt.Sprint("invented-", i), "4"); err == nil {
			t.Error("an invented key was found")
		}
	}
	if n := w.issuer.questions() - before; n != 0 {
		t.Errorf("50 invented keys made %d questions", n)
	}
	w.issuer.answers(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for range 23 {
		w.add(time.Hour)
		if err := login("one", fmt.Sprint("away-", w.now())); err != nil {
			t.Errorf("the issuer is away: %v", err)
		}
	}
	w.add(2 * time.Hour)
	if err := login("one", "late"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the issuer is away for a day: %v", err)
	}
	w.issuer.answers(nil)
	w.add(keysInterval)
	if err := login("one", "back"); err != nil {
		t.Errorf("the issuer is back: %v", err)
	}
}

// askAgain lets the first issuer be asked about the next key.
func (w *issued) askAgain() {
	k := w.verifier.issuers[w.issuer.URL].keys
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = time.Time{}
}

// claimsNow are claims of a token that is made now.
func (w *issued) claimsNow(id string) map[string]any {
	return with(with(w.claims(id), "iat", w.now().Unix()), "exp", w.now().Unix()+120)
}

// TestAKeyThatWasWithdrawn is not used once the issuer has said so.
func TestAKeyThatWasWithdrawn(t *testing.T) {
	w := newIssued(t)
	if _, err := w.login(challenge(1), w.issuer.token(w.claims("1"))); err != nil {
		t.Fatal(err)
	}
	w.issuer.mu.Lock()
	w.issuer.set = w.issuer.set[1:]
	w.issuer.mu.Unlock()
	w.add(2 * keysInterval)
	if _, err := w.login(challenge(1), compact(with(es384Header, "kid", "unknown"), made(json.Marshal(w.claimsNow("2"))), es384(testKeys().p384))); err == nil {
		t.Fatal("a key that is unknown was found")
	}
	p, err := w.login(challenge(1), w.issuer.token(w.claimsNow("3")))
	refused(t, p, err, ErrUnavailable, "no key")
}

func TestWhatIssuersAnswer(t *testing.T) {
	page := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); fmt.Fprint(w, body) }
	}
	evil := newIssuer(t)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"a redirect":    {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, evil.URL+"/keys", http.StatusFound) }, "redirects are not followed"},
		"huge":          {page(200, `{"keys":[],"x":"`+strings.Repeat("a", maxJWKS)+`"}`), "more than"},
		"no JSON":       {page(200, "<html>"), "its keys"},
		"an error":      {page(500, ""), "500"},
		"no keys":       {page(200, `{"keys":[]}`), "no key that can be used"},
		"keys of none":  {page(200, `{"keys":[{"kty":"oct","k":"AAAA","kid":"one"},{"kty":"new","kid":"one"}]}`), "no key that can be used"},
		"too many keys": {page(200, `{"keys":[`+strings.Repeat("{},", maxKeys)+`{}]}`), "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newIssued(t)
			w.issuer.answers(c.answer)
			p, err := w.login(challenge(1), w.issuer.token(w.claims("x")))
			refused(t, p, err, ErrUnavailable, c.says)
		})
	}
	for says, change := range map[string]func(*testIssuer){
		"that of":   func(i *testIssuer) { i.configuration["issuer"] = evil.URL },
		"not https": func(i *testIssuer) { i.configuration["jwks_uri"] = "http://evil.example/keys" },
		"unsupport": func(i *testIssuer) { i.configuration["jwks_uri"] = "file:///etc/passwd" },
	} {
		w := newIssued(t)
		change(w.issuer)
		p, err := w.login(challenge(1), w.issuer.token(w.claims("x")))
		if says == "unsupport" {
			says = "the place of its keys"
		}
		refused(t, p, err, ErrUnavailable, says)
	}
	w := newIssued(t, func(o *OIDCOptions) { o.Issuers[0].JWKS = o.Issuers[0].URL + "/keys" })
	w.issuer.configuration = nil
	if _, err := w.login(challenge(1), w.issuer.token(w.claims("x"))); err != nil {
		t.Errorf("the place of keys is configured: %v", err)
	}
	if evil.questions() != 0 {
		t.Error("another issuer was asked")
	}
}

// TestMemoryOfTokensIsBounded: when it is full, further ones are refused, and none that is remembered can be used again.
func TestMemoryOfTokensIsBounded(t *testing.T) {
	s := newSeen(2)
	add := func(at time.Duration, name string) error {
		return s.add(start.Add(at), name, start.Add(at+time.Minute))
	}
	for i, c := range []struct {
		at    time.Duration
		name  string
		class error
	}{
		{0, "a", nil}, {0, "b", nil}, {0, "a", ErrRefused}, {time.Second, "c", ErrLimited}, {2 * time.Second, "b", ErrRefused},
		{time.Minute, "c", nil}, {time.Minute, "a", nil}, {time.Minute + time.Second, "d", ErrLimited},
	} {
		if err := add(c.at, c.name); !errors.Is(err, c.class) {
			t.Errorf("step %d: %v", i, err)
		}
	}
}

func TestTokensAreLimitedBySource(t *testing.T) {
	w := newIssued(t, func(o *OIDCOptions) { o.Limits = CallLimits{Source: Rate{0.001, 1}} })
	if _, err := w.login(challenge(1), w.issuer.token(w.claims("1"))); err != nil {
		t.Fatal(err)
	}
	p, err := w.login(challenge(1), w.issuer.token(w.claims("2")))
	refused(t, p, err, ErrLimited, "from one address")
}

func TestOptionsOfOIDC(t *testing.T) {
	for says, o := range map[string]OIDCOptions{
		"no issuer":     {},
		"not https":     {Issuers: []Issuer{{URL: "http://issuer.example"}}},
		"the keys of":   {Issuers: []Issuer{{URL: "https://issuer.example", JWKS: "http://issuer.example/keys"}}},
		"not 12 digits": {Issuers: []Issuer{{URL: "https://issuer.example", Account: "1"}}},
		"named twice":   {Issuers: []Issuer{{URL: "https://issuer.example"}, {URL: "https://issuer.example"}}},
	} {
		if _, err := NewOIDC(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
