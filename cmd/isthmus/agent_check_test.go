package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/standin"
	"github.com/isthmusdata/isthmus/internal/obs"
)

// tryStart starts one more agent, says what it has logged, and stops it if it serves.
func (w *twoAccounts) tryStart(group, role string, changes ...func(*agentConfig)) (logged string, err error) {
	w.t.Helper()
	c := loopbackAgent(group, rolesOf(role))
	c.Credentials.STSEndpoint, c.Login.Addresses = w.url, []string{w.controlAddr()}
	for _, change := range changes {
		change(&c)
	}
	w.must(c.Validate())
	var log lockedBuffer
	a, err := startAgent(w.ctx, c, agentDeps{log: slog.New(slog.NewTextHandler(&log, nil)), registry: obs.NewRegistry(), open: openBucket})
	if err == nil {
		w.must(a.stop(context.WithoutCancel(w.ctx)))
	}
	return log.String(), err
}

// TestStartRefusesExcess: an agent whose role can do more than it should does not serve, says what and how to mend it, and
// serves when it is told to.
func TestStartRefusesExcess(t *testing.T) {
	w := startTwoAccounts(t)
	allowExcess := func(c *agentConfig) { c.AllowExcess = true }
	for _, c := range []struct {
		group, role, arn, action, does string
		right                          policy.Document
	}{
		{"prod", "produce", w.produceRole, "s3:GetObject", "get the object just put", permission(t, iam.Produce)},
		{"prod", "produce", w.produceRole, "s3:PutObject", "put an object without If-None-Match", permission(t, iam.Produce)},
		{"prod", "produce", w.produceRole, "s3:ListBucket", "list the cluster's prefix", permission(t, iam.Produce)},
		{"analytics", "fetch", w.fetchRole, "s3:PutObject", "put an object, If-None-Match", permission(t, iam.Fetch)},
		{"analytics", "fetch", w.fetchRole, "s3:ListBucket", "list the cluster's prefix", permission(t, iam.Fetch)},
	} {
		t.Run(c.role+" "+c.action, func(t *testing.T) {
			w.aws.SetPermission(c.arn, c.right)
			if logged, err := w.tryStart(c.group, c.role); err != nil || strings.Contains(logged, "level=WARN") {
				t.Errorf("the right role: %v\n%s", err, logged)
			}
			w.aws.SetPermission(c.arn, c.right, statements(t, `{"Effect":"Allow","Action":"`+c.action+`","Resource":"*"}`))
			_, err := w.tryStart(c.group, c.role)
			command := "isthmus iam policy --role " + c.role + " --bucket lab --cluster isthmus --share walled --group " + c.group + " --region us-east-1"
			for _, want := range []string{"excess privilege", c.arn, "walled", c.does, command, "--allow-excess"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			logged, err := w.tryStart(c.group, c.role, allowExcess)
			if err != nil || strings.Count(logged, "level=WARN") != 1 || !strings.Contains(logged, c.does) {
				t.Errorf("with --allow-excess: %v\n%s", err, logged)
			}
			w.aws.SetPermission(c.arn, c.right)
		})
	}
}

// TestStartDoesNotWaitForTheBucket: what cannot be tried is said, and holds no agent up.
func TestStartDoesNotWaitForTheBucket(t *testing.T) {
	w := startTwoAccounts(t)
	w.aws.SetPermission(w.produceRole, statements(t, `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`))
	for _, away := range []standin.Service{standin.S3, standin.STS} {
		w.aws.Down(away, true)
		if logged, err := w.tryStart("prod", "produce"); err != nil || !strings.Contains(logged, "inconclusive") {
			t.Errorf("without %v: %v\n%s", away, err, logged)
		}
		w.aws.Down(away, false)
	}
	if _, err := w.tryStart("prod", "produce"); err == nil {
		t.Error("it serves although its role can do everything")
	}
	if logged, err := w.tryStart("prod", "produce", func(c *agentConfig) { c.Credentials.Mode = "ambient" }); err != nil || !strings.Contains(logged, "not checked") {
		t.Errorf("by its own credentials: %v\n%s", err, logged)
	}
	// Less than it must is said, and a canary that is not there, too.
	w.aws.SetPermission(w.produceRole)
	w.aws.Remove("lab", canaryKey("isthmus"))
	for group, role := range map[string]string{"prod": "produce", "analytics": "fetch"} {
		if logged, err := w.tryStart(group, role); err != nil || !strings.Contains(logged, "failed: ") {
			t.Errorf("%s: %v\n%s", role, err, logged)
		}
	}
}
