//go:build e2e && linux

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

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
	ownShare    = "default" // prod produces to it, analytics fetch from it
	otherShare  = "payroll" // of the group finance

	controlPort, controlHTTPPort = 7400, 7480
	gatewayPort                  = 17480
)

// keys are the long-lived keys of the users that stand for the accounts' own roles.
var wallsKeys = map[string]walls.Key{
	"owner":     {ID: "AKIAOWNER00000000000", Secret: "owner-secret-owner-secret-owner-secret-0"},
	"control":   {ID: "AKIACONTROL000000000", Secret: "control-secret-control-secret-control-00"},
	"jobs":      {ID: "AKIAJOBS000000000000", Secret: "jobs-secret-jobs-secret-jobs-secret-0000"},
	"prod":      {ID: "AKIAPROD000000000000", Secret: "prod-secret-prod-secret-prod-secret-0000"},
	"analytics": {ID: "AKIAANALYTICS0000000", Secret: "analytics-secret-analytics-secret-000000"},
	"stranger":  {ID: "AKIASTRANGER00000000", Secret: "stranger-secret-stranger-secret-00000000"},
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

	roles           map[string]string // ARN by name
	control         *process
	prod, analytics []*agent
}

func newWallsWorld(t *testing.T) *wallsWorld {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run make e2e-walls as root")
	}
	w := &wallsWorld{t: t, bin: need(t, "ISTHMUS_BIN"), dir: t.TempDir(), table: new(walls.Table), roles: map[string]string{}}
	w.makeNetwork()
	w.makeCA()
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
	w.net, err = walls.Up(script, fmt.Sprintf("walls-%d-", os.Getpid()))
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
	for user, account := range map[string]string{
		"owner": dataAccount, "control": dataAccount, "jobs": dataAccount,
		"prod": prodAccount, "analytics": analyticsAccount, "stranger": strangerAccount,
	} {
		w.check(w.ceph.User(account, user, wallsKeys[user]))
	}
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

// makeRoles makes a role for each group, role and share, as docs/security.md says.
func (w *wallsWorld) makeRoles() {
	w.t.Helper()
	for _, r := range []struct{ share, group, role, trusted string }{
		{ownShare, "prod", "produce", userARN(prodAccount, "prod")},
		{ownShare, "analytics", "fetch", userARN(analyticsAccount, "analytics")},
		{otherShare, "finance", "produce", userARN(dataAccount, "jobs")},
		{otherShare, "finance", "fetch", userARN(dataAccount, "jobs")},
		{ownShare, "jobs", "jobs", userARN(dataAccount, "jobs")},
	} {
		name := strings.Join([]string{"isthmus", meshCluster, r.share, r.group, r.role}, "-")
		arn, err := w.ceph.Role(dataAccount, name, trustOf(r.trusted), permissionOf(w.t, r.role, r.share, r.group))
		w.check(err)
		w.roles[r.share+"/"+r.group+"/"+r.role] = arn
	}
}

func trustOf(principal string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":[%q]},"Action":["sts:AssumeRole"]}]}`, principal)
}

func permissionOf(t *testing.T, role, share, group string) string {
	t.Helper()
	data := func(key string) string { return "arn:aws:s3:::" + meshBucket + "/" + meshCluster + "/" + key }
	type statement struct {
		Effect    string
		Action    []string
		Resource  []string
		Condition map[string]map[string][]string `json:",omitempty"`
	}
	var all []statement
	switch role {
	case "produce":
		all = []statement{{"Allow", []string{"s3:PutObject"}, []string{data("data/" + share + "/" + group + "/*"), data("_preflight/*")}, nil}}
	case "fetch":
		all = []statement{{"Allow", []string{"s3:GetObject"}, []string{data("data/" + share + "/*"), data("_isthmus/canary")}, nil}}
	case "jobs":
		all = []statement{
			{"Allow", []string{"s3:GetObject", "s3:DeleteObject", "s3:PutObject"}, []string{data("data/" + share + "/*"), data("_preflight/*")}, nil},
			{"Allow", []string{"s3:ListBucket"}, []string{"arn:aws:s3:::" + meshBucket},
				map[string]map[string][]string{"StringLike": {"s3:prefix": {meshCluster + "/data/" + share + "/*", meshCluster + "/_preflight/*"}}}},
		}
	default:
		t.Fatalf("no policy for role %q", role)
	}
	document, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": all})
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

// makeBucket makes the bucket, lets the control plane at meta/ alone, and puts objects there that others must not get.
func (w *wallsWorld) makeBucket() {
	w.t.Helper()
	owner := w.bucketAs(w.net.Services, wallsKeys["owner"].Session())
	_, err := owner.CreateBucket(w.t.Context(), &s3.CreateBucketInput{Bucket: aws.String(meshBucket)})
	w.check(err)
	control := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
{"Effect":"Allow","Principal":{"AWS":[%[1]q]},"Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::%[2]s/%[3]s/meta/*"]},
{"Effect":"Allow","Principal":{"AWS":[%[1]q]},"Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::%[2]s"],"Condition":{"StringLike":{"s3:prefix":["%[3]s/meta/*"]}}}]}`,
		userARN(dataAccount, "control"), meshBucket, meshCluster)
	_, err = owner.PutBucketPolicy(w.t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String(meshBucket), Policy: aws.String(control)})
	w.check(err)
	for _, key := range []string{
		meshCluster + "/data/" + otherShare + "/finance/known", meshCluster + "/data/" + ownShare + "/analytics/known",
		meshCluster + "/data/" + ownShare + "/prod/known", meshCluster + "/meta/known", "othercluster/data/" + ownShare + "/prod/known", "_outside/canary",
	} {
		_, err := owner.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: aws.String(meshBucket), Key: aws.String(key), Body: strings.NewReader("worth stealing")})
		w.check(err)
	}
	canary := fmt.Sprintf("isthmus canary of cluster %s\n", meshCluster)
	_, err = owner.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: aws.String(meshBucket), Key: aws.String(meshCluster + "/_isthmus/canary"), Body: strings.NewReader(canary)})
	w.check(err)
}

func (w *wallsWorld) awsAs(in walls.VPC, c aws.Credentials) aws.Config {
	return aws.Config{Region: "us-east-1", HTTPClient: in.Client(), BaseEndpoint: aws.String("http://" + w.net.Services.At(gatewayPort)),
		Credentials: credentials.StaticCredentialsProvider{Value: c}}
}

// bucketAs is the bucket as somebody sees it from a VPC.
func (w *wallsWorld) bucketAs(in walls.VPC, c aws.Credentials) *s3.Client {
	return s3.NewFromConfig(w.awsAs(in, c), func(o *s3.Options) { o.UsePathStyle = true })
}

// assume takes a role with somebody's own keys, as an agent does.
func (w *wallsWorld) assume(in walls.VPC, key walls.Key, role, session string) (aws.Credentials, error) {
	out, err := sts.NewFromConfig(w.awsAs(in, key.Session())).AssumeRole(w.t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String(role), RoleSessionName: aws.String(session), DurationSeconds: aws.Int32(3600)})
	if err != nil {
		return aws.Credentials{}, err
	}
	c := out.Credentials
	return aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}, nil
}

func (w *wallsWorld) mustAssume(in walls.VPC, key walls.Key, role, session string) aws.Credentials {
	w.t.Helper()
	c, err := w.assume(in, key, role, session)
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
	return fmt.Sprintf("s3://%s?endpoint=http://%s&region=us-east-1&path-style=true", meshBucket, w.net.Services.At(gatewayPort))
}

// startIn starts a program inside a VPC.
func (w *wallsWorld) startIn(in walls.VPC, env []string, name string, args ...string) *process {
	w.t.Helper()
	run := in.Command(name, args...)
	return start(w.t, env, run[0], run[1:]...)
}

// startServices starts the control plane.
func (w *wallsWorld) startServices() {
	w.t.Helper()
	w.control = w.startIn(w.net.Services, awsEnv(wallsKeys["control"].Session()), w.bin, "control", "--cluster", meshCluster,
		"--data-dir", filepath.Join(w.dir, "control"), "--bucket", w.bucketURL(), "--listen", w.net.Services.At(controlPort),
		"--http", "127.0.0.1:7480", "--insecure")
	w.readyIn(w.net.Services, "control plane", "127.0.0.1:7480")
}

// readyIn waits until a process inside a VPC says that it can do its work.
func (w *wallsWorld) readyIn(in walls.VPC, what, address string) {
	w.t.Helper()
	client := in.Client()
	eventually(w.t, what+" at "+address+" in "+in.Name+" is ready", func() error {
		response, err := client.Get("http://" + address + "/readyz")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
			return fmt.Errorf("%d %s", response.StatusCode, body)
		}
		return nil
	})
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

func (w *wallsWorld) startAgent(in walls.VPC, group, role string, n int) *agent {
	w.t.Helper()
	certFile, keyFile, err := w.ca.Server(fmt.Sprintf("%s-%d", group, n), in.Address)
	w.check(err)
	a := &agent{kafka: in.At(9092 + 100*n), http: fmt.Sprintf("127.0.0.1:%d", 7481+n)}
	session := w.mustAssume(in, wallsKeys[group], w.roles[ownShare+"/"+group+"/"+role], fmt.Sprintf("%s-%d", group, n))
	a.process = w.startIn(in, awsEnv(session), w.bin, "agent", "--control", w.net.Services.At(controlPort), "--group", group, "--roles", role,
		"--kafka", a.kafka, "--tls-cert", certFile, "--tls-key", keyFile, "--gossip", in.At(7946+n), "--http", a.http, "--insecure")
	return a
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

// operator runs a command of the program in the services network.
func (w *wallsWorld) operator(args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	run := w.net.Services.Command(w.bin, append(args, "--control", w.net.Services.At(controlPort))...)
	cmd := exec.CommandContext(ctx, run[0], run[1:]...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("isthmus %s: %v\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}
