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
	"github.com/isthmusdata/isthmus/internal/units"
)

// playgroundGroup is the one group of a playground; its agent has every role.
const playgroundGroup = "playground"

func newPlayground() *cobra.Command {
	var p playground
	cmd := &cobra.Command{
		Use:   "playground",
		Short: "An empty cluster in one process, for trying things",
		Long: `playground runs a control plane and one agent that produces and fetches, on loopback.
With --dir everything survives a restart; without it everything goes when it stops.

With --listen the control plane takes agents of other machines too, by TLS, and a command is printed
that lets one of them in. Both machines must reach the bucket: name one with --bucket s3://...`,
		Example: "  isthmus playground\n  isthmus playground --dir ./play --kafka 127.0.0.1:9092\n" +
			"  isthmus playground --dir ./play --bucket s3://my-bucket/play --listen 0.0.0.0:7400",
	}
	f := cmd.Flags()
	f.StringVar(&p.dir, "dir", "", "folder that keeps the cluster; none: it goes when it stops")
	f.StringVar(&p.bucket, "bucket", "", "URL of the bucket; none: a folder in --dir")
	f.StringVar(&p.kafka, "kafka", "127.0.0.1:9092", "address for Kafka clients")
	f.StringVar(&p.http, "http", "127.0.0.1:0", "address of the agent's metrics, health and profiles")
	f.StringVar(&p.listen, "listen", "", "address at which the control plane takes agents of other machines, by TLS; none: it takes none")
	f.StringVar(&p.advertise, "advertise", "", "name or address by which other machines reach this one; none: one of its own")
	f.BoolVar(&p.insecure, "insecure", false, "allow plain text for Kafka clients of other machines")
	addConfigFlags(cmd)
	cmd.RunE = configured(func(cmd *cobra.Command) error {
		return runPlayground(cmd, p)
	})
	return cmd
}

// playground is what one is told.
type playground struct {
	dir, bucket, kafka, http, listen, advertise string
	insecure                                    bool
}

// check reports every fault of the options at once.
func (p *playground) check() error {
	faults := []error{loopbackOnly(p.http, "--http"), exposed(p.kafka, "--kafka", "keep it on loopback", p.insecure)}
	if p.bucket != "" {
		faults = append(faults, checkBucket(p.bucket))
	}
	if p.listen != "" {
		if _, err := units.Loopback(p.listen); err != nil {
			faults = append(faults, fmt.Errorf("--listen: %w", err))
		}
		if !strings.HasPrefix(p.bucket, "s3:") {
			faults = append(faults, errors.New("--listen: agents of other machines cannot reach a bucket that is a folder of this one: name one that both reach with --bucket s3://BUCKET/PREFIX"))
		}
	}
	if p.advertise != "" && p.listen == "" {
		faults = append(faults, errors.New("--advertise: it is the name of --listen, which is not there"))
	}
	return errors.Join(faults...)
}

func runPlayground(cmd *cobra.Command, p playground) (err error) {
	if err := p.check(); err != nil {
		return usageError{err}
	}
	dir, bucket := p.dir, p.bucket
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
	c, err := startCluster(cmd.Context(), dir, bucket, logger, func(c *controlConfig) {
		if c.Outside = p.listen; p.advertise != "" {
			c.Advertise = []string{p.advertise}
		}
	})
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
	config.Kafka, config.HTTP, config.Insecure = p.kafka, p.http, p.insecure
	if strings.HasPrefix(bucket, "file:") || strings.HasPrefix(bucket, "mem:") {
		// Where a PUT costs nothing there is no reason to save them.
		config.Produce.FlushInterval, config.Produce.IdleWait = 25*time.Millisecond, 2*time.Millisecond
	}
	if err := c.add(cmd.Context(), playgroundGroup, config); err != nil {
		return err
	}
	printPlayground(cmd.OutOrStdout(), c, kept, dir)
	if p.listen != "" {
		if err := printJoin(cmd.Context(), cmd.OutOrStdout(), c, p.advertise, logger); err != nil {
			return err
		}
	}
	fmt.Fprintln(cmd.OutOrStdout(), "\nCtrl-C stops it.")
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
`, address, c.bucket, c.controlAddr(), life)
}
