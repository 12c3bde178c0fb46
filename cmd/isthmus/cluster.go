package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
	"github.com/isthmusdata/isthmus/internal/obs"
	"github.com/isthmusdata/isthmus/internal/units"
)

// recentObjects is how many of the last stored objects are remembered for the page.
const recentObjects = 32

// localCluster is a control plane and agents in one process, over real sockets on loopback: what
// demo and playground run, and what tests look at as clients do.
type localCluster struct {
	log     *slog.Logger
	bucket  string
	control *controlNode
	poison  bool // agents added from now on overwrite what should not be read any more: see wire.Deps and fetch.Deps

	mu     sync.Mutex
	agents map[string]*localAgent
	names  []string // in the order in which they were added

	stored struct {
		sync.Mutex
		puts, gets int64
		bytes      int64
		recent     []storedObject
	}
}

// localAgent is one agent, running or killed. Its Kafka address stays the same.
type localAgent struct {
	config agentConfig
	agent  *agent // nil: killed
}

// storedObject is an object as the page shows it.
type storedObject struct {
	Number int64  `json:"number"`
	Key    string `json:"key"`
	Bytes  int64  `json:"bytes"`
}

// agentState is an agent as the page shows it.
type agentState struct {
	Name  string `json:"name"`
	Group string `json:"group"`
	Kafka string `json:"kafka"`
	Up    bool   `json:"up"`
}

// startCluster starts a control plane with its data under dir, and waits until it serves.
func startCluster(ctx context.Context, dir, bucket string, log *slog.Logger, changes ...func(*controlConfig)) (*localCluster, error) {
	c := &localCluster{log: log, bucket: bucket, agents: map[string]*localAgent{}}
	config := defaultControlConfig()
	config.Raft.Dir, config.BucketURL, config.Listen, config.HTTP = filepath.Join(dir, "control"), bucket, "127.0.0.1:0", ""
	for _, change := range changes {
		change(&config)
	}
	var err error
	if c.control, err = startControl(ctx, config, log.With("part", "control"), obs.NewRegistry(), openBucket); err != nil {
		return nil, err
	}
	if err := c.control.node.WaitReady(ctx); err != nil {
		return nil, errors.Join(err, c.control.stop(ctx))
	}
	return c, nil
}

// loopbackAgent is the configuration of an agent of a local cluster.
func loopbackAgent(group string, has roles) agentConfig {
	config := defaultAgent()
	config.Group, config.Roles = group, has
	config.Kafka, config.Gossip, config.HTTP = "127.0.0.1:0", "127.0.0.1:0", ""
	config.Memory, config.Cache = 512*units.MiB, 128*units.MiB
	return config
}

func (c *localCluster) controlAddr() string { return c.control.node.Addr().String() }

// add starts an agent under a name.
func (c *localCluster) add(ctx context.Context, name string, config agentConfig) error {
	config.Login.Addresses = []string{c.controlAddr()}
	if err := config.Validate(); err != nil {
		return usageError{err}
	}
	a, err := c.startAgent(ctx, name, config)
	if err != nil {
		return fmt.Errorf("start agent %s: %w", name, err)
	}
	config.Kafka = a.advertised() // where it returns to
	c.mu.Lock()
	defer c.mu.Unlock()
	c.agents[name] = &localAgent{config: config, agent: a}
	c.names = append(c.names, name)
	return nil
}

func (c *localCluster) startAgent(ctx context.Context, name string, config agentConfig) (*agent, error) {
	return startAgent(ctx, config, agentDeps{log: c.log.With("agent", name), registry: obs.NewRegistry(), open: c.openObserved, poison: c.poison})
}

// kill ends an agent as kill -9 would.
func (c *localCluster) kill(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.agents[name]
	if !ok || a.agent == nil {
		return fmt.Errorf("no agent %s is running", name)
	}
	a.agent.kill()
	a.agent = nil
	return nil
}

// restart lets a killed agent return, to the same Kafka address.
func (c *localCluster) restart(ctx context.Context, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.agents[name]
	if !ok || a.agent != nil {
		return fmt.Errorf("no agent %s waits to return", name)
	}
	started, err := c.startAgent(ctx, name, a.config)
	if err != nil {
		return fmt.Errorf("let agent %s return: %w", name, err)
	}
	a.agent = started
	return nil
}

// states lists the agents in the order in which they were added.
func (c *localCluster) states() []agentState {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]agentState, len(c.names))
	for i, name := range c.names {
		a := c.agents[name]
		all[i] = agentState{Name: name, Group: a.config.Group, Kafka: a.config.Kafka, Up: a.agent != nil}
	}
	return all
}

// bootstraps are the Kafka addresses of a group's agents.
func (c *localCluster) bootstraps(group string) []string {
	var all []string
	for _, a := range c.states() {
		if a.Group == group {
			all = append(all, a.Kafka)
		}
	}
	return all
}

func (c *localCluster) bootstrap(group string) string { return strings.Join(c.bootstraps(group), ",") }

// running is a running agent of a group; nil: there is none.
func (c *localCluster) running(group string) *agent {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.names {
		if a := c.agents[name]; a.config.Group == group && a.agent != nil {
			return a.agent
		}
	}
	return nil
}

// stop ends the agents first, then the control plane.
func (c *localCluster) stop(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	faults := make([]error, len(c.names)+1)
	var stopping sync.WaitGroup
	for i, name := range c.names {
		if a := c.agents[name].agent; a != nil {
			stopping.Go(func() { faults[i] = a.stop(ctx) })
		}
	}
	stopping.Wait()
	faults[len(c.names)] = c.control.stop(ctx)
	return errors.Join(faults...)
}

// requests counts what the agents have asked of the bucket.
func (c *localCluster) requests() (puts, gets int64) {
	c.stored.Lock()
	defer c.stored.Unlock()
	return c.stored.puts, c.stored.gets
}

// recent are the last objects stored, and the bytes of all.
func (c *localCluster) recent() (objects []storedObject, bytes int64) {
	c.stored.Lock()
	defer c.stored.Unlock()
	return slices.Clone(c.stored.recent), c.stored.bytes
}

func (c *localCluster) openObserved(ctx context.Context, url string, by open.Access) (objstore.Store, error) {
	inner, err := openBucket(ctx, url, by)
	if err != nil {
		return nil, err
	}
	return &observedStore{Store: inner, cluster: c}, nil
}

// observedStore notes what agents do to the bucket.
type observedStore struct {
	objstore.Store
	cluster *localCluster
}

func (s *observedStore) PutNew(ctx context.Context, key string, body [][]byte, crc32c uint32) error {
	err := s.Store.PutNew(ctx, key, body, crc32c)
	c := &s.cluster.stored
	c.Lock()
	defer c.Unlock()
	c.puts++
	if err != nil {
		return err
	}
	object := storedObject{Number: c.puts, Key: key}
	for _, part := range body {
		object.Bytes += int64(len(part))
	}
	c.bytes += object.Bytes
	c.recent = append(c.recent, object)
	if len(c.recent) > recentObjects {
		c.recent = slices.Delete(c.recent, 0, len(c.recent)-recentObjects)
	}
	return nil
}

func (s *observedStore) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	s.cluster.stored.Lock()
	s.cluster.stored.gets++
	s.cluster.stored.Unlock()
	return s.Store.GetRange(ctx, key, position, length)
}
