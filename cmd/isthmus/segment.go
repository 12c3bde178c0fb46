package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/isthmusdata/isthmus/internal/objstore/open"
	"github.com/isthmusdata/isthmus/internal/segment"
)

func newSegment() *cobra.Command {
	cmd := &cobra.Command{
		Use: "segment", Short: "Look into the objects of a bucket",
		Example: "  isthmus segment verify ./bucket/isthmus/data/default/prod/3f/1-2-7-9c0a...",
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "dump FILE|URL", Short: "Print a segment: header, extents, batches, footer, trailer", Args: cobra.ExactArgs(1),
			Example: "  isthmus segment dump ./bucket/isthmus/data/default/prod/3f/1-2-7-9c0a...\n" +
				"  isthmus segment dump 's3://bucket/isthmus/data/default/prod/3f/1-2-7-9c0a...?region=eu-west-1'",
			RunE: func(cmd *cobra.Command, args []string) error {
				return withObject(cmd.Context(), args[0], func(r io.ReaderAt, size int64) error {
					return segment.Dump(cmd.OutOrStdout(), r, size)
				})
			},
		},
		&cobra.Command{
			Use: "verify FILE|URL", Short: "Check every length and checksum of a segment", Args: cobra.ExactArgs(1),
			Example: "  isthmus segment verify ./bucket/isthmus/data/default/prod/3f/1-2-7-9c0a...",
			RunE: func(cmd *cobra.Command, args []string) error {
				return withObject(cmd.Context(), args[0], func(r io.ReaderAt, size int64) error {
					if err := segment.Verify(r, size); err != nil {
						return fmt.Errorf("verify %s: %w", args[0], err)
					}
					_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: sound, %d bytes\n", args[0], size)
					return err
				})
			},
		},
	)
	return cmd
}

// withObject opens a file, or an object by its URL, for reading.
func withObject(ctx context.Context, name string, read func(io.ReaderAt, int64) error) (err error) {
	if !strings.Contains(name, "://") {
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("open segment: %w", err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return fmt.Errorf("open segment %s: %w", name, err)
		}
		return read(file, info.Size())
	}
	bucket, key, err := splitObjectURL(name)
	if err != nil {
		return err
	}
	store, err := open.Open(ctx, bucket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	info, err := store.Head(ctx, key)
	if err != nil {
		return fmt.Errorf("look at object %s of %s: %w", key, bucket, err)
	}
	return read(segment.ReaderAt(ctx, store, key, info.Size), info.Size)
}

// splitObjectURL parts an object's URL into its bucket's and its key. A key begins with the
// cluster's name, which stands before /data/ or /meta/.
func splitObjectURL(name string) (bucket, key string, err error) {
	address, query, _ := strings.Cut(name, "?")
	at := strings.LastIndex(address, "/data/")
	if at < 0 {
		return "", "", usageError{fmt.Errorf("%s is not the URL of a segment: its path lacks /data/", name)}
	}
	cluster := path.Base(address[:at])
	bucket = strings.TrimSuffix(address[:at], "/"+cluster)
	if query != "" {
		bucket += "?" + query
	}
	return bucket, address[at-len(cluster):], nil
}
