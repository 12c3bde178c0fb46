package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/isthmusdata/isthmus/internal/obs"
)

// demoSettle bounds how long the consumer may take, after the producer has stopped, to read
// what was acknowledged.
const demoSettle = 30 * time.Second

func newDemo() *cobra.Command {
	var (
		duration time.Duration
		open     bool
		http     string
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it run: two accounts on one laptop, a game's events, and a live page",
		Long: `demo runs a control plane, two produce-only agents (group prod) and two fetch-only agents
(group analytics) in this process, over real gRPC, gossip and Kafka sockets on loopback. They
share a bucket in a temporary folder and nothing else. A producer of game events and a consumer
run against them; the page shows both accounts and the bucket between them, and can kill agents.

It exits with 1 if an acknowledged event was lost, duplicated or reordered.`,
		Example: "  isthmus demo\n  isthmus demo --for 30s --open=false --output json",
	}
	out := addOutputFlag(cmd)
	cmd.Flags().DurationVar(&duration, "for", 0, "how long to run; 0 is until interrupted")
	cmd.Flags().BoolVar(&open, "open", true, "open the page in a browser")
	cmd.Flags().StringVar(&http, "http", "127.0.0.1:0", "address of the page; it must be loopback")
	addConfigFlags(cmd)
	cmd.RunE = configured(func(cmd *cobra.Command) error {
		if err := loopbackOnly(http, "--http"); err != nil {
			return usageError{err}
		}
		quietUnlessAsked(cmd)
		d, err := startDemo(cmd, http)
		if err != nil {
			return err
		}
		if open && !out.json() {
			openBrowser(d.url())
		}
		return d.run(cmd.Context(), duration, cmd.OutOrStdout(), cmd.ErrOrStderr(), out)
	})
	return cmd
}

// quietUnlessAsked logs warnings only, for the terminal shows the demo itself.
func quietUnlessAsked(cmd *cobra.Command) {
	if flag := cmd.Flags().Lookup("log-level"); flag != nil && !flag.Changed {
		// The value is one that the flag knows.
		_ = flag.Value.Set("error")
	}
}

// demo is two accounts in one process.
type demo struct {
	cluster *localCluster
	load    *demoLoad
	page    *obs.Server
	dir     string
	start   time.Time
	over    chan struct{} // closed when the numbers are final

	mu    sync.Mutex // orders kill and restart
	rates rates
}

// demoGroups are the agents of the demo: two a group, so that one may be killed.
var demoGroups = []struct {
	group string
	roles []string
}{{"prod", []string{"produce"}}, {"analytics", []string{"fetch"}}}

func startDemo(cmd *cobra.Command, http string) (*demo, error) {
	logger, err := newLogger(cmd)
	if err != nil {
		return nil, err
	}
	dir, err := temporary.make("isthmus-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the bucket: %w", err)
	}
	d := &demo{load: newDemoLoad(), dir: dir, over: make(chan struct{})}
	if err := d.boot(cmd.Context(), logger, http); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

// boot starts the demo's cluster, its agents and its page.
func (d *demo) boot(ctx context.Context, log *slog.Logger, http string) (err error) {
	d.cluster, err = startCluster(ctx, d.dir, "file://"+filepath.Join(d.dir, "bucket"), log)
	if err != nil {
		return err
	}
	for _, g := range demoGroups {
		for i := range 2 {
			if err := d.cluster.add(ctx, fmt.Sprintf("%s-%d", g.group, i+1), loopbackAgent(g.group, g.roles)); err != nil {
				return err
			}
		}
	}
	ready := func() error { return nil }
	if d.page, err = obs.Serve(http, obs.NewRegistry(), ready); err != nil {
		return err
	}
	d.page.Handle("/", demoPage(d))
	return nil
}

// kill and restart are the page's button. One order at a time.
func (d *demo) kill(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cluster.kill(name)
}

func (d *demo) restart(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), demoSettle)
	defer cancel()
	return d.cluster.restart(ctx, name)
}

// run loads the cluster, shows it, and judges what came of it.
func (d *demo) run(ctx context.Context, duration time.Duration, stdout, stderr io.Writer, out *output) error {
	if !out.json() {
		fmt.Fprintf(stdout, "page       %s\nproduce    bootstrap.servers=%s (group prod, produce-only)\nconsume    bootstrap.servers=%s (group analytics, fetch-only)\nbucket     %s\n\n",
			d.url(), d.cluster.bootstrap("prod"), d.cluster.bootstrap("analytics"), d.cluster.bucket)
	}
	err := d.drive(ctx, duration, stdout, stderr, out)
	result := d.result()
	close(d.over)
	err = errors.Join(err, d.stop())
	if out.json() {
		err = errors.Join(err, json.NewEncoder(stdout).Encode(result))
	} else {
		fmt.Fprintf(stdout, "\n%d events produced, %d consumed, %d lost, %d duplicated, %d reordered\n",
			result.Produced, result.Consumed, result.Lost, result.Duplicated, result.Reordered)
	}
	if err == nil && result.Lost+result.Duplicated+result.Reordered > 0 {
		err = errors.New("acknowledged events were lost, duplicated or reordered")
	}
	return err
}

// drive runs the producer and the consumer; the producer stops first, and the consumer catches up.
func (d *demo) drive(ctx context.Context, duration time.Duration, stdout, stderr io.Writer, out *output) error {
	if err := createDemoTopic(ctx, d.cluster.bootstraps("prod")...); err != nil {
		return err
	}
	d.start = time.Now()
	writing, stopWriting := context.WithCancel(ctx)
	if duration > 0 {
		writing, stopWriting = context.WithTimeout(ctx, duration)
	}
	defer stopWriting()
	// Not the command's context: at an interrupt the consumer still catches up.
	reading, stopReading := context.WithCancel(context.Background())
	defer stopReading()

	read := make(chan error, 1)
	go func() { read <- d.load.read(reading, d.cluster.bootstraps("analytics")...) }()
	wrote := make(chan error, 1)
	go func() { wrote <- d.load.write(writing, d.cluster.bootstraps("prod")...) }()

	err := d.watch(wrote, stdout, stderr, out)
	for deadline := time.Now().Add(demoSettle); d.load.ledger.Counts().Lost > 0 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	stopReading()
	return errors.Join(err, <-read)
}

// isTerminal reports whether a person may be looking.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// watch shows the numbers until the producer has stopped.
func (d *demo) watch(wrote <-chan error, stdout, stderr io.Writer, out *output) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	terminal := isTerminal(stdout)
	up := "" // back to the first of the lines that a terminal shows
	for {
		select {
		case err := <-wrote:
			return err
		case <-ticker.C:
			switch {
			case out.json():
				fmt.Fprintf(stderr, "%s\n", d.line())
			case terminal:
				// A line for each side, since one for both is wider than most terminals.
				fmt.Fprintf(stdout, "%s\r\x1b[K%s", up, strings.ReplaceAll(d.line(), " | ", "\n\x1b[K       "))
				up = "\x1b[2A"
			default:
				fmt.Fprintf(stdout, "%s\n", d.line())
			}
		}
	}
}

// line is the demo in one line of a terminal.
func (d *demo) line() string {
	s := d.snapshot()
	return fmt.Sprintf("%4.0fs  prod: %d events, %.0f/s, p99 %.0f ms | bucket: %d PUT, %d GET | analytics: %d events, %.0f/s, end to end p99 %.0f ms, lag %d",
		s.Elapsed, s.Produced, s.ProduceRate, s.ProduceP99, s.Puts, s.Gets, s.Consumed, s.ConsumeRate, s.EndToEndP99, s.Lag)
}

func (d *demo) url() string { return "http://" + d.page.Addr() + "/" }

// stop ends everything, in the reverse of the order in which it began.
func (d *demo) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var err error
	if d.cluster != nil {
		err = d.cluster.stop(ctx)
	}
	if d.page != nil {
		err = errors.Join(err, d.page.Close(ctx))
	}
	return errors.Join(err, temporary.remove(d.dir))
}

// demoResult is what --output json prints.
type demoResult struct {
	Produced    int64   `json:"produced"`
	Consumed    int64   `json:"consumed"`
	Lost        int64   `json:"lost"`
	Duplicated  int64   `json:"duplicated"`
	Reordered   int64   `json:"reordered"`
	ProduceP50  float64 `json:"produce_p50_ms"`
	ProduceP99  float64 `json:"produce_p99_ms"`
	EndToEndP50 float64 `json:"e2e_p50_ms"`
	EndToEndP99 float64 `json:"e2e_p99_ms"`
	Puts        int64   `json:"puts"`
	Gets        int64   `json:"gets"`
}

func (d *demo) result() demoResult {
	counts := d.load.ledger.Counts()
	produce, endToEnd := d.load.latencies()
	puts, gets := d.cluster.requests()
	return demoResult{
		Produced: counts.Acked, Consumed: counts.Consumed, Lost: counts.Lost, Duplicated: counts.Duplicated, Reordered: counts.Reordered,
		ProduceP50: produce.P50, ProduceP99: produce.P99, EndToEndP50: endToEnd.P50, EndToEndP99: endToEnd.P99, Puts: puts, Gets: gets,
	}
}

// openBrowser shows the page; without a browser the printed link has to do.
func openBrowser(url string) {
	opener := map[string]string{"darwin": "open", "linux": "xdg-open"}[runtime.GOOS]
	if path, err := exec.LookPath(opener); opener != "" && err == nil {
		if cmd := exec.Command(path, url); cmd.Start() == nil {
			go cmd.Wait() //nolint:errcheck // a browser's exit code says nothing
		}
	}
}
