package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/policy/eval"
)

// operation is a request as IAM sees it.
type operation struct {
	name, action string
	object       bool // of an object; else of the bucket
	context      map[string]string
}

func operations() []operation {
	put := func(name string, creates, once bool) operation {
		o := operation{name, "s3:PutObject", true, map[string]string{"s3:ObjectCreationOperation": fmt.Sprint(creates)}}
		if once {
			o.context["s3:if-none-match"] = "*"
		}
		return o
	}
	copied := put("Copy to it, If-None-Match", true, true)
	copied.context["s3:x-amz-copy-source"] = "acme-stream/main/data/orders/prod/x"
	return []operation{
		put("Put, If-None-Match", true, true), put("Put", true, false), copied, put("CreateMultipartUpload, UploadPart", false, false),
		put("CompleteMultipartUpload, If-None-Match", true, true), put("CompleteMultipartUpload", true, false),
		{"AbortMultipartUpload", "s3:AbortMultipartUpload", true, nil}, {"Get, Head", "s3:GetObject", true, nil},
		{"Get a version", "s3:GetObjectVersion", true, nil}, {"List its prefix", "s3:ListBucket", false, nil}, {"Delete", "s3:DeleteObject", true, nil},
		{"Delete a version", "s3:DeleteObjectVersion", true, nil}, {"PutObjectAcl", "s3:PutObjectAcl", true, nil},
		{"GetBucketPolicy", "s3:GetBucketPolicy", false, nil}, {"PutBucketPolicy", "s3:PutBucketPolicy", false, nil},
	}
}

// targets are the own group's objects and the others', seen from group prod and share orders of cluster main.
var targets = []struct{ name, prefix string }{
	{"own group", "main/data/orders/prod/"}, {"other group", "main/data/orders/other/"}, {"longer name of the group", "main/data/orders/prod2/"},
	{"other share", "main/data/billing/prod/"}, {"longer name of the share", "main/data/orders2/prod/"}, {"journal", "main/meta/"}, {"canary", "main/_isthmus/canary"},
	{"probes", "main/_preflight/"}, {"other cluster", "main2/data/orders/prod/"}, {"outside", "_outside/"}, {"whole bucket", ""}, {"other bucket", "@main/data/orders/prod/"},
}

func (o operation) on(prefix string) eval.Request {
	bucket := "arn:aws:s3:::acme-stream"
	if rest, other := strings.CutPrefix(prefix, "@"); other {
		bucket, prefix = "arn:aws:s3:::acme-other", rest
	}
	r := eval.Request{Action: o.action, Resource: bucket, Context: map[string][]string{"aws:SecureTransport": {"true"}, "s3:TlsVersion": {"1.3"}}}
	if o.object {
		r.Resource += "/" + prefix
		if prefix != "main/_isthmus/canary" {
			r.Resource += "x"
		}
	}
	for key, value := range o.context {
		r.Context[key] = []string{value}
	}
	if o.action == "s3:ListBucket" {
		r.Context["s3:prefix"] = []string{prefix}
	}
	return r
}

// may is what the roles are meant to do, in words other than the policies'.
func may(role iam.Role, o operation, target string, multipart bool) bool {
	once := o.context["s3:if-none-match"] != ""
	part := o.context["s3:ObjectCreationOperation"] == "false"
	share := target == "own group" || target == "other group" || target == "longer name of the group"
	own := share
	if role == iam.Produce {
		own = target == "own group"
	}
	switch {
	case o.action == "s3:PutObject" && part, o.action == "s3:AbortMultipartUpload":
		return multipart && own && (role == iam.Produce || role == iam.Jobs)
	case o.action == "s3:PutObject":
		switch role {
		case iam.Produce, iam.Jobs:
			return once && (own || target == "probes")
		case iam.Control:
			return once && target == "journal"
		}
	case o.action == "s3:GetObject":
		switch role {
		case iam.Fetch:
			return share || target == "canary"
		case iam.Jobs:
			return share || target == "probes"
		case iam.Control:
			return target == "journal"
		}
	case o.action == "s3:ListBucket":
		return role == iam.Jobs && (share || target == "probes") || role == iam.Control && target == "journal"
	case o.action == "s3:DeleteObject":
		return role == iam.Jobs && (share || target == "probes")
	}
	return false
}

// TestTruthTable evaluates every role's policy for every operation on every target, holds the answer against may, and writes
// the page.
func TestTruthTable(t *testing.T) {
	var b strings.Builder
	b.WriteString(truthHead)
	for _, role := range iam.Roles() {
		fmt.Fprintf(&b, "\n## %s\n\n| operation |", role)
		for _, target := range targets {
			b.WriteString(" " + target.name + " |")
		}
		b.WriteString("\n| --- |" + strings.Repeat(" --- |", len(targets)) + "\n")
		for _, o := range operations() {
			b.WriteString("| " + o.name + " |")
			for _, target := range targets {
				answers := map[bool]bool{} // by multipart
				for _, multipart := range []bool{false, true} {
					answers[multipart] = decide(t, role, o, target.name, target.prefix, multipart)
				}
				cell := "no"
				switch {
				case answers[false]:
					cell = "**yes**"
				case answers[true]:
					cell = "in parts"
				}
				b.WriteString(" " + cell + " |")
			}
			b.WriteString("\n")
		}
	}
	golden(t, "../../docs/iam-truth-table.md", b.String())
}

const truthHead = `# What each role may do at the bucket

Written by ` + "`go test ./iam/policy -run TestTruthTable -update`" + `, which evaluates the documents that ` + "`isthmus iam policy`" + ` prints, and holds
each answer against what the role is for. Seen from group ` + "`prod`" + ` and share ` + "`orders`" + ` of cluster ` + "`main`" + `; "in parts" is a yes where
` + "`--multipart`" + ` was asked for, and a no otherwise. A copy needs the right to read its source, too. The bucket's policy stands behind
all of it, and allows nothing.
`

func decide(t *testing.T, role iam.Role, o operation, target, prefix string, multipart bool) bool {
	t.Helper()
	l := policy.Layout{Bucket: "acme-stream", Cluster: "main", Share: "orders", Group: "prod", Region: "eu-west-1", Multipart: multipart}
	permission, err := policy.Permission(role, l)
	if err != nil {
		t.Fatal(err)
	}
	session, err := policy.Session(role, l)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := policy.Bucket(policy.BucketSpec{Layout: l})
	if err != nil {
		t.Fatal(err)
	}
	request := o.on(prefix)
	alone := eval.Evaluate(eval.Set{Identity: []policy.Document{permission}}, request)
	if alone.Allowed() != may(role, o, target, multipart) {
		t.Errorf("%s, %s on %s, multipart %v: %v", role, o.name, target, multipart, alone)
	}
	// The bucket's policy forbids nothing that a role is meant to do, and a session's is the same as its role's.
	behind := eval.Evaluate(eval.Set{Identity: []policy.Document{permission}, Session: &session, Resource: []policy.Document{guard}}, request)
	if behind.Allowed() != alone.Allowed() {
		t.Errorf("%s, %s on %s: %v, and with session and bucket %v", role, o.name, target, alone, behind)
	}
	only := eval.Evaluate(eval.Set{Identity: []policy.Document{session}}, request)
	if only.Allowed() && !alone.Allowed() {
		t.Errorf("%s, %s on %s: the session is wider than the role", role, o.name, target)
	}
	revoked := eval.Evaluate(eval.Set{Identity: []policy.Document{permission, policy.DenyAll()}}, request)
	if !revoked.Explicit() {
		t.Errorf("%s, %s on %s after it was revoked: %v", role, o.name, target, revoked)
	}
	return alone.Allowed()
}

// TestBucketGuards: even an administrator does not do what the bucket's policy denies.
func TestBucketGuards(t *testing.T) {
	guard := documents(t)["bucket-all"]
	admin := policy.Document{Version: policy.Version, Statement: []policy.Statement{{Effect: "Allow", Action: policy.Strings{"*"}, Resource: policy.Strings{"*"}}}}
	ask := func(change func(*eval.Request)) eval.Decision {
		r := eval.Request{Action: "s3:PutObject", Resource: "arn:aws:s3:::acme-stream/main/data/orders/prod/x", Context: map[string][]string{
			"aws:SecureTransport": {"true"}, "s3:TlsVersion": {"1.3"}, "s3:if-none-match": {"*"}, "s3:ObjectCreationOperation": {"true"},
			"aws:VpceAccount": {"222222222222"}, "aws:PrincipalIsAWSService": {"false"}, "aws:ViaAWSService": {"false"}, "aws:PrincipalArn": {arn + "prod-produce"},
		}}
		change(&r)
		return eval.Evaluate(eval.Set{Identity: []policy.Document{admin}, Resource: []policy.Document{guard}, Principal: "arn:aws:sts::111111111111:assumed-role/x/y"}, r)
	}
	if d := ask(func(*eval.Request) {}); !d.Allowed() {
		t.Error(d)
	}
	for sid, change := range map[string]func(*eval.Request){
		"DenyInsecureTransport": func(r *eval.Request) { r.Context["aws:SecureTransport"] = []string{"false"} },
		"DenyOldTLS":            func(r *eval.Request) { r.Context["s3:TlsVersion"] = []string{"1.1"} },
		"DenyUnconditionalPut":  func(r *eval.Request) { delete(r.Context, "s3:if-none-match") },
		"DenyCustomerKeys": func(r *eval.Request) {
			r.Context["s3:x-amz-server-side-encryption-customer-algorithm"] = []string{"AES256"}
		},
		"DenyOtherKeys":      func(r *eval.Request) { r.Context["s3:x-amz-server-side-encryption-aws-kms-key-id"] = []string{"mine"} },
		"DenyOutsideNetwork": func(r *eval.Request) { delete(r.Context, "aws:VpceAccount") },
		"DataPlaneOnly": func(r *eval.Request) {
			r.Context["aws:PrincipalArn"] = []string{"arn:aws:iam::111111111111:role/admin"}
		},
	} {
		if d := ask(change); !d.Explicit() || d.Sid != sid {
			t.Errorf("%s: %v", sid, d)
		}
	}
}

// TestRevokeBefore ends older sessions alone.
func TestRevokeBefore(t *testing.T) {
	permission, revoke := documents(t)["permission-fetch-plain"], documents(t)["revoke-before"]
	for issued, want := range map[string]bool{"2026-11-25T08:59:59Z": false, "2026-11-25T09:00:00Z": true} {
		r := eval.Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::acme-stream/main/data/orders/prod/x", Context: map[string][]string{"aws:TokenIssueTime": {issued}}}
		if d := eval.Evaluate(eval.Set{Identity: []policy.Document{permission, revoke}}, r); d.Allowed() != want {
			t.Errorf("a session of %s: %v", issued, d)
		}
	}
}
