package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/control/raft"
)

// playgroundGroup is the one group of a playground; its agent has every role.
const playgroundGroup = "playground"

func newPlayground() *cobra.Command {
	var dir, bucket, kafka, http string
	cmd := &cobra.Command{
		Use:   "playground",
		Short: "An empty cluster in one process, for trying things",
		Long: `playground runs a control plane and one agent that produces and fetches, on loopback.
With --dir everything survives a restart; without it everything goes when it stops.`,
		Example: "  isthmus playground\n  isthmus playground --dir ./play --kafka 127.0.0.1:9092",
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder that keeps the cluster; none: it goes when it stops")
	cmd.Flags().StringVar(&bucket, "bucket", "", "URL of the bucket; none: a folder in --dir")
	cmd.Flags().StringVar(&kafka, "kafka", "127.0.0.1:9092", "address for Kafka clients")
	cmd.Flags().StringVar(&http, "http", "127.0.0.1:0", "address of the agent's metrics, health and profiles")
	addConfigFlags(cmd)
	cmd.RunE = configured(func(cmd *cobra.Command) error {
		return runPlayground(cmd, dir, bucket, kafka, http)
	})
	return cmd
}

func runPlayground(cmd *cobra.Command, dir, bucket, kafka, http string) (err error) {
	faults := []error{loopbackOnly(kafka, "--kafka"), loopbackOnly(http, "--http")}
	if bucket != "" {
		faults = append(faults, checkBucket(bucket))
	}
	if err := errors.Join(faults...); err != nil {
		return usageError{err}
	}
	quietUnlessAsked(cmd)
	logger, err := newLogger(cmd)
	if err != nil {
		return err
	}
	kept := dir != ""
	if !kept {
		if dir, err = temporary.make("isthmus-playground-"); err != nil {
			return fmt.Errorf("make a folder for the playground: %w", err)
		}
		defer func() { err = errors.Join(err, temporary.remove(dir)) }()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of --dir: %w", err)
	}
	if bucket == "" {
		bucket = "file://" + filepath.Join(dir, "bucket")
	}
	c, err := startCluster(cmd.Context(), dir, bucket, logger)
	if errors.Is(err, raft.ErrInUse) {
		return fmt.Errorf("another playground runs in %s: stop it, or name another folder with --dir", dir)
	}
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		err = errors.Join(err, c.stop(ctx))
	}()
	config := loopbackAgent(playgroundGroup, rolesOf("produce", "fetch"))
	config.Kafka, config.HTTP = kafka, http
	if strings.HasPrefix(bucket, "file:") || strings.HasPrefix(bucket, "mem:") {
		// Where a PUT costs nothing there is no reason to save them.
		config.Produce.FlushInterval, config.Produce.IdleWait = 25*time.Millisecond, 2*time.Millisecond
	}
	if err := c.add(cmd.Context(), playgroundGroup, config); err != nil {
		return err
	}
	printPlayground(cmd.OutOrStdout(), c, kept, dir)
	<-cmd.Context().Done()
	fmt.Fprintln(cmd.ErrOrStderr(), "stopping")
	return nil
}

func printPlayground(w io.Writer, c *localCluster, kept bool, dir string) {
	address := c.bootstrap(playgroundGroup)
	life := "everything goes when it stops (keep it with --dir DIR)"
	if kept {
		life = "kept in " + dir
	}
	fmt.Fprintf(w, `bootstrap.servers=%[1]s
bucket             %[2]s
control plane      %[3]s
life               %[4]s

kcat
  echo hello | kcat -P -b %[1]s -t greetings
  kcat -C -b %[1]s -t greetings -o beginning -e

Java
  Properties p = new Properties();
  p.put("bootstrap.servers", "%[1]s");
  var producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
  producer.send(new ProducerRecord<>("greetings", "hello")).get();

Go (github.com/twmb/franz-go/pkg/kgo)
  client, err := kgo.NewClient(kgo.SeedBrokers("%[1]s"))
  err = client.ProduceSync(ctx, &kgo.Record{Topic: "greetings", Value: []byte("hello")}).FirstErr()

Topics and groups
  isthmus topic list --control %[3]s
  isthmus consumer-group list --control %[3]s

Ctrl-C stops it.
`, address, c.bucket, c.controlAddr(), life)
}
