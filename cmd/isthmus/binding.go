package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isthmusdata/isthmus/control/client"
)

var bindingNoun = noun[client.Binding]{
	what: "binding",
	all:  func(w client.Walls) []client.Binding { return w.Bindings },
	name: func(b client.Binding) string { return b.Name },

	heading: "BINDING\tIDENTITY\tGROUP\tROLES\tSHARES\tADMIN",
	row: func(b client.Binding) []any {
		return []any{b.Name, identityOf(b.Match), orDash(b.Group), list(b.Roles), sharesOf(b), b.Admin}
	},
	lines: func(b client.Binding) [][]any {
		agents := "any number of"
		if b.MaxAgents > 0 {
			agents = fmt.Sprint(b.MaxAgents)
		}
		return [][]any{
			{"binding", b.Name}, {"method", b.Match.Method}, {"identity", identityOf(b.Match)}, {"unique id", orDash(b.Match.UniqueID)},
			{"group", orDash(b.Group)}, {"roles", list(b.Roles)}, {"shares", sharesOf(b)}, {"id prefixes", list(b.IDPrefixes)},
			{"admin", b.Admin}, {"agents", agents},
		}
	},
	remove: func(ctx context.Context, c *client.Client, name string) error { return c.RemoveBinding(ctx, name) },
}

// The ways in which an identity is proved.
const (
	methodSigV4 = "aws-sigv4"
	methodOIDC  = "aws-oidc"
	methodMTLS  = "mtls"
)

func identityOf(m client.Match) string {
	switch {
	case m.URI != "":
		return m.URI
	case m.Subject != "":
		return m.Subject + " of " + m.Issuer
	}
	return m.ARN
}

func sharesOf(b client.Binding) string {
	if len(b.Shares) == 0 {
		return "all granted"
	}
	return list(b.Shares)
}

func newBinding() *cobra.Command {
	return parent("binding", "Create, list, describe, alter, delete and apply bindings: who is of which group",
		"  isthmus binding create prod-agents --arn arn:aws:iam::222222222222:role/isthmus-agent-prod --group prod --roles produce\n  isthmus binding apply -f bindings.yaml",
		newBindingCreate(), bindingNoun.listCommand(), bindingNoun.describeCommand("prod-agents"), newBindingAlter(),
		bindingNoun.deleteCommand("End a binding, and the sessions of those who came by it", "prod-agents"), newBindingApply())
}

// bindingFlags is what a command line says of a binding.
type bindingFlags struct {
	match      client.Match
	group      string
	roles      roles
	shares     []string
	idPrefixes []string
	admin      bool
	maxAgents  int32
}

func (f *bindingFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.match.ARN, "arn", "", "identity proved by IAM: arn:aws:iam::ACCOUNT:role/NAME or :user/NAME; a trailing * matches any rest")
	flags.StringVar(&f.match.UniqueID, "unique-id", "", "with --arn: the unique id (AROA...) that it must have, so that a role deleted and made anew is another one")
	flags.StringVar(&f.match.Issuer, "issuer", "", "with --subject: who signs the tokens")
	flags.StringVar(&f.match.Subject, "subject", "", "with --issuer: identity proved by a token of STS, its sub")
	flags.StringVar(&f.match.URI, "uri", "", "identity proved by a certificate: its spiffe:// URI")
	flags.StringVar(&f.group, "group", "", "group that the identity is of")
	flags.Var(&f.roles, "roles", "roles that it may have, one or more of: "+rolesHelp())
	flags.StringSliceVar(&f.shares, "shares", nil, "at most these of the group's shares; all that it is granted if not given")
	flags.StringSliceVar(&f.idPrefixes, "id-prefixes", nil, "how names of its consumer groups and transactional ids begin; '*' is every one (default GROUP-)")
	flags.BoolVar(&f.admin, "admin", false, "it may change topics, configs and walls, and see everything")
	flags.Int32Var(&f.maxAgents, "max-agents", 0, "agents that may be logged in by it at a time; 0 is no bound")
}

// set changes what the command line names of a binding, and reports whether it names anything.
func (f *bindingFlags) set(flags *pflag.FlagSet, b *client.Binding) (some bool, err error) {
	take := func(flag string, set func()) {
		if flags.Changed(flag) {
			some = true
			set()
		}
	}
	for flag, set := range map[string]func(){
		"arn": func() { b.Match.ARN = f.match.ARN }, "unique-id": func() { b.Match.UniqueID = f.match.UniqueID },
		"issuer": func() { b.Match.Issuer = f.match.Issuer }, "subject": func() { b.Match.Subject = f.match.Subject },
		"uri": func() { b.Match.URI = f.match.URI }, "group": func() { b.Group = f.group }, "roles": func() { b.Roles = f.roles },
		"shares": func() { b.Shares = f.shares }, "id-prefixes": func() { b.IDPrefixes = f.idPrefixes },
		"admin": func() { b.Admin = f.admin }, "max-agents": func() { b.MaxAgents = f.maxAgents },
	} {
		take(flag, set)
	}
	if b.Match.Method, err = methodOf(b.Match); err != nil {
		return some, usageError{err}
	}
	return some, usageUnless(checkBinding(*b))
}

func usageUnless(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// methodOf is the method by which what a match names is proved.
func methodOf(m client.Match) (string, error) {
	var methods []string
	if m.ARN != "" || m.UniqueID != "" {
		methods = append(methods, methodSigV4)
	}
	if m.Issuer != "" || m.Subject != "" {
		methods = append(methods, methodOIDC)
	}
	if m.URI != "" {
		methods = append(methods, methodMTLS)
	}
	switch {
	case len(methods) != 1:
		return "", errors.New("say who it is in one way: --arn, --issuer and --subject, or --uri")
	case methods[0] == methodSigV4 && m.ARN == "":
		return "", errors.New("--unique-id goes with --arn")
	case methods[0] == methodOIDC && (m.Issuer == "" || m.Subject == ""):
		return "", errors.New("--issuer and --subject go together")
	}
	return methods[0], nil
}

// checkBinding finds what an operator is likely to have forgotten; the control plane checks everything.
func checkBinding(b client.Binding) error {
	switch {
	case b.Group == "" && !b.Admin:
		return errors.New("give --group, or --admin for an operator")
	case b.Group != "" && len(b.Roles) == 0:
		return errors.New("give --roles, what its agents may be: produce, fetch or produce,fetch")
	case b.Group == "" && len(b.Roles) > 0:
		return errors.New("--roles are those of agents: give --group as well")
	case b.MaxAgents < 0:
		return fmt.Errorf("--max-agents %d is negative; 0 is no bound", b.MaxAgents)
	}
	return nil
}

// prefixed gives a binding of agents the ids that begin with the name of their group, if it has none.
func prefixed(b *client.Binding) {
	if b.Group != "" && len(b.IDPrefixes) == 0 {
		b.IDPrefixes = []string{b.Group + "-"}
	}
}

func newBindingCreate() *cobra.Command {
	var f bindingFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Say that an identity is of a group, in some roles", Args: cobra.ExactArgs(1),
		Long: `create says what a proven identity is: an agent of a group, an operator, or both. The first binding must have
--admin, for it ends the time in which anybody on this machine is admitted: make one for yourself before you make those of agents.`,
		Example: `  isthmus binding create me --arn arn:aws:iam::111111111111:user/me --admin
  isthmus binding create prod-agents --arn arn:aws:iam::222222222222:role/isthmus-agent-prod --group prod --roles produce
  isthmus binding create lab --uri spiffe://lab/agent --group lab --roles produce,fetch --id-prefixes lab-,test-`,
	}
	f.add(cmd.Flags())
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		b := client.Binding{Name: args[0]}
		if _, err := f.set(cmd.Flags(), &b); err != nil {
			return err
		}
		prefixed(&b)
		w, err := o.client.Walls(ctx)
		if err != nil {
			return err
		}
		if err := bindingNoun.absent(w, b.Name); err != nil {
			return err
		}
		if err := o.client.PutBinding(ctx, b); err != nil {
			return err
		}
		o.closed(w)
		return bindingNoun.done(o, "created", b)
	})
}

// closed tells whoever has made the first binding what that means.
func (o *operator) closed(before client.Walls) {
	if before.Open {
		fmt.Fprintln(o.err, "this was the first binding: from now on agents and operators are admitted by their bindings alone")
	}
}

func newBindingAlter() *cobra.Command {
	var f bindingFlags
	cmd := &cobra.Command{
		Use: "alter NAME", Short: "Change whom a binding means, or what they may do", Args: cobra.ExactArgs(1),
		Long: `alter changes a binding. Agents that came by it and that it no longer covers lose their sessions at once; they ask to
be let in again.`,
		Example: "  isthmus binding alter prod-agents --max-agents 200\n  isthmus binding alter prod-agents --roles produce,fetch",
	}
	f.add(cmd.Flags())
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		b, err := bindingNoun.get(ctx, o, args[0])
		if err != nil {
			return err
		}
		before := b.Match
		some, err := f.set(cmd.Flags(), &b)
		switch {
		case err != nil && b.Match != before:
			return fmt.Errorf("%w; binding %s names %s now, set that to '' to name another kind", err, args[0], identityOf(before))
		case err != nil:
			return err
		case !some:
			return usageError{errors.New("nothing to change (try: isthmus binding alter --help)")}
		}
		if err := o.client.PutBinding(ctx, b); err != nil {
			return err
		}
		return bindingNoun.done(o, "altered", b)
	})
}
