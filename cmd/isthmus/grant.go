package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/control/client"
)

var grantNoun = noun[client.AccessGrant]{
	what: "grant",
	all:  func(w client.Walls) []client.AccessGrant { return w.Grants },
	name: func(g client.AccessGrant) string { return g.Name },

	heading: "GRANT\tGROUP\tACCESS\tSHARE\tTOPICS\tUNTIL",
	row: func(g client.AccessGrant) []any {
		return []any{g.Name, g.Group, g.Access, g.Share, topicsOf(g), untilOf(g)}
	},
	lines: func(g client.AccessGrant) [][]any {
		create := "no"
		if g.Create {
			create = "yes"
		}
		return [][]any{
			{"grant", g.Name}, {"group", g.Group}, {"access", g.Access}, {"share", g.Share}, {"topics", topicsOf(g)},
			{"creates topics", create}, {"until", untilOf(g)},
		}
	},
	remove: func(ctx context.Context, c *client.Client, name string) error { return c.RemoveGrant(ctx, name) },
}

func topicsOf(g client.AccessGrant) string {
	switch {
	case g.Topic == "":
		return "all"
	case g.Prefix:
		return g.Topic + "*"
	}
	return g.Topic
}

func untilOf(g client.AccessGrant) string {
	switch {
	case g.Until.IsZero():
		return "for good"
	case !g.Until.After(time.Now()):
		return g.Until.Format(time.RFC3339) + " (over)"
	}
	return g.Until.Format(time.RFC3339)
}

func newGrant() *cobra.Command {
	return parent("grant", "Create, list, describe, alter and delete grants: what a group may do with a share",
		"  isthmus grant create --group analytics --access fetch --share orders --until 30d\n  isthmus grant list",
		newGrantCreate(), grantNoun.listCommand(), grantNoun.describeCommand("analytics-fetch-orders"), newGrantAlter(),
		grantNoun.deleteCommand("End a grant: what is read and written under it ends at once", "analytics-fetch-orders"))
}

// grantFlags is what a command line says of a grant.
type grantFlags struct {
	group, share, access, topic, prefix, until string
	create                                     bool
}

func (f *grantFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.topic, "topic", "", "this topic alone")
	flags.StringVar(&f.prefix, "prefix", "", "topics whose names begin so; without --topic and --prefix all of the share")
	flags.BoolVar(&f.create, "create-topics", false, "producers of the group create the topics that it covers by asking for them")
	flags.StringVar(&f.until, "until", "", "when it ends: a time (2026-12-31T18:00:00Z), a duration from now (8h, 30d), or never")
}

// set changes what the command line names of a grant.
func (f *grantFlags) set(flags *pflag.FlagSet, g *client.AccessGrant) error {
	if f.topic != "" && f.prefix != "" {
		return usageError{errors.New("give --topic or --prefix, not both")}
	}
	if flags.Changed("topic") || flags.Changed("prefix") {
		g.Topic, g.Prefix = f.topic, false
		if f.prefix != "" {
			g.Topic, g.Prefix = f.prefix, true
		}
	}
	if flags.Changed("create-topics") {
		g.Create = f.create
	}
	if !flags.Changed("until") {
		return nil
	}
	if f.until == "never" {
		g.Until = time.Time{}
		return nil
	}
	until, err := moment("until", f.until, false)
	if err != nil {
		return err
	}
	if !until.After(time.Now()) {
		return usageError{fmt.Errorf("--until %s has passed: end a grant with isthmus grant delete", f.until)}
	}
	g.Until = until
	return nil
}

// accesses are what may be granted.
var accesses = []string{"produce", "fetch"}

func newGrantCreate() *cobra.Command {
	var f grantFlags
	cmd := &cobra.Command{
		Use: "create [NAME]", Short: "Let a group produce to or fetch from a share, or topics of it", Args: cobra.MaximumNArgs(1),
		Long: `create lets a group produce to, or fetch from, a share, or topics of it, perhaps until a date. Its name is
GROUP-ACCESS-SHARE if none is given. A topic that no grant of a group covers does not exist for it.

The wall is the share: objects mix the topics of a share, so that a thief of a fetching agent reads any topic of it whatever
the grants say. What must stay apart gets a share of its own.`,
		Example: `  isthmus grant create --group prod --access produce --share orders --create-topics
  isthmus grant create auditors --group audit --access fetch --share orders --prefix paid- --until 2026-12-31T18:00:00Z`,
	}
	cmd.Flags().StringVar(&f.group, "group", "", "group of agents")
	cmd.Flags().StringVar(&f.access, "access", "", "produce or fetch")
	cmd.Flags().StringVar(&f.share, "share", "default", "share that it is about")
	f.add(cmd.Flags())
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		if f.group == "" {
			return usageError{errors.New("give --group, the group of agents that it is for")}
		}
		if !slices.Contains(accesses, f.access) {
			return usageError{fmt.Errorf("--access %q: use %s", f.access, strings.Join(accesses, " or "))}
		}
		if f.create && f.access != "produce" {
			return usageError{errors.New("--create-topics goes with --access produce")}
		}
		g := client.AccessGrant{Name: f.group + "-" + f.access + "-" + f.share, Group: f.group, Share: f.share, Access: f.access}
		if len(args) > 0 {
			g.Name = args[0]
		}
		if err := f.set(cmd.Flags(), &g); err != nil {
			return err
		}
		w, err := o.client.Walls(ctx)
		if err != nil {
			return err
		}
		if _, err := shareNoun.find(w, g.Share); err != nil {
			return err
		}
		if err := grantNoun.absent(w, g.Name); err != nil {
			if len(args) == 0 {
				err = fmt.Errorf("%w, or give this one a name: isthmus grant create NAME --group GROUP", err)
			}
			return err
		}
		if err := o.client.PutGrant(ctx, g); err != nil {
			return err
		}
		return grantNoun.done(o, "created", g)
	})
}

func newGrantAlter() *cobra.Command {
	var f grantFlags
	cmd := &cobra.Command{
		Use: "alter NAME", Short: "Change which topics a grant covers, or until when", Args: cobra.ExactArgs(1),
		Example: "  isthmus grant alter auditors --until 7d\n  isthmus grant alter auditors --until never",
	}
	f.add(cmd.Flags())
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		flags := cmd.Flags()
		if !flags.Changed("topic") && !flags.Changed("prefix") && !flags.Changed("create-topics") && !flags.Changed("until") {
			return usageError{errors.New("nothing to change: give --topic, --prefix, --create-topics or --until")}
		}
		g, err := grantNoun.get(ctx, o, args[0])
		if err != nil {
			return err
		}
		if err := f.set(flags, &g); err != nil {
			return err
		}
		if err := o.client.PutGrant(ctx, g); err != nil {
			return err
		}
		return grantNoun.done(o, "altered", g)
	})
}
