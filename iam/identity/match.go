package identity

import (
	"fmt"
	"strings"
)

// MatchRule says which identities a binding means. A trailing * in ARN, Subject or URI stands for any
// rest; nothing else is a pattern, and what is compared is compared byte by byte.
type MatchRule struct {
	Method   string
	ARN      string // aws-sigv4: arn:aws:iam::ACCOUNT:role/NAME or :user/NAME
	UniqueID string // aws-sigv4: empty: any that has the name
	Issuer   string // aws-oidc; never a pattern
	Subject  string // aws-oidc
	URI      string // mtls
}

// Match says whether p is one of the identities that r means. A rule that Validate refuses means none.
func Match(r MatchRule, p Proven) bool {
	if r.Method != p.Method || r.Validate() != nil {
		return false
	}
	switch r.Method {
	case MethodSigV4:
		return like(r.ARN, p.ARN) && (r.UniqueID == "" || r.UniqueID == p.UniqueID)
	case MethodOIDC:
		return r.Issuer == p.Issuer && like(r.Subject, p.Subject)
	case MethodMTLS:
		return like(r.URI, p.URI)
	}
	return false
}

func like(pattern, s string) bool {
	if s == "" {
		return false
	}
	if rest, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(s, rest)
	}
	return pattern == s
}

// Validate says why a rule could not be meant: it names nothing, could never match, or a pattern
// of it reaches over accounts or trust domains.
func (r MatchRule) Validate() error {
	foreign := func(names ...string) error {
		values := map[string]string{"arn": r.ARN, "unique id": r.UniqueID, "issuer": r.Issuer, "subject": r.Subject, "uri": r.URI}
		for _, n := range names {
			if values[n] != "" {
				return fmt.Errorf("a match by %s has no %s", r.Method, n)
			}
		}
		return nil
	}
	switch r.Method {
	case MethodSigV4:
		if err := foreign("issuer", "subject", "uri"); err != nil {
			return err
		}
		if r.UniqueID != "" && !only(r.UniqueID, 16, 128, letters+digits+"_") {
			return fmt.Errorf("the unique id %.140q is not one like AROA…", r.UniqueID)
		}
		return validARN(r.ARN)
	case MethodOIDC:
		if err := foreign("arn", "unique id", "uri"); err != nil {
			return err
		}
		if r.Issuer == "" || strings.Contains(r.Issuer, "*") {
			return fmt.Errorf("the issuer %.140q of a match is not one whole URL", r.Issuer)
		}
		if strings.HasPrefix(r.Subject, "arn:") {
			return validSubject(r.Subject)
		}
		return validPattern("subject", r.Subject)
	case MethodMTLS:
		if err := foreign("arn", "unique id", "issuer", "subject"); err != nil {
			return err
		}
		return validURI(r.URI)
	}
	return fmt.Errorf("the method %.40q of a match is none of %s, %s, %s", r.Method, MethodSigV4, MethodOIDC, MethodMTLS)
}

func validPattern(what, s string) error {
	exact := strings.TrimSuffix(s, "*")
	switch {
	case exact == "":
		return fmt.Errorf("the %s %.140q of a match means everybody", what, s)
	case len(s) > 2048:
		return fmt.Errorf("the %s of a match has %d bytes; it has 2048 at most", what, len(s))
	case strings.Contains(exact, "*"):
		return fmt.Errorf("the %s %.140q of a match has a * that is not its end", what, s)
	}
	return nil
}

// validARN wants the account and the kind whole, so that a pattern leaves only a name open.
func validARN(s string) error {
	if err := validPattern("arn", s); err != nil {
		return err
	}
	exact := strings.TrimSuffix(s, "*")
	a, err := parseARN(exact)
	switch {
	case err != nil:
		return fmt.Errorf("the arn of a match: %w", err)
	case a.service != "iam" || a.kind != "role" && a.kind != "user":
		return fmt.Errorf("the arn %.140q of a match is not arn:aws:iam::ACCOUNT:role/NAME or :user/NAME; sessions have no say in it", s)
	case strings.Contains(a.name, "/"):
		return fmt.Errorf("the arn %.140q of a match has a path, which STS does not tell: write %s/NAME", s, a.kind)
	case a.name == "" && exact == s:
		return fmt.Errorf("the arn %.140q of a match has no name", s)
	case a.name != "" && !only(a.name, 1, 64, nameCharsIAM):
		return fmt.Errorf("the name in the arn %.140q of a match is not one of IAM", s)
	}
	return nil
}

// validSubject is for subjects of AWS, which keep the path.
func validSubject(s string) error {
	if err := validPattern("subject", s); err != nil {
		return err
	}
	a, err := parseARN(strings.TrimSuffix(s, "*"))
	if err != nil {
		return fmt.Errorf("the subject of a match: %w", err)
	}
	if a.service != "iam" || a.kind != "role" && a.kind != "user" {
		return fmt.Errorf("the subject %.140q of a match is not the ARN of a role or user", s)
	}
	return nil
}

func validURI(s string) error {
	if err := validPattern("uri", s); err != nil {
		return err
	}
	if exact, open := strings.CutSuffix(s, "*"); open {
		rest, ok := strings.CutPrefix(exact, "spiffe://")
		if domain, _, whole := strings.Cut(rest, "/"); !ok || !whole || !only(domain, 1, 255, domainChars) {
			return fmt.Errorf("the uri %.140q of a match leaves its trust domain open: write spiffe://DOMAIN/…*", s)
		}
		return nil
	}
	if _, err := parseSPIFFE(s); err != nil {
		return fmt.Errorf("the uri of a match: %w", err)
	}
	return nil
}
