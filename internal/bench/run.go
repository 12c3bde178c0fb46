package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// catchUp bounds how long the producers may wait for answers once they have sent all, and how long
// the readers may then take to read what was acknowledged.
const catchUp = 30 * time.Second

// Progress is told how a run goes, once a second.
type Progress func(elapsed time.Duration, produced, consumed int64)

// run is one load in progress.
type run struct {
	config   Config
	log      *slog.Logger
	ledgers  []*Ledger // one for each time that all is read
	start    time.Time
	measured time.Time // end of the warm-up
	end      time.Time

	available int64 // records that the topics held at the start, past where the readers begin
	held      int64 // where the topics ended before a run that only produces
	appended  int64 // records by which they ended later after it

	mu       sync.Mutex
	produce  *hdrhistogram.Histogram // microseconds
	endToEnd *hdrhistogram.Histogram
	count    map[side]*tally
	failed   int64
	failure  error // the first one
}

type side string

const (
	producing side = "produce"
	consuming side = "consume"
)

// tally counts what happened in the measured time.
type tally struct{ records, bytes int64 }

// Produce loads the cluster with records and measures how soon they are acknowledged.
func Produce(ctx context.Context, c Config, log *slog.Logger, progress Progress) (Result, error) {
	return execute(ctx, c, log, progress, true, false)
}

// Fetch reads what the topics hold, from their beginning.
func Fetch(ctx context.Context, c Config, log *slog.Logger, progress Progress) (Result, error) {
	return execute(ctx, c, log, progress, false, true)
}

// EndToEnd does both at once and follows every record from the one side to the other.
func EndToEnd(ctx context.Context, c Config, log *slog.Logger, progress Progress) (Result, error) {
	return execute(ctx, c, log, progress, true, true)
}

func execute(ctx context.Context, c Config, log *slog.Logger, progress Progress, produce, consume bool) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	if c.Watch == nil {
		c.Watch = nobody{}
	}
	if produce {
		if err := createTopics(ctx, c); err != nil {
			return Result{}, err
		}
	}
	r := &run{
		config: c, log: log, ledgers: newLedgers(max(c.Fanout, 1)), count: map[side]*tally{producing: {}, consuming: {}},
		produce: hdrhistogram.New(1, int64(10*time.Minute/time.Microsecond), 3), endToEnd: hdrhistogram.New(1, int64(10*time.Minute/time.Microsecond), 3),
	}
	positions, err := r.positions(ctx, produce, consume)
	if err != nil {
		return Result{}, err
	}
	if !produce {
		r.config.Warmup = 0 // what is read once cannot be read again
	}
	if produce && !consume {
		if r.held, err = r.ends(ctx); err != nil {
			return Result{}, err
		}
	}
	r.start = time.Now()
	r.measured = r.start.Add(r.config.Warmup)
	r.end = r.measured.Add(c.For)
	usage := watchServers(c.ServerPIDs, r.measured, r.end)
	stopProgress := r.report(progress)
	err = r.load(ctx, positions, produce, consume)
	stopProgress()
	servers, usageErr := usage()
	if err == nil {
		err = usageErr
	}
	if err != nil {
		return Result{}, err
	}
	if produce && !consume {
		end, err := r.ends(ctx)
		if err != nil {
			return Result{}, err
		}
		r.appended = end - r.held
	}
	return r.result(produce, consume, servers), nil
}

// over reports whether the load has ended, because its time is up or because it was told to.
func (r *run) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	select {
	case <-r.config.Until:
		if now.Before(r.end) {
			r.end = now
		}
	default:
	}
	return !now.Before(r.end)
}

// createTopics creates the run's topics; those that are there are taken as they are.
func createTopics(ctx context.Context, c Config) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...))
	if err != nil {
		return fmt.Errorf("connect to %v: %w", c.Brokers, err)
	}
	defer client.Close()
	answers, err := kadm.NewClient(client).CreateTopics(ctx, int32(c.Partitions), -1, nil, c.topics()...)
	if err != nil {
		return fmt.Errorf("create topics at %v: %w", c.Brokers, err)
	}
	for _, a := range answers.Sorted() {
		if a.Err != nil && !errors.Is(a.Err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w %s", a.Topic, a.Err, a.ErrMessage)
		}
	}
	return nil
}

// positions says where the readers begin: at the end when the run writes, so that it reads
// its own records only, else at the beginning.
func (r *run) positions(ctx context.Context, produce, consume bool) (map[string]map[int32]kgo.Offset, error) {
	if !consume {
		return nil, nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(r.config.consumeBrokers()...))
	if err != nil {
		return nil, fmt.Errorf("connect to %v: %w", r.config.consumeBrokers(), err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := patiently(ctx, admin.ListEndOffsets, r.config.topics())
	offsets := ends
	if err == nil && !produce {
		offsets, err = patiently(ctx, admin.ListStartOffsets, r.config.topics())
	}
	if err != nil {
		return nil, fmt.Errorf("list offsets of %v at %v: %w (run the produce benchmark first)", r.config.topics(), r.config.consumeBrokers(), err)
	}
	from := map[string]map[int32]kgo.Offset{}
	offsets.Each(func(o kadm.ListedOffset) {
		if from[o.Topic] == nil {
			from[o.Topic] = map[int32]kgo.Offset{}
		}
		from[o.Topic][o.Partition] = kgo.NewOffset().At(o.Offset)
		if end, ok := ends.Lookup(o.Topic, o.Partition); ok {
			r.available += end.Offset - o.Offset
		}
	})
	if !produce && r.available == 0 {
		return nil, fmt.Errorf("the topics %v hold nothing to read (run the produce benchmark first)", r.config.topics())
	}
	return from, nil
}

// ends sums up where the topics end.
func (r *run) ends(ctx context.Context) (sum int64, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.config.Brokers...))
	if err != nil {
		return 0, fmt.Errorf("connect to %v: %w", r.config.Brokers, err)
	}
	defer client.Close()
	ends, err := patiently(ctx, kadm.NewClient(client).ListEndOffsets, r.config.topics())
	if err != nil {
		return 0, fmt.Errorf("list the ends of %v: %w", r.config.topics(), err)
	}
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	return sum, nil
}

// patiently asks for offsets until every partition has a leader, which takes a moment where a topic is new.
func patiently(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), topics []string) (kadm.ListedOffsets, error) {
	for deadline := time.Now().Add(catchUp); ; {
		offsets, err := list(ctx, topics...)
		if err == nil {
			err = offsets.Error()
		}
		if !kerr.IsRetriable(err) || time.Now().After(deadline) || !sleep(ctx, 100*time.Millisecond) {
			return offsets, err
		}
	}
}

// load runs producers and readers to the end of the measured time, and then lets the readers
// catch up with what was acknowledged.
func (r *run) load(ctx context.Context, from map[string]map[int32]kgo.Offset, produce, consume bool) error {
	readCtx, stopReading := context.WithCancel(ctx)
	defer stopReading()
	var readers, producers errgroup.Group
	if consume {
		for set, ledger := range r.ledgers {
			for i, share := range split(from, r.config.Clients) {
				readers.Go(func() error { return r.read(readCtx, set*r.config.Clients+i, share, ledger) })
			}
		}
	}
	if produce {
		for i := range r.config.Clients {
			producers.Go(func() error { return r.write(ctx, i) })
		}
	}
	err := producers.Wait()
	if !produce {
		r.awaitEnd(ctx)
		r.mu.Lock()
		r.end = time.Now()
		r.mu.Unlock()
	} else if consume && err == nil {
		r.awaitReaders(ctx)
	}
	stopReading()
	return errors.Join(err, readers.Wait(), ctx.Err())
}

// awaitEnd waits until all that was there has been read, or time is up.
func (r *run) awaitEnd(ctx context.Context) {
	for time.Now().Before(r.end) {
		r.mu.Lock()
		done := r.count[consuming].records >= r.available*int64(len(r.ledgers))
		r.mu.Unlock()
		if done || !sleep(ctx, time.Millisecond) {
			return
		}
	}
}

func (r *run) awaitReaders(ctx context.Context) {
	for deadline := time.Now().Add(catchUp); r.counts().Lost > 0 && time.Now().Before(deadline); {
		if !sleep(ctx, 20*time.Millisecond) {
			return
		}
	}
}

// sleep waits and reports whether it was allowed to finish.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// report calls progress once a second until the returned function is called.
func (r *run) report(progress Progress) (stop func()) {
	if progress == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
				counts := r.counts()
				r.mu.Lock()
				consumed := max(counts.Consumed, r.count[consuming].records)
				r.mu.Unlock()
				progress(time.Since(r.start), counts.Acked, consumed)
			}
		}
	}()
	return func() { close(quit); <-done }
}

// note counts records of one side if they fall into the measured time, with their latency.
func (r *run) note(s side, records, bytes int64, latency *hdrhistogram.Histogram, micros int64) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.measured) || now.After(r.end) {
		return
	}
	r.count[s].records += records
	r.count[s].bytes += bytes
	if latency != nil {
		// A latency beyond the histogram's ten minutes counts as ten minutes.
		_ = latency.RecordValue(min(max(micros, 1), latency.HighestTrackableValue()))
	}
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	if r.failure == nil {
		r.failure = err
	}
}

func newLedgers(n int) []*Ledger {
	all := make([]*Ledger, n)
	for i := range all {
		all[i] = NewLedger()
	}
	return all
}

// acked notes that a record was acknowledged: every reader of it owes it from now on.
func (r *run) acked(stamp Stamp) {
	for _, l := range r.ledgers {
		l.Acked(stamp.Stream, stamp.Sequence)
	}
}

// counts sums what the ledgers have seen; what was acknowledged is counted once.
func (r *run) counts() Counts {
	var sum Counts
	for _, l := range r.ledgers {
		c := l.Counts()
		sum.Acked = c.Acked
		sum.Consumed += c.Consumed
		sum.Lost += c.Lost
		sum.Duplicated += c.Duplicated
		sum.Reordered += c.Reordered
	}
	return sum
}
