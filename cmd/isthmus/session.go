package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/control/client"
)

func newSession() *cobra.Command {
	cmd := &cobra.Command{
		Use: "session", Short: "List the sessions of agents, and end one",
		Example: "  isthmus session list\n  isthmus session end 17",
	}
	cmd.AddCommand(newSessionList(), newSessionEnd())
	return cmd
}

func newSessionList() *cobra.Command {
	var group string
	cmd := &cobra.Command{Use: "list", Short: "List the sessions that live", Example: "  isthmus session list --group prod"}
	cmd.Flags().StringVar(&group, "group", "", "those of one group of agents")
	return asOperator(cmd, func(ctx context.Context, o *operator, _ []string) error {
		s, err := o.client.Status(ctx)
		if err != nil {
			return err
		}
		data, rows := []client.Agent{}, [][]any{}
		for _, a := range s.Agents {
			if group == "" || a.Group == group {
				data = append(data, a)
				rows = append(rows, []any{a.Session, a.Group, a.Agent, list(a.Roles), orDash(a.Zone), a.KafkaAddress})
			}
		}
		return o.print(data, "SESSION\tGROUP\tAGENT\tROLES\tZONE\tKAFKA", rows)
	})
}

func newSessionEnd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "end SESSION", Short: "End the session of an agent", Args: cobra.ExactArgs(1),
		Long: `end ends a session: what its agent has not committed never will be, and its clients are told to send it again. The agent logs
in anew, if its binding still lets it; to keep it out, delete that (isthmus binding delete).`,
		Example: "  isthmus session end 17",
	}
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		id, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil || id == 0 {
			return usageError{fmt.Errorf("%q is no session: they are numbers (isthmus session list shows them)", args[0])}
		}
		if err := o.client.EndSession(ctx, id); err != nil {
			return err
		}
		return o.print(map[string]any{"session": id}, "", [][]any{{"ended session " + args[0]}})
	})
}
