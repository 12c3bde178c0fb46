package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/control/client"
)

var shareNoun = noun[client.Share]{
	what: "share",
	all:  func(w client.Walls) []client.Share { return w.Shares },
	name: func(s client.Share) string { return s.Name },

	heading: "SHARE\tBUCKET\tREGION\tROLES",
	row:     func(s client.Share) []any { return []any{s.Name, s.Bucket, orDash(s.Region), len(s.Roles)} },
	lines: func(s client.Share) [][]any {
		rows := [][]any{{"share", s.Name}, {"bucket", s.Bucket}, {"region", orDash(s.Region)}, {"kms key", orDash(s.KMSKey)}, {"account", orDash(s.Account)}}
		for _, r := range s.Roles {
			rows = append(rows, []any{"role of " + r.Group + "/" + r.Role, orDash(r.ARN), orDash(r.ExternalID)})
		}
		return rows
	},
	remove: func(ctx context.Context, c *client.Client, name string) error { return c.RemoveShare(ctx, name) },
}

func newShare() *cobra.Command {
	return parent("share", "Create, list, describe, alter and delete shares: sets of topics, each with a bucket",
		"  isthmus share create orders --bucket s3://acme-orders --region eu-west-1\n  isthmus share list",
		newShareCreate(), shareNoun.listCommand(), shareNoun.describeCommand("orders"), newShareAlter(), newShareCanary(),
		shareNoun.deleteCommand("Delete a share that has neither topics nor grants", "orders"))
}

// shareFlags is what a command line says of a share.
type shareFlags struct {
	bucket, region, kmsKey, account string
	roles, noRoles                  []string
}

func (f *shareFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.region, "region", "", "region of the bucket, for its key and its requests")
	flags.StringVar(&f.kmsKey, "kms-key", "", "ARN of the key that the bucket's objects are encrypted with")
	flags.StringVar(&f.account, "account", "", "account that must own the bucket, 12 digits")
	flags.StringArrayVar(&f.roles, "role", nil, "IAM role of a group's agents, GROUP/ROLE=ARN[,EXTERNAL-ID]; may be repeated. The external id is CLUSTER/GROUP if not given")
}

func newShareCreate() *cobra.Command {
	var f shareFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a share", Args: cobra.ExactArgs(1),
		Long: `create makes a share: a named set of topics whose objects lie in one bucket, for good. What must stay apart
gets a share of its own, for objects mix the topics of a share. Nobody can use it until it is granted.`,
		Example: `  isthmus share create orders --bucket s3://acme-orders --region eu-west-1
  isthmus share create orders --bucket s3://acme-orders --role prod/produce=arn:aws:iam::111111111111:role/isthmus-main-orders-prod-produce`,
	}
	cmd.Flags().StringVar(&f.bucket, "bucket", "", "URL of the bucket, such as s3://acme-orders/prefix")
	f.add(cmd.Flags())
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		if f.bucket == "" {
			return usageError{errors.New("give --bucket, such as s3://acme-orders (try: isthmus share create --help)")}
		}
		if err := checkBucket(f.bucket); err != nil {
			return usageError{fmt.Errorf("--bucket: %w", err)}
		}
		roles, err := parseShareRoles(f.roles)
		if err != nil {
			return err
		}
		w, err := o.client.Walls(ctx)
		if err != nil {
			return err
		}
		if err := shareNoun.absent(w, args[0]); err != nil {
			return err
		}
		s := client.Share{Name: args[0], Bucket: f.bucket, Region: f.region, KMSKey: f.kmsKey, Account: f.account}
		if err := o.setRoles(ctx, &s, roles); err != nil {
			return err
		}
		if err := o.client.PutShare(ctx, s); err != nil {
			return err
		}
		return shareNoun.done(o, "created", s)
	})
}

func newShareAlter() *cobra.Command {
	var f shareFlags
	cmd := &cobra.Command{
		Use: "alter NAME", Short: "Change how a share's bucket is reached", Args: cobra.ExactArgs(1),
		Long: `alter changes region, key, account and roles of a share. Its bucket is its own for good: make another share for
another bucket. Agents hear of the change within a heartbeat.`,
		Example: "  isthmus share alter orders --role billing/fetch=arn:aws:iam::111111111111:role/isthmus-main-orders-billing-fetch\n  isthmus share alter orders --remove-role billing/fetch",
	}
	f.add(cmd.Flags())
	cmd.Flags().StringArrayVar(&f.noRoles, "remove-role", nil, "role to take out, GROUP/ROLE; may be repeated")
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		roles, err := parseShareRoles(f.roles)
		if err != nil {
			return err
		}
		changed := cmd.Flags().Changed
		if !changed("region") && !changed("kms-key") && !changed("account") && len(roles)+len(f.noRoles) == 0 {
			return usageError{errors.New("nothing to change: give --region, --kms-key, --account, --role or --remove-role")}
		}
		s, err := shareNoun.get(ctx, o, args[0])
		if err != nil {
			return err
		}
		if changed("region") {
			s.Region = f.region
		}
		if changed("kms-key") {
			s.KMSKey = f.kmsKey
		}
		if changed("account") {
			s.Account = f.account
		}
		if err := removeRoles(&s, f.noRoles); err != nil {
			return err
		}
		if err := o.setRoles(ctx, &s, roles); err != nil {
			return err
		}
		if err := o.client.PutShare(ctx, s); err != nil {
			return err
		}
		return shareNoun.done(o, "altered", s)
	})
}

// parseShareRoles reads GROUP/ROLE=ARN[,EXTERNAL-ID].
func parseShareRoles(texts []string) ([]client.ShareRole, error) {
	var roles []client.ShareRole
	for _, text := range texts {
		who, as, found := strings.Cut(text, "=")
		group, role, whole := strings.Cut(who, "/")
		arn, external, _ := strings.Cut(as, ",")
		if !found || !whole || group == "" || arn == "" {
			return nil, usageError{fmt.Errorf("--role %q: write GROUP/ROLE=ARN, such as prod/produce=arn:aws:iam::111111111111:role/isthmus-main-orders-prod-produce", text)}
		}
		if role != "jobs" {
			if err := knownRole(role); err != nil {
				return nil, usageError{fmt.Errorf("--role %q: %w", text, err)}
			}
		}
		roles = append(roles, client.ShareRole{Group: group, Role: role, ARN: arn, ExternalID: external})
	}
	return roles, nil
}

func removeRoles(s *client.Share, texts []string) error {
	for _, text := range texts {
		at := slices.IndexFunc(s.Roles, func(r client.ShareRole) bool { return r.Group+"/"+r.Role == text })
		if at < 0 {
			return fmt.Errorf("share %s has no role of %s (isthmus share describe %s shows those it has)", s.Name, text, s.Name)
		}
		s.Roles = slices.Delete(s.Roles, at, at+1)
	}
	return nil
}

// setRoles puts roles in the place of those of the same group and role. The external id says which cluster and
// group a role is for; it keeps one group's agents from taking another's by mistake.
func (o *operator) setRoles(ctx context.Context, s *client.Share, roles []client.ShareRole) error {
	if slices.ContainsFunc(roles, func(r client.ShareRole) bool { return r.ExternalID == "" }) {
		status, err := o.client.Status(ctx)
		if err != nil {
			return err
		}
		for i, r := range roles {
			if r.ExternalID == "" {
				roles[i].ExternalID = status.Cluster + "/" + r.Group
			}
		}
	}
	for _, r := range roles {
		s.Roles = slices.DeleteFunc(s.Roles, func(have client.ShareRole) bool { return have.Group == r.Group && have.Role == r.Role })
		s.Roles = append(s.Roles, r)
	}
	return nil
}
