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
(group analytics) in this process, over real gRPC, gossip and Kafka sockets on loopback. They share
a bucket and nothing else, and the walls are up: each group is an account of its own, logs in by its
identity, and reaches the bucket by a role that may do what isthmus iam policy prints. An S3 and an
STS in this process stand in for those of AWS and enforce the same policies; the bucket is memory, and
takes 1 GiB.

A producer of game events and a consumer run against them. A thief who has stolen every agent's
credentials tries what they must not do, every few seconds. The page shows both accounts and the
bucket between them; it can kill agents, and take the analytics account's access and give it back.

It exits with 1 if an acknowledged event was lost, duplicated or reordered, or the thief was let in.`,
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
	walls   *demoWalls
	cluster *localCluster
	thief   *thief
	load    *demoLoad
	page    *obs.Server
	dir     string
	start   time.Time
	over    chan struct{} // closed when the numbers are final

	mu    sync.Mutex // orders kill, restart, revoke and restore
	rates rates

	access struct {
		sync.Mutex
		demoAccess
		revoked bool
		at      time.Time // of the last revocation
	}
}

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
	if d.walls, err = startDemoWalls(ctx, log); err != nil {
		return err
	}
	if d.cluster, err = startCluster(ctx, d.dir, d.walls.bucketURL(), log, d.walls.admit); err != nil {
		return err
	}
	if err := d.walls.raise(ctx, d.dir, d.cluster.controlAddr(), log); err != nil {
		return err
	}
	for _, g := range demoGroups {
		for i := range 2 {
			if err := d.cluster.add(ctx, fmt.Sprintf("%s-%d", g.name, i+1), d.walls.agent(g, d.dir, d.cluster.controlAddr())); err != nil {
				return err
			}
		}
	}
	if d.thief, err = newThief(ctx, d, log); err != nil {
		return err
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

// revoke takes the access of analytics away, and restore gives it back.
func (d *demo) revoke() error { return d.open(false) }

func (d *demo) restore() error { return d.open(true) }

func (d *demo) open(open bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), demoSettle)
	defer cancel()
	analytics := demoGroups[1]
	if open {
		if !d.revoked() {
			return errors.New("analytics has its access")
		}
		if err := d.walls.restore(ctx, analytics); err != nil {
			return err
		}
		d.access.Lock()
		defer d.access.Unlock()
		d.access.revoked, d.access.LastRead = false, d.lastRead()
		return nil
	}
	if d.revoked() {
		return errors.New("the access of analytics is revoked already")
	}
	d.load.withdraw()
	d.access.Lock()
	d.access.at, d.access.revoked = time.Now(), true
	d.access.Count++
	d.access.Unlock()
	return d.walls.revoke(ctx, analytics)
}

func (d *demo) revoked() bool {
	d.access.Lock()
	defer d.access.Unlock()
	return d.access.revoked
}

// demoAccess is what --output json says of taking analytics' access away.
type demoAccess struct {
	Count    int     `json:"count"`
	LastRead float64 `json:"last_read_seconds"` // the consumer's last record so long after the last revocation; 0: none came
}

// lastRead is asked while the access is revoked, with d.access locked.
func (d *demo) lastRead() float64 { return max(0, d.load.last().Sub(d.access.at).Seconds()) }

func (d *demo) accessed() demoAccess {
	d.access.Lock()
	defer d.access.Unlock()
	r := d.access.demoAccess
	if d.access.revoked {
		r.LastRead = d.lastRead()
	}
	return r
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
		fmt.Fprintf(stdout, "\n%d events produced, %d consumed, %d lost, %d duplicated, %d reordered; thief: %d attempts, %d denied\n",
			result.Produced, result.Consumed, result.Lost, result.Duplicated, result.Reordered, result.Thief.Attempts, result.Thief.Denied)
	}
	if err == nil && result.Lost+result.Duplicated+result.Reordered > 0 {
		err = errors.New("acknowledged events were lost, duplicated or reordered")
	}
	if elapsed := time.Since(d.start); err == nil && result.Thief.Attempts == 0 && elapsed > thiefSilence {
		err = fmt.Errorf("in %.0f s nobody answered the thief: it is not shown that it is denied anything", elapsed.Seconds())
	}
	if result.Thief.Attempts > result.Thief.Denied {
		err = errors.Join(err, fmt.Errorf("of %d attempts of the thief %d were allowed", result.Thief.Attempts, result.Thief.Attempts-result.Thief.Denied))
	}
	return err
}

// drive runs the producer and the consumer; the producer stops first, and the consumer catches up.
func (d *demo) drive(ctx context.Context, duration time.Duration, stdout, stderr io.Writer, out *output) error {
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

	var stealing sync.WaitGroup
	stealing.Go(func() { d.thief.run(writing) })
	err := d.watch(wrote, stdout, stderr, out)
	stopWriting()
	stealing.Wait()
	if d.revoked() { // what was acknowledged must be read, so access is given back
		err = errors.Join(err, d.restore())
	}
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
				// A line for each side, since one for all is wider than most terminals.
				fmt.Fprintf(stdout, "%s\r\x1b[K%s", up, strings.ReplaceAll(d.line(), " | ", "\n\x1b[K       "))
				up = "\x1b[3A"
			default:
				fmt.Fprintf(stdout, "%s\n", d.line())
			}
		}
	}
}

// line is the demo in one line of a terminal.
func (d *demo) line() string {
	s := d.snapshot()
	return fmt.Sprintf("%4.0fs  prod: %d events, %.0f/s, p99 %.0f ms | bucket: %d PUT, %d GET | analytics: %d events, %.0f/s, end to end p99 %.0f ms, lag %d | thief: %d/%d denied",
		s.Elapsed, s.Produced, s.ProduceRate, s.ProduceP99, s.Puts, s.Gets, s.Consumed, s.ConsumeRate, s.EndToEndP99, s.Lag, s.Thief.Denied, s.Thief.Attempts)
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
	if d.walls != nil {
		err = errors.Join(err, d.walls.stop(ctx))
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

	Thief      thiefCount `json:"thief"`
	Revocation demoAccess `json:"revocation"`
}

func (d *demo) result() demoResult {
	counts := d.load.ledger.Counts()
	produce, endToEnd := d.load.latencies()
	puts, gets := d.cluster.requests()
	return demoResult{
		Produced: counts.Acked, Consumed: counts.Consumed, Lost: counts.Lost, Duplicated: counts.Duplicated, Reordered: counts.Reordered,
		ProduceP50: produce.P50, ProduceP99: produce.P99, EndToEndP50: endToEnd.P50, EndToEndP99: endToEnd.P99, Puts: puts, Gets: gets,
		Thief: d.thief.counts(), Revocation: d.accessed(),
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
