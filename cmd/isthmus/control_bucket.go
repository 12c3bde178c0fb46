package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/iam/creds"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
)

// metaRole is how a control node reaches the cluster's own objects (CLUSTER/meta/); it asks for no others. Without a role it
// uses the credentials of its platform.
type metaRole struct {
	ARN        string
	ExternalID string

	own aws.CredentialsProvider // the node's own; nil: the SDK's chain
}

func (m *metaRole) addFlags(f *pflag.FlagSet) {
	f.StringVar(&m.ARN, "meta-role-arn", "", "IAM role by which this node reaches CLUSTER/meta/ in the bucket; default: the node's own credentials")
	f.StringVar(&m.ExternalID, "meta-external-id", "", "external id that the role asks for")
}

func (m *metaRole) check() error {
	if m.ExternalID != "" && m.ARN == "" {
		return errors.New("--meta-external-id without --meta-role-arn: there is no role to give it to")
	}
	if m.ARN != "" && !strings.HasPrefix(m.ARN, "arn:") {
		return fmt.Errorf("--meta-role-arn %q: write arn:aws:iam::ACCOUNT:role/NAME", m.ARN)
	}
	return nil
}

// bucketAccess gets the credentials for the bucket of the control plane, and lets them be renewed until the node stops.
func (c *controlConfig) bucketAccess(ctx context.Context, n *controlNode, registry prometheus.Registerer, log *slog.Logger) (open.Access, error) {
	spec, err := open.Parse(c.BucketURL)
	if err != nil || spec.Scheme != "s3" {
		return open.Access{}, err
	}
	o := creds.Default()
	o.Mode, o.STSEndpoint, o.Near, o.Group, o.Agent, o.Share, o.Role = creds.Ambient, c.Admission.STSEndpoint, spec.S3.Region, "control", c.Raft.NodeID, "", "control"
	if c.Meta.ARN != "" {
		o.Mode, o.RoleARN, o.ExternalID = creds.Assume, c.Meta.ARN, c.Meta.ExternalID
	}
	o.Log, o.Source = log, c.Meta.own
	if o.Metrics, err = creds.NewMetrics(registry); err != nil {
		return open.Access{}, err
	}
	provider, err := creds.New(ctx, o)
	if err != nil {
		return open.Access{}, err
	}
	life, cancel := context.WithCancel(context.Background())
	n.renew = cancel
	go provider.Run(life)
	return open.Access{Credentials: provider}, nil
}
