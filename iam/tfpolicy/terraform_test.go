//go:build e2e

package tfpolicy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/policy"
)

// program is one that the script names.
func program(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set: run make terraform", variable)
	}
	return path
}

func run(t *testing.T, env []string, name string, args ...string) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out.Bytes(), errs.Bytes())
	}
	return out.Bytes()
}

// inputs are those of the module policy.
type inputs struct {
	Partition           string   `json:"partition"`
	Bucket              string   `json:"bucket_name"`
	Prefix              string   `json:"prefix"`
	Cluster             string   `json:"cluster_id"`
	Share               string   `json:"share"`
	Group               string   `json:"group"`
	Role                string   `json:"role"`
	Region              string   `json:"region"`
	Account             string   `json:"account_id"`
	KMSKey              string   `json:"kms_key_arn,omitempty"`
	Multipart           bool     `json:"multipart"`
	Trusted             []string `json:"trusted_role_arns"`
	Mode                string   `json:"trust_mode"`
	ExternalID          string   `json:"external_id"`
	Org                 string   `json:"org_id,omitempty"`
	VPCEs               []string `json:"source_vpce_ids"`
	Tags                bool     `json:"allow_session_tags"`
	Network             []string `json:"network_accounts"`
	Data                []string `json:"data_role_arns"`
	BreakGlass          []string `json:"break_glass_role_arns"`
	Encrypt             []string `json:"encrypt_role_arns"`
	Decrypt             []string `json:"decrypt_role_arns"`
	Assumed             []string `json:"assume_role_arns"`
	Login               bool     `json:"login_tokens"`
	Buckets             []string `json:"endpoint_buckets"`
	ECR                 bool     `json:"endpoint_ecr"`
	RevokeSessionBefore string   `json:"revoke_sessions_before,omitempty"`
}

// arns are roles in no order, one of them twice.
func arns(partition, name string) []string {
	role := func(account, name string) string { return "arn:" + partition + ":iam::" + account + ":role/" + name }
	return []string{role("333333333333", name), role("222222222222", name+"-b"), role("222222222222", name), role("333333333333", name)}
}

// cases go over every option of every document, and some in every partition; bits that mean nothing to one document do to another.
func cases() map[string]inputs {
	all := map[string]inputs{}
	regions := map[string]string{"aws": "eu-west-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
	for _, partition := range policy.Partitions() {
		for i, role := range iam.Roles() {
			for bits := range 32 {
				if partition != "aws" && bits%5 != 0 {
					continue // a partition changes names alone
				}
				on := func(bit int) bool { return bits&(1<<bit) != 0 }
				in := inputs{
					Partition: partition, Bucket: "acme-stream", Cluster: "main", Share: "orders", Group: "prod", Role: string(role),
					Region: regions[partition], Account: "111111111111", Mode: "condition", ExternalID: "main/prod",
					Multipart: on(1), Trusted: arns(partition, "isthmus-agent-prod"), Tags: on(3), Login: on(4), ECR: on(0),
					Assumed: arns(partition, "isthmus-main-orders-prod-produce"), VPCEs: []string{}, Network: []string{}, Data: []string{},
					BreakGlass: []string{}, Encrypt: arns(partition, "writer"), Decrypt: arns(partition, "reader"), Buckets: []string{"b-two", "a-one"},
				}
				if on(0) {
					in.KMSKey = "arn:" + partition + ":kms:" + in.Region + ":111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab"
				}
				if on(2) {
					in.Network = []string{"333333333333", "222222222222"}
					in.Encrypt = []string{}
				}
				if on(3) {
					in.Org, in.Prefix = "o-a1b2c3d4e5", "streams/eu"
				}
				if on(4) {
					in.VPCEs = []string{"vpce-0223456789abcdef0", "vpce-0123456789abcdef0"}
					in.RevokeSessionBefore = "2026-01-31T12:00:00Z"
				}
				if on(1) {
					in.BreakGlass = arns(partition, "break-glass")
				}
				if on(1) && on(4) {
					in.Data = arns(partition, "zz-data")
				}
				if (bits+i)%2 == 1 {
					in.Mode = "arn"
				}
				all[fmt.Sprintf("%s-%s-%02d", partition, role, bits)] = in
			}
		}
	}
	return all
}

// documents are what package policy says.
func (in inputs) documents(t *testing.T) map[string]string {
	t.Helper()
	l := policy.Layout{
		Partition: in.Partition, Bucket: in.Bucket, Prefix: in.Prefix, Cluster: in.Cluster, Share: in.Share, Group: in.Group, Region: in.Region,
		KMSKey: in.KMSKey, Account: in.Account, Multipart: in.Multipart,
	}
	out := map[string]string{}
	add := func(name string, d policy.Document, err error) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = d.JSON()
	}
	d, err := policy.Permission(iam.Role(in.Role), l)
	add("permission_json", d, err)
	d, err = policy.Session(iam.Role(in.Role), l)
	add("session_json", d, err)
	d, err = policy.Trust(policy.TrustSpec{
		Mode: policy.Mode(in.Mode), Principals: in.Trusted, ExternalID: in.ExternalID, Group: in.Group, OrgID: in.Org, SourceVPCEs: in.VPCEs,
		NetworkAccounts: in.Network, AllowSessionTags: in.Tags,
	})
	add("trust_json", d, err)
	d, err = policy.Bucket(policy.BucketSpec{Layout: l, NetworkAccounts: in.Network, Roles: in.Data, BreakGlass: in.BreakGlass})
	add("bucket_policy_json", d, err)
	d, err = policy.Key(policy.KeySpec{Layout: l, Encrypt: in.Encrypt, Decrypt: in.Decrypt})
	add("kms_policy_json", d, err)
	source := policy.SourceSpec{Roles: in.Assumed}
	if in.Login {
		source.Cluster = in.Cluster
	}
	d, err = policy.Source(source)
	add("source_json", d, err)
	d, err = policy.Endpoint(policy.EndpointSpec{Partition: in.Partition, Region: in.Region, Buckets: in.Buckets, Account: in.Account, ECR: in.ECR})
	add("endpoint_policy_json", d, err)
	d = policy.DenyAll()
	if in.RevokeSessionBefore != "" {
		at, err := time.Parse(time.RFC3339, in.RevokeSessionBefore)
		if err != nil {
			t.Fatal(err)
		}
		d = policy.RevokeBefore(at)
	}
	add("revoke_json", d, nil)
	return out
}

// TestModuleEqualsPackage holds every document of the module policy against package policy's, byte for byte.
func TestModuleEqualsPackage(t *testing.T) {
	terraform, dir := program(t, "ISTHMUS_TERRAFORM"), t.TempDir()
	variables, err := json.Marshal(map[string]any{"cases": cases()})
	if err != nil {
		t.Fatal(err)
	}
	file, state := filepath.Join(dir, "cases.tfvars.json"), filepath.Join(dir, "state")
	if err := os.WriteFile(file, variables, 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"TF_DATA_DIR=" + filepath.Join(dir, "data"), "CHECKPOINT_DISABLE=1"}
	chdir := "-chdir=../../terraform/tests/policy"
	run(t, env, terraform, chdir, "init", "-input=false")
	run(t, env, terraform, chdir, "apply", "-input=false", "-auto-approve", "-state="+state, "-var-file="+file)
	var have map[string]map[string]string
	if err := json.Unmarshal(run(t, env, terraform, chdir, "output", "-json", "-state="+state, "documents"), &have); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for name, in := range cases() {
		for document, want := range in.documents(t) {
			compared++
			if got := have[name][document]; got != want {
				t.Errorf("%s of %s\nmodule  %s\npackage %s", document, name, got, want)
			}
		}
	}
	t.Logf("%d documents of %d cases are the same in Terraform and Go", compared, len(have))
}

// TestExamplesAreAccepted has isthmus read what the examples render.
func TestExamplesAreAccepted(t *testing.T) {
	terraform, isthmus := program(t, "ISTHMUS_TERRAFORM"), program(t, "ISTHMUS_BIN")
	for _, example := range []string{"cross-account", "cross-region", "single-account-two-vpcs", "game-studio/terraform"} {
		t.Run(example, func(t *testing.T) {
			root, err := filepath.Abs("../..")
			if err != nil {
				t.Fatal(err)
			}
			env := []string{"TF_DATA_DIR=" + filepath.Join(root, ".cache/terraform/data/examples", example), "CHECKPOINT_DISABLE=1"}
			folder := filepath.Join(root, "examples", example)
			t.Cleanup(func() { os.Remove(filepath.Join(folder, ".terraform.lock.hcl")) })
			run(t, env, terraform, "-chdir="+folder, "init", "-input=false")
			outputs := rendered(t, run(t, env, terraform, "-chdir="+folder, "test", "-json", "-verbose"))
			dir := t.TempDir()
			for _, output := range []string{"producers_yaml", "consumers_yaml"} {
				path := filepath.Join(dir, output)
				if err := os.WriteFile(path, []byte(outputs[output]), 0o600); err != nil {
					t.Fatal(err)
				}
				printed := string(run(t, nil, isthmus, "agent", "--config", path, "--print-config"))
				for _, line := range []string{"login: aws-sigv4", "credentials: assume", "# file "} {
					if !strings.Contains(printed, line) {
						t.Errorf("%s is read without %q as\n%s", output, line, printed)
					}
				}
			}
			applied(t, isthmus, outputs["bindings_yaml"])
			if example == "cross-account" { // makes a control plane, if asked
				path := filepath.Join(dir, "control_yaml")
				if err := os.WriteFile(path, []byte(outputs["control_yaml"]), 0o600); err != nil {
					t.Fatal(err)
				}
				printed := string(run(t, nil, isthmus, "control", "--config", path, "--print-config"))
				for _, line := range []string{"cluster: main", "sts-regions: [eu-west-1]", "# file "} {
					if !strings.Contains(printed, line) {
						t.Errorf("control_yaml is read without %q as\n%s", line, printed)
					}
				}
			}
		})
	}
}

// rendered are the outputs of the last state that terraform test tells of, and those that are only planned.
func rendered(t *testing.T, events []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(events))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event struct {
			State struct {
				Outputs map[string]struct{ Value any }
			} `json:"test_state"`
			Plan struct {
				Outputs map[string]struct{ After any } `json:"output_changes"`
			} `json:"test_plan"`
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		for name, output := range event.State.Outputs {
			if text, ok := output.Value.(string); ok {
				out[name] = text
			}
		}
		for name, output := range event.Plan.Outputs {
			if text, ok := output.After.(string); ok && out[name] == "" {
				out[name] = text
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("terraform test told of no outputs:\n%s", events)
	}
	return out
}
