package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/iam/policy"
)

// revokedPolicy is the name of the inline policy that denies everything.
const revokedPolicy = "IsthmusRevoked"

// rolePolicies is what revoking asks of IAM.
type rolePolicies interface {
	PutRolePolicy(context.Context, *awsiam.PutRolePolicyInput, ...func(*awsiam.Options)) (*awsiam.PutRolePolicyOutput, error)
	DeleteRolePolicy(context.Context, *awsiam.DeleteRolePolicyInput, ...func(*awsiam.Options)) (*awsiam.DeleteRolePolicyOutput, error)
}

// revocation is both halves of it, and the way back.
type revocation struct {
	Group    string          `json:"group"`
	Role     string          `json:"role,omitempty"` // empty: all
	Roles    []string        `json:"role_arns"`      // that are denied everything
	Name     string          `json:"policy_name"`
	Deny     policy.Document `json:"policy"`
	Bindings []string        `json:"bindings"` // that go, or lose the role
	Grants   []string        `json:"grants"`
	Undo     string          `json:"undo"` // YAML for isthmus binding apply
	Applied  bool            `json:"applied"`
}

func newIAMRevoke() *cobra.Command {
	var group, role, endpoint string
	var apply, restore bool
	cmd := &cobra.Command{
		Use: "revoke", Short: "End a group's access, at the bucket and at the control plane",
		Long: `revoke prints, and with --apply does, both halves of ending a group's access: the control plane removes its bindings and
grants, so that streams and sessions end at once; and a policy that denies everything is put on its roles, so that credentials
that somebody still holds open nothing. It prints the way back, for isthmus binding apply: keep it.

--restore takes the policy off the roles again. The credentials of this machine must be allowed iam:PutRolePolicy and
iam:DeleteRolePolicy on the roles.`,
		Example: "  isthmus iam revoke --group analytics\n  isthmus iam revoke --group analytics --role fetch --apply\n  isthmus iam revoke --group analytics --restore --apply",
	}
	f := cmd.Flags()
	f.StringVar(&group, "group", "", "group of agents")
	f.StringVar(&role, "role", "", "produce, fetch or jobs (default: all of the group's)")
	f.StringVar(&endpoint, "iam-endpoint", "", "URL of IAM, where it is not AWS's")
	f.BoolVar(&apply, "apply", false, "do it; otherwise it is printed only")
	f.BoolVar(&restore, "restore", false, "take the denying policy off the roles")
	return asOperator(cmd, func(ctx context.Context, o *operator, _ []string) error {
		if group == "" {
			return usageError{errors.New("--group is missing: name the group whose access is to end (isthmus group list shows those there are)")}
		}
		if role != "" && role != "jobs" {
			if err := knownRole(role); err != nil {
				return usageError{fmt.Errorf("--role: %w", err)}
			}
		}
		w, err := o.client.Walls(ctx)
		if err != nil {
			return err
		}
		r, err := planRevocation(w, group, role)
		if err != nil {
			return err
		}
		if !apply {
			return o.printRevocation(r, restore)
		}
		api, err := newRolePolicies(ctx, endpoint, r.Roles)
		if err != nil {
			return err
		}
		if restore {
			err = removeDenial(ctx, api, r)
		} else {
			err = carryOut(ctx, o.client, api, r)
		}
		r.Applied = err == nil
		return errors.Join(err, o.printRevocation(r, restore)) // the way back is printed whatever came of it
	})
}

// planRevocation finds what ends. A role that another group uses as well is refused, for that group would lose it too.
func planRevocation(w client.Walls, group, role string) (revocation, error) {
	r := revocation{Group: group, Role: role, Name: revokedPolicy, Deny: policy.DenyAll(), Roles: []string{}, Bindings: []string{}, Grants: []string{}}
	others := map[string]string{}
	for _, s := range w.Shares {
		for _, x := range s.Roles {
			switch {
			case x.ARN == "":
			case x.Group == group && (role == "" || x.Role == role):
				r.Roles = append(r.Roles, x.ARN)
			default:
				others[x.ARN] = x.Group + "/" + x.Role + " of share " + s.Name
			}
		}
	}
	slices.Sort(r.Roles)
	r.Roles = slices.Compact(r.Roles)
	for _, arn := range r.Roles {
		if who, shared := others[arn]; shared {
			return r, fmt.Errorf("role %s is that of %s, too, which would lose it: give each its own (isthmus iam policy), or put the policy on by hand", arn, who)
		}
	}
	var undo wallsFile
	access := map[string]string{"produce": "produce", "fetch": "fetch"}[role]
	for _, g := range w.Grants {
		if g.Group == group && (role == "" || g.Access == access) {
			r.Grants = append(r.Grants, g.Name)
			undo.Grants = append(undo.Grants, grantFile(g))
		}
	}
	for _, b := range w.Bindings {
		if b.Group == group && (role == "" || slices.Contains(b.Roles, role)) {
			r.Bindings = append(r.Bindings, b.Name)
			undo.Bindings = append(undo.Bindings, bindingFile(b))
		}
	}
	if len(undo.Grants)+len(undo.Bindings) > 0 {
		text, err := yaml.Marshal(undo)
		if err != nil {
			return r, fmt.Errorf("write the way back: %w", err)
		}
		r.Undo = string(text)
	}
	return r, nil
}

// newRolePolicies is IAM, which is asked in its partition's own region.
func newRolePolicies(ctx context.Context, endpoint string, arns []string) (rolePolicies, error) {
	region := "us-east-1"
	for _, arn := range arns {
		switch {
		case strings.HasPrefix(arn, "arn:aws-cn:"):
			region = "cn-north-1"
		case strings.HasPrefix(arn, "arn:aws-us-gov:"):
			region = "us-gov-west-1"
		}
	}
	c, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	return awsiam.NewFromConfig(c, func(o *awsiam.Options) {
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
		o.HTTPClient = &http.Client{Timeout: awsTimeout}
	}), nil
}

// revoker is the control plane's half.
type revoker interface {
	RevokeGroup(ctx context.Context, name string) error
	RevokeRole(ctx context.Context, group, role string) error
}

// carryOut does both halves, and the other one where one fails. The control plane is first: it is the faster.
func carryOut(ctx context.Context, c revoker, api rolePolicies, r revocation) error {
	var faults []error
	if len(r.Bindings)+len(r.Grants) > 0 {
		if r.Role == "" {
			faults = append(faults, c.RevokeGroup(ctx, r.Group))
		} else {
			faults = append(faults, c.RevokeRole(ctx, r.Group, r.Role))
		}
	}
	for _, arn := range r.Roles {
		_, err := api.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: roleName(arn), PolicyName: aws.String(r.Name), PolicyDocument: aws.String(r.Deny.JSON())})
		if err != nil {
			faults = append(faults, fmt.Errorf("deny %s everything: %w (its sessions live until they expire: try again, or detach its policies)", arn, err))
		}
	}
	return errors.Join(faults...)
}

func removeDenial(ctx context.Context, api rolePolicies, r revocation) error {
	var faults []error
	for _, arn := range r.Roles {
		_, err := api.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: roleName(arn), PolicyName: aws.String(r.Name)})
		var none *types.NoSuchEntityException
		if err != nil && !errors.As(err, &none) {
			faults = append(faults, fmt.Errorf("take %s off %s: %w", r.Name, arn, err))
		}
	}
	return errors.Join(faults...)
}

// roleName is the last part of an ARN; a path before it does not belong to the name.
func roleName(arn string) *string { return aws.String(arn[strings.LastIndex(arn, "/")+1:]) }

func (o *operator) printRevocation(r revocation, restore bool) error {
	if o.json {
		return o.print(r, "", nil)
	}
	did := "to do (--apply does it)"
	if r.Applied {
		did = "done"
	}
	deny, err := indented(r.Deny)
	if err != nil {
		return err
	}
	var b strings.Builder
	if restore {
		fmt.Fprintf(&b, "%s: take the policy %s off\n", did, r.Name)
		for _, arn := range r.Roles {
			fmt.Fprintf(&b, "  %s\n", arn)
		}
		fmt.Fprintf(&b, "then: isthmus binding apply with the file that revoke printed, for its bindings and grants\n")
	} else {
		fmt.Fprintf(&b, "control plane, %s: remove bindings %s, grants %s\n", did, list(r.Bindings), list(r.Grants))
		fmt.Fprintf(&b, "bucket, %s: put the policy %s on\n", did, r.Name)
		for _, arn := range r.Roles {
			fmt.Fprintf(&b, "  %s\n", arn)
		}
		fmt.Fprintf(&b, "%s\n", deny)
		if len(r.Roles) == 0 {
			fmt.Fprintf(&b, "  no share names a role of the group: whoever gave its agents access to the bucket must take it back there\n")
		}
		fmt.Fprintf(&b, "way back: isthmus iam revoke --group %s --restore --apply, and isthmus binding apply with\n%s", r.Group, r.Undo)
	}
	_, err = fmt.Fprint(o.out, b.String())
	return err
}

// grantFile and bindingFile write what readers of files make of them again.
func grantFile(g client.AccessGrant) fileGrant {
	return fileGrant{Name: g.Name, Group: g.Group, Share: g.Share, Access: g.Access, Topic: g.Topic, Prefix: g.Prefix, Create: g.Create, Until: g.Until}
}

func bindingFile(b client.Binding) (f fileBinding) {
	f.Name = b.Name
	f.Match.Method, f.Match.ARN, f.Match.UniqueID = b.Match.Method, b.Match.ARN, b.Match.UniqueID
	f.Match.Issuer, f.Match.Subject, f.Match.URI = b.Match.Issuer, b.Match.Subject, b.Match.URI
	f.Grant.Group, f.Grant.Roles, f.Grant.Shares, f.Grant.IDPrefixes = b.Group, b.Roles, b.Shares, b.IDPrefixes
	f.Grant.Admin, f.Grant.MaxAgents = b.Admin, b.MaxAgents
	return f
}
