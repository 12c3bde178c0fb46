package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/isthmusdata/isthmus/iam"
)

// Sizes that AWS takes, in bytes without white space.
const (
	LimitPermission = 10240 // all inline policies of a role together
	LimitTrust      = 2048
	LimitSession    = 2048
	LimitBucket     = 20480
	LimitKey        = 32768
	LimitEndpoint   = 20480
)

// Layout is where the objects of one share lie, and whose they are.
type Layout struct {
	Partition string // aws, aws-cn or aws-us-gov; empty: aws
	Bucket    string
	Prefix    string // before the cluster in every key; empty: none
	Cluster   string
	Share     string // not needed by the role control
	Group     string // needed by the role produce
	Region    string // of the bucket; needed with a key
	KMSKey    string // ARN; empty: objects are encrypted without KMS
	Account   string // that owns the bucket; not needed by Permission
	Multipart bool   // objects are stored in parts, too

	// WithoutConditionalWrites lets objects be overwritten. It is for servers alone that do not know s3:if-none-match.
	WithoutConditionalWrites bool
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	layoutName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	prefixName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$`)
	regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z0-9]+)+$`)
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
	keyARN     = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov):kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$`)
	roleARN    = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov):iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}$`)
)

// Partitions are those that documents are written for.
func Partitions() []string { return []string{"aws", "aws-cn", "aws-us-gov"} }

// PartitionOf is the partition that a region is of.
func PartitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// Faults names every field that is wrong, each by its name in lower case, for a command line to point at.
type Faults []Fault

// Fault is a field that is wrong.
type Fault struct{ Field, Reason string }

func (f Faults) Error() string {
	texts := make([]string, len(f))
	for i, x := range f {
		texts[i] = x.Field + " " + x.Reason
	}
	return strings.Join(texts, "; ")
}

// checks gathers faults.
type checks struct{ faults Faults }

func (c *checks) that(ok bool, field, format string, a ...any) {
	if !ok {
		c.faults = append(c.faults, Fault{field, fmt.Sprintf(format, a...)})
	}
}

func (c *checks) name(pattern *regexp.Regexp, field, value, like string) {
	c.that(pattern.MatchString(value) && !strings.Contains(value, "..") && !strings.Contains(value, "//"), field, "%q: write one like %s", value, like)
}

func (c *checks) err() error {
	if len(c.faults) == 0 {
		return nil
	}
	return c.faults
}

// bucket checks where a cluster lies.
func (c *checks) bucket(l Layout) {
	c.that(slices.Contains(Partitions(), l.Partition), "partition", "%q: write %s", l.Partition, strings.Join(Partitions(), ", "))
	c.name(bucketName, "bucket", l.Bucket, "acme-stream")
	c.name(layoutName, "cluster", l.Cluster, "main")
	if l.Prefix != "" {
		c.name(prefixName, "prefix", l.Prefix, "streams/eu")
	}
	if l.KMSKey != "" {
		c.name(keyARN, "kms-key", l.KMSKey, "arn:aws:kms:eu-west-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab")
		c.name(regionName, "region", l.Region, "eu-west-1")
	}
	if l.Region != "" && regionName.MatchString(l.Region) {
		c.that(PartitionOf(l.Region) == l.Partition, "partition", "%q: region %s is in %s", l.Partition, l.Region, PartitionOf(l.Region))
	}
	if keyARN.MatchString(l.KMSKey) {
		c.that(strings.HasPrefix(l.KMSKey, "arn:"+l.Partition+":"), "kms-key", "%q: it is not in partition %s", l.KMSKey, l.Partition)
	}
}

// whole puts in what is left out.
func (l Layout) whole() Layout {
	if l.Partition == "" {
		l.Partition = PartitionOf(l.Region)
	}
	l.Prefix = strings.Trim(l.Prefix, "/")
	return l
}

// check says what a role needs of a layout and lacks.
func (l Layout) check(role iam.Role) error {
	var c checks
	c.bucket(l)
	c.that(slices.Contains(iam.Roles(), role), "role", "%q: write produce, fetch, jobs or control", role)
	if role != iam.Control {
		c.name(layoutName, "share", l.Share, "orders")
	}
	if role == iam.Produce {
		c.name(layoutName, "group", l.Group, "prod")
	}
	return c.err()
}

// Key is the key of an object of the cluster.
func (l Layout) Key(below string) string {
	if l.Prefix != "" {
		return strings.Trim(l.Prefix, "/") + "/" + l.Cluster + "/" + below
	}
	return l.Cluster + "/" + below
}

// BucketARN is the ARN of the bucket.
func (l Layout) BucketARN() string { return "arn:" + l.whole().Partition + ":s3:::" + l.Bucket }

// ObjectARN is the ARN of an object of the cluster.
func (l Layout) ObjectARN(below string) string { return l.BucketARN() + "/" + l.Key(below) }

// Where things are below a cluster, and beside all clusters.
const (
	Canary  = "_isthmus/canary" // every fetch role may read it; its body names the cluster
	Probes  = "_preflight/"
	Outside = "_outside/canary" // at the bucket's root: what no role may read
)

// CanaryBody is what stands in a cluster's canary.
func CanaryBody(cluster string) string { return "isthmus canary of cluster " + cluster + "\n" }

func document(statements ...Statement) Document {
	return Document{Version: Version, Statement: statements}
}

// fits refuses what AWS would.
func fits(d Document, what string, limit int) (Document, error) {
	if n := len(d.JSON()); n > limit {
		return Document{}, fmt.Errorf("%s of %d bytes: AWS takes %d", what, n, limit)
	}
	if err := d.Validate(); err != nil {
		return Document{}, errors.Join(fmt.Errorf("%s", what), err)
	}
	return d, nil
}
