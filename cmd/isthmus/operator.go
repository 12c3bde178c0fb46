package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control/client"
)

// operatorTimeout bounds one command of an operator, retries through a failover included.
const operatorTimeout = 30 * time.Second

// operatorNotice is when somebody who waits is told what for.
const operatorNotice = 2 * time.Second

// operator runs one command against the control plane.
type operator struct {
	client *client.Client
	out    io.Writer
	err    io.Writer // for what people should know beside what they asked for
	json   bool
}

// asOperator gives a command --control and --output, and its work a connection.
func asOperator(cmd *cobra.Command, work func(ctx context.Context, o *operator, args []string) error) *cobra.Command {
	login := defaultLogin()
	out := addOutputFlag(cmd)
	login.addFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return configured(func(cmd *cobra.Command) error {
			logger, err := newLogger(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), operatorTimeout)
			defer cancel()
			c, err := dialControl(&login, logger)
			if err != nil {
				return err
			}
			defer func() {
				if err := c.Close(); err != nil {
					logger.Warn("close the connection to the control plane", "error", err)
				}
			}()
			notice := time.AfterFunc(operatorNotice, func() {
				fmt.Fprintf(cmd.ErrOrStderr(), "waiting for the control plane at %s, up to %v\n", strings.Join(login.Addresses, ", "), operatorTimeout)
			})
			defer notice.Stop()
			err = work(ctx, &operator{client: c, out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), json: out.json()}, args)
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("%w: no answer from %v within %v (is the control plane running? name it with --control)", err, login.Addresses, operatorTimeout)
			}
			return err
		})(cmd, nil)
	}
	return cmd
}

// ask sends one Kafka request through the tunnel, in the highest version that kmsg knows and
// the control plane serves.
func ask[R kmsg.Response](ctx context.Context, o *operator, version int16, request kmsg.Request) (R, error) {
	var none R
	request.SetVersion(version)
	body, err := o.client.Call(ctx, client.TunnelCall{
		Key: request.Key(), Version: version, Body: request.AppendTo(nil), ClientID: "isthmus-cli", ClientHost: "cli",
	})
	if err != nil {
		return none, err
	}
	response := request.ResponseKind()
	response.SetVersion(version)
	if err := response.ReadFrom(body); err != nil {
		return none, fmt.Errorf("read the control plane's answer to %s: %w", kmsg.NameForKey(request.Key()), err)
	}
	typed, ok := response.(R)
	if !ok {
		return none, fmt.Errorf("the control plane's answer to %s has an unexpected type %T", kmsg.NameForKey(request.Key()), response)
	}
	return typed, nil
}

// refused turns a Kafka error code and its text into an error, or nil.
func refused(what string, code int16, text *string) error {
	err := kerr.ErrorForCode(code)
	switch {
	case err == nil:
		return nil
	case text != nil && *text != "":
		return fmt.Errorf("%s: %s (%w)", what, *text, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// print writes data as JSON, or rows as a table under a heading.
func (o *operator) print(data any, heading string, rows [][]any) error {
	if o.json {
		return json.NewEncoder(o.out).Encode(data)
	}
	t := tabwriter.NewWriter(o.out, 0, 0, 3, ' ', 0)
	if heading != "" {
		fmt.Fprintln(t, heading)
	}
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, cell)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
