package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/internal/units"
)

// What the commands share, group, grant and binding have in common: each noun has the same five verbs.

// noun is one kind of thing that the walls are made of.
type noun[T any] struct {
	what    string // singular, as the command is called
	all     func(client.Walls) []T
	name    func(T) string
	heading string
	row     func(T) []any
	lines   func(T) [][]any // of describe: what, and its value
	remove  func(context.Context, *client.Client, string) error
}

// find returns the one of a name, or says which there are.
func (n noun[T]) find(w client.Walls, name string) (T, error) {
	var known []string
	for _, x := range n.all(w) {
		if n.name(x) == name {
			return x, nil
		}
		known = append(known, n.name(x))
	}
	var none T
	fault := fmt.Errorf("there is no %s %q", n.what, name)
	if near := units.Nearest(name, known); near != "" {
		fault = fmt.Errorf("%w: did you mean %s?", fault, near)
	}
	return none, fmt.Errorf("%w (isthmus %s list shows those there are)", fault, n.what)
}

// get asks the control plane for the one of a name.
func (n noun[T]) get(ctx context.Context, o *operator, name string) (x T, err error) {
	w, err := o.client.Walls(ctx)
	if err != nil {
		return x, err
	}
	return n.find(w, name)
}

// absent refuses to create what is there.
func (n noun[T]) absent(w client.Walls, name string) error {
	for _, x := range n.all(w) {
		if n.name(x) == name {
			return fmt.Errorf("%s %q is there already: change it with isthmus %s alter %s", n.what, name, n.what, name)
		}
	}
	return nil
}

// done prints what a command has made of a thing.
func (n noun[T]) done(o *operator, did string, x T) error {
	return o.print(x, "", [][]any{{did + " " + n.what + " " + n.name(x)}})
}

func (n noun[T]) listCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the " + n.what + "s", Example: "  isthmus " + n.what + " list --output json"}
	return asOperator(cmd, func(ctx context.Context, o *operator, _ []string) error {
		w, err := o.client.Walls(ctx)
		if err != nil {
			return err
		}
		all := n.all(w)
		if all == nil {
			all = []T{}
		}
		rows := make([][]any, len(all))
		for i, x := range all {
			rows[i] = n.row(x)
		}
		return o.print(all, n.heading, rows)
	})
}

func (n noun[T]) describeCommand(example string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe NAME", Short: "Show everything about one " + n.what, Args: cobra.ExactArgs(1),
		Example: "  isthmus " + n.what + " describe " + example,
	}
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		x, err := n.get(ctx, o, args[0])
		if err != nil {
			return err
		}
		return o.print(x, "", n.lines(x))
	})
}

func (n noun[T]) deleteCommand(short, example string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: short, Args: cobra.ExactArgs(1),
		Example: "  isthmus " + n.what + " delete " + example,
	}
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		x, err := n.get(ctx, o, args[0])
		if err != nil {
			return err
		}
		if err := n.remove(ctx, o.client, args[0]); err != nil {
			return err
		}
		return n.done(o, "deleted", x)
	})
}

// parent is the command that holds a noun's verbs.
func parent(what, short, example string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: what, Short: short, Example: example}
	cmd.AddCommand(verbs...)
	return cmd
}

// orDash shows that something is not set.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func list(names []string) string { return orDash(strings.Join(names, ",")) }

// moment reads a time from the command line: RFC 3339, or how far it is from now, forwards or, with past, back.
func moment(flag, text string, past bool) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC(), nil
	}
	span, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n int
		n, err = strconv.Atoi(days)
		span = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || span < 0 {
		return time.Time{}, usageError{fmt.Errorf("--%s %q is neither a time such as 2026-12-31T18:00:00Z nor a duration such as 90m, 8h or 30d", flag, text)}
	}
	if past {
		span = -span
	}
	return time.Now().Add(span).UTC().Truncate(time.Millisecond), nil
}
