package soak

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a soak found. Seconds are floating; counts are records unless named otherwise.
type Report struct {
	Seed        uint64               `json:"seed"`
	Seconds     float64              `json:"seconds"`
	Agents      int                  `json:"agents"`
	Sent        int64                `json:"sent"`
	Acked       int64                `json:"acknowledged"`
	Refused     int64                `json:"refused"` // answered with an error
	FirstError  string               `json:"first_error,omitempty"`
	Read        int64                `json:"read"`
	Lost        int64                `json:"lost"`
	Duplicated  int64                `json:"duplicated"`
	Reordered   int64                `json:"reordered"`
	Holes       int64                `json:"holes"` // offsets that hold nothing
	Live        Live                 `json:"live_readers"`
	Groups      map[string]GroupPart `json:"groups"`
	Quiet       Outage               `json:"without_faults"` // between faults
	Faults      []Kind               `json:"faults"`
	Struck      []Struck             `json:"struck"`
	Missing     []string             `json:"kinds_that_did_not_happen,omitempty"`
	Bucket      map[string]int64     `json:"bucket_requests"`
	Rest        []Rest               `json:"at_rest"`
	Complaints  []Complaint          `json:"errors_in_logs"`
	Wrong       []string             `json:"wrong"` // why the soak failed
	LogsAndData string               `json:"logs_and_data"`
}

// Live is what the readers found that read beside the producers.
type Live struct {
	Lost       int64   `json:"lost"`
	Duplicated int64   `json:"duplicated"`
	Reordered  int64   `json:"reordered"`
	ProduceP99 float64 `json:"produce_p99_seconds"`
	EndToEnd99 float64 `json:"end_to_end_p99_seconds"`
}

// GroupPart is a consumer group's.
type GroupPart struct {
	groupCounts
	Unread int64 `json:"unread"`
}

// Outage is the longest time without service, in seconds: of one producer or reader and partition, and
// of all.
type Outage struct {
	ProduceOne float64 `json:"produce_one"`
	ProduceAll float64 `json:"produce_all"`
	ReadOne    float64 `json:"read_one"`
	ReadAll    float64 `json:"read_all"`
}

// Struck is one fault that happened.
type Struck struct {
	Kind    string  `json:"kind"`
	At      float64 `json:"at"` // since the load began
	Lasted  float64 `json:"lasted"`
	Victim  string  `json:"victim"`
	Note    string  `json:"note,omitempty"`
	Back    float64 `json:"back_after"`
	Verdict string  `json:"verdict"`
	Outage
}

// Kind is all that happened of one kind of fault.
type Kind struct {
	Kind    string  `json:"kind"`
	What    string  `json:"what"`
	Times   int     `json:"times"`
	Lasted  float64 `json:"lasted"` // the longest
	Back    float64 `json:"back_after"`
	Verdict string  `json:"verdict"`
	Outage
}

// Verdicts on one fault. The goal is for a person to look at; a soak fails only far beyond it, for
// machines are noisy.
const (
	asExplained = "as explained"
	slowToBack  = "slow to come back" // more than goalBack after the fault's end
	tooLong     = "longer than explained"
)

const (
	goalBack  = 10 * time.Second // after a fault's end
	leastBack = 60 * time.Second // the soak fails beyond it
	tolerance = 45 * time.Second // beyond what a fault explains, before the soak fails
)

// add keeps the longer of both.
func (o *Outage) add(p Outage) {
	o.ProduceOne, o.ProduceAll = max(o.ProduceOne, p.ProduceOne), max(o.ProduceAll, p.ProduceAll)
	o.ReadOne, o.ReadAll = max(o.ReadOne, p.ReadOne), max(o.ReadAll, p.ReadAll)
}

// longest finds the longest gaps of each sort.
func longest(gaps []gap) (o Outage) {
	for _, g := range gaps {
		place := &o.ProduceOne
		switch {
		case g.reading && g.whole:
			place = &o.ReadAll
		case g.reading:
			place = &o.ReadOne
		case g.whole:
			place = &o.ProduceAll
		}
		*place = max(*place, g.length().Seconds())
	}
	return o
}

// measure says what clients noticed of a fault, from its gaps, and judges it; wrong is why the soak fails.
func measure(f fault, begin, end time.Time, gaps []gap) (s Struck, wrong string) {
	s = Struck{Kind: f.kind, Lasted: end.Sub(begin).Seconds(), Outage: longest(gaps), Verdict: asExplained}
	for _, g := range gaps {
		if g.length() >= noticed && g.to.After(end) {
			s.Back = max(s.Back, g.to.Sub(end).Seconds())
		}
	}
	lasted := end.Sub(begin)
	// A reader waits for what was acknowledged, so a fault of produce explains nothing of it.
	produce, read := s.ProduceOne-f.produce.most(lasted).Seconds(), s.ReadOne-f.read.most(lasted).Seconds()
	if s.Back > goalBack.Seconds() {
		s.Verdict = slowToBack
	}
	if max(produce, read) > 0 {
		s.Verdict = tooLong
	}
	if over := max(produce, read); over > tolerance.Seconds() {
		wrong = fmt.Sprintf("%s: without service for %.1f s more than the fault explains", f.kind, over)
	}
	if s.Back > leastBack.Seconds() {
		wrong = fmt.Sprintf("%s: service was back %.1f s after its end", f.kind, s.Back)
	}
	return s, wrong
}

// summarise joins the faults of a kind.
func summarise(struck []Struck) (kinds []Kind, missing []string) {
	for _, f := range faults() {
		k := Kind{Kind: f.kind, What: f.what, Verdict: asExplained}
		for _, s := range struck {
			if s.Kind != f.kind {
				continue
			}
			k.Times++
			k.Lasted, k.Back = max(k.Lasted, s.Lasted), max(k.Back, s.Back)
			k.add(s.Outage)
			if k.Verdict == asExplained || s.Verdict == tooLong {
				k.Verdict = s.Verdict
			}
		}
		if k.Times == 0 {
			missing = append(missing, f.kind)
			continue
		}
		kinds = append(kinds, k)
	}
	return kinds, missing
}

// decide writes down everything that must not be.
func (r *Report) decide() {
	wrong := func(n int64, what string) {
		if n != 0 {
			r.Wrong = append(r.Wrong, fmt.Sprintf("%d %s", n, what))
		}
	}
	wrong(r.Lost, "records lost")
	wrong(r.Duplicated, "records duplicated")
	wrong(r.Reordered, "records reordered")
	wrong(r.Holes, "offsets hold nothing")
	wrong(r.Live.Lost, "records never read by the readers beside the producers")
	wrong(r.Live.Duplicated, "records read twice by them")
	wrong(r.Live.Reordered, "records read out of order by them")
	wrong(r.Refused, "records answered with an error, the first: "+r.FirstError)
	wrong(r.Sent-r.Acked-r.Refused, "records never answered")
	for _, name := range sorted(r.Groups) {
		g := r.Groups[name]
		wrong(g.Skipped, "records skipped by group "+name)
		wrong(g.Rewound, "commits forgotten of group "+name)
		wrong(g.Unread, "records never read by group "+name)
	}
	for _, rest := range r.Rest {
		if rest.Leak != "" {
			r.Wrong = append(r.Wrong, rest.Process+" leaks: "+rest.Leak)
		}
	}
	if r.Acked == 0 {
		r.Wrong = append(r.Wrong, "nothing was acknowledged")
	}
}

// Sound reports whether nothing was wrong.
func (r *Report) Sound() bool { return len(r.Wrong) == 0 }

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Print writes the report for a person.
func (r *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }
	line("soak: seed %d, %v of load, %d agents, %d faults\n", r.Seed, span(r.Seconds), r.Agents, len(r.Struck))
	line("records\tsent %d\tacknowledged %d\trefused %d", r.Sent, r.Acked, r.Refused)
	line("read by offset\tread %d\tlost %d\tduplicated %d\treordered %d", r.Read, r.Lost, r.Duplicated, r.Reordered)
	line("read meanwhile\t\tlost %d\tduplicated %d\treordered %d", r.Live.Lost, r.Live.Duplicated, r.Live.Reordered)
	for _, name := range sorted(r.Groups) {
		g := r.Groups[name]
		line("group %s\tread %d\tskipped %d\tforgotten commits %d\tagain %d\t(%d assignments, %d interruptions)", name, g.Read, g.Skipped, g.Rewound, g.Again, g.Assignments, g.Interrupted)
	}
	line("latency\tproduce p99 %.2f s\tend to end p99 %.2f s", r.Live.ProduceP99, r.Live.EndToEnd99)
	if err := t.Flush(); err != nil {
		return err
	}

	line("\nlongest time without service, in seconds\t\t\tproduce\t\tread")
	line("fault\ttimes\tlasted\tone\tall\tone\tall\tback after\t")
	row := func(name, times, lasted string, o Outage, back, verdict string) {
		line("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", name, times, lasted, tenths(o.ProduceOne), tenths(o.ProduceAll), tenths(o.ReadOne), tenths(o.ReadAll), back, verdict)
	}
	row("none", "", "", r.Quiet, "", "")
	for _, k := range r.Faults {
		row(k.Kind, fmt.Sprint(k.Times), tenths(k.Lasted), k.Outage, tenths(k.Back), k.Verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Missing) > 0 {
		line("did not happen in this time: %s", strings.Join(r.Missing, ", "))
	}

	line("\nat rest\tlives\tgoroutines\tfiles\tMB resident")
	for _, h := range r.Rest {
		line("%s\t%d\t%d to %d\t%d to %d\t%.0f to %.0f\t%s", h.Process, h.Lives, h.Before.Goroutines, h.After.Goroutines,
			h.Before.Files, h.After.Files, float64(h.Before.Resident)/1e6, float64(h.After.Resident)/1e6, h.Leak)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Complaints) > 0 {
		line("\nerrors in logs\ttimes\tmessage")
		for _, c := range r.Complaints {
			line("%s\t%d\t%s", c.Process, c.Times, c.Message)
		}
	}
	if r.Sound() {
		line("\nsoak: sound: nothing lost, duplicated or reordered; logs in %s", r.LogsAndData)
	} else {
		line("\nsoak: FAILED, logs in %s", r.LogsAndData)
		for _, why := range r.Wrong {
			line("  %s", why)
		}
	}
	return t.Flush()
}

// tenths prints seconds; waits too short to be kept are "-".
func tenths(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", seconds)
}

func span(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second)
}
