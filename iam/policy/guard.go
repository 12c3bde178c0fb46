package policy

// BucketSpec is how a bucket guards itself, beside what its account's roles may do. It grants nothing.
type BucketSpec struct {
	Layout                   // Partition, Bucket, Prefix, Cluster; KMSKey and Region if another key is to be refused
	NetworkAccounts []string // whose VPC endpoints requests must come through; none: any way. Not with readers over NAT
	Roles           []string // ARNs that alone may touch data; none: whoever is allowed by its own policies
	BreakGlass      []string // ARNs of roles that NetworkAccounts and Roles do not hold for
}

// Bucket denies what nobody should do, whatever their own policies say: unencrypted requests, overwriting data, keys that
// the client keeps, and, if asked to, other keys, other networks and other roles.
func Bucket(s BucketSpec) (Document, error) {
	s.Layout = s.whole()
	var c checks
	c.bucket(s.Layout)
	for _, id := range s.NetworkAccounts {
		c.name(accountID, "network-account", id, "222222222222")
	}
	for _, arn := range s.Roles {
		c.name(roleARN, "data-role", arn, "arn:aws:iam::111111111111:role/isthmus-main-orders-prod-produce")
	}
	for _, arn := range s.BreakGlass {
		c.name(roleARN, "break-glass", arn, "arn:aws:iam::111111111111:role/break-glass")
	}
	c.that(len(s.Roles) == 0 || len(s.BreakGlass) > 0, "break-glass", "is missing: without such a role nobody could mend a bucket that only listed roles may touch")
	if err := c.err(); err != nil {
		return Document{}, err
	}
	bucket, all, data := s.BucketARN(), s.BucketARN()+"/*", s.ObjectARN("data/*")
	deny := func(sid string, resource Strings, condition Conditions, actions ...string) Statement {
		return Statement{Sid: sid, Effect: "Deny", Principal: &Principal{Everybody: true}, Action: actions, Resource: resource, Condition: condition}
	}
	d := document(
		deny("DenyInsecureTransport", Strings{bucket, all}, Conditions{"Bool": {"aws:SecureTransport": {"false"}}}, "s3:*"),
		deny("DenyOldTLS", Strings{bucket, all}, Conditions{"NumericLessThan": {"s3:TlsVersion": {"1.2"}}}, "s3:*"),
	)
	if !s.WithoutConditionalWrites {
		d.Statement = append(d.Statement, deny("DenyUnconditionalPut", Strings{data}, Conditions{
			"Null": {"s3:if-none-match": {"true"}}, "Bool": {"s3:ObjectCreationOperation": {"true"}},
		}, "s3:PutObject"))
	}
	d.Statement = append(d.Statement, deny("DenyCustomerKeys", Strings{s.ObjectARN("*")}, Conditions{"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": {"false"}}}, "s3:PutObject"))
	if s.KMSKey != "" {
		const key = "s3:x-amz-server-side-encryption-aws-kms-key-id"
		d.Statement = append(d.Statement, deny("DenyOtherKeys", Strings{s.ObjectARN("*")}, Conditions{
			"Null": {key: {"false"}}, "StringNotEquals": {key: {s.KMSKey}}, // a request that names no key gets the bucket's
		}, "s3:PutObject"))
	}
	if len(s.NetworkAccounts) > 0 {
		outside := Conditions{
			"StringNotEqualsIfExists": {"aws:VpceAccount": sorted(s.NetworkAccounts)},
			"BoolIfExists":            {"aws:PrincipalIsAWSService": {"false"}, "aws:ViaAWSService": {"false"}},
		}
		if len(s.BreakGlass) > 0 {
			outside["ArnNotEquals"] = map[string]Strings{"aws:PrincipalArn": sorted(s.BreakGlass)}
		}
		d.Statement = append(d.Statement, deny("DenyOutsideNetwork", Strings{s.ObjectARN("*")}, outside, "s3:GetObject", "s3:PutObject", "s3:DeleteObject"))
	}
	if len(s.Roles) > 0 {
		others := Conditions{"ArnNotEquals": {"aws:PrincipalArn": sorted(append(append([]string{}, s.Roles...), s.BreakGlass...))}}
		d.Statement = append(d.Statement, deny("DataPlaneOnly", Strings{data}, others, "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"))
	}
	return fits(d, "bucket policy", LimitBucket)
}

// KeySpec is who may use a key for a bucket.
type KeySpec struct {
	Layout           // Partition, Bucket, Cluster, Region, Account
	Encrypt []string // ARNs of roles that store
	Decrypt []string // ARNs of roles that read
}

// keyAdmin is what the key's own account may do: keep it, and not use it.
var keyAdmin = Strings{
	"kms:CancelKeyDeletion", "kms:DescribeKey", "kms:DisableKey", "kms:EnableKey", "kms:EnableKeyRotation", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus",
	"kms:ListGrants", "kms:ListKeyPolicies", "kms:ListResourceTags", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource",
	"kms:UpdateKeyDescription",
}

// Key lets a bucket's roles use its key, through S3 and for this bucket alone, and its account keep it. Each role's own
// permission must allow it, too.
func Key(s KeySpec) (Document, error) {
	s.KMSKey = ""
	s.Layout = s.whole()
	var c checks
	c.bucket(s.Layout)
	c.name(regionName, "region", s.Region, "eu-west-1")
	c.name(accountID, "account", s.Account, "111111111111")
	c.that(len(s.Encrypt)+len(s.Decrypt) > 0, "encrypt-role", "and --decrypt-role are missing: name the roles that use the key")
	for _, arn := range s.Encrypt {
		c.name(roleARN, "encrypt-role", arn, "arn:aws:iam::111111111111:role/isthmus-main-orders-prod-produce")
	}
	for _, arn := range s.Decrypt {
		c.name(roleARN, "decrypt-role", arn, "arn:aws:iam::111111111111:role/isthmus-main-orders-analytics-fetch")
	}
	if err := c.err(); err != nil {
		return Document{}, err
	}
	root := &Principal{AWS: Strings{"arn:" + s.Partition + ":iam::" + s.Account + ":root"}}
	d := document(Statement{Sid: "KeepKey", Effect: "Allow", Principal: root, Action: keyAdmin, Resource: Strings{"*"}}) // this key
	use := func(sid, action string, roles []string) {
		if len(roles) == 0 {
			return
		}
		d.Statement = append(d.Statement, Statement{Sid: sid, Effect: "Allow", Principal: root, Action: Strings{action}, Resource: Strings{"*"}, Condition: Conditions{
			"ArnEquals":    {"aws:PrincipalArn": sorted(roles)},
			"StringEquals": {"kms:ViaService": {s.viaS3()}, "kms:EncryptionContext:aws:s3:arn": {s.BucketARN()}},
		}})
	}
	use("EncryptThroughS3", "kms:GenerateDataKey", s.Encrypt)
	use("DecryptThroughS3", "kms:Decrypt", s.Decrypt)
	return fits(d, "key policy", LimitKey)
}

// EndpointSpec is what a VPC's endpoint for S3 lets through.
type EndpointSpec struct {
	Partition string
	Region    string
	Buckets   []string
	Account   string // that owns the buckets, and the roles that agents reach them by
	ECR       bool   // images of containers are fetched from the region's registry, whose layers lie in S3
}

// Endpoint lets the roles of one account reach its buckets, and nobody any other bucket.
func Endpoint(s EndpointSpec) (Document, error) {
	l := Layout{Partition: s.Partition, Region: s.Region}.whole()
	var c checks
	c.name(accountID, "account", s.Account, "111111111111")
	c.that(len(s.Buckets) > 0, "bucket", "is missing: name one like acme-stream")
	for _, b := range s.Buckets {
		c.name(bucketName, "bucket", b, "acme-stream")
	}
	if s.ECR {
		c.name(regionName, "region", s.Region, "eu-west-1")
	}
	if err := c.err(); err != nil {
		return Document{}, err
	}
	var buckets, objects Strings
	for _, b := range sorted(s.Buckets) {
		buckets = append(buckets, "arn:"+l.Partition+":s3:::"+b)
		objects = append(objects, "arn:"+l.Partition+":s3:::"+b+"/*")
	}
	everybody := &Principal{Everybody: true}
	ours := Conditions{"StringEquals": {"aws:PrincipalAccount": {s.Account}}}
	d := document(
		Statement{Sid: "SharedObjects", Effect: "Allow", Principal: everybody, Action: Strings{"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}, Resource: objects, Condition: ours},
		Statement{Sid: "SharedBuckets", Effect: "Allow", Principal: everybody, Action: Strings{"s3:ListBucket", "s3:ListBucketMultipartUploads"}, Resource: buckets, Condition: ours},
	)
	if s.ECR {
		d.Statement = append(d.Statement, Statement{
			Sid: "ContainerImages", Effect: "Allow", Principal: everybody, Action: Strings{"s3:GetObject"},
			Resource: Strings{"arn:" + l.Partition + ":s3:::prod-" + s.Region + "-starport-layer-bucket/*"},
		})
	}
	return fits(d, "endpoint policy", LimitEndpoint)
}
