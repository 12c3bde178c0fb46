package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/creds"
	"github.com/isthmusdata/isthmus/iam/identity"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/standin"
)

// The accounts of the demo: one owns the bucket, two share it, and one has no part in it.
const (
	demoDataAccount     = "111111111111"
	demoStrangerAccount = "999999999999"
	demoRegion          = "eu-west-1"
	demoBucket          = "isthmus-demo"
	demoShare           = "default"
	demoAgentRole       = "isthmus-agent"
	// demoOperatorLife is how long the certificate of the demo's own operator holds.
	demoOperatorLife = 30 * 24 * time.Hour
)

// demoGroups are the agents of the demo, each group an account: two a group, so that one may be killed.
var demoGroups = []demoGroup{
	{name: "prod", account: "222222222222", role: iam.Produce},
	{name: "analytics", account: "333333333333", role: iam.Fetch, ids: []string{"*"}},
}

type demoGroup struct {
	name, account string
	role          iam.Role
	ids           []string // how the ids of its consumer groups may begin
}

func (g demoGroup) externalID() string { return defaultControlConfig().Cluster + "/" + g.name }

// shareRole is the name of the group's role in the bucket's account.
func (g demoGroup) shareRole() string {
	return fmt.Sprintf("isthmus-%s-%s-%s-%s", defaultControlConfig().Cluster, demoShare, g.name, g.role)
}

func demoLayout(group string) policy.Layout {
	return policy.Layout{
		Bucket: demoBucket, Cluster: defaultControlConfig().Cluster, Share: demoShare, Group: group, Region: demoRegion, Account: demoDataAccount,
	}
}

// demoWalls are what stands between the demo's accounts: an S3 and an STS that stand in for AWS and enforce the policies that
// isthmus iam policy prints, and the grants and bindings of the control plane.
type demoWalls struct {
	world    *standin.World
	server   *http.Server
	url      string
	own      map[string]aws.CredentialsProvider // of a group's agents, in their own account
	allowed  map[string]policy.Document         // to a group's role in the bucket's account
	stranger aws.CredentialsProvider
	control  aws.CredentialsProvider
	operator *client.Client
	life     context.Context
	end      context.CancelFunc
	running  sync.WaitGroup
}

// startDemoWalls makes the accounts, their roles and the bucket.
func startDemoWalls(ctx context.Context, log *slog.Logger) (_ *demoWalls, err error) {
	w := &demoWalls{world: standin.New(standin.Options{Region: demoRegion}), own: map[string]aws.CredentialsProvider{}, allowed: map[string]policy.Document{}}
	w.life, w.end = context.WithCancel(context.WithoutCancel(ctx))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the demo's S3 and STS: %w", err)
	}
	w.url = "http://" + listener.Addr().String()
	w.server = &http.Server{Handler: w.world, ReadHeaderTimeout: 10 * time.Second}
	w.running.Go(func() {
		if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the demo's S3 and STS have stopped", "error", err)
		}
	})
	if err := w.makeAccounts(ctx); err != nil {
		return nil, errors.Join(err, w.stop(ctx))
	}
	return w, nil
}

func (w *demoWalls) makeAccounts(ctx context.Context) error {
	w.world.Bucket(demoDataAccount, demoBucket)
	layout := demoLayout("")
	w.world.PutObject(demoBucket, layout.Key(policy.Canary), []byte(policy.CanaryBody(layout.Cluster)))
	control, err := policy.Permission(iam.Control, layout)
	if err != nil {
		return err
	}
	w.control = w.user(demoDataAccount, "control", control)
	everything := policy.Document{Version: policy.Version, Statement: []policy.Statement{
		{Effect: "Allow", Action: policy.Strings{"*"}, Resource: policy.Strings{"*"}},
	}}
	w.stranger = w.user(demoStrangerAccount, "admin", everything)
	for _, g := range demoGroups {
		if err := w.makeGroup(ctx, g); err != nil {
			return fmt.Errorf("make the account of group %s: %w", g.name, err)
		}
	}
	return nil
}

func (w *demoWalls) user(account, name string, may policy.Document) aws.CredentialsProvider {
	key, secret := w.world.User(account, name)
	w.world.SetPermission(w.world.UserARN(account, name), may)
	return credentials.NewStaticCredentialsProvider(key, secret, "")
}

// makeGroup makes a role in the group's own account, which its agents have as a task of a platform has its role, and one in the
// bucket's account, which they assume.
func (w *demoWalls) makeGroup(ctx context.Context, g demoGroup) error {
	agent, share := w.world.RoleARN(g.account, demoAgentRole), w.world.RoleARN(demoDataAccount, g.shareRole())
	source, err := policy.Source(policy.SourceSpec{Roles: []string{share}})
	if err != nil {
		return err
	}
	trust, err := policy.Trust(policy.TrustSpec{Principals: []string{agent}, ExternalID: g.externalID(), Group: g.name})
	if err != nil {
		return err
	}
	if w.allowed[g.name], err = policy.Permission(g.role, demoLayout(g.name)); err != nil {
		return err
	}
	platform, err := policy.Source(policy.SourceSpec{Roles: []string{agent}})
	if err != nil {
		return err
	}
	tasks := policy.Document{Version: policy.Version, Statement: []policy.Statement{{
		Effect: "Allow", Action: policy.Strings{"sts:AssumeRole"}, Principal: &policy.Principal{AWS: policy.Strings{"arn:aws:iam::" + g.account + ":root"}},
	}}}
	w.world.Role(g.account, demoAgentRole, tasks, source)
	w.world.Role(demoDataAccount, g.shareRole(), trust, w.allowed[g.name])
	w.own[g.name], err = w.assume(ctx, w.user(g.account, "platform", platform), agent, "", g.name, "platform")
	return err
}

// assume is the credentials of a role, renewed until the walls come down.
func (w *demoWalls) assume(ctx context.Context, source aws.CredentialsProvider, role, externalID, group, agent string) (*creds.Provider, error) {
	o := creds.Default()
	o.RoleARN, o.ExternalID, o.Group, o.Agent, o.Source, o.STSEndpoint, o.Region = role, externalID, group, agent, source, w.url, demoRegion
	p, err := creds.New(ctx, o)
	if err != nil {
		return nil, err
	}
	w.running.Go(func() { p.Run(w.life) })
	return p, nil
}

func (w *demoWalls) bucketURL() string {
	return "s3://" + demoBucket + "?endpoint=" + w.url + "&region=" + demoRegion
}

// admit tells the control plane who asks STS for whom.
func (w *demoWalls) admit(c *controlConfig) {
	c.Admission.STSRegions, c.Admission.STSEndpoint, c.Meta.own = []string{demoRegion}, w.url, w.control
}

// raise puts up the control plane's walls: first for the demo's own operator, then for the two groups.
func (w *demoWalls) raise(ctx context.Context, dir, address string, log *slog.Logger) error {
	admin := filepath.Join(dir, "operator")
	if _, err := writeAdmin(filepath.Join(dir, "control"), admin, "demo", demoOperatorLife); err != nil {
		return err
	}
	login := w.login(dir, address)
	login.Way, login.Cert, login.Key = identity.MethodMTLS, filepath.Join(admin, "admin.crt"), filepath.Join(admin, "admin.key")
	var err error
	if w.operator, err = dialControl(&login, log); err != nil {
		return err
	}
	err = w.operator.PutBinding(ctx, client.Binding{
		Name: "operator", Admin: true, Match: client.Match{Method: identity.MethodMTLS, URI: "spiffe://" + defaultControlConfig().Cluster + "/admin/demo"},
	})
	if err != nil {
		return err
	}
	share := client.Share{Name: demoShare, Bucket: w.bucketURL(), Region: demoRegion, Account: demoDataAccount}
	for _, g := range demoGroups {
		share.Roles = append(share.Roles, client.ShareRole{
			Group: g.name, Role: string(g.role), ARN: w.world.RoleARN(demoDataAccount, g.shareRole()), ExternalID: g.externalID(),
		})
	}
	if err := w.operator.PutShare(ctx, share); err != nil {
		return err
	}
	for _, g := range demoGroups {
		if err := w.grant(ctx, g); err != nil {
			return err
		}
	}
	o := operator{client: w.operator, out: io.Discard, err: io.Discard}
	return o.createTopic(ctx, demoTopic, demoPartitions, nil)
}

// grant lets a group in.
func (w *demoWalls) grant(ctx context.Context, g demoGroup) error {
	err := w.operator.PutGrant(ctx, client.AccessGrant{
		Name: g.name, Group: g.name, Share: demoShare, Access: string(g.role), Create: g.role == iam.Produce,
	})
	if err != nil {
		return err
	}
	ids := g.ids
	if ids == nil {
		ids = []string{g.name + "-"}
	}
	return w.operator.PutBinding(ctx, client.Binding{
		Name: g.name, Group: g.name, Roles: []string{string(g.role)}, IDPrefixes: ids,
		Match: client.Match{Method: identity.MethodSigV4, ARN: w.world.RoleARN(g.account, demoAgentRole)},
	})
}

// login is how the control plane is reached, and known by its authority.
func (w *demoWalls) login(dir, address string) loginConfig {
	l := defaultLogin()
	l.Addresses, l.CA = []string{address}, filepath.Join(dir, "operator", "ca.crt")
	return l
}

// agent is the configuration of an agent of a group.
func (w *demoWalls) agent(g demoGroup, dir, address string) agentConfig {
	config := loopbackAgent(g.name, rolesOf(string(g.role)))
	config.Login = w.login(dir, address)
	config.Login.Way, config.Login.own = identity.MethodSigV4, identity.NewSigV4Source(w.own[g.name], demoRegion, time.Now)
	config.Credentials.STSEndpoint, config.Credentials.own = w.url, w.own[g.name]
	return config
}

// revoke takes a group's access away by both halves: its role is denied everything, and the control plane forgets its grants and
// bindings.
func (w *demoWalls) revoke(ctx context.Context, g demoGroup) error {
	w.world.SetPermission(w.world.RoleARN(demoDataAccount, g.shareRole()), w.allowed[g.name], policy.DenyAll())
	return w.operator.RevokeGroup(ctx, g.name)
}

func (w *demoWalls) restore(ctx context.Context, g demoGroup) error {
	w.world.SetPermission(w.world.RoleARN(demoDataAccount, g.shareRole()), w.allowed[g.name])
	return w.grant(ctx, g)
}

func (w *demoWalls) stop(ctx context.Context) error {
	var err error
	if w.operator != nil {
		err = w.operator.Close()
	}
	w.end()
	err = errors.Join(err, w.server.Shutdown(ctx))
	w.running.Wait()
	return err
}
