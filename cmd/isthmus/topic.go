package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

func newTopic() *cobra.Command {
	cmd := &cobra.Command{
		Use: "topic", Short: "Create, list, describe, alter and delete topics",
		Example: "  isthmus topic create events --partitions 12\n  isthmus topic list",
	}
	cmd.AddCommand(newTopicCreate(), newTopicList(), newTopicDescribe(), newTopicAlter(), newTopicDelete())
	return cmd
}

func newTopicCreate() *cobra.Command {
	var (
		partitions int32
		configs    []string
		share      string
	)
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a topic",
		Args:    cobra.ExactArgs(1),
		Example: "  isthmus topic create events --partitions 12 --config retention.ms=86400000",
	}
	cmd.Flags().Int32Var(&partitions, "partitions", 1, "number of partitions")
	cmd.Flags().StringArrayVar(&configs, "config", nil, "a topic config, KEY=VALUE; may be repeated")
	cmd.Flags().StringVar(&share, "share", "", "share that the topic belongs to, for good; the default share if not given")
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		pairs, err := parsePairs(configs)
		if err != nil {
			return err
		}
		if share != "" {
			pairs[topic.ShareConfig] = share
		}
		return o.createTopic(ctx, args[0], partitions, pairs)
	})
}

func (o *operator) createTopic(ctx context.Context, name string, partitions int32, configs map[string]string) error {
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = int32(operatorTimeout.Milliseconds())
	wanted := kmsg.NewCreateTopicsRequestTopic()
	wanted.Topic, wanted.NumPartitions, wanted.ReplicationFactor = name, partitions, -1
	for _, key := range slices.Sorted(maps.Keys(configs)) {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = key, kmsg.StringPtr(configs[key])
		wanted.Configs = append(wanted.Configs, config)
	}
	request.Topics = append(request.Topics, wanted)
	answer, err := ask[*kmsg.CreateTopicsResponse](ctx, o, 7, request)
	if err != nil {
		return err
	}
	if len(answer.Topics) != 1 {
		return fmt.Errorf("create topic %s: the control plane answered for %d topics", name, len(answer.Topics))
	}
	t := answer.Topics[0]
	if err := refused("create topic "+t.Topic, t.ErrorCode, t.ErrorMessage); err != nil {
		return err
	}
	data := map[string]any{"name": t.Topic, "id": topic.ID(t.TopicID).String(), "partitions": t.NumPartitions}
	return o.print(data, "", [][]any{{"created topic " + t.Topic, fmt.Sprintf("%d partitions", t.NumPartitions)}})
}

func newTopicList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the topics", Example: "  isthmus topic list --output json"}
	return asOperator(cmd, func(ctx context.Context, o *operator, _ []string) error {
		found, err := o.client.Topics(ctx, topic.Query{All: true})
		if err != nil {
			return err
		}
		type row struct {
			Name       string `json:"name"`
			ID         string `json:"id"`
			Partitions int32  `json:"partitions"`
			Share      string `json:"share"`
		}
		data, rows := []row{}, [][]any{}
		for _, f := range found {
			if f.Topic.Internal {
				continue
			}
			data = append(data, row{f.Topic.Name, f.Topic.ID.String(), f.Topic.Partitions, f.Topic.Share})
			rows = append(rows, []any{f.Topic.Name, f.Topic.Partitions, f.Topic.Share})
		}
		return o.print(data, "NAME\tPARTITIONS\tSHARE", rows)
	})
}

// partitionState is one partition as describe prints it.
type partitionState struct {
	Partition int32        `json:"partition"`
	LogStart  topic.Offset `json:"log_start"`
	LogEnd    topic.Offset `json:"log_end"`
}

func newTopicDescribe() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe NAME", Short: "Show a topic's configs and the offsets of its partitions", Args: cobra.ExactArgs(1),
		Example: "  isthmus topic describe events",
	}
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		t, err := o.topic(ctx, args[0])
		if err != nil {
			return err
		}
		states, err := o.partitions(ctx, t)
		if err != nil {
			return err
		}
		data := map[string]any{
			"name": t.Name, "id": t.ID.String(), "share": t.Share, "config": t.Overrides, "partitions": states,
		}
		rows := make([][]any, len(states))
		for i, p := range states {
			rows[i] = []any{p.Partition, p.LogStart, p.LogEnd, p.LogEnd - p.LogStart}
		}
		if !o.json {
			fmt.Fprintf(o.out, "topic  %s\nid     %s\nshare  %s\n", t.Name, t.ID, t.Share)
			for _, key := range slices.Sorted(maps.Keys(t.Overrides)) {
				fmt.Fprintf(o.out, "config %s=%s\n", key, t.Overrides[key])
			}
		}
		return o.print(data, "PARTITION\tLOG START\tLOG END\tRECORDS", rows)
	})
}

// topic finds one topic by name.
func (o *operator) topic(ctx context.Context, name string) (topic.Topic, error) {
	found, err := o.client.Topics(ctx, topic.Query{Names: []string{name}})
	if err != nil {
		return topic.Topic{}, err
	}
	if len(found) != 1 {
		return topic.Topic{}, fmt.Errorf("topic %s: the control plane answered for %d topics", name, len(found))
	}
	if err := refused("topic "+name, found[0].Code, nil); err != nil {
		return topic.Topic{}, fmt.Errorf("%w (isthmus topic list shows those there are)", err)
	}
	return found[0].Topic, nil
}

// partitions asks for both ends of every partition.
func (o *operator) partitions(ctx context.Context, t topic.Topic) ([]partitionState, error) {
	states := make([]partitionState, t.Partitions)
	queries := make([]segment.OffsetQuery, 0, 2*t.Partitions)
	for i := range t.Partitions {
		p := topic.Partition{Topic: t.ID, Index: i}
		queries = append(queries, segment.OffsetQuery{Partition: p, Timestamp: segment.TimestampEarliest}, segment.OffsetQuery{Partition: p, Timestamp: segment.TimestampLatest})
	}
	found, err := o.client.ListOffsets(ctx, queries)
	if err != nil {
		return nil, err
	}
	if len(found) != len(queries) {
		return nil, fmt.Errorf("offsets of topic %s: asked for %d, got %d", t.Name, len(queries), len(found))
	}
	for i := range states {
		first, last := found[2*i], found[2*i+1]
		if err := refused(fmt.Sprintf("offsets of %s/%d", t.Name, i), max(first.Code, last.Code), nil); err != nil {
			return nil, err
		}
		states[i] = partitionState{Partition: int32(i), LogStart: first.Offset, LogEnd: last.Offset}
	}
	return states, nil
}

func newTopicAlter() *cobra.Command {
	var (
		partitions   int32
		configs      []string
		unsetConfigs []string
	)
	cmd := &cobra.Command{
		Use: "alter NAME", Short: "Change a topic's configs or add partitions", Args: cobra.ExactArgs(1),
		Example: "  isthmus topic alter events --config retention.ms=3600000\n  isthmus topic alter events --partitions 24",
	}
	cmd.Flags().Int32Var(&partitions, "partitions", 0, "new number of partitions; it can only grow")
	cmd.Flags().StringArrayVar(&configs, "config", nil, "a topic config to set, KEY=VALUE; may be repeated")
	cmd.Flags().StringArrayVar(&unsetConfigs, "unset-config", nil, "a topic config to return to its default; may be repeated")
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		pairs, err := parsePairs(configs)
		if err != nil {
			return err
		}
		if partitions == 0 && len(pairs)+len(unsetConfigs) == 0 {
			return usageError{fmt.Errorf("nothing to change: give --partitions, --config or --unset-config")}
		}
		if len(pairs)+len(unsetConfigs) > 0 {
			if err := o.alterConfigs(ctx, args[0], pairs, unsetConfigs); err != nil {
				return err
			}
		}
		if partitions > 0 {
			if err := o.addPartitions(ctx, args[0], partitions); err != nil {
				return err
			}
		}
		return o.print(map[string]any{"name": args[0]}, "", [][]any{{"altered topic " + args[0]}})
	})
}

func (o *operator) alterConfigs(ctx context.Context, name string, set map[string]string, unset []string) error {
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, name
	for _, key := range slices.Sorted(maps.Keys(set)) {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = key, kmsg.IncrementalAlterConfigOpSet, kmsg.StringPtr(set[key])
		resource.Configs = append(resource.Configs, c)
	}
	for _, key := range unset {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op = key, kmsg.IncrementalAlterConfigOpDelete
		resource.Configs = append(resource.Configs, c)
	}
	request.Resources = append(request.Resources, resource)
	answer, err := ask[*kmsg.IncrementalAlterConfigsResponse](ctx, o, 1, request)
	if err != nil {
		return err
	}
	for _, r := range answer.Resources {
		if err := refused("alter topic "+r.ResourceName, r.ErrorCode, r.ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}

func (o *operator) addPartitions(ctx context.Context, name string, total int32) error {
	request := kmsg.NewPtrCreatePartitionsRequest()
	request.TimeoutMillis = int32(operatorTimeout.Milliseconds())
	wanted := kmsg.NewCreatePartitionsRequestTopic()
	wanted.Topic, wanted.Count = name, total
	request.Topics = append(request.Topics, wanted)
	answer, err := ask[*kmsg.CreatePartitionsResponse](ctx, o, 3, request)
	if err != nil {
		return err
	}
	for _, t := range answer.Topics {
		if err := refused("add partitions to topic "+t.Topic, t.ErrorCode, t.ErrorMessage); err != nil {
			return err
		}
	}
	return nil
}

func newTopicDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a topic and its records", Args: cobra.ExactArgs(1),
		Example: "  isthmus topic delete events",
	}
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		request := kmsg.NewPtrDeleteTopicsRequest()
		request.TimeoutMillis = int32(operatorTimeout.Milliseconds())
		gone := kmsg.NewDeleteTopicsRequestTopic()
		gone.Topic = kmsg.StringPtr(args[0])
		request.Topics = append(request.Topics, gone)
		answer, err := ask[*kmsg.DeleteTopicsResponse](ctx, o, 6, request)
		if err != nil {
			return err
		}
		for _, t := range answer.Topics {
			if err := refused("delete topic "+args[0], t.ErrorCode, t.ErrorMessage); err != nil {
				return err
			}
		}
		return o.print(map[string]any{"name": args[0]}, "", [][]any{{"deleted topic " + args[0]}})
	})
}

// parsePairs reads KEY=VALUE arguments.
func parsePairs(args []string) (map[string]string, error) {
	pairs := make(map[string]string, len(args))
	for _, arg := range args {
		key, value, found := strings.Cut(arg, "=")
		if !found || key == "" {
			return nil, usageError{fmt.Errorf("--config %q: write KEY=VALUE, such as retention.ms=86400000", arg)}
		}
		pairs[key] = value
	}
	return pairs, nil
}
