//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds every wait: generous, for a shared machine; nothing asserts how long things took.
const patience = 90 * time.Second

// need returns an environment variable that scripts/e2e.sh sets.
func need(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run make e2e", name)
	}
	return value
}

// needProgram returns the path of a program that scripts/e2e.sh installs.
func needProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Fatalf("%s is not installed: run make e2e", name)
		}
	}
	return path
}

// process is one program that a test started. It is killed when the test ends, and its log is
// shown if the test failed.
type process struct {
	t    *testing.T
	name string
	args []string
	env  []string
	log  string
	cmd  *exec.Cmd
}

func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	log := filepath.Join(t.TempDir(), filepath.Base(name)+".log")
	p := &process{t: t, name: name, args: args, env: env, log: log}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			p.showLog()
		}
	})
	return p
}

func (p *process) start() {
	p.t.Helper()
	file, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer file.Close()
	p.cmd = exec.Command(p.name, p.args...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = file, file
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.cmd = nil
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("send %v to %s: %v", s, p.name, err)
	}
}

func (p *process) showLog() {
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Logf("log of %s: %v", p.name, err)
		return
	}
	if len(text) > 12_000 {
		text = text[len(text)-12_000:]
	}
	p.t.Logf("%s %s:\n%s", p.name, strings.Join(p.args, " "), text)
}

// freeAddress finds a loopback address that nothing listens on, another one with every call. Its port is not one
// that the system hands out, for then the process that is told it could lose it to a connection.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+nextPort.Add(1)%20_000))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// nextPort begins where this process alone is likely to be, for others may run the same tests beside it.
var nextPort = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(rand.Int64N(20_000))
	return &n
}()

// eventually waits for check to succeed.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// agent is one agent process and its addresses.
type agent struct {
	*process
	kafka, http string
}

// cluster is a control plane and the agents of two groups, each a process of its own.
type cluster struct {
	t                *testing.T
	bin, dir, bucket string
	env              []string
	address          string // of the control plane
	controlHTTP      string
	control          *process
	prod, analytics  []*agent
}

// startCluster starts a control plane, two produce-only and two fetch-only agents.
func startCluster(t *testing.T, bucket string, env ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, bin: need(t, "ISTHMUS_BIN"), dir: t.TempDir(), bucket: bucket, env: env, address: freeAddress(t), controlHTTP: freeAddress(t)}
	c.control = start(t, env, c.bin, "control", "--data-dir", filepath.Join(c.dir, "control"), "--bucket", bucket,
		"--listen", c.address, "--http", c.controlHTTP)
	ready(t, "control plane", c.controlHTTP)
	for range 2 {
		c.prod = append(c.prod, c.startAgent("prod", "produce"))
		c.analytics = append(c.analytics, c.startAgent("analytics", "fetch"))
	}
	for _, a := range append(c.prod, c.analytics...) {
		ready(t, "agent", a.http)
	}
	return c
}

func (c *cluster) startAgent(group, roles string, more ...string) *agent {
	c.t.Helper()
	a := &agent{kafka: freeAddress(c.t), http: freeAddress(c.t)}
	a.process = start(c.t, c.env, c.bin, append([]string{"agent", "--control", c.address, "--group", group, "--roles", roles,
		"--kafka", a.kafka, "--gossip", freeAddress(c.t), "--http", a.http}, more...)...)
	return a
}

// ready waits until a process says that it can do its work.
func ready(t *testing.T, what, address string) {
	t.Helper()
	eventually(t, what+" at "+address+" is ready", func() error {
		response, err := http.Get("http://" + address + "/readyz")
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

// isthmus runs one command of the program and returns its standard output.
func (c *cluster) isthmus(args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.bin, append(args, "--control", c.address)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("isthmus %s: %v\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

func bootstrap(agents []*agent) []string {
	var all []string
	for _, a := range agents {
		all = append(all, a.kafka)
	}
	return all
}
