package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/control/server"
	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/metered"
	"github.com/isthmusdata/isthmus/internal/obs"
)

// controlConfig is everything one control node is told.
type controlConfig struct {
	server.Config
	HTTP      string // empty: none
	Admission admission
	Meta      metaRole
}

func defaultControlConfig() controlConfig {
	c := controlConfig{Config: server.Default(), HTTP: controlHTTP}
	c.Cluster, c.Version = "isthmus", version
	return c
}

func newControl() *cobra.Command {
	config := defaultControlConfig()
	cmd := &cobra.Command{
		Use:   "control",
		Short: "Run the control plane: it gives records their place and keeps the index",
		Long: `control runs one control node. It keeps its log in --data-dir, and claims the cluster's prefix of
the bucket once, so that no other control plane can use it. Agents learn the bucket from it.

On loopback it speaks TLS and plain text, and admits any caller until there is a binding. Beyond
loopback it speaks TLS alone, by a certificate of the cluster's own authority or one that it is given,
and every caller logs in.`,
		Example: "  isthmus control --data-dir ./control --bucket file:///var/lib/isthmus/bucket\n" +
			"  isthmus control --data-dir ./control --bucket s3://my-bucket/streams --listen 0.0.0.0:7400 --advertise control.example\n" +
			"  isthmus control --data-dir ./control --bucket 's3://my-bucket/streams?region=eu-west-1'",
	}
	f := cmd.Flags()
	f.StringVar(&config.Raft.Dir, "data-dir", "", "folder of the log; keep it: without it the cluster is gone")
	f.StringVar(&config.BucketURL, "bucket", "", "URL of the bucket: s3://BUCKET/PREFIX?region=..., file:///DIR")
	f.StringVar(&config.Cluster, "cluster", config.Cluster, "name of the cluster: the first part of every key")
	f.StringVar(&config.Listen, "listen", config.Listen, "address for agents")
	f.StringVar(&config.HTTP, "http", config.HTTP, "address of metrics, health and profiles; empty: none")
	f.StringVar(&config.Raft.NodeID, "id", config.Raft.NodeID, "this node's id among its peers")
	f.StringSliceVar(&config.Raft.Peers, "peers", nil, "other nodes, ID=ADDRESS; not served yet: one node is the cluster")
	f.StringSliceVar(&config.Advertise, "advertise", nil, "further names and addresses that callers know this node by: its certificate holds them")
	config.Admission.addFlags(f)
	config.Meta.addFlags(f)
	f.BoolVar(&config.Insecure, "insecure", false, "allow plain text on addresses that other machines can reach")
	f.BoolVar(&config.AutoCreate, "auto-create-topics", config.AutoCreate, "create a topic when a client asks for it by name")
	f.Int32Var(&config.DefaultPartitions, "num-partitions", config.DefaultPartitions, "partitions of topics that are created without a number")
	addConfigFlags(cmd)
	cmd.RunE = configured(func(cmd *cobra.Command) error {
		if err := config.check(); err != nil {
			return usageError{err}
		}
		logger, err := newLogger(cmd)
		if err != nil {
			return err
		}
		return runControl(cmd.Context(), config, logger)
	})
	cmd.AddCommand(newControlStatus(), newControlConfirmClock(), newControlAdminCert())
	return cmd
}

// check reports every fault of the options at once.
func (c *controlConfig) check() error {
	var faults []error
	if c.HTTP != "" {
		faults = append(faults, exposed(c.HTTP, "--http", "keep it on loopback", c.Insecure))
	}
	if c.BucketURL != "" {
		faults = append(faults, checkBucket(c.BucketURL))
	}
	return errors.Join(append(faults, c.Admission.check(), c.Meta.check(), c.Validate())...)
}

func runControl(ctx context.Context, config controlConfig, log *slog.Logger) error {
	n, err := startControl(ctx, config, log, obs.NewRegistry(), openBucket)
	if err != nil {
		return unlessInterrupted(ctx, err, log)
	}
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case <-n.node.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	return n.stop(stop)
}

// controlNode is one running control node.
type controlNode struct {
	node  *server.Node
	up    atomic.Pointer[server.Node] // node, for who asks from another goroutine
	store objstore.Store
	renew context.CancelFunc // of the credentials; nil: there is nothing to renew
	http  *obs.Server
}

// readiness is asked from the start on: a node may wait long for its bucket.
func (n *controlNode) readiness() error {
	if node := n.up.Load(); node != nil {
		return node.Ready()
	}
	return errors.New("waiting for the bucket to say whose it is")
}

func startControl(ctx context.Context, config controlConfig, log *slog.Logger, registry *prometheus.Registry, open storeOpener) (_ *controlNode, err error) {
	n := &controlNode{}
	defer func() {
		if err != nil {
			stop, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			err = errors.Join(err, n.stop(stop))
		}
	}()
	wall, err := testClock(log)
	if err != nil {
		return nil, err
	}
	if config.HTTP != "" { // before the bucket is claimed: a busy port must not cost a prefix
		if n.http, err = obs.Serve(config.HTTP, registry, n.readiness); err != nil {
			return nil, err
		}
	}
	by, err := config.bucketAccess(ctx, n, registry, log)
	if err != nil {
		return nil, err
	}
	if n.store, err = open(ctx, config.BucketURL, by); err != nil {
		return nil, err
	}
	metrics, err := metered.NewMetrics(registry)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(config.Raft.Dir)), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder above --data-dir: %w", err)
	}
	deps := server.Deps{Store: metered.New(n.store, metrics), Logger: log, Registerer: registry, Wall: wall}
	if err := config.Admission.into(&deps, config.Insecure, log); err != nil {
		return nil, err
	}
	node, err := server.Start(ctx, config.Config, deps)
	if err != nil {
		return nil, err
	}
	n.node = node
	n.up.Store(node)
	return n, nil
}

func (n *controlNode) stop(ctx context.Context) error {
	var faults []error
	if n.node != nil {
		faults = append(faults, n.node.Stop(ctx))
	}
	if n.http != nil {
		faults = append(faults, n.http.Close(ctx))
	}
	if n.renew != nil {
		n.renew()
	}
	if n.store != nil {
		faults = append(faults, n.store.Close())
	}
	return errors.Join(faults...)
}

// dialControl connects an operator's command.
func dialControl(login *loginConfig, log *slog.Logger) (*client.Client, error) {
	config, err := login.client("", "", nil)
	if err != nil {
		return nil, err
	}
	config.Patience, config.LeaveStrangers = operatorTimeout, true
	return client.Dial(config, log, prometheus.NewRegistry())
}

func newControlStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show the control plane: leader, sizes, agents", Example: "  isthmus control status --control 127.0.0.1:7400",
	}
	return asOperator(cmd, func(ctx context.Context, o *operator, _ []string) error {
		s, err := o.client.Status(ctx)
		if err != nil {
			return err
		}
		if o.json {
			return o.print(s, "", nil)
		}
		fmt.Fprintf(o.out, "cluster        %s (%s), incarnation %d\nleader         %s\napplied        %d\ntopics         %d with %d partitions\nindex          %d entries, %d segments, %d bytes live\nproducers      %d\n",
			s.Cluster, s.ClusterID, s.Incarnation, s.Leader, s.Applied, s.Topics, s.Partitions, s.IndexEntries, s.Segments, s.LiveBytes, s.Producers)
		if s.ClockFrozen {
			fmt.Fprintln(o.out, "clock          frozen: retention and expiry wait until the leader's clock is confirmed")
		}
		rows := make([][]any, len(s.Agents))
		for i, a := range s.Agents {
			rows[i] = []any{a.Group, a.NodeID, a.Roles, a.Zone, a.KafkaAddress, a.Session}
		}
		return o.print(nil, "GROUP\tNODE\tROLES\tZONE\tKAFKA\tSESSION", rows)
	})
}

func newControlConfirmClock() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "confirm-clock",
		Short: "Confirm the leader's clock after a jump that nothing else confirmed",
		Long: `confirm-clock ends a freeze: at an election the leader's clock stood more than a minute from the
cluster's time and no second clock agreed with it. Until a person has looked at the clock, retention
and the expiry of producers and offsets wait; nothing else does.`,
		Example: "  date && isthmus control confirm-clock --control 127.0.0.1:7400",
	}
	return asOperator(cmd, func(ctx context.Context, o *operator, _ []string) error {
		now, err := o.client.ConfirmClock(ctx)
		if err != nil {
			return err
		}
		return o.print(map[string]any{"time": now}, "", [][]any{{"the leader's clock is confirmed: " + now.Format(time.RFC3339)}})
	})
}
