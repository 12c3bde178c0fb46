package linear

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/control/server"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// bed is a control node that is killed and started again, behind a network that fails.
type bed struct {
	t      *testing.T
	config server.Config
	store  *memstore.Store
	net    *proxy
	node   *server.Node
}

func newBed(t *testing.T, seed uint64) *bed {
	b := &bed{t: t, config: server.Default(), store: memstore.New(nil), net: newProxy(t, seed)}
	b.config.BucketURL, b.config.Listen = "mem://", "127.0.0.1:0"
	b.config.Raft.Dir = t.TempDir()
	b.config.Raft.ElectionTimeout = 10 * time.Millisecond
	b.config.Raft.TurnLook = 50 * time.Millisecond
	b.config.Tick = 10 * time.Millisecond
	b.config.DefaultPartitions = partitions
	b.config.Tunnel.Coordinator.MinSessionTimeout = 100 * time.Millisecond
	b.config.Tunnel.Coordinator.InitialRebalanceDelay = 10 * time.Millisecond
	b.start()
	t.Cleanup(b.kill)
	return b
}

// partitions is how many the topic of every test has.
const partitions = 3

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// start starts the node and lets the network reach it once it serves.
func (b *bed) start() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	n, err := server.Start(ctx, b.config, server.Deps{Store: b.store, Logger: quiet(), Registerer: prometheus.NewRegistry()})
	if err != nil {
		b.t.Fatal(err)
	}
	b.node = n
	if err := n.WaitReady(ctx); err != nil {
		b.t.Fatal(err)
	}
	addr := n.Addr().String()
	b.net.target.Store(&addr)
}

// kill ends the node without waiting for any call: what stands in its queue is never logged, and of
// what is on its way to the log nobody is told.
func (b *bed) kill() {
	if b.node == nil {
		return
	}
	b.net.target.Store(nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.node.Stop(ctx); err != nil {
		b.t.Errorf("stop: %v", err)
	}
	b.node = nil
}

// hostile lets the clients work three times. The network fails all the while, the second and the third
// time the node is killed meanwhile, the last time right after a snapshot; then peace returns.
func (b *bed) hostile(work func(*sync.WaitGroup)) {
	b.t.Helper()
	for round := range 3 {
		var workers sync.WaitGroup
		work(&workers)
		if round > 0 {
			b.restart(round == 2)
		}
		workers.Wait()
	}
	b.net.calm.Store(true)
	b.net.cutAll()
	if b.net.broken.Load() == 0 {
		b.t.Error("no connection was broken")
	}
}

// restart kills the node while calls are under way, and starts it again.
func (b *bed) restart(snapshot bool) {
	b.t.Helper()
	if snapshot {
		if err := b.node.Snapshot(b.t.Context()); err != nil {
			b.t.Error(err)
		}
	}
	b.kill()
	b.net.cutAll()
	b.start()
}

// twin is a second node on a copy of the data directory and of the bucket: a leader that was deposed
// without noticing, or a copy that somebody has put back. It is reached through a network of its own.
func (b *bed) twin(seed uint64) *bed {
	b.t.Helper()
	b.kill()
	c := &bed{t: b.t, config: b.config, store: memstore.New(nil), net: newProxy(b.t, seed)}
	c.config.Raft.Dir = b.t.TempDir()
	copyDir(b.t, c.config.Raft.Dir, b.config.Raft.Dir)
	copyBucket(b.t, c.store, b.store)
	b.start()
	c.start()
	b.t.Cleanup(c.kill)
	return c
}

// copyDir copies a data directory with the modes of its files: keys that others could read are refused.
func copyDir(t *testing.T, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chmod(filepath.Join(to, rel), info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dial returns a client that sees the node through the network, and gives up on a call soon enough for
// a test to go on.
func (b *bed) dial() *client.Client {
	b.t.Helper()
	c := client.Default()
	c.Addrs = []string{b.net.addr()}
	c.BackoffMin, c.BackoffMax = time.Millisecond, 20*time.Millisecond
	c.Patience, c.ConnectTimeout = 60*time.Second, 5*time.Second
	cl, err := client.Dial(c, quiet(), prometheus.NewRegistry())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return cl
}

// login makes c an agent of both roles.
func login(t *testing.T, c *client.Client, name string) client.Grant {
	t.Helper()
	g, err := c.Login(t.Context(), client.LoginRequest{
		Agent: name, Group: "both", Roles: []string{"produce", "fetch"}, KafkaAddress: name + ":9092", GossipAddress: name + ":7946",
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const topicName = "events"

// theTopic creates the topic on first use.
func theTopic(t *testing.T, c *client.Client) topic.ID {
	t.Helper()
	found, err := c.Topics(t.Context(), topic.Query{Names: []string{topicName}, Create: true})
	if err != nil || found[0].Code != 0 {
		t.Fatalf("topic: %+v %v", found, err)
	}
	return found[0].Topic.ID
}
