package policy

import (
	"regexp"
	"slices"
	"strings"
)

// Mode is how a trust policy names who may assume its role.
type Mode string

// ByCondition names the accounts, and the roles in a condition: roles need not be there yet, and one that is made again
// under its name is trusted again. ByARN names the roles: AWS keeps their unique ids, so that they must be there, and
// one that is made again is not trusted.
const (
	ByCondition Mode = "condition"
	ByARN       Mode = "arn"
)

// TrustSpec is who may assume a role, and how.
type TrustSpec struct {
	Mode             Mode     // empty: ByCondition
	Principals       []string // ARNs of the agents' roles in their own accounts
	ExternalID       string   // CLUSTER/GROUP
	Group            string   // that names of sessions begin with
	OrgID            string   // organization that they must be of; empty: any
	SourceVPCEs      []string // endpoints of STS that they must come through; none: any way
	NetworkAccounts  []string // whose VPC endpoints they must come through; none: any way
	AllowSessionTags bool     // sessions carry tags, as those of EKS Pod Identity do

	// WithoutExternalID trusts whoever holds the role, for whichever cluster and group it asks. It is for servers alone that
	// do not know sts:ExternalId.
	WithoutExternalID bool
}

var (
	externalID = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)
	orgID      = regexp.MustCompile(`^o-[a-z0-9]{10,32}$`)
	endpointID = regexp.MustCompile(`^vpce-[0-9a-f]{8,17}$`)
)

func (s TrustSpec) check() error {
	var c checks
	c.that(s.Mode == ByCondition || s.Mode == ByARN, "trust-mode", "%q: write condition or arn", s.Mode)
	c.that(len(s.Principals) > 0, "principal", "is missing: name the agents' role, such as arn:aws:iam::222222222222:role/isthmus-agent-prod")
	for _, p := range s.Principals {
		c.name(roleARN, "principal", p, "arn:aws:iam::222222222222:role/isthmus-agent-prod")
	}
	switch {
	case s.WithoutExternalID:
		c.that(s.ExternalID == "", "external-id", "%q: it cannot be asked for and left out", s.ExternalID)
	default:
		c.name(externalID, "external-id", s.ExternalID, "main/prod")
		c.that(len(s.ExternalID) <= 1224, "external-id", "of %d characters: AWS takes 1224", len(s.ExternalID))
	}
	c.name(layoutName, "group", s.Group, "prod")
	if s.OrgID != "" {
		c.name(orgID, "org-id", s.OrgID, "o-a1b2c3d4e5")
	}
	for _, id := range s.SourceVPCEs {
		c.name(endpointID, "source-vpce", id, "vpce-0123456789abcdef0")
	}
	for _, id := range s.NetworkAccounts {
		c.name(accountID, "network-account", id, "222222222222")
	}
	return c.err()
}

// Trust says who may assume a role.
func Trust(s TrustSpec) (Document, error) {
	if s.Mode == "" {
		s.Mode = ByCondition
	}
	if err := s.check(); err != nil {
		return Document{}, err
	}
	who := Conditions{}
	principals := sorted(s.Principals)
	accounts := principals
	if s.Mode == ByCondition {
		who["ArnEquals"] = map[string]Strings{"aws:PrincipalArn": principals}
		accounts = nil
		for _, p := range principals {
			accounts = append(accounts, accountRoot(p))
		}
		accounts = sorted(accounts)
	}
	add := func(operator, key string, values ...string) {
		if who[operator] == nil {
			who[operator] = map[string]Strings{}
		}
		who[operator][key] = values
	}
	if s.OrgID != "" {
		add("StringEquals", "aws:PrincipalOrgID", s.OrgID)
	}
	if len(s.SourceVPCEs) > 0 {
		add("StringEquals", "aws:SourceVpce", sorted(s.SourceVPCEs)...)
	}
	if len(s.NetworkAccounts) > 0 {
		add("StringEquals", "aws:VpceAccount", sorted(s.NetworkAccounts)...)
	}
	tags := Statement{Sid: "SessionTags", Effect: "Allow", Principal: &Principal{AWS: accounts}, Action: Strings{"sts:TagSession"}, Condition: clone(who)}
	if len(who) == 0 {
		tags.Condition = nil
	}
	if !s.WithoutExternalID {
		add("StringEquals", "sts:ExternalId", s.ExternalID)
	}
	add("StringLike", "sts:RoleSessionName", s.Group+"-*")
	d := document(Statement{Sid: "AgentGroup", Effect: "Allow", Principal: &Principal{AWS: accounts}, Action: Strings{"sts:AssumeRole"}, Condition: who})
	if s.AllowSessionTags {
		d.Statement = append(d.Statement, tags)
	}
	return fits(d, "trust policy", LimitTrust)
}

func clone(c Conditions) Conditions {
	out := Conditions{}
	for operator, keys := range c {
		out[operator] = map[string]Strings{}
		for key, values := range keys {
			out[operator][key] = values
		}
	}
	return out
}

// accountRoot is the account of an ARN, as principals are written.
func accountRoot(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	return strings.Join(parts[:5], ":") + ":root"
}

// sorted makes lists the same whatever order they were given in.
func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}
