package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Options are what a case sets on an isthmus cluster; the defaults of isthmus for what is empty.
type Options struct {
	Bucket  string   // URL; a folder on the tmpfs when empty
	Query   string   // appended to the folder's URL: "latency=s3-standard"
	Produce int      // agents of group prod; 1 when 0
	Fetch   int      // agents of group analytics; 1 when 0, none when negative
	Agent   []string // further flags of every agent
	Environ []string // further variables of every process
	// Prepare is called once the control plane runs, and before agents do; nil: nothing is to be prepared.
	Prepare func(context.Context, *Cluster) error
}

// Cluster is one control plane, a group that produces and a group that fetches, each process of its own.
type Cluster struct {
	env     *Env
	dir     string
	bucket  string
	options Options
	control *process
	address string

	producers, fetchers []*Agent
}

// Agent is one agent's process and its Kafka address.
type Agent struct {
	*process
	kafka string
}

// StartIsthmus starts a cluster on an empty bucket. The caller stops it.
func (e *Env) StartIsthmus(ctx context.Context, o Options) (*Cluster, error) {
	dir, err := os.MkdirTemp(e.Dir, "isthmus-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{env: e, dir: dir, bucket: o.Bucket, options: o}
	if c.bucket == "" {
		c.bucket = "file://" + filepath.Join(dir, "bucket")
		if o.Query != "" {
			c.bucket += "?" + o.Query
		}
	}
	if err := c.start(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	addresses, err := freeAddresses(2)
	if err != nil {
		return err
	}
	c.address = addresses[0]
	c.control, err = start(c.dir, "control", c.options.Environ, c.env.Binary, "control", "--data-dir", filepath.Join(c.dir, "control"),
		"--bucket", c.bucket, "--listen", c.address, "--http", addresses[1])
	if err != nil {
		return err
	}
	c.control.http = addresses[1]
	if err := c.control.ready(ctx); err != nil {
		return err
	}
	if c.options.Prepare != nil {
		if err := c.options.Prepare(ctx, c); err != nil {
			return err
		}
	}
	for range max(c.options.Produce, 1) {
		if _, err := c.AddAgent(ctx, "prod", "produce"); err != nil {
			return err
		}
	}
	fetchers := c.options.Fetch
	if fetchers == 0 {
		fetchers = 1
	}
	for range max(fetchers, 0) {
		if _, err := c.AddAgent(ctx, "analytics", "fetch"); err != nil {
			return err
		}
	}
	return nil
}

// AddAgent starts one agent more.
func (c *Cluster) AddAgent(ctx context.Context, group, role string) (*Agent, error) {
	addresses, err := freeAddresses(3)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s-%d-%d", role, len(c.producers), len(c.fetchers))
	args := append([]string{"agent", "--control", c.address, "--group", group, "--roles", role,
		"--kafka", addresses[0], "--gossip", addresses[1], "--http", addresses[2]}, c.options.Agent...)
	p, err := start(c.dir, name, c.options.Environ, c.env.Binary, args...)
	if err != nil {
		return nil, err
	}
	p.http = addresses[2]
	a := &Agent{process: p, kafka: addresses[0]}
	if role == "produce" {
		c.producers = append(c.producers, a)
	} else {
		c.fetchers = append(c.fetchers, a)
	}
	return a, p.ready(ctx)
}

// operate runs a command of the program as an operator does.
func (c *Cluster) operate(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, c.env.Binary, append(args, "--control", c.address)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("isthmus %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// RestartFetchers replaces the agents that fetch, and so empties what they hold in memory.
func (c *Cluster) RestartFetchers(ctx context.Context) error {
	old := c.fetchers
	c.fetchers = nil
	for _, a := range old {
		a.stop()
	}
	for range old {
		if _, err := c.AddAgent(ctx, "analytics", "fetch"); err != nil {
			return err
		}
	}
	return nil
}

// ProduceAddresses and FetchAddresses are where clients begin.
func (c *Cluster) ProduceAddresses() []string { return kafkaAddresses(c.producers) }

// FetchAddresses are those of the agents that fetch.
func (c *Cluster) FetchAddresses() []string { return kafkaAddresses(c.fetchers) }

func kafkaAddresses(agents []*Agent) []string {
	var all []string
	for _, a := range agents {
		all = append(all, a.kafka)
	}
	return all
}

// Processes are all of the cluster.
func (c *Cluster) Processes() []*process {
	var all []*process
	if c.control != nil {
		all = append(all, c.control)
	}
	for _, a := range append(append([]*Agent{}, c.producers...), c.fetchers...) {
		all = append(all, a.process)
	}
	return all
}

// PIDs are those of all its processes.
func (c *Cluster) PIDs() []int {
	var all []int
	for _, p := range c.Processes() {
		all = append(all, p.pid())
	}
	return all
}

// Stop ends all processes and removes their data. The logs of a failed case are kept.
func (c *Cluster) Stop() {
	for _, p := range c.Processes() {
		p.stop()
		c.env.keepLog(p)
	}
	if err := os.RemoveAll(c.dir); err != nil {
		c.env.warn("remove %s: %v", c.dir, err)
	}
}

func freeAddresses(n int) ([]string, error) {
	all := make([]string, n)
	for i := range all {
		var err error
		if all[i], err = freeAddress(); err != nil {
			return nil, err
		}
	}
	return all, nil
}
