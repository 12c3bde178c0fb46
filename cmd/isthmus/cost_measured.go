package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/internal/cost"
	"github.com/isthmusdata/isthmus/internal/meter"
)

// longestSince is how far back the control plane remembers what was done.
const longestSince = 31 * 24 * time.Hour

// measure prices what a cluster did. The flags of a load say how it is configured; rates, zones, agents and partitions are its own.
func (c *costCommand) measure(ctx context.Context, o *operator, _ []string) error {
	since := time.Duration(c.since)
	if since <= 0 || since > longestSince {
		return usageError{fmt.Errorf("--since %v: from a minute to 31d", c.since.String())}
	}
	p, err := c.readPrices()
	if err != nil {
		return err
	}
	w := c.w
	w.Retention, w.SegmentMiB = time.Duration(c.retention), float64(c.segment)/(1<<20)
	if err := w.Validate(); err != nil {
		return usageError{err}
	}
	m, err := o.client.Meter(ctx, since)
	if err != nil {
		return err
	}
	now, err := o.client.Status(ctx)
	if err != nil {
		return err
	}
	reading := map[string]bool{}
	for _, r := range m.Rows {
		reading[r.Group] = reading[r.Group] || r.Counts[meter.FetchBytes] > 0
	}
	w.Zones, w.ReadZones, w.Agents = places(now.Agents, reading)
	w.Partitions = max(1, int(now.Partitions))
	var uses []cost.Use
	for _, r := range m.Rows {
		uses = append(uses, cost.Use(r))
	}
	var kept []cost.Kept
	for _, s := range m.Stored {
		kept = append(kept, cost.Kept(s))
	}
	report, err := cost.Measure(m.From, m.Until, uses, kept, w, p)
	if err != nil {
		return usageError{err}
	}
	if o.json {
		return o.print(report, "", nil)
	}
	return o.printMeasured(report)
}

// places counts the zones in which agents stand now, those of each reading group that have a fetch agent, and the agents that produce.
func places(agents []client.Agent, reading map[string]bool) (zones, readZones, producing int) {
	seen, reads := map[string]bool{}, map[[2]string]bool{}
	for _, a := range agents {
		seen[a.Zone] = true
		if slices.Contains(a.Roles, "fetch") && reading[a.Group] {
			reads[[2]string{a.Group, a.Zone}] = true
		}
		if slices.Contains(a.Roles, "produce") {
			producing++
		}
	}
	return max(1, min(len(seen), 6)), len(reads), producing
}

func (o *operator) printMeasured(m *cost.Measured) error {
	fmt.Fprintf(o.out, "From %s to %s (%v), requests to buckets at list prices of %s for %s, in %s.\n",
		m.From.Format(time.RFC3339), m.Until.Format(time.RFC3339), m.Until.Sub(m.From).Round(time.Second), m.Date, m.Region, m.Currency)
	if len(m.Spent) == 0 {
		fmt.Fprintln(o.out, "Nothing was done in this time.")
	} else if err := o.printSpent(m); err != nil {
		return err
	}
	if len(m.Storage) > 0 {
		fmt.Fprintln(o.out)
		var rows [][]any
		for _, s := range m.Storage {
			rows = append(rows, []any{s.Share, amount(s.GiB), s.Objects, dollars(s.Month)})
		}
		if err := o.print(nil, "STORED NOW\tGIB\tOBJECTS\tA MONTH", rows); err != nil {
			return err
		}
	}
	if len(m.Beside) == 0 {
		return nil
	}
	by := fmt.Sprintf("by %d produce agents, in %d zones", m.Load.Agents, m.Load.Zones)
	if m.Load.Agents == 0 {
		by = "by agents that are gone; the model takes as many as are needed"
	}
	fmt.Fprintf(o.out, "\nWhile something was done: %s MiB/s written, %s MiB/s read, %s. Beside the model of that load:\n\n", amount(m.Load.Write), amount(m.Load.Read), by)
	var rows [][]any
	for _, b := range m.Beside {
		rows = append(rows, []any{b.Figure, amount(b.Measured), amount(b.Model)})
	}
	return o.print(nil, "FIGURE\tMEASURED\tMODEL", rows)
}

func (o *operator) printSpent(m *cost.Measured) error {
	fmt.Fprintln(o.out)
	var rows [][]any
	for _, s := range append(slices.Clone(m.Spent), m.All) {
		group, share := orDash(s.Group), orDash(s.Share)
		if len(rows) == len(m.Spent) {
			group, share = "all", ""
		}
		rows = append(rows, []any{group, share, s.Kafka, amount(s.In), amount(s.Out), s.Puts, s.Gets, s.Lists, s.Deletes, s.Hedged, s.Throttled, s.Failed,
			fmt.Sprintf("%.4f", s.Cost), dollars(s.Month), cents(s.Cents)})
	}
	return o.print(nil, "GROUP\tSHARE\tKAFKA\tGIB IN\tGIB OUT\tPUT\tGET\tLIST\tDELETE\tHEDGED\t503\tFAILED\tCOST\tA MONTH\tCENTS A GIB", rows)
}
