package identity

import (
	"strings"
	"testing"
)

const (
	issuerA  = "https://aaaa.tokens.sts.global.api.aws"
	roleProd = "arn:aws:iam::222222222222:role/isthmus-agent-prod"
)

func TestMatch(t *testing.T) {
	sigv4 := Proven{Method: MethodSigV4, ARN: roleProd, UniqueID: "AROA0123456789ABCDEF", Account: "222222222222"}
	oidc := Proven{Method: MethodOIDC, Issuer: issuerA, Subject: "arn:aws:iam::222222222222:role/agents/prod", Account: "222222222222"}
	cert := Proven{Method: MethodMTLS, URI: "spiffe://prod/group/g/agent/a1"}
	for name, c := range map[string]struct {
		rule MatchRule
		who  Proven
		want bool
	}{
		"exact":                            {MatchRule{Method: MethodSigV4, ARN: roleProd}, sigv4, true},
		"exact with its id":                {MatchRule{Method: MethodSigV4, ARN: roleProd, UniqueID: sigv4.UniqueID}, sigv4, true},
		"another id":                       {MatchRule{Method: MethodSigV4, ARN: roleProd, UniqueID: "AROA0123456789ABCDE0"}, sigv4, false},
		"names that begin so":              {MatchRule{Method: MethodSigV4, ARN: "arn:aws:iam::222222222222:role/isthmus-*"}, sigv4, true},
		"every role of an account":         {MatchRule{Method: MethodSigV4, ARN: "arn:aws:iam::222222222222:role/*"}, sigv4, true},
		"users are no roles":               {MatchRule{Method: MethodSigV4, ARN: "arn:aws:iam::222222222222:user/*"}, sigv4, false},
		"a prefix without a star":          {MatchRule{Method: MethodSigV4, ARN: "arn:aws:iam::222222222222:role/isthmus-agent"}, sigv4, false},
		"a star inside":                    {MatchRule{Method: MethodSigV4, ARN: "arn:aws:iam::*:role/isthmus-agent-prod"}, sigv4, false},
		"another account":                  {MatchRule{Method: MethodSigV4, ARN: "arn:aws:iam::333333333333:role/isthmus-agent-prod"}, sigv4, false},
		"another partition":                {MatchRule{Method: MethodSigV4, ARN: "arn:aws-cn:iam::222222222222:role/isthmus-agent-prod"}, sigv4, false},
		"letters of another case":          {MatchRule{Method: MethodSigV4, ARN: "arn:aws:iam::222222222222:role/Isthmus-agent-prod"}, sigv4, false},
		"everybody":                        {MatchRule{Method: MethodSigV4, ARN: "*"}, sigv4, false},
		"accounts that begin so":           {MatchRule{Method: MethodSigV4, ARN: "arn:aws:iam::2222*"}, sigv4, false},
		"nobody":                           {MatchRule{Method: MethodSigV4}, sigv4, false},
		"no rule":                          {MatchRule{}, Proven{}, false},
		"no rule, an identity":             {MatchRule{}, sigv4, false},
		"another method's identity":        {MatchRule{Method: MethodSigV4, ARN: roleProd}, Proven{Method: MethodOIDC, ARN: roleProd}, false},
		"a rule of two methods":            {MatchRule{Method: MethodSigV4, ARN: roleProd, URI: cert.URI}, sigv4, false},
		"a session":                        {MatchRule{Method: MethodSigV4, ARN: "arn:aws:sts::222222222222:assumed-role/isthmus-agent-prod/i-1"}, Proven{Method: MethodSigV4, ARN: "arn:aws:sts::222222222222:assumed-role/isthmus-agent-prod/i-1"}, false},
		"issuer and subject":               {MatchRule{Method: MethodOIDC, Issuer: issuerA, Subject: oidc.Subject}, oidc, true},
		"subjects that begin so":           {MatchRule{Method: MethodOIDC, Issuer: issuerA, Subject: "arn:aws:iam::222222222222:role/agents/*"}, oidc, true},
		"another issuer":                   {MatchRule{Method: MethodOIDC, Issuer: "https://bbbb.tokens.sts.global.api.aws", Subject: oidc.Subject}, oidc, false},
		"an issuer with a star":            {MatchRule{Method: MethodOIDC, Issuer: "https://aaaa.*", Subject: oidc.Subject}, oidc, false},
		"an issuer and everybody":          {MatchRule{Method: MethodOIDC, Issuer: issuerA, Subject: "*"}, oidc, false},
		"subjects across accounts":         {MatchRule{Method: MethodOIDC, Issuer: issuerA, Subject: "arn:aws:iam::2*"}, oidc, false},
		"a subject of another platform":    {MatchRule{Method: MethodOIDC, Issuer: "https://k8s", Subject: "system:serviceaccount:isthmus:*"}, Proven{Method: MethodOIDC, Issuer: "https://k8s", Subject: "system:serviceaccount:isthmus:agent"}, true},
		"a certificate":                    {MatchRule{Method: MethodMTLS, URI: cert.URI}, cert, true},
		"certificates below":               {MatchRule{Method: MethodMTLS, URI: "spiffe://prod/group/g/*"}, cert, true},
		"certificates of another group":    {MatchRule{Method: MethodMTLS, URI: "spiffe://prod/group/h/*"}, cert, false},
		"certificates of domains like it":  {MatchRule{Method: MethodMTLS, URI: "spiffe://pr*"}, cert, false},
		"a certificate written otherwise":  {MatchRule{Method: MethodMTLS, URI: "spiffe://prod//group/g/agent/a1"}, cert, false},
		"an identity that lacks the field": {MatchRule{Method: MethodMTLS, URI: "spiffe://prod/*"}, Proven{Method: MethodMTLS}, false},
	} {
		if got := Match(c.rule, c.who); got != c.want {
			t.Errorf("%s: Match(%+v, %+v) = %v", name, c.rule, c.who, got)
		}
	}
}

// TestRulesThatCannotBeMeant holds what an operator is told, before a binding is stored.
func TestRulesThatCannotBeMeant(t *testing.T) {
	for want, r := range map[string]MatchRule{
		"none of aws-sigv4":       {Method: "password", ARN: roleProd},
		"means everybody":         {Method: MethodSigV4, ARN: "*"},
		"sessions have no say":    {Method: MethodSigV4, ARN: "arn:aws:sts::222222222222:assumed-role/r/s"},
		"write role/NAME":         {Method: MethodSigV4, ARN: "arn:aws:iam::222222222222:role/path/name"},
		"not 12 digits":           {Method: MethodSigV4, ARN: "arn:aws:iam::2222:role/name"},
		"has no name":             {Method: MethodSigV4, ARN: "arn:aws:iam::222222222222:role/"},
		"not one like AROA":       {Method: MethodSigV4, ARN: roleProd, UniqueID: "short"},
		"has no uri":              {Method: MethodSigV4, ARN: roleProd, URI: "spiffe://x/y"},
		"not its end":             {Method: MethodOIDC, Issuer: issuerA, Subject: "a*b*"},
		"not one whole URL":       {Method: MethodOIDC, Subject: roleProd},
		"leaves its trust domain": {Method: MethodMTLS, URI: "spiffe://prod*"},
		"2048 at most":            {Method: MethodMTLS, URI: "spiffe://prod/" + strings.Repeat("a", 4096)},
	} {
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; it says %q", r, err, want)
		}
	}
}

// TestClaimsDiffer: what is claimed is told apart wherever it differs, also where the parts put together are the same.
func TestClaimsDiffer(t *testing.T) {
	claims := []Claim{
		{}, {Group: "g"}, {Agent: "g"}, {Roles: []string{"g"}}, {CSR: []byte("g")},
		{Group: "ab", Agent: "c"}, {Group: "a", Agent: "bc"}, {Group: "a", Agent: "b", Roles: []string{"c"}},
		{Group: "a", Agent: "b", CSR: []byte("c")}, {Roles: []string{"ab"}}, {Roles: []string{"a", "b"}},
		{Roles: []string{"a", ""}}, {Roles: []string{""}}, {Roles: []string{"a", "a"}}, {Roles: []string{"a"}, CSR: []byte("a")},
	}
	seen := map[string]int{}
	for i, c := range claims {
		d := Challenge{Claim: c}.claim()
		if j, ok := seen[d]; ok {
			t.Errorf("claims %+v and %+v have one digest", claims[i], claims[j])
		}
		seen[d] = i
	}
	if (Claim{Roles: []string{"fetch", "produce"}}).Digest() != (Claim{Roles: []string{"produce", "fetch"}}).Digest() {
		t.Error("the order of roles makes another claim")
	}
}
