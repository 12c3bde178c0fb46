package main

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/standin"
)

const prodAccount, analyticsAccount, thiefAccount = "222222222222", "333333333333", "999999999999"

// awsLogins is a cluster that takes logins by AWS identities, and an AWS that stands in.
type awsLogins struct {
	*lands
	world *standin.World
	url   string
	admin []string
}

func startAWSLogins(t *testing.T) *awsLogins {
	world := standin.New(standin.Options{})
	server := httptest.NewServer(world)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	a := &awsLogins{world: world, url: server.URL}
	a.lands = startControlAlone(t, dir, "file://"+filepath.Join(dir, "bucket"), func(c *controlConfig) {
		c.Admission.STSRegions, c.Admission.STSEndpoint = []string{"eu-west-1"}, server.URL
		c.Admission.Issuers = []string{world.Issuer(analyticsAccount)}
		c.Admission.BoundTokens = true
		c.Admission.JWKS = []string{world.Issuer(analyticsAccount) + "=" + server.URL + "/.well-known/jwks.json"}
	})
	admin := filepath.Join(dir, "admin")
	if code, _, stderr := command(t, "control", "admin-cert", "--data-dir", filepath.Join(dir, "control"), "--out", admin); code != 0 {
		t.Fatal(stderr)
	}
	a.admin = asAdmin(a.controlAddr(), admin)
	for _, account := range []string{prodAccount, analyticsAccount, thiefAccount} {
		world.Account(account)
		allow := policyOf(t, `{"Effect":"Allow","Action":["sts:GetWebIdentityToken","sts:TagGetWebIdentityToken"],"Resource":"*"}`)
		trust := policyOf(t, `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::`+account+`:root"}}`)
		world.Role(account, "isthmus-agent", trust, allow)
	}
	return a
}

func policyOf(t *testing.T, statement string) policy.Document {
	t.Helper()
	doc, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statement + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// as makes a role's credentials those of this process, as a platform gives them to a task.
func (a *awsLogins) as(account string) {
	a.t.Helper()
	key, secret := a.world.User(account, "platform")
	a.world.SetPermission(a.world.UserARN(account, "platform"), policyOf(a.t, `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}`))
	client := sts.New(sts.Options{Region: "eu-west-1", BaseEndpoint: &a.url, Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
	out, err := client.AssumeRole(a.ctx, &sts.AssumeRoleInput{RoleArn: aws.String(a.world.RoleARN(account, "isthmus-agent")), RoleSessionName: aws.String("isthmus-agent")})
	a.must(err)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": *out.Credentials.AccessKeyId, "AWS_SECRET_ACCESS_KEY": *out.Credentials.SecretAccessKey, "AWS_SESSION_TOKEN": *out.Credentials.SessionToken,
		"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL_STS": a.url, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": filepath.Join(a.dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(a.dir, "none"),
	} {
		a.t.Setenv(name, value)
	}
}

func (a *awsLogins) operator(args ...string) string {
	a.t.Helper()
	code, stdout, stderr := command(a.t, append(args, a.admin...)...)
	if code != 0 {
		a.t.Fatalf("isthmus %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// by has an agent log in by a method, over TLS.
func (a *awsLogins) by(method string) func(*agentConfig) {
	return func(c *agentConfig) {
		c.Login.Way, c.Login.CA = method, filepath.Join(a.dir, "control", "ca", "ca.crt")
	}
}

// TestAgentsLogInByTheirAWSRoles: production by a signed call of STS, analytics by a token of STS; records flow between them.
// The same role name in another account is nobody, and so is a role that was made again where its id is pinned.
func TestAgentsLogInByTheirAWSRoles(t *testing.T) {
	a := startAWSLogins(t)
	prod, analytics := a.world.RoleARN(prodAccount, "isthmus-agent"), a.world.RoleARN(analyticsAccount, "isthmus-agent")
	a.operator("binding", "create", "me", "--uri", "spiffe://lab/me", "--admin")
	a.operator("binding", "create", "prod", "--arn", prod, "--unique-id", a.world.UniqueID(prod), "--group", "prod", "--roles", "produce")
	a.operator("binding", "create", "analytics", "--issuer", a.world.Issuer(analyticsAccount), "--subject", analytics, "--group", "analytics", "--roles", "fetch")
	a.operator("grant", "create", "--group", "prod", "--access", "produce", "--share", "default", "--create-topics")
	a.operator("grant", "create", "--group", "analytics", "--access", "fetch", "--share", "default")

	a.as(prodAccount)
	a.addAgent("prod-1", "prod", rolesOf("produce"), a.by(identity.MethodSigV4))
	a.as(analyticsAccount)
	t.Setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1") // --sts-endpoint has the say
	a.addAgent("analytics-1", "analytics", rolesOf("fetch"), a.by(identity.MethodOIDC), func(c *agentConfig) { c.Credentials.STSEndpoint = a.url })
	t.Setenv("AWS_ENDPOINT_URL_STS", a.url)

	a.produce(a.client("prod", kgo.AllowAutoTopicCreation()), texts("letters", "a", "b")...)
	reader := a.client("analytics", kgo.ConsumeTopics("letters"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if got := values(a.poll(reader, 2)); got[0] != "a" || got[1] != "b" {
		t.Errorf("read %q", got)
	}

	// STS is away: the certificate that each was given stands for its login.
	a.world.Down(standin.STS, true)
	for _, name := range []string{"prod-1", "analytics-1"} {
		before := a.running(name).certificate.Current()
		a.must(a.running(name).client.Renew(a.ctx))
		if a.running(name).certificate.Current() != before {
			t.Errorf("%s has earned a certificate while STS was away", name)
		}
	}
	a.produce(a.client("prod"), texts("letters", "c")...)
	if got := values(a.poll(reader, 1)); got[0] != "c" {
		t.Errorf("read %q while STS is away", got)
	}
	a.world.Down(standin.STS, false)

	refused := func(who, group string, has roles, method string) {
		t.Helper()
		config := loopbackAgent(group, has)
		a.by(method)(&config)
		ctx, cancel := context.WithCancel(a.ctx)
		defer cancel()
		err := a.add(ctx, "refused", config)
		if err == nil {
			a.must(a.kill("refused"))
			t.Errorf("%s is let in as %s with %s", who, group, has)
		} else if !strings.Contains(err.Error(), "bound") && !strings.Contains(err.Error(), "binding") && !strings.Contains(err.Error(), "issuer") {
			t.Errorf("%s is refused without saying why: %v", who, err)
		}
	}
	refused("analytics", "analytics", rolesOf("produce"), identity.MethodOIDC)
	refused("analytics", "prod", rolesOf("produce"), identity.MethodOIDC)
	refused("analytics by another method", "analytics", rolesOf("fetch"), identity.MethodSigV4)
	a.as(thiefAccount)
	refused("the same name in another account", "prod", rolesOf("produce"), identity.MethodSigV4)
	refused("the same name in another account", "analytics", rolesOf("fetch"), identity.MethodOIDC)
	a.as(analyticsAccount)
	a.world.SetPermission(analytics, policyOf(t, `{"Effect":"Allow","Action":"sts:GetWebIdentityToken","Resource":"*"}`))
	refused("a role that may not bind its tokens to a login", "analytics", rolesOf("fetch"), identity.MethodOIDC)
	a.world.Role(prodAccount, "isthmus-agent", policyOf(t, `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::`+prodAccount+`:root"}}`), policyOf(t, `{"Effect":"Deny","Action":"*","Resource":"*"}`))
	a.as(prodAccount)
	refused("a role that was made again", "prod", rolesOf("produce"), identity.MethodSigV4)
	a.operator("binding", "alter", "prod", "--unique-id", a.world.UniqueID(prod))
	a.addAgent("prod-2", "prod", rolesOf("produce"), a.by(identity.MethodSigV4))
}
