package scale

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Report is what came of a run. Counts are of all of it; the methods give rates.
type Report struct {
	Config Config

	Commits, Rows, Placements  int64
	Acknowledged, Refused      int64 // batches
	LogBytes, ReplyBytes       int64
	WatchMessages, WatchEvents int64
	WatchBytes                 int64
	Overruns                   int64 // watches that could not keep up
	Concerned                  int64 // segments, each counted once for each fetcher that wants a part of it
	Puts, Stored               int64
	StoredBytes                int64   // of the cluster
	PrefixMost, PrefixMean     float64 // PUTs a second and prefix
	Prefixes                   int
	Produce50, Produce99       time.Duration
	Commit50, Commit99         time.Duration // from the sending of a commit to its answer
	Busy                       float64       // of the one processor that places, modelled; above 1 it falls behind
	Watching                   float64       // processors that watches take, modelled
	Entries                    int64         // of the index
	SnapshotBytes              int64
	MetadataBytes              int // of an answer about all partitions
	Measured                   Measured

	produced, committed []time.Duration
}

// Measured is this machine's time and memory for the real parts: it differs from run to run.
type Measured struct {
	Leader        time.Duration // applying, publishing, encoding
	StateBytes    int64         // of all that the run left behind
	SnapshotPause time.Duration // no command is applied meanwhile
	Snapshot      time.Duration // with its writing, to memory
	Restore       time.Duration
}

// sum ends a run.
func (w *world) sum() (*Report, error) {
	r := &w.report
	r.Config = w.cfg
	seconds := w.cfg.For.Seconds()
	r.Puts, r.Stored, r.StoredBytes = int64(w.bucket.puts), int64(w.bucket.stored), w.bucket.bytes
	most, mean := w.bucket.spread()
	r.PrefixMost, r.PrefixMean, r.Prefixes = most/seconds, mean/seconds, len(w.bucket.prefixes)
	r.Produce50, r.Produce99 = percentile(r.produced, 0.5), percentile(r.produced, 0.99)
	r.Commit50, r.Commit99 = percentile(r.committed, 0.5), percentile(r.committed, 0.99)
	r.produced, r.committed = nil, nil
	r.Busy = w.leader.worked.Seconds() / seconds
	r.Watching = (float64(r.WatchMessages)*w.cfg.PerWatch.Seconds() + float64(r.WatchEvents)*w.cfg.PerNews.Seconds()) / seconds
	r.MetadataBytes = w.metadata()
	st := w.leader.state
	w.producers, w.queue = nil, nil
	r.Measured.StateBytes = liveBytes()
	r.Entries = st.Stats().IndexEntries
	var err error
	r.SnapshotBytes, err = w.leader.snapshot(&r.Measured)
	return r, err
}

func liveBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func percentile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// metadata is the size of an answer that names every partition and every agent of a group.
func (w *world) metadata() int {
	m := kmsg.NewPtrMetadataResponse()
	m.Version = 12
	for i := range w.cfg.Fetchers {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = int32(i), fmt.Sprintf("agent-%04d.analytics.internal", i), 9092
		m.Brokers = append(m.Brokers, b)
	}
	for n, id := range w.topics {
		t := kmsg.NewMetadataResponseTopic()
		name := fmt.Sprintf("topic-%04d", n)
		t.Topic, t.TopicID = &name, id
		for i := range min(topicPartitions, w.cfg.Partitions-n*topicPartitions) {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition, p.Leader, p.Replicas, p.ISR = int32(i), int32(i%w.cfg.Fetchers), []int32{0}, []int32{0}
			t.Partitions = append(t.Partitions, p)
		}
		m.Topics = append(m.Topics, t)
	}
	return len(m.AppendTo(nil))
}

// Print writes runs side by side, a column each.
func Print(out io.Writer, runs ...*Report) error {
	t := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	line := func(name string, cell func(r *Report) string) {
		fmt.Fprintf(t, "| %s\t", name)
		for _, r := range runs {
			fmt.Fprintf(t, "| %s\t", cell(r))
		}
		fmt.Fprintln(t, "|")
	}
	per := func(n int64, r *Report) float64 { return float64(n) / r.Config.For.Seconds() }
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	line("agents that produce, that fetch, zones", func(r *Report) string {
		return fmt.Sprintf("%d, %d, %d", r.Config.Producers, r.Config.Fetchers, r.Config.Zones)
	})
	line("---", func(*Report) string { return "---" })
	line("partitions", func(r *Report) string { return fmt.Sprint(r.Config.Partitions) })
	line("produced, MiB/s", func(r *Report) string { return fmt.Sprintf("%.0f", float64(r.Config.Rate)/(1<<20)) })
	line("batches/s acknowledged (refused)", func(r *Report) string { return fmt.Sprintf("%.0f (%.0f)", per(r.Acknowledged, r), per(r.Refused, r)) })
	line("commits/s", func(r *Report) string { return fmt.Sprintf("%.0f", per(r.Commits, r)) })
	line("placements/s", func(r *Report) string { return fmt.Sprintf("%.0f", per(r.Placements, r)) })
	line("leader: the core that places, %", func(r *Report) string { return fmt.Sprintf("%.1f", 100*r.Busy) })
	line("leader: its watches, % of a core", func(r *Report) string { return fmt.Sprintf("%.1f", 100*r.Watching) })
	line("the real parts of both, measured, %", func(r *Report) string {
		return fmt.Sprintf("%.1f", 100*r.Measured.Leader.Seconds()/r.Config.For.Seconds())
	})
	line("commit p50/p99, ms", func(r *Report) string { return fmt.Sprintf("%.1f/%.1f", ms(r.Commit50), ms(r.Commit99)) })
	line("produce p50/p99, ms", func(r *Report) string { return fmt.Sprintf("%.0f/%.0f", ms(r.Produce50), ms(r.Produce99)) })
	line("log, MB/s", func(r *Report) string { return fmt.Sprintf("%.2f", per(r.LogBytes, r)/1e6) })
	line("answers, MB/s", func(r *Report) string { return fmt.Sprintf("%.2f", per(r.ReplyBytes, r)/1e6) })
	line("watch messages/s", func(r *Report) string { return fmt.Sprintf("%.0f", per(r.WatchMessages, r)) })
	line("watch events/s", func(r *Report) string { return fmt.Sprintf("%.0f", per(r.WatchEvents, r)) })
	line("watch, MB/s", func(r *Report) string { return fmt.Sprintf("%.2f", per(r.WatchBytes, r)/1e6) })
	line("watches that could not keep up", func(r *Report) string { return fmt.Sprint(r.Overruns) })
	line("PUT/s (hedges included)", func(r *Report) string { return fmt.Sprintf("%.0f", per(r.Puts, r)) })
	line("segment, KiB", func(r *Report) string {
		return fmt.Sprintf("%.0f", float64(r.StoredBytes)/float64(max(r.Puts, 1))/1024)
	})
	line("GET/s, one a segment and zone", func(r *Report) string { return fmt.Sprintf("%.0f", per(r.Stored, r)*float64(r.Config.Zones)) })
	line("PUT/s of a prefix: most, mean (3,500 allowed)", func(r *Report) string { return fmt.Sprintf("%.1f, %.1f", r.PrefixMost, r.PrefixMean) })
	line("fetchers that want a part of a segment", func(r *Report) string { return fmt.Sprintf("%.1f", float64(r.Concerned)/float64(max(r.Commits, 1))) })
	line("index entries/s", func(r *Report) string { return fmt.Sprintf("%.0f", per(r.Entries, r)) })
	line("full after (100 million entries)", func(r *Report) string { return full(per(r.Entries, r)) })
	line("memory of the state, MB", func(r *Report) string { return fmt.Sprintf("%.0f", float64(r.Measured.StateBytes)/1e6) })
	line("snapshot, MB", func(r *Report) string { return fmt.Sprintf("%.0f", float64(r.SnapshotBytes)/1e6) })
	line("snapshot pause, writing, restoring, ms", func(r *Report) string {
		return fmt.Sprintf("%.1f, %.0f, %.0f", ms(r.Measured.SnapshotPause), ms(r.Measured.Snapshot), ms(r.Measured.Restore))
	})
	line("Metadata of everything, kB", func(r *Report) string { return fmt.Sprintf("%.0f", float64(r.MetadataBytes)/1e3) })
	return t.Flush()
}

// full is how long an index lasts that loses nothing.
func full(perSecond float64) string {
	d := time.Duration(100e6 / max(perSecond, 1e-9) * float64(time.Second))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
