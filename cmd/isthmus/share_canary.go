package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
)

func newShareCanary() *cobra.Command {
	cmd := &cobra.Command{
		Use: "canary NAME", Short: "Write the canary of a share's bucket, if it is not there", Args: cobra.ExactArgs(1),
		Long: `canary stores CLUSTER/_isthmus/canary in a share's bucket, with the credentials of whoever runs the command: neither agents nor
the control plane may write there. By it agents tell an object that is gone from access that was taken away.
Terraform's module bucket writes it by itself.`,
		Example: "  isthmus share canary orders",
	}
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		w, err := o.client.Walls(ctx)
		if err != nil {
			return err
		}
		s, err := shareNoun.find(w, args[0])
		if err != nil {
			return err
		}
		status, err := o.client.Status(ctx)
		if err != nil {
			return err
		}
		store, err := openBucket(ctx, s.Bucket, open.Access{Region: s.Region, Owner: s.Account, KMSKey: s.KMSKey})
		if err != nil {
			return err
		}
		key, body := canaryKey(status.Cluster), [][]byte{[]byte(canaryBody(status.Cluster))}
		result := "written"
		err = store.PutNew(ctx, key, body, objstore.Sum(body))
		if errors.Is(err, objstore.ErrExists) {
			result, err = "was there", nil
		}
		if err = errors.Join(err, store.Close()); err != nil {
			return fmt.Errorf("write the canary of share %s: %w", s.Name, err)
		}
		return o.print(map[string]any{"share": s.Name, "key": key, "result": result}, "", [][]any{{key, result}})
	})
}
