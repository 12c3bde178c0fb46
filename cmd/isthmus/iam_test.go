package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/standin"
)

// TestIAMPolicyIsPrinted runs the command as it is documented, and holds it against the package.
func TestIAMPolicyIsPrinted(t *testing.T) {
	t.Parallel()
	line := strings.Fields("iam policy --role produce --bucket bkt --cluster c --share s --group g --region eu-west-1")
	want, err := policy.Permission(iam.Produce, policy.Layout{Bucket: "bkt", Cluster: "c", Share: "s", Group: "g", Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := command(t, line...); code != 0 || stdout != want.Indent()+"\n" {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := command(t, append(line, "--compact")...); code != 0 || stdout != want.JSON()+"\n" {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := command(t, append(line, "--format", "hcl")...); code != 0 || !strings.Contains(stdout, `data "aws_iam_policy_document" "policy" {`) {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
	const role = "arn:aws:iam::111111111111:role/x"
	for _, line := range []string{
		"iam session-policy --role fetch --bucket bkt --cluster c --share s", "iam trust --principal " + role + " --group g --cluster c",
		"iam bucket-policy --bucket bkt --cluster c", "iam source-policy --assume-role " + role, "iam endpoint-policy --bucket bkt --account 111111111111",
		"iam kms-policy --bucket bkt --cluster c --region eu-west-1 --account 111111111111 --encrypt-role " + role,
	} {
		code, stdout, stderr := command(t, strings.Fields(line)...)
		if _, err := policy.Parse([]byte(stdout)); code != 0 || err != nil {
			t.Errorf("isthmus %s: code %d, %v: %s", line, code, err, stderr)
		}
	}
}

func TestAWrongPolicyIsRefusedWithWhatToTry(t *testing.T) {
	t.Parallel()
	for line, words := range map[string][]string{
		"iam policy --bucket bkt":                                                  {"--role", "produce, fetch, jobs or control", "--cluster", "--share", "isthmus iam policy --help"},
		"iam policy --role produce --bucket B_ --cluster c --share s":              {"--bucket", "--group"},
		"iam policy --role fetch --bucket bkt --cluster c --share s --format yaml": {"--format", "hcl"},
		"iam policy --role fetch --bucket bkt --cluster c --share s --partition x": {"--partition", "aws-us-gov"},
		"iam trust --group g":                             {"--principal", "--external-id"},
		"iam source-policy":                               {"--assume-role"},
		"iam endpoint-policy --account 1":                 {"--account", "--bucket"},
		"iam kms-policy --bucket bkt --cluster c":         {"--region", "--account", "--encrypt-role"},
		"iam simulate --action GetObject":                 {"--action", "s3:GetObject"},
		"iam simulate --action s3:GetObject":              {"--policy"},
		"iam simulate --action s3:GetObject --context x":  {"--context", "KEY=VALUE"},
		"iam simulate --action s3:GetObject --expect yes": {"--expect", "allow or deny"},
		"iam revoke":                    {"--group", "isthmus group list"},
		"iam revoke --group g --role x": {"--role"},
	} {
		refusal(t, 2, strings.Fields(line), words...)
	}
}

func TestSimulate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, line string) string {
		t.Helper()
		code, stdout, stderr := command(t, strings.Fields(line)...)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(stdout), 0o600); err != nil || code != 0 {
			t.Fatalf("%v %s", err, stderr)
		}
		return path
	}
	produce := write("p", "iam policy --role produce --bucket bkt --cluster c --share s --group g")
	trust := write("t", "iam trust --principal arn:aws:iam::222222222222:role/a --group g --cluster c")
	put := "iam simulate --policy " + produce + " --action s3:PutObject --resource arn:aws:s3:::bkt/c/data/s/g/x"
	for line, want := range map[string]string{
		put + " --context s3:if-none-match=* --expect allow": "allow by identity PutOnceOnly\n",
		put + " --expect deny":                               "implicit deny by identity\n",
		put + " -o json":                                     `{"decision":"implicit deny","by":"identity"}` + "\n",
		"iam simulate --trust " + trust + " --action sts:AssumeRole --context sts:ExternalId=c/g --context aws:PrincipalAccount=222222222222 --context aws:PrincipalArn=arn:aws:iam::222222222222:role/a --context sts:RoleSessionName=g-1": "allow by trust AgentGroup\n",
	} {
		if code, stdout, stderr := command(t, strings.Fields(line)...); code != 0 || stdout != want {
			t.Errorf("isthmus %s: code %d: %s%s", line, code, stdout, stderr)
		}
	}
	if code, _, stderr := command(t, strings.Fields(put+" --expect allow")...); code != 1 || !strings.Contains(stderr, "implicit deny") {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestWhoami(t *testing.T) {
	w := standin.New(standin.Options{})
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	id, secret := w.User("222222222222", "agent")
	t.Setenv("AWS_ACCESS_KEY_ID", id)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_SESSION_TOKEN", "")
	code, stdout, stderr := command(t, "iam", "whoami", "--region", "us-east-1", "--sts-endpoint", server.URL, "-o", "json")
	if code != 0 || !strings.Contains(stdout, `"arn":"arn:aws:iam::222222222222:user/agent"`) {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
}

// revoked is an IAM and a control plane that remember, and fail where they are told to.
type revoked struct {
	denied  map[string]string
	group   string
	role    string
	iamDown error
	walls   error
}

func (r *revoked) PutRolePolicy(_ context.Context, in *awsiam.PutRolePolicyInput, _ ...func(*awsiam.Options)) (*awsiam.PutRolePolicyOutput, error) {
	if r.iamDown != nil {
		return nil, r.iamDown
	}
	r.denied[*in.RoleName+"/"+*in.PolicyName] = *in.PolicyDocument
	return &awsiam.PutRolePolicyOutput{}, nil
}

func (r *revoked) DeleteRolePolicy(_ context.Context, in *awsiam.DeleteRolePolicyInput, _ ...func(*awsiam.Options)) (*awsiam.DeleteRolePolicyOutput, error) {
	if _, there := r.denied[*in.RoleName+"/"+*in.PolicyName]; !there {
		return nil, &types.NoSuchEntityException{}
	}
	delete(r.denied, *in.RoleName+"/"+*in.PolicyName)
	return &awsiam.DeleteRolePolicyOutput{}, nil
}

func (r *revoked) RevokeGroup(_ context.Context, name string) error { r.group = name; return r.walls }

func (r *revoked) RevokeRole(_ context.Context, group, role string) error {
	r.group, r.role = group, role
	return r.walls
}

func revocableWalls() client.Walls {
	const arn = "arn:aws:iam::111111111111:role/teams/"
	return client.Walls{
		Shares: []client.Share{{Name: "s", Roles: []client.ShareRole{
			{Group: "ana", Role: "fetch", ARN: arn + "ana-fetch"}, {Group: "ana", Role: "jobs", ARN: arn + "ana-jobs"}, {Group: "prod", Role: "produce", ARN: arn + "prod"},
		}}},
		Grants:   []client.AccessGrant{{Name: "g", Group: "ana", Share: "s", Access: "fetch", Topic: "x", Prefix: true}, {Name: "p", Group: "prod", Share: "s", Access: "produce"}},
		Bindings: []client.Binding{{Name: "b", Group: "ana", Roles: []string{"fetch"}, Shares: []string{"s"}, IDPrefixes: []string{"ana-"}, MaxAgents: 3, Match: client.Match{Method: "mtls", URI: "spiffe://x/y"}}},
	}
}

// TestRevokeDoesBothHalves: the control plane's and the bucket's, each although the other one fails, and the way back.
func TestRevokeDoesBothHalves(t *testing.T) {
	t.Parallel()
	w := revocableWalls()
	r, err := planRevocation(w, "ana", "")
	if err != nil || len(r.Roles) != 2 || !reflect.DeepEqual(r.Bindings, []string{"b"}) || !reflect.DeepEqual(r.Grants, []string{"g"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	world := &revoked{denied: map[string]string{}}
	if err := carryOut(context.Background(), world, world, r); err != nil || world.group != "ana" || world.role != "" || world.denied["ana-fetch/IsthmusRevoked"] != policy.DenyAll().JSON() || len(world.denied) != 2 {
		t.Errorf("%+v, %v", world, err)
	}
	back, err := readWalls("-", strings.NewReader(r.Undo))
	if err != nil {
		t.Fatal(err)
	}
	same, err := back.walls("main")
	if err != nil || !reflect.DeepEqual(same.Bindings, w.Bindings) || !reflect.DeepEqual(same.Grants, w.Grants[:1]) {
		t.Errorf("the way back leads to %+v, %v", same, err)
	}
	for range 2 { // also where it is off already
		if err := removeDenial(context.Background(), world, r); err != nil || len(world.denied) != 0 {
			t.Errorf("%+v, %v", world, err)
		}
	}
	world.walls = errors.New("away")
	if err := carryOut(context.Background(), world, world, r); !errors.Is(err, world.walls) || len(world.denied) != 2 {
		t.Errorf("control plane away: %+v, %v", world, err)
	}
	world = &revoked{iamDown: errors.New("no")}
	if err := carryOut(context.Background(), world, world, r); !errors.Is(err, world.iamDown) || world.group != "ana" {
		t.Errorf("IAM away: %+v, %v", world, err)
	}
	one, err := planRevocation(w, "ana", "jobs")
	if err != nil || len(one.Roles) != 1 || len(one.Bindings)+len(one.Grants) != 0 {
		t.Errorf("%+v, %v", one, err)
	}
	w.Shares[0].Roles[2].ARN = w.Shares[0].Roles[0].ARN
	if _, err := planRevocation(w, "ana", ""); err == nil || !strings.Contains(err.Error(), "prod/produce") {
		t.Errorf("production would have lost its role, too: %v", err)
	}
}
