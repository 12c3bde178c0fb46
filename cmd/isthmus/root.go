package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/internal/obs"
	"github.com/isthmusdata/isthmus/internal/units"
)

// newRoot is the whole command line.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "isthmus",
		Short: "One Kafka-compatible cluster over several cloud accounts, with nothing between them but a bucket",
		Long: `isthmus is one logical Kafka-compatible cluster stretched over cloud accounts: produce-only
agents in one, fetch-only agents in another; they share a role on a bucket and nothing else.

See it run:      isthmus demo
An empty one:    isthmus playground
Piece by piece:  isthmus control, then isthmus agent`,
		Example: `  isthmus demo
  isthmus topic --help`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(flagFault)
	root.PersistentFlags().String("log-level", "info", "least level that is logged on standard error: debug, info, warn, error")
	root.AddCommand(
		newDemo(), newPlayground(), newControl(), newAgent(),
		newTopic(), newConsumerGroup(), newShare(), newGroup(), newGrant(), newBinding(), newSession(), newAudit(), newCost(), newIAM(), newDoctor(), newBench(), newSegment(), newVersion(),
	)
	refuseStrayArguments(root)
	return root
}

// flagFault names the flag that is nearest to an unknown one.
func flagFault(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near := units.Nearest(unknown.GetSpecifiedName(), known); near != "" {
			err = fmt.Errorf("%w: did you mean --%s?", err, near)
		}
	}
	return usageError{fmt.Errorf("%w (try: %s --help)", err, cmd.CommandPath())}
}

// refuseStrayArguments gives every command that takes no arguments an error which names the
// stray one, and every group of commands one that names the commands it has.
func refuseStrayArguments(cmd *cobra.Command) {
	for _, child := range cmd.Commands() {
		refuseStrayArguments(child)
	}
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			fault := fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0])
			var known []string
			for _, child := range cmd.Commands() {
				known = append(known, child.Name())
			}
			if near := units.Nearest(args[0], known); near != "" {
				fault = fmt.Errorf("%w: did you mean %s?", fault, near)
			}
			return usageError{fmt.Errorf("%w (try: %s --help)", fault, cmd.CommandPath())}
		}
		return
	}
	if arguments := cmd.Args; arguments == nil {
		cmd.Args = usageArgs(cobra.NoArgs)
	} else {
		cmd.Args = usageArgs(arguments)
	}
}

// usageArgs makes a fault of the arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w (try: %s --help)", err, cmd.CommandPath())}
		}
		return nil
	}
}

// newLogger logs on the command's standard error at the level of --log-level.
func newLogger(cmd *cobra.Command) (*slog.Logger, error) {
	name, err := cmd.Flags().GetString("log-level")
	if err != nil {
		return nil, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: use debug, info, warn or error", name)}
	}
	return obs.NewLogger(cmd.ErrOrStderr(), level), nil
}

// output is how a command prints its data.
type output string

func addOutputFlag(cmd *cobra.Command) *output {
	o := output("table")
	cmd.Flags().VarP(&o, "output", "o", "how to print: table or json")
	return &o
}

// String implements pflag.Value.
func (o *output) String() string { return string(*o) }

// Type implements pflag.Value.
func (o *output) Type() string { return "format" }

// Set implements pflag.Value.
func (o *output) Set(s string) error {
	if s != "table" && s != "json" {
		return fmt.Errorf("%q is no output format: use table or json", s)
	}
	*o = output(s)
	return nil
}

func (o *output) json() bool { return *o == "json" }
