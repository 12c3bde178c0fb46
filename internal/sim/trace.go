package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// trace is what has happened in a run, a line each. Lines are put into words only when somebody reads
// them: nobody does of most runs.
type trace struct {
	lines   []line
	dropped int
}

// line is one thing that happened.
type line struct {
	at     time.Duration
	format string
	args   []any
}

// maxLines bounds a run's trace; the oldest half goes.
const maxLines = 40_000

func (t *trace) add(at time.Duration, format string, args []any) {
	if !slices.ContainsFunc(args, changing) {
		t.lines = append(t.lines, line{at, format, args})
	} else {
		t.lines = append(t.lines, line{at, "%s", []any{fmt.Sprintf(format, args...)}})
	}
	if len(t.lines) > maxLines {
		t.dropped += maxLines / 2
		t.lines = slices.Clone(t.lines[maxLines/2:])
	}
}

// changing: a value that may read otherwise later.
func changing(arg any) bool {
	switch arg.(type) {
	case string, bool, int, int16, int32, int64, uint32, uint64, float64, time.Duration, profile, *copyOf:
		return false
	}
	return true
}

func (l line) String() string {
	return fmt.Sprintf("%9.3fs ", l.at.Seconds()) + fmt.Sprintf(l.format, l.args...)
}

// strings puts all lines into words.
func (t *trace) strings() []string {
	out := make([]string, len(t.lines))
	for i, l := range t.lines {
		out[i] = l.String()
	}
	return out
}

// Story is the violation and what led to it: of the lines before it those about the batches, segments,
// sessions and clients that it names, and the faults; at most the last most of them.
func (o Outcome) Story(most int) string {
	all := o.Lines()
	about := subjects(o.Violation)
	var told []string
	for _, l := range all {
		if about.MatchString(l) || always.MatchString(l) {
			told = append(told, l)
		}
	}
	told = told[max(0, len(told)-most):]
	return fmt.Sprintf("%s\n%s\n(%d of %d lines)", o.Violation, strings.Join(told, "\n"), len(told), len(all))
}

// Lines is the whole trace.
func (o Outcome) Lines() []string { return o.trace.strings() }

// always is in every story.
var always = regexp.MustCompile(`fault: |serves term|no longer leads|does not trust|faults end|VIOLATION|goroutine|\.go:`)

var (
	copyNamed    = regexp.MustCompile(`\bc(\d+)/b(\d+)\b`)
	batchNamed   = regexp.MustCompile(`batch (\d+) of client (\d+)`)
	sessionNamed = regexp.MustCompile(`session (\d+)`)
	segmentNamed = regexp.MustCompile(`\b\d+-(\d+)-\d+\b`)
	clientDies   = regexp.MustCompile(`client (\d+) \([a-z-]+\) dies: batch (\d+) of`)
	groupNamed   = regexp.MustCompile(`\b(?:group|consumer|member) [\w-]+`)
)

// subjects matches the lines that tell of what a violation names.
func subjects(violation string) *regexp.Regexp {
	patterns := []string{`\A\z`}
	for _, m := range copyNamed.FindAllStringSubmatch(violation, -1) {
		patterns = append(patterns, fmt.Sprintf(`\bc%s/b%s\b`, m[1], m[2]))
	}
	for _, m := range batchNamed.FindAllStringSubmatch(violation, -1) {
		patterns = append(patterns, fmt.Sprintf(`\bc%s/b%s\b`, m[2], m[1]))
	}
	for _, m := range clientDies.FindAllStringSubmatch(violation, -1) {
		patterns = append(patterns, fmt.Sprintf(`\bc%s/b%s\b|client %s .*bumps`, m[1], m[2], m[1]))
	}
	for _, m := range sessionNamed.FindAllStringSubmatch(violation, -1) {
		patterns = append(patterns, fmt.Sprintf(`session %s\b`, m[1]))
	}
	for _, m := range segmentNamed.FindAllStringSubmatch(violation, -1) {
		patterns = append(patterns, regexp.QuoteMeta(m[0])+`\b`, fmt.Sprintf(`session %s\b`, m[1]))
	}
	for _, m := range groupNamed.FindAllString(violation, -1) {
		patterns = append(patterns, regexp.QuoteMeta(m)+`\b`)
	}
	return regexp.MustCompile(strings.Join(patterns, "|"))
}
