package identity

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// FuzzSigned: what is taken for a proof by aws-sigv4 is what encode writes, and makes a call whose parts that no
// proof may choose are as they always are.
func FuzzSigned(f *testing.F) {
	good := signed{accessKey: "ASIA0000000000000001", date: "20261125T120000Z", region: "eu-west-1", signature: strings.Repeat("0a", 32), token: "FwoGZXIvYXdzE+/=="}
	f.Add(good.encode())
	good.token = ""
	f.Add(good.encode())
	f.Add([]byte("isthmus-sigv4-1\nASIA0000000000000001\r\nHost: evil\n20261125T120000Z\neu-west-1\n00\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _, err := parseSigned(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%q: %v", b, err)
			}
			return
		}
		if string(s.encode()) != string(b) {
			t.Fatalf("%q was read as %q", b, s.encode())
		}
		host := stsHost(s.region)
		r := call(context.Background(), mustURL("https://"+host), challenge(1), s)
		r.Header.Set("Authorization", s.authorization()+s.signature)
		var wire strings.Builder
		if err := r.Write(&wire); err != nil {
			t.Fatal(err)
		}
		head, body, _ := strings.Cut(wire.String(), "\r\n\r\n")
		lines := strings.Split(head, "\r\n")
		want := 10 // request, host, user agent, authorization, length, type, date, and three of ours
		if s.token != "" {
			want++
		}
		if lines[0] != "POST / HTTP/1.1" || lines[1] != "Host: "+host || body != callBody || len(lines) != want || strings.Count(r.Header.Get("Authorization"), ",") != 2 {
			t.Fatalf("%q makes the call\n%s", b, wire.String())
		}
	})
}

// FuzzReply: whatever STS seems to say, an identity that comes of it is one whose parts agree.
func FuzzReply(f *testing.F) {
	good := reply("arn:aws:sts::222222222222:assumed-role/isthmus-agent-prod/i-1", prodID+":i-1", "222222222222")
	f.Add([]byte(good))
	f.Add([]byte(strings.ReplaceAll(good, "\n", "")))
	f.Add([]byte(reply("arn:aws:iam::222222222222:user/a/b", "AIDA0123456789ABCDEF", "222222222222")))
	f.Add([]byte(`<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired</Message></Error></ErrorResponse>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if code, _ := parseRefusal(b); !only(code, 0, 64, letters+digits+".") {
			t.Fatalf("code %q", code)
		}
		c, err := parseReply(b)
		if err != nil {
			return
		}
		p, err := c.proven("aws")
		if err != nil {
			return
		}
		if r := (MatchRule{Method: MethodSigV4, ARN: p.ARN, UniqueID: p.UniqueID}); !Match(r, p) || strings.ContainsAny(p.ARN, "* \n") || !strings.Contains(p.ARN, ":"+c.account+":") {
			t.Fatalf("%q makes %+v, which no binding can mean: %v", b, p, r.Validate())
		}
	})
}

// FuzzToken: nothing but what the issuer's key has signed is believed, however it is written.
func FuzzToken(f *testing.F) {
	f.Add([]byte("e30.e30.e30"))
	f.Add(compact(es384Header, []byte(`{"iss":"https://issuer.example","aud":["isthmus:prod-cluster-01"]}`), es384(testKeys().p384)))
	f.Add(compact(map[string]any{"alg": "none"}, []byte(`{}`), func([]byte) []byte { return nil }))
	f.Fuzz(func(t *testing.T, b []byte) {
		parsed, err := parseToken(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%q: %v", b, err)
			}
			return
		}
		if parsed.algorithm != "ES384" && parsed.algorithm != "RS256" || !printable(parsed.kid, 256) {
			t.Fatalf("%q is taken for %+v", b, parsed)
		}
		var said claims
		if err := parsed.jwt.Claims(&testKeys().p384b.PublicKey, &said); err == nil {
			t.Fatalf("%q is signed by a key that signed nothing", b)
		}
	})
}

// FuzzClaims: whatever claims a signed token has, who is let in by them was named for this cluster, lives for a short time and is in no
// account but its own.
func FuzzClaims(f *testing.F) {
	good := map[string]any{"iss": "https://issuer.example", "sub": "arn:aws:iam::222222222222:role/prod", "aud": "isthmus:prod-cluster-01", "iat": start.Unix(), "exp": start.Unix() + 120, "jti": "a",
		claimsOfSTS: map[string]any{"aws_account": "222222222222", "request_tags": map[string]string{tagNonce: challenge(1).nonce(), tagClaim: challenge(1).claim()}}}
	f.Add(made(json.Marshal(good)))
	f.Add(made(json.Marshal(with(good, "aud", []string{"a", "b"}))))
	f.Add(made(json.Marshal(with(with(good, claimsOfSTS, nil), "nbf", start.Unix()))))
	f.Fuzz(func(t *testing.T, b []byte) {
		v := made(NewOIDC(OIDCOptions{Issuers: []Issuer{{URL: "https://issuer.example"}}}))
		said, err := parseClaims(b)
		if err != nil {
			return
		}
		p, err := v.accept(start, challenge(1), v.issuers["https://issuer.example"], said)
		if err != nil {
			if p != (Proven{}) {
				t.Fatalf("%q is refused as %+v", b, p)
			}
			return
		}
		life := said.Expires.Time().Sub(said.Issued.Time())
		if said.Issuer != p.Issuer || len(said.Audience) != 1 || said.Audience[0] != "isthmus:prod-cluster-01" || life <= 0 || life > maxTokenLife || said.ID == "" || !p.Expires.After(start) {
			t.Fatalf("%q lets %+v in", b, p)
		}
		if p.Account != "" && !strings.Contains(p.Subject, ":"+p.Account+":") {
			t.Fatalf("%q lets %+v in", b, p)
		}
	})
}

// FuzzKeys: whatever an issuer publishes, what is kept can verify and is public.
func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-384","kid":"a","x":"AAAA","y":"AAAA"},{"kty":"oct","k":"AAAA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AAAA","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := parseJWKS(b)
		if err != nil {
			return
		}
		for _, key := range set {
			if !key.Valid() || !key.IsPublic() {
				t.Fatalf("%q: %+v is kept", b, key)
			}
			_, _ = fits(key, "ES384"), fits(key, "RS256")
		}
	})
}

// FuzzSPIFFE: a name that is taken is written in the one way.
func FuzzSPIFFE(f *testing.F) {
	for _, s := range []string{"spiffe://prod/group/g/agent/a", "spiffe://prod/..", "spiffe://a@b:1/x?y#z", "SPIFFE://prod/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := parseSPIFFE(s)
		if err != nil {
			return
		}
		u := mustURL(s)
		if id.String() != s || u.String() != s || u.Host != id.domain || u.Path != id.path || u.JoinPath().Path != u.Path {
			t.Fatalf("%q is taken for %+v, and by others for %+v", s, id, u)
		}
	})
}
