package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/faultnet"
)

// The two groups, and how many agents each has.
const (
	producing = "prod"
	consuming = "analytics"
	perGroup  = 3
)

// node is a process of the cluster with what its faults need.
type node struct {
	*process
	clock string // file of its clock's offset
}

// agent is one agent, with the ways to and from it.
type agent struct {
	*node
	group, role string
	host        string         // of its own addresses
	front       *faultnet.Link // from clients; what it advertises
	uplink      *faultnet.Link // to the control plane
	moves       int            // how often it came back with other ports
}

// cluster is everything that runs. Every address is a loopback address of this soak's own, so that ports
// never meet those that the system hands out.
type cluster struct {
	config  Config
	network string // the first three bytes of every address
	bucket  *bucketProxy
	disk    *disk
	control *node
	listen  string // of the control plane
	agents  []*agent

	mu    sync.Mutex
	ended []string // processes that ended by themselves
}

func newCluster(c Config) *cluster {
	pid := os.Getpid() // so that two soaks at a time do not meet
	return &cluster{config: c, network: fmt.Sprintf("127.%d.%d.", 64+pid%128, 1+pid/128%250)}
}

func (c *cluster) host(n int) string { return c.network + strconv.Itoa(n) }

func (c *cluster) died(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = append(c.ended, fmt.Sprintf("%s ended by itself: %v", name, err))
}

// deaths are the processes that ended by themselves.
func (c *cluster) deaths() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.ended...)
}

// start builds the cluster from the bucket outward and waits until all of it is ready.
func (c *cluster) start(ctx context.Context, rng *rand.Rand) (err error) {
	if c.bucket, err = startBucketProxy(c.host(1)+":9000", c.config.Endpoint, rng); err != nil {
		return err
	}
	if c.disk, err = mountDisk(filepath.Join(c.config.Dir, "disk")); err != nil {
		return err
	}
	if err = c.startControl(ctx); err != nil {
		return err
	}
	for i := range 2 * perGroup {
		group, role := producing, "produce"
		if i >= perGroup {
			group, role = consuming, "fetch"
		}
		a, err := c.addAgent(fmt.Sprintf("%s-%d", group, i%perGroup+1), group, role, 11+i)
		if err != nil {
			return err
		}
		c.agents = append(c.agents, a)
	}
	for _, a := range c.agents {
		if err := a.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// node makes a process that knows the bucket, and a clock of its own.
func (c *cluster) node(name, http string) (*node, error) {
	n := &node{clock: filepath.Join(c.config.Dir, name+".clock")}
	n.process = &process{
		name: name, binary: c.config.Binary, log: filepath.Join(c.config.Dir, name+".log"), http: http, died: c.died,
		env: []string{"AWS_EXECUTION_ENV=" + name, "ISTHMUS_TEST_CLOCK=" + n.clock},
	}
	return n, n.setClock(0)
}

// setClock moves the process's clock; the file changes as a whole.
func (n *node) setClock(offset time.Duration) error {
	fresh := n.clock + ".new"
	if err := os.WriteFile(fresh, []byte(strconv.FormatInt(offset.Milliseconds(), 10)), 0o600); err != nil {
		return fmt.Errorf("move the clock of %s: %w", n.name, err)
	}
	if err := os.Rename(fresh, n.clock); err != nil {
		return fmt.Errorf("move the clock of %s: %w", n.name, err)
	}
	return nil
}

func (c *cluster) startControl(ctx context.Context) (err error) {
	c.listen = c.host(2) + ":7400"
	if c.control, err = c.node("control", c.host(2)+":7480"); err != nil {
		return err
	}
	bucket := fmt.Sprintf("s3://%s/soak-%d-%d?endpoint=http://%s&region=us-east-1&path-style=true",
		c.config.Bucket, time.Now().Unix(), os.Getpid(), c.bucket.listener.Addr())
	c.control.args = []string{
		"control", "--data-dir", filepath.Join(c.disk.dir, "control"), "--bucket", bucket,
		"--listen", c.listen, "--http", c.control.http,
	}
	return errors.Join(c.control.start(), c.control.ready(ctx))
}

func (c *cluster) addAgent(name, group, role string, number int) (a *agent, err error) {
	a = &agent{group: group, role: role, host: c.host(number)}
	if a.node, err = c.node(name, ""); err != nil {
		return nil, err
	}
	if a.uplink, err = faultnet.Open(c.host(number+200)+":7400", c.listen); err != nil {
		return nil, err
	}
	if err := a.settle(c.host(number + 100)); err != nil {
		return nil, err
	}
	return a, a.start()
}

// settle gives the agent addresses, others each time, and a link that clients reach it by.
func (a *agent) settle(front string) (err error) {
	port := func(base int) string { return ":" + strconv.Itoa(base+100*a.moves) }
	if a.front != nil {
		a.front.Close()
	}
	kafka := a.host + port(9092)
	if a.front, err = faultnet.Open(front+port(9092), kafka); err != nil {
		return err
	}
	a.http = a.host + port(7481)
	a.args = []string{
		"agent", "--control", a.uplink.Address, "--group", a.group, "--roles", a.role, "--memory", "256MiB", "--cache", "32MiB",
		"--kafka", kafka, "--advertise", a.front.Address, "--gossip", a.host + port(7946), "--http", a.http,
	}
	return nil
}

// members are the agents of a group.
func (c *cluster) members(group string) []*agent {
	var all []*agent
	for _, a := range c.agents {
		if a.group == group {
			all = append(all, a)
		}
	}
	return all
}

// brokers are where clients of a group begin.
func (c *cluster) brokers(group string) []string {
	var all []string
	for _, a := range c.members(group) {
		all = append(all, a.front.Address)
	}
	return all
}

// busy are the agents that have carried more than the small talk of idle clients for a second.
func (c *cluster) busy(ctx context.Context) map[string]bool {
	before := map[*faultnet.Link]int64{}
	for _, a := range c.agents {
		before[a.front] = a.front.Carried.Load()
	}
	pause(ctx, time.Second)
	busy := map[string]bool{}
	for _, a := range c.agents {
		busy[a.name] = a.front.Carried.Load()-before[a.front] > 50_000
	}
	return busy
}

// nodes are all processes.
func (c *cluster) nodes() []*node {
	all := []*node{c.control}
	for _, a := range c.agents {
		all = append(all, a.node)
	}
	return all
}

// operate runs a command of the program as an operator does, past every link.
func (c *cluster) operate(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, c.config.Binary, append(args, "--control", c.listen)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("isthmus %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// stop ends every process as an operator does, agents first, and returns those that did not end well.
func (c *cluster) stop() error {
	var faults []error
	for _, a := range c.agents {
		faults = append(faults, a.stop())
	}
	if c.control != nil {
		faults = append(faults, c.control.stop())
	}
	return errors.Join(faults...)
}

// close takes away what stop leaves: links, the proxy, the disk, and processes if stop was not called.
func (c *cluster) close() error {
	for _, a := range c.agents {
		a.kill()
		a.front.Close()
		a.uplink.Close()
	}
	if c.control != nil {
		c.control.kill()
	}
	if c.bucket != nil {
		c.bucket.close()
	}
	if c.disk != nil {
		return c.disk.unmount()
	}
	return nil
}
