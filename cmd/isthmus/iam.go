package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/policy/eval"
	"github.com/isthmusdata/isthmus/iam/policy/hcl"
)

func newIAM() *cobra.Command {
	return parent("iam", "Print the documents of IAM that a cluster needs, and ask what they allow",
		"  isthmus iam policy --role produce --bucket b --cluster c --share s --group g --region eu-west-1\n  isthmus iam trust --principal arn:aws:iam::222222222222:role/isthmus-agent-g --group g --cluster c",
		newIAMPolicy("policy", "Print what a role may do with one share of a bucket", policy.Permission),
		newIAMPolicy("session-policy", "Print what a session of a role may be narrowed to", policy.Session),
		newIAMTrust(), newIAMBucketPolicy(), newIAMKeyPolicy(), newIAMSourcePolicy(), newIAMEndpointPolicy(), newIAMSimulate(), newIAMWhoami(), newIAMRevoke())
}

// printsDocument makes a command that prints one document.
func printsDocument(cmd *cobra.Command, write func() (policy.Document, error)) *cobra.Command {
	format := cmd.Flags().String("format", "json", `how to print: json, or hcl, which is data "aws_iam_policy_document" for Terraform`)
	compact := cmd.Flags().Bool("compact", false, "print JSON without white space, as small as IAM counts it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := write()
		var faults policy.Faults
		if errors.As(err, &faults) {
			var wrong []error
			for _, f := range faults {
				wrong = append(wrong, fmt.Errorf("--%s %s", f.Field, f.Reason))
			}
			return usageError{fmt.Errorf("%w (try: %s --help)", errors.Join(wrong...), cmd.CommandPath())}
		}
		if err != nil {
			return err
		}
		text := d.Indent() + "\n"
		switch {
		case *format == "hcl" && !*compact:
			text = hcl.Document(strings.ReplaceAll(cmd.Name(), "-", "_"), d)
		case *format == "json" && *compact:
			text = d.JSON() + "\n"
		case *format != "json":
			return usageError{fmt.Errorf("--format %q: write json, or hcl without --compact", *format)}
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}

// layoutFlags says where a cluster lies.
func layoutFlags(f *pflag.FlagSet, l *policy.Layout) {
	f.StringVar(&l.Bucket, "bucket", "", "name of the bucket")
	f.StringVar(&l.Prefix, "prefix", "", "what stands before the cluster in every key")
	f.StringVar(&l.Cluster, "cluster", "", "cluster")
	f.StringVar(&l.Region, "region", "", "region of the bucket; the partition follows from it")
	f.StringVar(&l.Partition, "partition", "", "aws, aws-cn or aws-us-gov (default: that of --region)")
}

func newIAMPolicy(use, short string, write func(iam.Role, policy.Layout) (policy.Document, error)) *cobra.Command {
	var l policy.Layout
	var role string
	cmd := &cobra.Command{
		Use: use, Short: short,
		Long: short + `, as JSON on standard output. The roles are produce (PutObject of new objects under its group's
prefix), fetch (GetObject of one share), jobs (those, List and Delete in one share) and control (the control plane's own objects).
docs/iam-truth-table.md says what each can do.`,
		Example: "  isthmus iam " + use + " --role produce --bucket b --cluster c --share s --group g --region eu-west-1\n  isthmus iam " + use + " --role fetch --bucket b --cluster c --share s --format hcl",
	}
	f := cmd.Flags()
	layoutFlags(f, &l)
	f.StringVar(&role, "role", "", "produce, fetch, jobs or control")
	f.StringVar(&l.Share, "share", "", "share")
	f.StringVar(&l.Group, "group", "", "group of agents, of the role produce")
	f.StringVar(&l.KMSKey, "kms-key", "", "ARN of the key that objects are encrypted with")
	f.BoolVar(&l.Multipart, "multipart", false, "allow uploads in parts, which isthmus's agents do not need")
	f.BoolVar(&l.WithoutConditionalWrites, "without-conditional-writes", false, "let objects be overwritten: for servers that do not know s3:if-none-match, never for AWS")
	return printsDocument(cmd, func() (policy.Document, error) { return write(iam.Role(role), l) })
}

func newIAMTrust() *cobra.Command {
	var s policy.TrustSpec
	var cluster string
	cmd := &cobra.Command{
		Use: "trust", Short: "Print who may assume a role of the bucket's account",
		Example: "  isthmus iam trust --principal arn:aws:iam::222222222222:role/isthmus-agent-g --group g --cluster c\n  isthmus iam trust --trust-mode arn --principal arn:aws:iam::222222222222:role/isthmus-agent-g --group g --external-id c/g",
	}
	f := cmd.Flags()
	f.StringVar((*string)(&s.Mode), "trust-mode", string(policy.ByCondition), "condition (a role that is made again is trusted again) or arn (it is not, and must be there already)")
	f.StringSliceVar(&s.Principals, "principal", nil, "ARN of the agents' role in their own account; may be repeated")
	f.StringVar(&s.Group, "group", "", "group of agents, with which names of sessions begin")
	f.StringVar(&cluster, "cluster", "", "cluster, for the external id CLUSTER/GROUP")
	f.StringVar(&s.ExternalID, "external-id", "", "external id (default CLUSTER/GROUP)")
	f.StringVar(&s.OrgID, "org-id", "", "organization that they must be of")
	f.StringSliceVar(&s.SourceVPCEs, "source-vpce", nil, "VPC endpoint of STS that they must come through; may be repeated")
	f.StringSliceVar(&s.NetworkAccounts, "network-account", nil, "account whose VPC endpoints they must come through; may be repeated")
	f.BoolVar(&s.AllowSessionTags, "allow-session-tags", false, "allow tags of sessions, which EKS Pod Identity passes on")
	f.BoolVar(&s.WithoutExternalID, "without-external-id", false, "ask for no external id: for servers that do not know sts:ExternalId, never for AWS")
	return printsDocument(cmd, func() (policy.Document, error) {
		if s.ExternalID == "" && cluster != "" && !s.WithoutExternalID {
			s.ExternalID = cluster + "/" + s.Group
		}
		return policy.Trust(s)
	})
}

func newIAMBucketPolicy() *cobra.Command {
	var s policy.BucketSpec
	cmd := &cobra.Command{
		Use: "bucket-policy", Short: "Print the guard rails of a bucket, which deny and grant nothing",
		Example: "  isthmus iam bucket-policy --bucket b --cluster c\n  isthmus iam bucket-policy --bucket b --cluster c --network-account 222222222222 --break-glass arn:aws:iam::111111111111:role/break-glass",
	}
	f := cmd.Flags()
	layoutFlags(f, &s.Layout)
	f.StringVar(&s.KMSKey, "kms-key", "", "ARN of the only key that may be named")
	f.StringSliceVar(&s.NetworkAccounts, "network-account", nil, "account whose VPC endpoints requests must come through; may be repeated. Not with readers that come over NAT")
	f.StringSliceVar(&s.Roles, "data-role", nil, "ARN of a role that may touch data; may be repeated. All others are denied")
	f.StringSliceVar(&s.BreakGlass, "break-glass", nil, "ARN of a role that --network-account and --data-role do not hold for; may be repeated")
	f.BoolVar(&s.WithoutConditionalWrites, "without-conditional-writes", false, "let objects be overwritten: for servers that do not know s3:if-none-match, never for AWS")
	return printsDocument(cmd, func() (policy.Document, error) { return policy.Bucket(s) })
}

func newIAMKeyPolicy() *cobra.Command {
	var s policy.KeySpec
	cmd := &cobra.Command{
		Use: "kms-policy", Short: "Print who may use a bucket's key",
		Example: "  isthmus iam kms-policy --bucket b --cluster c --region eu-west-1 --account 111111111111 --encrypt-role arn:aws:iam::111111111111:role/isthmus-c-s-g-produce",
	}
	f := cmd.Flags()
	layoutFlags(f, &s.Layout)
	f.StringVar(&s.Account, "account", "", "account that the key and the bucket are in, 12 digits")
	f.StringSliceVar(&s.Encrypt, "encrypt-role", nil, "ARN of a role that stores; may be repeated")
	f.StringSliceVar(&s.Decrypt, "decrypt-role", nil, "ARN of a role that reads; may be repeated")
	return printsDocument(cmd, func() (policy.Document, error) { return policy.Key(s) })
}

func newIAMSourcePolicy() *cobra.Command {
	var s policy.SourceSpec
	cmd := &cobra.Command{
		Use: "source-policy", Short: "Print what agents' role in their own account may do",
		Example: "  isthmus iam source-policy --assume-role arn:aws:iam::111111111111:role/isthmus-c-s-g-produce\n  isthmus iam source-policy --assume-role arn:aws:iam::111111111111:role/isthmus-c-s-g-produce --cluster c",
	}
	cmd.Flags().StringSliceVar(&s.Roles, "assume-role", nil, "ARN of a role of the bucket's account; may be repeated")
	cmd.Flags().StringVar(&s.Cluster, "cluster", "", "cluster to whose control plane they log in by aws-oidc")
	return printsDocument(cmd, func() (policy.Document, error) { return policy.Source(s) })
}

func newIAMEndpointPolicy() *cobra.Command {
	var s policy.EndpointSpec
	cmd := &cobra.Command{
		Use: "endpoint-policy", Short: "Print what a VPC's endpoint for S3 lets through",
		Example: "  isthmus iam endpoint-policy --bucket b --account 111111111111 --region eu-west-1 --ecr",
	}
	f := cmd.Flags()
	f.StringSliceVar(&s.Buckets, "bucket", nil, "name of a bucket; may be repeated")
	f.StringVar(&s.Account, "account", "", "account that owns the buckets and the roles that agents assume, 12 digits")
	f.StringVar(&s.Region, "region", "", "region of the endpoint")
	f.StringVar(&s.Partition, "partition", "", "aws, aws-cn or aws-us-gov (default: that of --region)")
	f.BoolVar(&s.ECR, "ecr", false, "let images of containers through, whose layers lie in S3")
	return printsDocument(cmd, func() (policy.Document, error) { return policy.Endpoint(s) })
}

// simulation is what isthmus iam simulate prints.
type simulation struct {
	Decision string `json:"decision"` // allow, implicit deny or explicit deny
	By       string `json:"by"`
	Sid      string `json:"sid,omitempty"`
}

func newIAMSimulate() *cobra.Command {
	var identity, resource, sets []string
	var session, trust, principal, expect string
	var r eval.Request
	cmd := &cobra.Command{
		Use: "simulate", Short: "Say what documents in files allow, without asking AWS",
		Long: `simulate evaluates documents in files for one request, as IAM does: a denial anywhere wins, and what nothing allows is
denied. Condition keys that --context does not name are absent. --expect makes another answer an error.`,
		Example: "  isthmus iam simulate --policy produce.json --action s3:PutObject --resource arn:aws:s3:::b/c/data/s/g/x --context s3:if-none-match='*'\n  isthmus iam simulate --trust trust.json --action sts:AssumeRole --context sts:ExternalId=c/g --context aws:PrincipalAccount=222222222222 --expect allow",
	}
	f := cmd.Flags()
	f.StringArrayVar(&identity, "policy", nil, "file with a policy of who asks; may be repeated")
	f.StringVar(&session, "session-policy", "", "file with the policy that the session is narrowed to")
	f.StringArrayVar(&resource, "resource-policy", nil, "file with the policy of a bucket, a key or an endpoint; may be repeated")
	f.StringVar(&trust, "trust", "", "file with the trust policy of a role; no other documents are asked then")
	f.StringVar(&principal, "principal", "", "ARN of who asks")
	f.StringVar(&r.Action, "action", "", "such as s3:GetObject")
	f.StringVar(&r.Resource, "resource", "", "ARN of what is asked for")
	f.StringArrayVar(&sets, "context", nil, "condition key KEY=VALUE; may be repeated")
	f.StringVar(&expect, "expect", "", "allow or deny: another answer is an error")
	out := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !strings.Contains(r.Action, ":") {
			return usageError{fmt.Errorf("--action %q: write one like s3:GetObject", r.Action)}
		}
		if expect != "" && expect != "allow" && expect != "deny" {
			return usageError{fmt.Errorf("--expect %q: write allow or deny", expect)}
		}
		r.Context = map[string][]string{}
		for _, text := range sets {
			key, value, found := strings.Cut(text, "=")
			if !found || !strings.Contains(key, ":") {
				return usageError{fmt.Errorf("--context %q: write KEY=VALUE, such as s3:if-none-match='*'", text)}
			}
			r.Context[key] = append(r.Context[key], value)
		}
		d, err := simulate(identity, resource, session, trust, principal, r)
		if err != nil {
			return err
		}
		o := &operator{out: cmd.OutOrStdout(), json: out.json()}
		if err := o.print(simulation{d.Effect.String(), d.By, d.Sid}, "", [][]any{{d.String()}}); err != nil {
			return err
		}
		if expect != "" && d.Allowed() != (expect == "allow") {
			return fmt.Errorf("%s on %s is answered with %v, and --expect is %s", r.Action, r.Resource, d, expect)
		}
		return nil
	}
	return cmd
}

func simulate(identity, resource []string, session, trust, principal string, r eval.Request) (d eval.Decision, err error) {
	if trust != "" {
		if len(identity)+len(resource) > 0 || session != "" {
			return d, usageError{errors.New("--trust says alone who may assume a role: leave out the other documents")}
		}
		doc, err := readDocument(trust)
		if err != nil {
			return d, err
		}
		return eval.Trusts(doc, r), nil
	}
	if len(identity)+len(resource) == 0 {
		return d, usageError{errors.New("give --policy or --resource-policy, a file such as isthmus iam policy prints, or --trust")}
	}
	set := eval.Set{Principal: principal}
	if set.Identity, err = readDocuments(identity); err != nil {
		return d, err
	}
	if set.Resource, err = readDocuments(resource); err != nil {
		return d, err
	}
	if session != "" {
		doc, err := readDocument(session)
		if err != nil {
			return d, err
		}
		set.Session = &doc
	}
	return eval.Evaluate(set, r), nil
}

func readDocuments(paths []string) (docs []policy.Document, err error) {
	for _, path := range paths {
		d, err := readDocument(path)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}

func readDocument(path string) (policy.Document, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return policy.Document{}, err
	}
	d, err := policy.Parse(b)
	if err != nil {
		return d, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// whoami is who AWS says that this machine's credentials are.
type whoami struct {
	ARN     string `json:"arn"`
	Account string `json:"account"`
	UserID  string `json:"user_id"`
}

const awsTimeout = 30 * time.Second

func newIAMWhoami() *cobra.Command {
	var region, endpoint string
	cmd := &cobra.Command{
		Use: "whoami", Short: "Say who AWS takes this machine's credentials for",
		Example: "  isthmus iam whoami --region eu-west-1",
	}
	cmd.Flags().StringVar(&region, "region", "", "region whose STS is asked (default: that of the environment)")
	cmd.Flags().StringVar(&endpoint, "sts-endpoint", "", "URL of STS, where it is not AWS's")
	out := addOutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), awsTimeout)
		defer cancel()
		c, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
		if err != nil {
			return fmt.Errorf("read the AWS configuration: %w", err)
		}
		if c.Region == "" {
			return usageError{errors.New("--region is missing: name one such as eu-west-1, or set AWS_REGION")}
		}
		answer, err := sts.NewFromConfig(c, func(o *sts.Options) {
			if endpoint != "" {
				o.BaseEndpoint = &endpoint
			}
		}).GetCallerIdentity(ctx, nil)
		if err != nil {
			return fmt.Errorf("ask STS who this is: %w (try: set AWS_PROFILE, or run it where the agent runs)", err)
		}
		w := whoami{aws.ToString(answer.Arn), aws.ToString(answer.Account), aws.ToString(answer.UserId)}
		return (&operator{out: cmd.OutOrStdout(), json: out.json()}).print(w, "", [][]any{{"arn", w.ARN}, {"account", w.Account}, {"user id", w.UserID}})
	}
	return cmd
}

// indented is JSON for people.
func indented(v any) (string, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return string(b), err
}
