//go:build e2e && linux

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/isthmusdata/isthmus/iam"
	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/standin"
	"github.com/isthmusdata/isthmus/internal/e2e/walls"
)

// The accounts, and what is in them.
const (
	dataAccount      = "111111111111" // owns the bucket and its roles
	prodAccount      = "222222222222"
	analyticsAccount = "333333333333"
	strangerAccount  = "444444444444"

	meshBucket  = "mesh"
	meshCluster = "game"
	ownShare    = "events"  // prod produces to it, analytics fetch from it
	otherShare  = "payroll" // of the group finance

	controlPort                          = 7400
	controlHTTP                          = "127.0.0.1:7480" // of the services network
	gatewayPort, gatewayTLSPort, stsPort = 17480, 17443, 17481
)

// wallsUsers stand for the accounts' own roles, by account.
var wallsUsers = map[string]string{
	"owner": dataAccount, "control": dataAccount, "jobs": dataAccount,
	"prod": prodAccount, "analytics": analyticsAccount, "stranger": strangerAccount,
}

// wallsWorld is two accounts in two VPCs, and the services that both reach.
type wallsWorld struct {
	t     *testing.T
	bin   string
	dir   string
	net   *walls.Network
	ceph  *walls.Ceph
	ca    *walls.CA
	roots *x509.CertPool
	table *walls.Table
	eval  *standin.World
	sts   *walls.Relay // to Ceph's

	keys         map[string]walls.Key       // of wallsUsers
	certificates map[string]tls.Certificate // of those users that log in by one of their account's own authority
	pki          map[string]*walls.CA       // those authorities
	controlRoots *x509.CertPool             // the control plane's authority
	controlCA    *x509.Certificate

	roles           map[string]string // ARN by share/group/role
	control         *process
	prod, analytics []*agent
}

func newWallsWorld(t *testing.T) *wallsWorld {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run make e2e-walls as root")
	}
	w := &wallsWorld{t: t, bin: need(t, "ISTHMUS_BIN"), dir: t.TempDir(), table: new(walls.Table), roles: map[string]string{},
		keys: map[string]walls.Key{}, certificates: map[string]tls.Certificate{}, pki: map[string]*walls.CA{}}
	w.makeNetwork()
	w.makeCA()
	w.startEval()
	w.makeIdentities()
	w.makeAccounts()
	return w
}

func (w *wallsWorld) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *wallsWorld) makeNetwork() {
	w.t.Helper()
	script, err := filepath.Abs("../../scripts/netns.sh")
	w.check(err)
	prefix := os.Getenv("NETNS_PREFIX") // whoever set it looks after what is left
	if prefix == "" {
		prefix = fmt.Sprintf("walls-%d-", os.Getpid())
	}
	w.net, err = walls.Up(script, prefix)
	w.t.Cleanup(func() {
		if err := w.net.Down(); err != nil {
			w.t.Error(err)
		}
	})
	w.check(err)
}

func (w *wallsWorld) makeCA() {
	w.t.Helper()
	var err error
	w.ca, err = walls.NewCA(filepath.Join(w.dir, "ca"), "isthmus e2e walls")
	w.check(err)
	text, err := os.ReadFile(w.ca.File())
	w.check(err)
	w.roots = x509.NewCertPool()
	if !w.roots.AppendCertsFromPEM(text) {
		w.t.Fatalf("%s holds no certificate", w.ca.File())
	}
}

// makeIdentities gives analytics an authority of their own, whose certificates their agents log in by; production's prove
// themselves by the keys of their account.
func (w *wallsWorld) makeIdentities() {
	w.t.Helper()
	for _, user := range []string{"analytics", "writers", "readers"} {
		var err error
		w.pki[user], err = walls.NewCA(filepath.Join(w.dir, "pki", user), user)
		w.check(err)
		certFile, keyFile, err := w.pki[user].Client("agents", "spiffe://"+user+".example/agents")
		w.check(err)
		w.certificates[user], err = tls.LoadX509KeyPair(certFile, keyFile)
		w.check(err)
	}
}

// makeAccounts starts the gateway in the services network, and makes users, bucket, roles and objects to be after.
func (w *wallsWorld) makeAccounts() {
	w.t.Helper()
	// A Unix socket of Ceph's lies in the folder, and its path may have 107 bytes.
	folder, err := os.MkdirTemp("", "walls")
	w.check(err)
	script, err := filepath.Abs("../../scripts/ceph.sh")
	w.check(err)
	ceph := func(verb string) error {
		run := w.net.Services.Command(script, verb)
		cmd := exec.Command(run[0], run[1:]...)
		cmd.Env = append(os.Environ(), "ISTHMUS_E2E_DIR="+folder, "CEPH_ADDRESS="+w.net.Services.Address)
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ceph.sh %s: %w\n%s", verb, err, said)
		}
		return nil
	}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.showTail("the gateway", filepath.Join(folder, "ceph", "log", "client.rgw.a.log"))
		}
		if err := ceph("down"); err != nil {
			w.t.Error(err)
		}
		os.RemoveAll(folder)
	})
	w.check(ceph("up"))
	w.ceph = walls.Gateway(w.net.Services, folder)
	w.sts, err = walls.NewRelay(w.net.Services, stsPort, w.net.Services.At(gatewayPort))
	w.check(err)
	w.t.Cleanup(w.sts.Away)
	for user, account := range wallsUsers {
		w.check(w.ceph.User(account, user, w.keys[user]))
	}
	w.check(w.ceph.Manager(dataAccount, "owner"))
	w.makeRoles()
	w.makeBucket()
}

func userARN(account, user string) string { return "arn:aws:iam::" + account + ":user/" + user }

func (w *wallsWorld) showTail(what, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		text = []byte(err.Error())
	}
	w.t.Logf("%s:\n%s", what, tail(string(text), 40))
}

// wallsRoles are a role for each group, role and share, and the user that may assume it.
var wallsRoles = []struct{ share, group, role, user string }{
	{ownShare, "prod", "produce", "prod"},
	{ownShare, "analytics", "fetch", "analytics"},
	{otherShare, "finance", "produce", "jobs"},
	{otherShare, "finance", "fetch", "jobs"},
	{ownShare, "jobs", "jobs", "jobs"},
}

func (w *wallsWorld) makeRoles() {
	w.t.Helper()
	for _, r := range wallsRoles {
		arn, err := w.ceph.Role(dataAccount, roleName(r.share, r.group, r.role), trustOf(userARN(wallsUsers[r.user], r.user)), w.permission(r.role, r.share, r.group, true).JSON())
		w.check(err)
		w.roles[r.share+"/"+r.group+"/"+r.role] = arn
	}
	w.makeEvalRoles()
}

func trustOf(principal string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":[%q]},"Action":["sts:AssumeRole"]}]}`, principal)
}

// layout is where a share's objects lie. Ceph 16 does not look at s3:if-none-match.
func layout(share, group string, ceph bool) policy.Layout {
	return policy.Layout{Bucket: meshBucket, Cluster: meshCluster, Share: share, Group: group, WithoutConditionalWrites: ceph}
}

// permission is what isthmus iam policy prints.
func (w *wallsWorld) permission(role, share, group string, ceph bool) policy.Document {
	w.t.Helper()
	d, err := policy.Permission(iam.Role(role), layout(share, group, ceph))
	w.check(err)
	return d
}

// makeBucket makes the bucket, lets the control plane at meta/ alone, and puts objects there that others must not get.
func (w *wallsWorld) makeBucket() {
	w.t.Helper()
	owner := w.bucketAt(w.gateway(), w.net.Services, static(w.keys["owner"].Session()))
	_, err := owner.CreateBucket(w.t.Context(), &s3.CreateBucketInput{Bucket: aws.String(meshBucket)})
	w.check(err)
	// The control plane's own user is let in by the bucket, with what its role would have.
	meta := w.permission("control", "", "", true)
	for i := range meta.Statement {
		meta.Statement[i].Principal = &policy.Principal{AWS: policy.Strings{userARN(dataAccount, "control")}}
	}
	_, err = owner.PutBucketPolicy(w.t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String(meshBucket), Policy: aws.String(meta.JSON())})
	w.check(err)
	for _, key := range []string{ownKey, neighbourKey, otherKey, metaKey, foreignKey, outsideKey} {
		_, err := owner.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: aws.String(meshBucket), Key: aws.String(key), Body: strings.NewReader(treasure)})
		w.check(err)
	}
	_, err = owner.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: aws.String(meshBucket), Key: aws.String(canaryKey), Body: strings.NewReader(policy.CanaryBody(meshCluster))})
	w.check(err)
}

// gateway is where Ceph is; evalURL is where the embedded server is.
func (w *wallsWorld) gateway() string { return "http://" + w.net.Services.At(gatewayPort) }
func (w *wallsWorld) evalURL() string { return "https://" + w.net.Services.At(evalPort) }

func (w *wallsWorld) awsAt(endpoint string, in walls.VPC, c aws.CredentialsProvider) aws.Config {
	return aws.Config{Region: "us-east-1", HTTPClient: in.Client(w.roots), BaseEndpoint: aws.String(endpoint), Credentials: c}
}

func (w *wallsWorld) bucketAt(endpoint string, in walls.VPC, c aws.CredentialsProvider) *s3.Client {
	return s3.NewFromConfig(w.awsAt(endpoint, in, c), func(o *s3.Options) { o.UsePathStyle = true })
}

func static(c aws.Credentials) aws.CredentialsProvider {
	return credentials.StaticCredentialsProvider{Value: c}
}

// assumeAt takes a role with somebody's own keys, as an agent does.
func (w *wallsWorld) assumeAt(ctx context.Context, endpoint string, in walls.VPC, key walls.Key, input *sts.AssumeRoleInput) (aws.Credentials, error) {
	input.DurationSeconds = aws.Int32(3600)
	out, err := sts.NewFromConfig(w.awsAt(endpoint, in, static(key.Session()))).AssumeRole(ctx, input)
	if err != nil {
		return aws.Credentials{}, err
	}
	c := out.Credentials
	return aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}, nil
}

func (w *wallsWorld) mustAssume(in walls.VPC, key walls.Key, role, session string) aws.Credentials {
	w.t.Helper()
	c, err := w.assumeAt(w.t.Context(), w.gateway(), in, key, &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String(session)})
	if err != nil {
		w.t.Fatalf("assume %s: %v", role, err)
	}
	return c
}

func awsEnv(c aws.Credentials) []string {
	return []string{"AWS_ACCESS_KEY_ID=" + c.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + c.SecretAccessKey, "AWS_SESSION_TOKEN=" + c.SessionToken,
		"AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null"}
}

func (w *wallsWorld) bucketURL() string {
	return fmt.Sprintf("s3://%s?endpoint=https://%s&region=us-east-1&path-style=true&ca=%s", meshBucket, w.net.Services.At(gatewayTLSPort), w.ceph.CAFile())
}

// startIn starts a program inside a VPC.
func (w *wallsWorld) startIn(in walls.VPC, env []string, name string, args ...string) *process {
	w.t.Helper()
	run := in.Command(name, args...)
	return start(w.t, env, run[0], run[1:]...)
}

func (w *wallsWorld) dataDir() string     { return filepath.Join(w.dir, "control") }
func (w *wallsWorld) adminFolder() string { return filepath.Join(w.dir, "admin") }

// startServices starts the control plane, and makes the walls with an operator's certificate.
func (w *wallsWorld) startServices() {
	w.t.Helper()
	args := []string{"control", "--cluster", meshCluster, "--data-dir", w.dataDir(), "--bucket", w.bucketURL(),
		"--listen", w.net.Services.At(controlPort), "--http", controlHTTP}
	args = append(args, "--sts-endpoint", w.evalURL(), "--sts-regions", "us-east-1")
	for user, ca := range w.pki {
		args = append(args, "--client-ca", user+".example="+ca.File())
	}
	w.control = w.startIn(w.net.Services, append(awsEnv(w.keys["control"].Session()), "SSL_CERT_FILE="+w.ca.File()), w.bin, args...)
	w.readyIn(w.net.Services, "control plane", controlHTTP)

	if said, err := exec.Command(w.bin, "control", "admin-cert", "--data-dir", w.dataDir(), "--out", w.adminFolder()).CombinedOutput(); err != nil {
		w.t.Fatalf("isthmus control admin-cert: %v\n%s", err, said)
	}
	text, err := os.ReadFile(w.controlCAFile())
	w.check(err)
	w.controlRoots = x509.NewCertPool()
	block, _ := pem.Decode(text)
	if block == nil || !w.controlRoots.AppendCertsFromPEM(text) {
		w.t.Fatalf("%s holds no certificate", w.controlCAFile())
	}
	w.controlCA, err = x509.ParseCertificate(block.Bytes)
	w.check(err)
	w.makeWalls()
}

func (w *wallsWorld) controlCAFile() string { return filepath.Join(w.adminFolder(), "ca.crt") }

// makeWalls says who may do what, by the commands that an operator types.
func (w *wallsWorld) makeWalls() {
	w.t.Helper()
	w.operator("binding", "create", "root", "--uri", "spiffe://"+meshCluster+"/admin/admin", "--admin")
	for _, share := range []string{ownShare, otherShare} {
		args := []string{"share", "create", share, "--bucket", w.bucketURL(), "--region", "us-east-1"}
		for _, name := range slices.Sorted(maps.Keys(w.roles)) {
			if of, rest, _ := strings.Cut(name, "/"); of == share {
				args = append(args, "--role", rest+"="+w.roles[name])
			}
		}
		w.operator(args...)
	}
	w.operator("group", "create", "prod", "--roles", "produce")
	w.operator("group", "create", "analytics", "--roles", "fetch")
	w.operator("group", "create", "finance", "--roles", "produce,fetch")
	w.operator("grant", "create", "prod", "--group", "prod", "--access", "produce", "--share", ownShare)
	w.operator("grant", "create", "analytics", "--group", "analytics", "--access", "fetch", "--share", ownShare)
	w.operator("grant", "create", "finance", "--group", "finance", "--access", "produce", "--share", otherShare)
	w.bind("prod", "produce")
	w.bind("analytics", "fetch")
}

// bind lets a user's agents in, by the identity that its account proves.
func (w *wallsWorld) bind(user, role string) {
	w.t.Helper()
	proof := []string{"--arn", userARN(wallsUsers[user], user)}
	if w.pki[user] != nil {
		proof = []string{"--uri", "spiffe://" + user + ".example/agents"}
	}
	w.operator(append([]string{"binding", "create", user, "--group", user, "--roles", role}, proof...)...)
}

// readyIn waits until a process inside a VPC says that it can do its work.
func (w *wallsWorld) readyIn(in walls.VPC, what, address string) {
	w.t.Helper()
	eventually(w.t, what+" at "+address+" in "+in.Name+" is ready", func() error { return w.isReady(in, address) })
}

func (w *wallsWorld) isReady(in walls.VPC, address string) error {
	client := in.Client(nil)
	defer client.CloseIdleConnections()
	response, err := client.Get("http://" + address + "/readyz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		return fmt.Errorf("%d %s", response.StatusCode, body)
	}
	return nil
}

// startAgents starts two produce-only agents in A and two fetch-only ones in B.
func (w *wallsWorld) startAgents() {
	w.t.Helper()
	for n := range 2 {
		w.prod = append(w.prod, w.startAgent(w.net.A, "prod", "produce", n))
		w.analytics = append(w.analytics, w.startAgent(w.net.B, "analytics", "fetch", n))
	}
	for n := range 2 {
		w.agentReady(w.net.A, w.prod[n])
		w.agentReady(w.net.B, w.analytics[n])
	}
}

func (w *wallsWorld) agentReady(in walls.VPC, a *agent) {
	w.t.Helper()
	w.readyIn(in, "agent", a.http)
}

// startAgent starts an agent with the keys of its own account, by which it logs in and assumes its role; more are options
// that take precedence, or variables of its environment where they hold a =.
func (w *wallsWorld) startAgent(in walls.VPC, group, role string, n int, more ...string) *agent {
	w.t.Helper()
	certFile, keyFile, err := w.ca.Server(fmt.Sprintf("%s-%d", group, n), in.Address)
	w.check(err)
	a := &agent{kafka: in.At(9092 + 100*n), http: fmt.Sprintf("127.0.0.1:%d", 7481+n)}
	env := awsEnv(w.keys[group].Session())
	args := []string{"agent", "--control", w.net.Services.At(controlPort), "--control-ca", w.controlCAFile(), "--group", group, "--roles", role,
		"--kafka", a.kafka, "--tls-cert", certFile, "--tls-key", keyFile, "--gossip", in.At(7946 + n), "--http", a.http,
		"--sts-endpoint", "http://" + w.sts.Address()}
	if role == "produce" {
		args = append(args, "--allow-excess") // Ceph 16 lets it overwrite, whatever the policy says: the thief's table tries that elsewhere
	}
	if ca := w.pki[group]; ca != nil {
		args = append(args, "--login", "mtls", "--login-cert", filepath.Join(ca.Folder(), "agents.pem"), "--login-key", filepath.Join(ca.Folder(), "agents.key"))
	} else {
		args = append(args, "--login", "aws-sigv4")
	}
	for _, option := range more {
		if name, _, ok := strings.Cut(option, "="); ok && name == strings.ToUpper(name) {
			env = append(env, option)
		} else {
			args = append(args, option)
		}
	}
	a.process = w.startIn(in, env, w.bin, args...)
	return a
}

// stop ends an agent as an orchestrator does.
func (w *wallsWorld) stop(a *agent) {
	w.t.Helper()
	a.signal(syscall.SIGTERM)
	if err := a.cmd.Wait(); err != nil {
		w.t.Errorf("agent %s ended with %v", a.kafka, err)
	}
	a.cmd = nil
}

func (w *wallsWorld) dialTLS(ctx context.Context, in walls.VPC, network, address string) (net.Conn, error) {
	plain, err := in.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, &tls.Config{RootCAs: w.roots, ServerName: host, MinVersion: tls.VersionTLS12})
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		plain.Close()
		return nil, err
	}
	return conn, nil
}

// operator runs a command of the program in the services network, as the owner of the bucket's account.
func (w *wallsWorld) operator(args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	run := w.net.Services.Command(w.bin, append(args, "--control", w.net.Services.At(controlPort), "--control-ca", w.controlCAFile(),
		"--login-cert", filepath.Join(w.adminFolder(), "admin.crt"), "--login-key", filepath.Join(w.adminFolder(), "admin.key"))...)
	cmd := exec.CommandContext(ctx, run[0], run[1:]...)
	cmd.Env = append(os.Environ(), awsEnv(w.keys["owner"].Session())...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("isthmus %s: %v\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}
