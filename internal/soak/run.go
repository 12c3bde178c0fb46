package soak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/isthmusdata/isthmus/internal/bench"
)

const (
	topicName  = "soak"
	partitions = 6
	producers  = 2
	groups     = 2
	perConsume = 2 // members of a group
)

const (
	quietTime  = 3 * time.Second  // of service between two faults
	returnTime = 90 * time.Second // bound of the wait for service after a fault
	catchUp    = 90 * time.Second // bound of what groups may take to read to the end
)

// soak is one run.
type soak struct {
	config  Config
	rng     *rand.Rand
	cluster *cluster
	watch   *watcher
	groups  []*consumers
	report  *Report
	began   time.Time // of the load
	faults  []struck
}

// struck is a fault that happened: its times, before it is measured.
type struck struct {
	fault      fault
	strike     *strike
	begin, end time.Time
}

// Run runs one soak. An error means that it could not be run to its end; what it found is in the report,
// which is filled as far as it came.
func Run(ctx context.Context, c Config) (report *Report, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the soak: %w", err)
	}
	s := &soak{
		config: c, rng: rand.New(rand.NewPCG(c.Seed, 0)), watch: newWatcher(time.Now),
		report: &Report{Seed: c.Seed, Agents: 2 * perGroup, Groups: map[string]GroupPart{}, Wrong: []string{}, LogsAndData: c.Dir},
	}
	s.cluster = newCluster(c)
	defer func() { err = errors.Join(err, s.cluster.close()) }()
	// The proxy draws from a sequence of its own: how many requests there are is not the seed's to say.
	if err := s.cluster.start(ctx, rand.New(rand.NewPCG(c.Seed, 1))); err != nil {
		s.report.Wrong = append(s.report.Wrong, "the cluster did not start: "+err.Error())
		return s.report, errors.Join(err, s.logs())
	}
	if err = s.run(ctx); err != nil {
		s.report.Wrong = append(s.report.Wrong, "the soak did not come to its end: "+err.Error())
	}
	return s.report, errors.Join(err, s.logs())
}

func (s *soak) say(format string, args ...any) {
	fmt.Fprintf(s.config.Progress, "%5.0fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// run is the soak itself, in a cluster that is up.
func (s *soak) run(ctx context.Context) error {
	s.began = time.Now()
	if err := s.createTopic(ctx); err != nil {
		return err
	}
	before, err := s.cluster.holdings(ctx)
	if err != nil {
		return err
	}
	s.say("the cluster is up at %s*; load begins", s.cluster.network)
	s.began = time.Now()
	load := s.startLoad(ctx)
	churn, err := s.startGroups(ctx)
	if err == nil {
		err = s.strikeAll(ctx)
	}
	result, loadErr := load()
	s.report.Seconds = time.Since(s.began).Seconds()
	s.measure()
	if err = errors.Join(err, loadErr, churn()); err != nil {
		return err
	}
	s.say("load has ended; reading everything once more")
	if err := s.check(ctx, result); err != nil {
		return err
	}
	s.say("waiting for processes to come to rest")
	if s.report.Rest, err = s.cluster.atRest(ctx, before); err != nil {
		return err
	}
	if err := s.cluster.stop(); err != nil {
		s.report.Wrong = append(s.report.Wrong, "a process did not stop as it should: "+err.Error())
	}
	s.report.Wrong = append(s.report.Wrong, s.cluster.deaths()...)
	s.report.decide()
	return nil
}

// logs reads what the processes wrote, also when the soak ends early.
func (s *soak) logs() error {
	complaints, wrong, err := s.cluster.readLogs()
	s.report.Complaints = complaints
	s.report.Wrong = append(s.report.Wrong, wrong...)
	return err
}

func (s *soak) createTopic(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.cluster.brokers(producing)...))
	if err != nil {
		return fmt.Errorf("connect to the agents: %w", err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, -1, nil, topicName); err != nil {
		return fmt.Errorf("create topic %s: %w", topicName, err)
	}
	return nil
}

// startLoad starts producers and the readers that run beside them; the returned function ends the load,
// waits until what was sent has been answered and read, and says what came of it.
func (s *soak) startLoad(ctx context.Context) func() (bench.Result, error) {
	c := bench.Default()
	c.Brokers, c.ConsumeBrokers = s.cluster.brokers(producing), s.cluster.brokers(consuming)
	c.Topic, c.Partitions, c.Clients = topicName, partitions, producers
	c.Rate, c.RecordSize, c.Warmup = s.config.Rate, s.config.Size, 0
	c.MetadataAge = 10 * time.Second // so that an agent that has returned is soon turned to again
	c.For = 24 * time.Hour           // until it is told to end
	until := make(chan struct{})
	c.Until, c.Watch = until, s.watch
	var result bench.Result
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		result, err = bench.EndToEnd(ctx, c, slog.New(slog.DiscardHandler), nil)
	}()
	return func() (bench.Result, error) {
		close(until)
		<-done
		return result, err
	}
}

// startGroups starts the consumer groups, whose members come and go until the returned function is called.
func (s *soak) startGroups(ctx context.Context) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	faults := make([]error, groups)
	stop = func() error {
		cancel()
		running.Wait()
		return errors.Join(faults...)
	}
	for i := range groups {
		g := newConsumers(fmt.Sprintf("soak-%c", 'a'+i), topicName, func() []string { return s.cluster.brokers(consuming) })
		s.groups = append(s.groups, g)
		for range perConsume {
			if err := g.join(); err != nil {
				return stop, err
			}
		}
		rng := rand.New(rand.NewPCG(s.config.Seed, uint64(2+i)))
		running.Go(func() { faults[i] = g.churn(ctx, rng) })
	}
	return stop, nil
}

// strikeAll lets faults happen until time is up: all kinds in an order of the seed, then in another.
func (s *soak) strikeAll(ctx context.Context) error {
	if err := s.settle(ctx, 2*quietTime); err != nil {
		return fmt.Errorf("before the first fault: %w", err)
	}
	var deck []fault
	happened := map[string]bool{}
	all := s.kinds()
	for ctx.Err() == nil {
		late := time.Since(s.began) >= s.config.For
		if late && (s.config.For < fullLength || len(happened) == len(all) || time.Since(s.began) > 2*s.config.For) {
			return nil
		}
		if len(deck) == 0 {
			deck = s.kinds()
			s.rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		next := deck[0]
		deck = deck[1:]
		if err := s.strike(ctx, next); err != nil {
			return fmt.Errorf("%s: %w", next.kind, err)
		}
		happened[next.kind] = true
		if dead := s.cluster.deaths(); len(dead) > 0 {
			return errors.New(strings.Join(dead, "; "))
		}
	}
	return ctx.Err()
}

// kinds are the faults that this soak may choose from.
func (s *soak) kinds() []fault {
	if len(s.config.Only) == 0 {
		return faults()
	}
	var some []fault
	for _, f := range faults() {
		for _, kind := range s.config.Only {
			if f.kind == kind {
				some = append(some, f)
			}
		}
	}
	return some
}

// strike makes one fault and waits until service has been back for a while.
func (s *soak) strike(ctx context.Context, f fault) error {
	k := &strike{cluster: s.cluster, rng: rand.New(rand.NewPCG(s.config.Seed, 100+uint64(len(s.faults)))), busy: s.cluster.busy(ctx)}
	begin := time.Now()
	if err := f.run(ctx, k); err != nil {
		return err
	}
	end := time.Now()
	s.faults = append(s.faults, struck{f, k, begin, end})
	err := s.settle(ctx, quietTime)
	found, _ := measure(f, begin, end, s.watch.between(begin, time.Now()))
	s.say("%-22s %-12s lasted %4.1f s, produce %4.1f, read %4.1f, back after %4.1f  %s", f.kind, k.victim, found.Lasted, found.ProduceOne, found.ReadOne, found.Back, k.note)
	return err
}

// settle waits until nobody has been without service for a while.
func (s *soak) settle(ctx context.Context, quiet time.Duration) error {
	began, since := time.Now(), time.Now()
	for time.Since(since) < quiet {
		if !pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
		produce, read := s.watch.waiting()
		if max(produce, read) >= noticed {
			since = time.Now()
		}
		if time.Since(began) > returnTime {
			return fmt.Errorf("service is not back after %v: producers wait for %v, readers for %v", returnTime, produce, read)
		}
	}
	return nil
}

// check reads everything once more and lets the groups come to the end.
func (s *soak) check(ctx context.Context, result bench.Result) error {
	r, brokers := s.report, s.cluster.brokers(consuming)
	last, err := ends(ctx, topicName, brokers)
	if err != nil {
		return err
	}
	if r.Holes, err = audit(ctx, topicName, brokers, last, s.watch.ledger); err != nil {
		return err
	}
	counts := s.watch.ledger.Counts()
	r.Sent, r.Refused, r.FirstError = s.watch.sent, s.watch.refused, s.watch.first
	r.Acked, r.Read, r.Lost, r.Duplicated, r.Reordered = counts.Acked, counts.Consumed, counts.Lost, counts.Duplicated, counts.Reordered
	r.Live = Live{
		Lost: result.Lost, Duplicated: result.Duplicated, Reordered: result.Reordered,
		ProduceP99: result.Produce.P99 / 1000, EndToEnd99: result.EndToEnd.P99 / 1000,
	}
	r.Bucket = s.cluster.bucket.seen()
	for deadline := time.Now().Add(catchUp); time.Now().Before(deadline); {
		behind := false
		for _, g := range s.groups {
			behind = behind || !g.caughtUp(last)
		}
		if !behind || !pause(ctx, 50*time.Millisecond) {
			break
		}
	}
	for _, g := range s.groups {
		for len(g.members) > 0 {
			g.leave(0, true)
		}
		r.Groups[g.name] = GroupPart{g.counts, g.unread(last)}
		r.Wrong = append(r.Wrong, g.faults...)
	}
	return s.committed(ctx, brokers, last)
}

// committed asks for the groups' offsets with a client of its own: they stand at the ends.
func (s *soak) committed(ctx context.Context, brokers []string, last map[int32]int64) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return fmt.Errorf("connect to %v: %w", brokers, err)
	}
	defer client.Close()
	for _, g := range s.groups {
		offsets, err := kadm.NewClient(client).FetchOffsets(ctx, g.name)
		if err == nil {
			err = offsets.Error()
		}
		if err != nil {
			return fmt.Errorf("read the offsets of group %s: %w", g.name, err)
		}
		for p, end := range last {
			if o, ok := offsets.Lookup(topicName, p); !ok || o.At != end {
				s.report.Wrong = append(s.report.Wrong, fmt.Sprintf("group %s stands at %d in partition %d, which ends at %d", g.name, o.At, p, end))
			}
		}
	}
	return nil
}

// measure says of every fault what was noticed, and what was noticed without any.
func (s *soak) measure() {
	quietFrom := s.began.Add(quietTime)
	for i, f := range s.faults {
		s.report.Quiet.add(longest(s.quiet(quietFrom, f.begin)))
		until := time.Now()
		if i+1 < len(s.faults) {
			until = s.faults[i+1].begin
		}
		found, wrong := measure(f.fault, f.begin, f.end, s.watch.between(f.begin, until))
		if wrong != "" {
			s.report.Wrong = append(s.report.Wrong, wrong)
		}
		found.At, found.Victim, found.Note = f.begin.Sub(s.began).Seconds(), f.strike.victim, f.strike.note
		s.report.Struck = append(s.report.Struck, found)
		quietFrom = f.end.Add(time.Duration(found.Back * float64(time.Second)))
	}
	s.report.Faults, s.report.Missing = summarise(s.report.Struck)
}

// quiet are the gaps that lie between two faults as a whole.
func (s *soak) quiet(from, to time.Time) (gaps []gap) {
	for _, g := range s.watch.between(from, to) {
		if g.from.After(from) && g.to.Before(to) {
			gaps = append(gaps, g)
		}
	}
	return gaps
}
