package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/control/client"
)

func newAudit() *cobra.Command {
	var (
		q            client.AuditQuery
		since, until string
		most         int
	)
	cmd := &cobra.Command{
		Use: "audit", Short: "Show who did what when: logins, denials, changes of the walls, bytes read and written",
		Long: `audit reads what the control plane has noted, oldest first: who logged in and who was denied what, every change of the
walls, and how much each identity wrote to and read from each topic, summed over intervals. The control plane keeps a bounded number of
events; with --output json each is one line, to be kept elsewhere, and --after goes on where the last reading ended.`,
		Example: `  isthmus audit --group analytics --since 24h
  isthmus audit --output json --after 18231`,
	}
	f := cmd.Flags()
	f.StringVar(&q.Group, "group", "", "of one group of agents")
	f.StringVar(&q.Share, "share", "", "about one share")
	f.StringVar(&q.Topic, "topic", "", "about one topic")
	f.StringVar(&since, "since", "", "from a time (2026-11-24T12:00:00Z), or so long ago (90m, 24h, 7d)")
	f.StringVar(&until, "until", "", "up to a time, or so long ago")
	f.Uint64Var(&q.After, "after", 0, "only events with a higher number")
	f.IntVar(&most, "limit", 0, "at most so many events; 0 is all")
	return asOperator(cmd, func(ctx context.Context, o *operator, _ []string) (err error) {
		if most < 0 {
			return usageError{errors.New("--limit is negative; 0 is all")}
		}
		for _, bound := range []struct {
			flag, text string
			to         *time.Time
		}{{"since", since, &q.Since}, {"until", until, &q.Until}} {
			if bound.text != "" {
				if *bound.to, err = moment(bound.flag, bound.text, true); err != nil {
					return err
				}
			}
		}
		return o.audit(ctx, q, most)
	})
}

// audit prints events until there are no more, or as many as are wanted.
func (o *operator) audit(ctx context.Context, q client.AuditQuery, most int) error {
	var rows [][]any
	lines := json.NewEncoder(o.out)
	for seen := 0; ; {
		if most > 0 {
			q.Limit = int32(min(most-seen, 10_000))
		}
		events, more, err := o.client.Audit(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range events {
			if !o.json {
				rows = append(rows, []any{e.Time.Format(time.RFC3339), e.Kind, orDash(e.Group), orDash(e.Identity), orDash(e.Topic), e.Bytes, e.Records, e.Detail})
			} else if err := lines.Encode(e); err != nil {
				return err
			}
			q.After = e.Number
		}
		seen += len(events)
		if !more || len(events) == 0 || most > 0 && seen >= most {
			break
		}
	}
	if o.json {
		return nil
	}
	return o.print(nil, "TIME\tKIND\tGROUP\tIDENTITY\tTOPIC\tBYTES\tRECORDS\tDETAIL", rows)
}
