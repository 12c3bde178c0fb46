package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/creds"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
)

// credentialsConfig is where the credentials for buckets come from.
type credentialsConfig struct {
	Mode        string // a creds.Mode; empty: assume where the share names a role, else ambient
	STSEndpoint string
	Duration    time.Duration
	Narrow      bool // each session gets a policy of its own

	own aws.CredentialsProvider // of the agent's own account; nil: the SDK's chain
}

func defaultCredentials() credentialsConfig {
	return credentialsConfig{Duration: creds.Default().Duration}
}

func (c *credentialsConfig) addFlags(f *pflag.FlagSet) {
	f.StringVar(&c.Mode, "credentials", c.Mode, "how buckets are reached: assume a share's role, by web-identity (the token that the platform gives), or ambient: with the agent's own credentials; default: assume where a share names a role, else ambient")
	f.StringVar(&c.STSEndpoint, "sts-endpoint", c.STSEndpoint, "URL of STS; default: that of the region")
	f.DurationVar(&c.Duration, "session-duration", c.Duration, "life of a session of a share's role, 15m to 1h; up to 12h by web-identity")
	f.BoolVar(&c.Narrow, "narrow-sessions", c.Narrow, "narrow each session to its share and role by a policy of its own, should the IAM role allow more")
}

func (c *credentialsConfig) check() error {
	var faults []error
	if c.Mode != "" && !slices.Contains(creds.Modes(), creds.Mode(c.Mode)) {
		faults = append(faults, fmt.Errorf("--credentials %q: write assume, web-identity or ambient", c.Mode))
	}
	if c.Duration < 15*time.Minute || c.Duration > 12*time.Hour {
		faults = append(faults, fmt.Errorf("--session-duration %v: AWS gives 15m to 12h, and 1h to an agent that has a role itself", c.Duration))
	}
	if c.STSEndpoint != "" && !strings.HasPrefix(c.STSEndpoint, "https://") && !strings.HasPrefix(c.STSEndpoint, "http://") {
		faults = append(faults, fmt.Errorf("--sts-endpoint %q: write https://HOST", c.STSEndpoint))
	}
	return errors.Join(faults...)
}

// options are those of the credentials for a share by a role of it. A role without an ARN is reached with the agent's own.
func (c *credentialsConfig) options(cluster string, share client.Share, role client.ShareRole, agent string) (creds.Options, error) {
	o := creds.Default()
	o.Mode, o.Duration, o.STSEndpoint, o.Near = creds.Mode(c.Mode), c.Duration, c.STSEndpoint, share.Region
	o.Group, o.Agent, o.Share, o.Role, o.Source = role.Group, agent, share.Name, role.Role, c.own
	if o.Mode == "" {
		o.Mode = creds.Assume
		if role.ARN == "" {
			o.Mode = creds.Ambient
		}
	}
	switch {
	case o.Mode == creds.Ambient:
		return o, nil
	case role.ARN == "":
		return o, fmt.Errorf("share %s names no role of group %s to %s, and --credentials is %s (name it: isthmus share alter %s --role %s/%s=ARN)",
			share.Name, role.Group, role.Role, o.Mode, share.Name, role.Group, role.Role)
	}
	o.RoleARN, o.ExternalID = role.ARN, role.ExternalID
	if o.Mode == creds.WebIdentity {
		o.TokenFile = os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	}
	if !c.Narrow {
		return o, nil
	}
	doc, err := sessionPolicy(cluster, share, role)
	if err != nil {
		return o, fmt.Errorf("narrow the sessions of %s: %w", role.ARN, err)
	}
	o.Policy = doc.JSON()
	return o, nil
}

// sessionPolicy is what an agent needs of a share in one role, and nothing else.
func sessionPolicy(cluster string, share client.Share, role client.ShareRole) (policy.Document, error) {
	as, err := iam.ParseRole(role.Role)
	if err != nil {
		return policy.Document{}, err
	}
	spec, err := open.Parse(share.Bucket)
	if err != nil {
		return policy.Document{}, err
	}
	return policy.Session(as, layoutOf(cluster, share, role, spec))
}

// layoutOf is where a role finds the objects of a share.
func layoutOf(cluster string, share client.Share, role client.ShareRole, spec open.Spec) policy.Layout {
	region := spec.S3.Region
	if region == "" {
		region = share.Region
	}
	account := share.Account
	if account == "" {
		account = spec.S3.BucketOwner
	}
	_, rest, _ := strings.Cut(role.ARN, ":")
	partition, _, _ := strings.Cut(rest, ":")
	return policy.Layout{
		Partition: partition, Bucket: spec.S3.Bucket, Prefix: spec.Prefix, Cluster: cluster, Share: share.Name, Group: role.Group,
		Region: region, KMSKey: share.KMSKey, Account: account,
	}
}
