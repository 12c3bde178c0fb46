package identity

import (
	"fmt"
	"strings"
)

const nameCharsIAM = letters + digits + "_+=,.@-" // of roles, users and sessions

// arn is arn:PARTITION:SERVICE::ACCOUNT:KIND/NAME.
type arn struct {
	partition, service, account string
	kind, name                  string // name: all behind the first slash, and may be empty
}

// parseARN knows the ARNs of IAM and STS, which have no region.
func parseARN(s string) (arn, error) {
	parts := strings.Split(s, ":")
	if len(s) > 2048 || len(parts) != 6 || parts[0] != "arn" || parts[3] != "" {
		return arn{}, fmt.Errorf("%.140q is not arn:PARTITION:SERVICE::ACCOUNT:KIND/NAME", s)
	}
	a := arn{partition: parts[1], service: parts[2], account: parts[4]}
	var slash bool
	a.kind, a.name, slash = strings.Cut(parts[5], "/")
	switch {
	case !slash:
		return arn{}, fmt.Errorf("%.140q is not arn:PARTITION:SERVICE::ACCOUNT:KIND/NAME", s)
	case partitionSuffix[a.partition] == "":
		return arn{}, fmt.Errorf("the partition of %.140q is none of aws, aws-cn, aws-us-gov", s)
	case !only(a.account, 12, 12, digits):
		return arn{}, fmt.Errorf("the account of %.140q is not 12 digits", s)
	}
	return a, nil
}

// partitionSuffix are the partitions of AWS, and how names of hosts end in them.
var partitionSuffix = map[string]string{
	"aws":        ".amazonaws.com",
	"aws-cn":     ".amazonaws.com.cn",
	"aws-us-gov": ".amazonaws.com",
}

// partitionOf is the partition of a region by its name.
func partitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}
