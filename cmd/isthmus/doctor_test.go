package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/preflight"
	"github.com/isthmusdata/isthmus/iam/standin"
)

// TestDoctor assumes a role over two accounts, made of the printed documents, and tries it.
func TestDoctor(t *testing.T) {
	const data, agents = "111111111111", "222222222222"
	w := standin.New(standin.Options{})
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	w.Bucket(data, "bucket")
	w.PutObject("bucket", policy.Outside, []byte("x"))
	id, secret := w.User(agents, "agent")
	t.Setenv("AWS_ACCESS_KEY_ID", id)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_SESSION_TOKEN", "")
	permission, err := policy.Permission(iam.Produce, policy.Layout{Bucket: "bucket", Cluster: "main", Share: "orders", Group: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	source, err := policy.Source(policy.SourceSpec{Roles: []string{w.RoleARN(data, "prod"), w.RoleARN(data, "other")}})
	if err != nil {
		t.Fatal(err)
	}
	w.SetPermission(w.UserARN(agents, "agent"), source)
	trust := func(external string) policy.Document {
		d, err := policy.Trust(policy.TrustSpec{Principals: []string{"arn:aws:iam::" + agents + ":role/agent"}, Group: "prod", ExternalID: external})
		if err != nil {
			t.Fatal(err)
		}
		d.Statement[0].Condition["ArnEquals"]["aws:PrincipalArn"] = policy.Strings{w.UserARN(agents, "agent")} // a user stands for the role
		return d
	}
	arn := w.Role(data, "prod", trust("main/prod"), permission)
	other := w.Role(data, "other", trust("main/other"), permission)
	line := []string{
		"doctor", "--bucket", "s3://bucket?region=us-east-1&path-style=true&endpoint=" + server.URL, "--role", "produce", "--cluster", "main", "--share", "orders",
		"--group", "prod", "--role-arn", arn, "--other-role-arn", other, "--sts-endpoint", server.URL, "--outside-canary",
	}
	code, stdout, stderr := command(t, line...)
	if code != 0 || strings.Contains(stdout, "failed") || strings.Count(stdout, "ok ") < 12 || !strings.Contains(stdout, "clock") || !strings.Contains(stdout, "endpoint") {
		t.Errorf("code %d: %s%s", code, stdout, stderr)
	}
	if code, _, stderr := command(t, append(line, "--bucket", "mem://")...); code != 3 || !strings.Contains(stderr, "not checked") {
		t.Errorf("code %d: %s", code, stderr)
	}
	if code, _, stderr := command(t, append(line, "--role", "x")...); code != 3 || !strings.Contains(stderr, "--role") {
		t.Errorf("code %d: %s", code, stderr)
	}
	w.Down(standin.STS, true)
	if code, stdout, _ := command(t, append(line, "--other-role-arn", "", "-o", "json")...); code != 3 || !strings.Contains(stdout, `"result":"inconclusive"`) {
		t.Errorf("code %d: %s", code, stdout)
	}
}

// TestDoctorLooksAtClockAndEndpoint: what STS's answer says of this machine.
func TestDoctorLooksAtClockAndEndpoint(t *testing.T) {
	for name, c := range map[string]struct {
		look func() error
		want preflight.Result
	}{
		"right clock":       {(&stsAnswer{dated: true, ahead: -59 * time.Second}).clock, preflight.OK},
		"late clock":        {(&stsAnswer{dated: true, ahead: 90 * time.Second}).clock, preflight.Inconclusive},
		"far ahead":         {(&stsAnswer{dated: true, ahead: 5 * time.Minute}).clock, preflight.Failed},
		"far behind":        {(&stsAnswer{dated: true, ahead: -5 * time.Minute}).clock, preflight.Failed},
		"no date":           {(&stsAnswer{}).clock, preflight.Inconclusive},
		"regional endpoint": {(&stsAnswer{region: "eu-west-1", host: "sts.eu-west-1.amazonaws.com"}).endpoint, preflight.OK},
		"global endpoint":   {(&stsAnswer{region: "eu-west-1", host: "sts.amazonaws.com"}).endpoint, preflight.Failed},
		"another region's":  {(&stsAnswer{region: "eu-west-1", host: "sts.us-east-1.amazonaws.com"}).endpoint, preflight.Failed},
		"as asked for":      {(&stsAnswer{region: "eu-west-1", host: "sts.internal", custom: true}).endpoint, preflight.OK},
		"no answer":         {(&stsAnswer{region: "eu-west-1"}).endpoint, preflight.Inconclusive},
	} {
		if got := preflight.Look(name, c.look); got.Result != c.want {
			t.Errorf("%s: %s (%s), want %s", name, got.Result, got.Detail, c.want)
		}
	}
}
