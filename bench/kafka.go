package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// delete removes a topic and waits until its files have gone, for they fill memory.
func (k *Kafka) delete(ctx context.Context, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addresses...))
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := kadm.NewClient(client).DeleteTopic(ctx, topic)
	if err == nil {
		err = answer.Err
	}
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		gone, err := k.holdsNothingOf(topic)
		if err != nil || gone {
			return err
		}
	}
	return fmt.Errorf("files of the deleted topic %s are still in %s after %v", topic, k.folder, patience)
}

func (k *Kafka) holdsNothingOf(topic string) (bool, error) {
	gone := true
	err := filepath.WalkDir(k.folder, func(_ string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // went while we looked
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), topic+"-"):
			gone = false
			return filepath.SkipAll
		}
		return nil
	})
	return gone, err
}
