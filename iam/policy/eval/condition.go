package eval

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/iam/policy"
)

// holds says whether all conditions of a statement do.
func (c *request) holds(conditions policy.Conditions, deny bool) bool {
	for operator, keys := range conditions {
		for key, wanted := range keys {
			if !c.condition(operator, key, wanted, deny) {
				return false
			}
		}
	}
	return true
}

// condition says whether one does. What it cannot read holds in a denial and does not otherwise.
func (c *request) condition(full, key string, wanted []string, deny bool) bool {
	set, operator, ifExists := policy.SplitOperator(full)
	if !policy.KnownOperator(full) {
		return deny
	}
	values, present := c.context[strings.ToLower(key)]
	present = present && len(values) > 0
	if operator == "Null" {
		absent := strconv.FormatBool(!present)
		return anyOf(wanted, func(s string) bool { return strings.EqualFold(s, absent) })
	}
	test, negated := tests(operator)
	readable := true
	matches := func(value string) bool {
		return anyOf(wanted, func(want string) bool {
			expanded, known := c.expand(want)
			if !known {
				return false
			}
			ok, read := test(value, expanded)
			readable = readable && read
			return ok
		})
	}
	if !present {
		switch set {
		case "ForAllValues":
			return true
		case "ForAnyValue":
			return ifExists
		}
		return negated || ifExists
	}
	matched := 0
	for _, v := range values {
		if matches(v) != negated {
			matched++
		}
	}
	if !readable {
		return deny
	}
	if set == "ForAnyValue" || set == "" && !negated {
		return matched > 0
	}
	return matched == len(values)
}

// tests is how an operator compares a value of the request with one of the policy, and whether it is turned round. A
// comparison may find that it cannot read one of them.
func tests(operator string) (test func(value, want string) (ok, readable bool), negated bool) {
	plain, negated := strings.CutPrefix(operator, "Not")
	if kind, rest, found := strings.Cut(operator, "Not"); found {
		plain, negated = kind+rest, true
	}
	switch {
	case plain == "StringEquals":
		return func(v, want string) (bool, bool) { return v == unquote(want), true }, negated
	case plain == "StringEqualsIgnoreCase":
		return func(v, want string) (bool, bool) { return strings.EqualFold(v, unquote(want)), true }, negated
	case plain == "StringLike":
		return func(v, want string) (bool, bool) { return glob(want, v), true }, negated
	case plain == "ArnEquals", plain == "ArnLike":
		return func(v, want string) (bool, bool) { return arnLike(want, v), true }, negated
	case plain == "Bool":
		return func(v, want string) (bool, bool) { return strings.EqualFold(v, want), true }, negated
	case plain == "IpAddress":
		return inNetwork, negated
	case strings.HasPrefix(plain, "Numeric"):
		return compare(strings.TrimPrefix(plain, "Numeric"), number), negated
	case strings.HasPrefix(plain, "Date"):
		return compare(strings.TrimPrefix(plain, "Date"), date), negated
	}
	return func(string, string) (bool, bool) { return false, false }, negated
}

func unquote(s string) string { return unquoted.Replace(s) }

// arnLike matches each of the six parts by itself.
func arnLike(pattern, arn string) bool {
	p, a := strings.SplitN(pattern, ":", 6), strings.SplitN(arn, ":", 6)
	if len(p) != 6 || len(a) != 6 {
		return pattern == "*"
	}
	for i := range p {
		if !glob(p[i], a[i]) {
			return false
		}
	}
	return true
}

func inNetwork(v, want string) (ok, readable bool) {
	address, err := netip.ParseAddr(v)
	if err != nil {
		return false, false
	}
	if !strings.Contains(want, "/") {
		single, err := netip.ParseAddr(want)
		return err == nil && single == address, err == nil
	}
	network, err := netip.ParsePrefix(want)
	return err == nil && network.Contains(address), err == nil
}

func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// date reads what ISO 8601 and policies know: a day, a time, or seconds since 1970.
func date(s string) (float64, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return float64(t.UnixNano()) / 1e9, true
		}
	}
	return number(s)
}

func compare(how string, read func(string) (float64, bool)) func(v, want string) (ok, readable bool) {
	return func(v, want string) (bool, bool) {
		a, ok1 := read(v)
		b, ok2 := read(want)
		if !ok1 || !ok2 {
			return false, false
		}
		switch how {
		case "Equals":
			return a == b, true
		case "LessThan":
			return a < b, true
		case "LessThanEquals":
			return a <= b, true
		case "GreaterThan":
			return a > b, true
		case "GreaterThanEquals":
			return a >= b, true
		}
		return false, false
	}
}
