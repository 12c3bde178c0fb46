package policy_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/policy"
)

var update = flag.Bool("update", false, "write the golden files and docs/iam-truth-table.md")

const arn = "arn:aws:iam::111111111111:role/isthmus-main-orders-"

// layouts are the ways in which a share may lie.
func layouts() map[string]policy.Layout {
	plain := policy.Layout{Bucket: "acme-stream", Cluster: "main", Share: "orders", Group: "prod", Region: "eu-west-1", Account: "111111111111"}
	encrypted := plain
	encrypted.KMSKey = "arn:aws:kms:eu-west-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	whole := encrypted
	whole.Multipart, whole.Prefix = true, "streams/eu"
	china := whole
	china.Region, china.KMSKey = "cn-north-1", strings.NewReplacer(":aws:", ":aws-cn:", "eu-west-1", "cn-north-1").Replace(whole.KMSKey)
	gov := whole
	gov.Region, gov.KMSKey = "us-gov-west-1", strings.NewReplacer(":aws:", ":aws-us-gov:", "eu-west-1", "us-gov-west-1").Replace(whole.KMSKey)
	return map[string]policy.Layout{"plain": plain, "kms": encrypted, "multipart": whole, "china": china, "gov": gov}
}

// documents are one of each kind, by file name.
func documents(t *testing.T) map[string]policy.Document {
	t.Helper()
	docs := map[string]policy.Document{}
	put := func(name string, d policy.Document, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		docs[name] = d
	}
	for name, l := range layouts() {
		for _, role := range iam.Roles() {
			d, err := policy.Permission(role, l)
			put("permission-"+string(role)+"-"+name, d, err)
		}
	}
	kms := layouts()["kms"]
	for _, role := range iam.Roles() {
		d, err := policy.Session(role, kms)
		put("session-"+string(role), d, err)
	}
	trust := policy.TrustSpec{Principals: []string{"arn:aws:iam::222222222222:role/isthmus-agent-prod"}, ExternalID: "main/prod", Group: "prod"}
	d, err := policy.Trust(trust)
	put("trust-condition", d, err)
	trust.Mode, trust.OrgID, trust.SourceVPCEs, trust.AllowSessionTags = policy.ByARN, "o-a1b2c3d4e5", []string{"vpce-0123456789abcdef0"}, true
	d, err = policy.Trust(trust)
	put("trust-arn", d, err)
	trust = policy.TrustSpec{Principals: trust.Principals, Group: "prod", WithoutExternalID: true}
	d, err = policy.Trust(trust)
	put("trust-without-external-id", d, err)
	d, err = policy.Bucket(policy.BucketSpec{Layout: layouts()["plain"]})
	put("bucket-plain", d, err)
	d, err = policy.Bucket(policy.BucketSpec{
		Layout: kms, NetworkAccounts: []string{"333333333333", "222222222222"}, Roles: []string{arn + "prod-produce"}, BreakGlass: []string{"arn:aws:iam::111111111111:role/break-glass"},
	})
	put("bucket-all", d, err)
	d, err = policy.Key(policy.KeySpec{Layout: kms, Encrypt: []string{arn + "prod-produce"}, Decrypt: []string{arn + "analytics-fetch"}})
	put("key", d, err)
	d, err = policy.Source(policy.SourceSpec{Roles: []string{arn + "prod-produce"}, Cluster: "main"})
	put("source", d, err)
	d, err = policy.Endpoint(policy.EndpointSpec{Region: "eu-west-1", Buckets: []string{"acme-stream"}, Account: "111111111111", ECR: true})
	put("endpoint", d, err)
	put("deny-all", policy.DenyAll(), nil)
	put("revoke-before", policy.RevokeBefore(time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)), nil)
	return docs
}

// TestGolden holds every kind of document against what it was.
func TestGolden(t *testing.T) {
	docs := documents(t)
	for name, d := range docs {
		golden(t, filepath.Join("testdata", name+".json"), d.Indent()+"\n")
		again, err := policy.Parse([]byte(d.JSON()))
		if err != nil || again.JSON() != d.JSON() {
			t.Errorf("%s is read as %s, %v", name, again.JSON(), err)
		}
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(docs) {
		t.Errorf("%d files for %d documents, %v", len(files), len(docs), err)
	}
}

func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, []byte(text)) {
		t.Errorf("%s is not what is written now (go test ./iam/policy -update writes it, after you have looked):\n%s", path, text)
	}
}

// TestLeast holds every allowing statement of every role to what least means.
func TestLeast(t *testing.T) {
	actions := map[iam.Role]string{
		iam.Produce: "s3:PutObject s3:AbortMultipartUpload kms:GenerateDataKey kms:Decrypt", iam.Fetch: "s3:GetObject kms:Decrypt",
		iam.Jobs:    "s3:GetObject s3:DeleteObject s3:PutObject s3:ListBucket s3:ListBucketMultipartUploads s3:AbortMultipartUpload kms:Decrypt kms:GenerateDataKey",
		iam.Control: "s3:GetObject s3:PutObject s3:ListBucket kms:Decrypt kms:GenerateDataKey",
	}
	for name, l := range layouts() {
		for _, role := range iam.Roles() {
			d, err := policy.Permission(role, l)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range d.Statement {
				where := fmt.Sprintf("%s %s %s", role, name, s.Sid)
				if s.Effect != "Allow" || len(s.NotAction)+len(s.NotResource) > 0 || len(s.Action) == 0 || len(s.Resource) == 0 {
					t.Errorf("%s is not a plain statement that allows", where)
				}
				for _, a := range s.Action {
					if strings.ContainsAny(a, "*?") || !strings.Contains(" "+actions[role]+" ", " "+a+" ") {
						t.Errorf("%s allows %s", where, a)
					}
				}
				for _, r := range s.Resource {
					cluster := l.ObjectARN("")
					below, found := strings.CutPrefix(r, cluster)
					switch {
					case r == l.KMSKey || r == l.BucketARN() && s.Condition["StringLike"]["s3:prefix"] != nil:
					case !found, role == iam.Control != strings.HasPrefix(below, "meta/"):
						t.Errorf("%s reaches %s", where, r)
					case role == iam.Produce && below != "data/orders/prod/*" && below != "_preflight/*":
						t.Errorf("%s reaches %s", where, r)
					}
				}
				if strings.Contains(strings.Join(s.Action, " "), "s3:PutObject") && s.Condition["Null"]["s3:if-none-match"] == nil && s.Condition["Bool"]["s3:ObjectCreationOperation"] == nil {
					t.Errorf("%s stores without a condition", where)
				}
			}
		}
	}
}

// TestGuardsOnlyDeny: a bucket's policy grants nothing.
func TestGuardsOnlyDeny(t *testing.T) {
	for name, d := range documents(t) {
		for _, s := range d.Statement {
			if strings.HasPrefix(name, "bucket") && s.Effect != "Deny" {
				t.Errorf("%s allows by %s", name, s.Sid)
			}
			for _, a := range s.Action {
				if s.Effect == "Allow" && strings.ContainsAny(a, "*?") {
					t.Errorf("%s: %s allows %s", name, s.Sid, a)
				}
			}
		}
	}
}

// TestRefusesBadInput: nothing that is not a name gets into a document.
func TestRefusesBadInput(t *testing.T) {
	for field, change := range map[string]func(*policy.Layout){
		"partition": func(l *policy.Layout) { l.Partition = "aws-iso" }, "bucket": func(l *policy.Layout) { l.Bucket = "*" },
		"cluster": func(l *policy.Layout) { l.Cluster = "" }, "share": func(l *policy.Layout) { l.Share = "or*" },
		"group": func(l *policy.Layout) { l.Group = "${aws:username}" }, "prefix": func(l *policy.Layout) { l.Prefix = "a/../b" },
		"kms-key": func(l *policy.Layout) { l.KMSKey = "alias/x" }, "region": func(l *policy.Layout) { l.Region = "" },
	} {
		l := layouts()["kms"]
		change(&l)
		_, err := policy.Permission(iam.Produce, l)
		var faults policy.Faults
		ok := errors.As(err, &faults)
		if !ok || faults[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := policy.Permission("admin", layouts()["kms"]); err == nil {
		t.Error("a role that is none has a policy")
	}
	long := layouts()["kms"]
	long.Share, long.Prefix = strings.Repeat("s", 120), strings.Repeat("p", 250)
	if _, err := policy.Session(iam.Jobs, long); err == nil || !strings.Contains(err.Error(), "AWS takes 2048") {
		t.Errorf("a session policy that is too long: %v", err)
	}
	for name, s := range map[string]policy.TrustSpec{
		"nobody":         {ExternalID: "main/prod", Group: "prod"},
		"everybody":      {Principals: []string{"*"}, ExternalID: "main/prod", Group: "prod"},
		"no external id": {Principals: []string{arn + "x"}, Group: "prod"},
		"both":           {Principals: []string{arn + "x"}, Group: "prod", ExternalID: "main/prod", WithoutExternalID: true},
	} {
		if d, err := policy.Trust(s); err == nil {
			t.Errorf("%s: %s", name, d.JSON())
		}
	}
	if _, err := policy.Bucket(policy.BucketSpec{Layout: layouts()["plain"], Roles: []string{arn + "x"}}); err == nil {
		t.Error("a bucket that nobody could mend")
	}
}
