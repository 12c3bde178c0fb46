package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/control/client"
	"github.com/isthmusdata/isthmus/internal/units"
)

var groupNoun = noun[client.AgentGroup]{
	what: "group",
	all:  func(w client.Walls) []client.AgentGroup { return w.Groups },
	name: func(g client.AgentGroup) string { return g.Name },

	heading: "GROUP\tROLES\tZONES\tNOTE",
	row:     func(g client.AgentGroup) []any { return []any{g.Name, list(g.Roles), list(g.Zones), orDash(g.Note)} },
	lines: func(g client.AgentGroup) [][]any {
		rows := [][]any{{"group", g.Name}, {"roles", list(g.Roles)}, {"zones", list(g.Zones)}, {"note", orDash(g.Note)}}
		for _, q := range quotaFields(&g.Quota) {
			bound := "-"
			if *q.value > 0 {
				bound = fmt.Sprint(*q.value)
			}
			rows = append(rows, []any{q.flag, bound})
		}
		return rows
	},
	remove: func(ctx context.Context, c *client.Client, name string) error { return c.RemoveGroup(ctx, name) },
}

func newGroup() *cobra.Command {
	return parent("group", "Create, list, describe, alter and delete groups of agents, and give them new keys",
		"  isthmus group create analytics --roles fetch --note account-333333333333\n  isthmus group list",
		newGroupCreate(), groupNoun.listCommand(), groupNoun.describeCommand("analytics"), newGroupAlter(),
		groupNoun.deleteCommand("Forget what is known of a group that no grant and no binding names", "analytics"), newGroupRotate())
}

// quotaField is one bound of a group, as a flag.
type quotaField struct {
	flag, help string
	bytes      bool
	value      *int64
}

func quotaFields(q *client.Quota) []quotaField {
	return []quotaField{
		{"bytes-in", "bytes a second from producers", true, &q.BytesIn},
		{"bytes-out", "bytes a second to consumers", true, &q.BytesOut},
		{"requests", "Kafka requests a second", false, &q.Requests},
		{"connections", "client connections", false, &q.Connections},
		{"producer-ids", "producer ids", false, &q.ProducerIDs},
		{"partitions", "partitions of topics that the group creates", false, &q.Partitions},
	}
}

// groupFlags is what a command line says of a group.
type groupFlags struct {
	roles roles
	zones []string
	note  string
	quota client.Quota
}

func (f *groupFlags) add(flags *pflag.FlagSet) {
	flags.Var(&f.roles, "roles", "what its agents may be, whatever their binding says: "+rolesHelp()+"; any if not given")
	flags.StringSliceVar(&f.zones, "zones", nil, "availability zones of its agents")
	flags.StringVar(&f.note, "note", "", "a note on its network, for people")
	for _, q := range quotaFields(&f.quota) {
		help := "quota of the whole group: " + q.help + "; 0 is no bound"
		if q.bytes {
			flags.Var((*units.Bytes)(q.value), q.flag, help)
		} else {
			flags.Int64Var(q.value, q.flag, 0, help)
		}
	}
}

// set changes what the command line names of a group, and reports whether it names anything.
func (f *groupFlags) set(flags *pflag.FlagSet, g *client.AgentGroup) (some bool, err error) {
	take := func(flag string, set func()) {
		if flags.Changed(flag) {
			some = true
			set()
		}
	}
	take("roles", func() { g.Roles = f.roles })
	take("zones", func() { g.Zones = f.zones })
	take("note", func() { g.Note = f.note })
	to := quotaFields(&g.Quota)
	for i, q := range quotaFields(&f.quota) {
		if *q.value < 0 {
			err = errors.Join(err, usageError{fmt.Errorf("--%s %d is negative; 0 is no bound", q.flag, *q.value)})
		}
		take(q.flag, func() { *to[i].value = *q.value })
	}
	return some, err
}

func newGroupCreate() *cobra.Command {
	var f groupFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a group of agents known, with its roles and quotas", Args: cobra.ExactArgs(1),
		Long: `create makes a group known: the agents of one account, VPC or region. Who may be of the group is what a
binding says (isthmus binding create), and what the group may use is what grants say (isthmus grant create).`,
		Example: "  isthmus group create prod --roles produce --zones eu-west-1a,eu-west-1b --bytes-in 50MiB",
	}
	f.add(cmd.Flags())
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		g := client.AgentGroup{Name: args[0]}
		if _, err := f.set(cmd.Flags(), &g); err != nil {
			return err
		}
		w, err := o.client.Walls(ctx)
		if err != nil {
			return err
		}
		if err := groupNoun.absent(w, g.Name); err != nil {
			return err
		}
		if err := o.client.PutGroup(ctx, g); err != nil {
			return err
		}
		return groupNoun.done(o, "created", g)
	})
}

func newGroupAlter() *cobra.Command {
	var f groupFlags
	cmd := &cobra.Command{
		Use: "alter NAME", Short: "Change a group's roles, zones, note or quotas", Args: cobra.ExactArgs(1),
		Example: "  isthmus group alter analytics --bytes-out 200MiB --connections 500",
	}
	f.add(cmd.Flags())
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		if some, err := f.set(cmd.Flags(), &client.AgentGroup{}); err != nil {
			return err
		} else if !some {
			return usageError{errors.New("nothing to change: give --roles, --zones, --note or a quota (try: isthmus group alter --help)")}
		}
		g, err := groupNoun.get(ctx, o, args[0])
		if err != nil {
			return err
		}
		if _, err := f.set(cmd.Flags(), &g); err != nil {
			return err
		}
		if err := o.client.PutGroup(ctx, g); err != nil {
			return err
		}
		return groupNoun.done(o, "altered", g)
	})
}

func newGroupRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate NAME", Short: "Give a group's agents new gossip keys and certificates", Args: cobra.ExactArgs(1),
		Long: `rotate gives a group a new gossip key and new certificates, in two phases: every agent learns the new key, then
all use it, then the old one is forgotten. Nobody is interrupted.`,
		Example: "  isthmus group rotate analytics",
	}
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		if err := o.client.RotateGroup(ctx, args[0]); err != nil {
			return err
		}
		return o.print(map[string]string{"name": args[0]}, "", [][]any{{"rotating the keys of group " + args[0]}})
	})
}
