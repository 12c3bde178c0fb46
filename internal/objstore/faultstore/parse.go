package faultstore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/internal/units"
)

// Rule is one kind of fault and how often it happens.
type Rule struct {
	Kind   string
	Op     string // empty: every op the kind fits
	Chance float64
	Times  []time.Duration // what the kind takes, defaults filled in
}

// kind is what may be said of a fault.
type kind struct {
	name  string
	ops   []string        // nil: all
	times []time.Duration // defaults
}

func kinds() []kind {
	return []kind{
		{name: "lost"},
		{name: "late", ops: []string{opPut}, times: []time.Duration{2 * time.Second}},
		{name: "error"},
		{name: "503"},
		{name: "slow", times: []time.Duration{5 * time.Second, time.Second}},
		{name: "torn", ops: []string{opGet}},
	}
}

func allOps() []string { return []string{opPut, opGet, opHead, opDelete, opList, opMultipart} }

const (
	maxRules = 64
	maxTime  = time.Hour
)

// ParseFaults reads the language that the package comment describes.
func ParseFaults(text string) ([]Rule, error) {
	var rules []Rule
	for part := range strings.SplitSeq(text, ",") {
		if len(rules) == maxRules {
			return nil, fmt.Errorf("more than %d faults", maxRules)
		}
		r, err := parseRule(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("fault %q: %w", part, err)
		}
		for _, other := range rules {
			if other.Kind == r.Kind && other.Op == r.Op {
				return nil, fmt.Errorf("fault %q: said twice", part)
			}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(text string) (Rule, error) {
	fields := strings.Split(text, ":")
	name, op, hasOp := strings.Cut(fields[0], "@")
	k, err := findKind(name)
	if err != nil {
		return Rule{}, err
	}
	if hasOp && !slices.Contains(allOps(), op) {
		return Rule{}, fmt.Errorf("no operation %q; try %s", op, hint(op, allOps()))
	}
	if hasOp && k.ops != nil && !slices.Contains(k.ops, op) {
		return Rule{}, fmt.Errorf("%s happens to %s only", k.name, strings.Join(k.ops, ", "))
	}
	if len(fields) < 2 {
		return Rule{}, fmt.Errorf("no chance; write %s:0.01", fields[0])
	}
	chance, err := strconv.ParseFloat(fields[1], 64)
	if err != nil || !(chance >= 0 && chance <= 1) {
		return Rule{}, fmt.Errorf("%q is not a chance between 0 and 1", fields[1])
	}
	times, err := parseTimes(fields[2:], k)
	return Rule{Kind: k.name, Op: op, Chance: chance, Times: times}, err
}

func findKind(name string) (kind, error) {
	var names []string
	for _, k := range kinds() {
		if k.name == name {
			return k, nil
		}
		names = append(names, k.name)
	}
	return kind{}, fmt.Errorf("no fault %q; try %s", name, hint(name, names))
}

// hint is the nearest known name, or all of them.
func hint(name string, known []string) string {
	if nearest := units.Nearest(name, known); nearest != "" {
		return nearest
	}
	return strings.Join(known, ", ")
}

func parseTimes(fields []string, k kind) ([]time.Duration, error) {
	if len(fields) > len(k.times) {
		return nil, fmt.Errorf("%s takes %d times", k.name, len(k.times))
	}
	times := slices.Clone(k.times)
	for i, f := range fields {
		d, err := time.ParseDuration(f)
		if err != nil || d < 0 || d > maxTime {
			return nil, fmt.Errorf("%q is not a time up to %v; write one such as 500ms", f, maxTime)
		}
		times[i] = d
	}
	return times, nil
}

// String writes the rule as ParseFaults reads it.
func (r Rule) String() string {
	text := r.Kind
	if r.Op != "" {
		text += "@" + r.Op
	}
	text += ":" + strconv.FormatFloat(r.Chance, 'g', -1, 64)
	for _, d := range r.Times {
		text += ":" + d.String()
	}
	return text
}

// fits says whether the rule holds for a call.
func (r Rule) fits(c call) bool {
	switch {
	case r.Op != "" && r.Op != c.op:
		return false
	case r.Kind == "late":
		return c.late != nil
	case r.Kind == "lost":
		return c.repeat
	case r.Kind == "torn":
		return c.op == opGet
	}
	return true
}
