package policy

import "time"

// SourceSpec is what an agent's role in its own account is for.
type SourceSpec struct {
	Roles   []string // ARNs of the bucket's roles
	Cluster string   // whose control plane it logs in to by aws-oidc; empty: it does not
}

// Source lets agents assume the listed roles and nothing else. Tokens for a login, if wanted, are for one cluster and five
// minutes.
func Source(s SourceSpec) (Document, error) {
	var c checks
	c.that(len(s.Roles) > 0, "assume-role", "is missing: name the bucket's roles, such as arn:aws:iam::111111111111:role/isthmus-main-orders-prod-produce")
	for _, arn := range s.Roles {
		c.name(roleARN, "assume-role", arn, "arn:aws:iam::111111111111:role/isthmus-main-orders-prod-produce")
	}
	if s.Cluster != "" {
		c.name(layoutName, "cluster", s.Cluster, "main")
	}
	if err := c.err(); err != nil {
		return Document{}, err
	}
	d := document(allow("AssumeBucketRoles", sorted(s.Roles), "sts:AssumeRole"))
	if s.Cluster != "" {
		token := allow("LoginToken", Strings{"*"}, "sts:GetWebIdentityToken") // the action knows no resource
		token.Condition = Conditions{
			// ForAllValues holds of no values at all, too; Null closes that.
			"ForAllValues:StringEquals": {"sts:IdentityTokenAudience": {"isthmus:" + s.Cluster}},
			"Null":                      {"sts:IdentityTokenAudience": {"false"}},
			"NumericLessThanEquals":     {"sts:DurationSeconds": {"300"}},
			"StringEquals":              {"sts:SigningAlgorithm": {"ES384"}},
		}
		d.Statement = append(d.Statement, token)
	}
	return fits(d, "source policy", LimitPermission)
}

// DenyAll ends everything that a role may do, in sessions that live as well: it is asked at every request.
func DenyAll() Document {
	return document(Statement{Sid: "IsthmusRevoked", Effect: "Deny", Action: Strings{"*"}, Resource: Strings{"*"}})
}

// RevokeBefore ends the sessions that were begun before t. Whoever is still trusted begins another one.
func RevokeBefore(t time.Time) Document {
	d := DenyAll()
	d.Statement[0].Sid = "IsthmusRevokedBefore"
	d.Statement[0].Condition = Conditions{"DateLessThan": {"aws:TokenIssueTime": {t.UTC().Format(time.RFC3339)}}}
	return d
}
