package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

func newConsumerGroup() *cobra.Command {
	cmd := &cobra.Command{
		Use: "consumer-group", Short: "List consumer groups, show their lag, reset their offsets",
		Example: "  isthmus consumer-group list\n  isthmus consumer-group describe dashboard",
	}
	cmd.AddCommand(newConsumerGroupList(), newConsumerGroupDescribe(), newConsumerGroupReset())
	return cmd
}

func newConsumerGroupList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the consumer groups", Example: "  isthmus consumer-group list"}
	return asOperator(cmd, func(ctx context.Context, o *operator, _ []string) error {
		answer, err := ask[*kmsg.ListGroupsResponse](ctx, o, 5, kmsg.NewPtrListGroupsRequest())
		if err != nil {
			return err
		}
		if err := refused("list consumer groups", answer.ErrorCode, nil); err != nil {
			return err
		}
		type row struct {
			Group    string `json:"group"`
			State    string `json:"state"`
			Protocol string `json:"protocol_type"`
		}
		data, rows := []row{}, [][]any{}
		for _, g := range answer.Groups {
			data = append(data, row{g.Group, g.GroupState, g.ProtocolType})
			rows = append(rows, []any{g.Group, g.GroupState, g.ProtocolType})
		}
		return o.print(data, "GROUP\tSTATE\tPROTOCOL", rows)
	})
}

// groupPartition is how far a consumer group is in one partition.
type groupPartition struct {
	Topic     string       `json:"topic"`
	Partition int32        `json:"partition"`
	Committed topic.Offset `json:"committed"`
	LogEnd    topic.Offset `json:"log_end"`
	Lag       int64        `json:"lag_records"`
	// LagSeconds is the age of the next record to consume; 0 when there is none. It is exact to
	// the extent that holds the record, that is to one flush.
	LagSeconds float64 `json:"lag_seconds"`

	topic topic.Topic
}

func newConsumerGroupDescribe() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe GROUP", Short: "Show a consumer group's members and its lag in records and seconds", Args: cobra.ExactArgs(1),
		Example: "  isthmus consumer-group describe dashboard",
	}
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		group, err := o.describeGroup(ctx, args[0])
		if err != nil {
			return err
		}
		partitions, err := o.groupPartitions(ctx, args[0])
		if err != nil {
			return err
		}
		if group.State == "Dead" && len(partitions) == 0 {
			return fmt.Errorf("no consumer group %q (isthmus consumer-group list shows those there are)", args[0])
		}
		members := make([]map[string]string, len(group.Members))
		for i, m := range group.Members {
			members[i] = map[string]string{"id": m.MemberID, "client_id": m.ClientID, "host": m.ClientHost}
		}
		data := map[string]any{"group": args[0], "state": group.State, "members": members, "partitions": partitions}
		rows := make([][]any, len(partitions))
		for i, p := range partitions {
			rows[i] = []any{p.Topic, p.Partition, p.Committed, p.LogEnd, p.Lag, fmt.Sprintf("%.1f", p.LagSeconds)}
		}
		if !o.json {
			fmt.Fprintf(o.out, "group    %s\nstate    %s\nmembers  %d\n", args[0], group.State, len(members))
		}
		return o.print(data, "TOPIC\tPARTITION\tCOMMITTED\tLOG END\tLAG\tLAG SECONDS", rows)
	})
}

func (o *operator) describeGroup(ctx context.Context, name string) (kmsg.DescribeGroupsResponseGroup, error) {
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups = []string{name}
	answer, err := ask[*kmsg.DescribeGroupsResponse](ctx, o, 5, request)
	if err != nil {
		return kmsg.DescribeGroupsResponseGroup{}, err
	}
	if len(answer.Groups) != 1 {
		return kmsg.DescribeGroupsResponseGroup{}, fmt.Errorf("describe consumer group %s: answered for %d groups", name, len(answer.Groups))
	}
	return answer.Groups[0], refused("describe consumer group "+name, answer.Groups[0].ErrorCode, nil)
}

// groupPartitions joins a group's committed offsets with the ends of their partitions.
func (o *operator) groupPartitions(ctx context.Context, name string) ([]groupPartition, error) {
	request := kmsg.NewPtrOffsetFetchRequest()
	wanted := kmsg.NewOffsetFetchRequestGroup()
	wanted.Group = name
	request.Groups = append(request.Groups, wanted)
	answer, err := ask[*kmsg.OffsetFetchResponse](ctx, o, 8, request)
	if err != nil {
		return nil, err
	}
	var all []groupPartition
	for _, g := range answer.Groups {
		if err := refused("offsets of consumer group "+name, g.ErrorCode, nil); err != nil {
			return nil, err
		}
		for _, t := range g.Topics {
			known, err := o.topic(ctx, t.Topic)
			if err != nil {
				return nil, err
			}
			for _, p := range t.Partitions {
				if p.Offset >= 0 {
					all = append(all, groupPartition{Topic: t.Topic, Partition: p.Partition, Committed: topic.Offset(p.Offset), topic: known})
				}
			}
		}
	}
	return all, o.addLag(ctx, all)
}

// addLag fills in the end of every partition and the age of the next record to consume.
func (o *operator) addLag(ctx context.Context, all []groupPartition) error {
	if len(all) == 0 {
		return nil
	}
	queries := make([]segment.PlanQuery, len(all))
	for i, p := range all {
		queries[i] = segment.PlanQuery{Partition: topic.Partition{Topic: p.topic.ID, Index: p.Partition}, Offset: p.Committed, MaxBytes: 1}
	}
	plans, err := o.client.Plan(ctx, queries)
	if err != nil {
		return err
	}
	if len(plans) != len(all) {
		return fmt.Errorf("plan for %d partitions: answered for %d", len(all), len(plans))
	}
	for i, plan := range plans {
		if plan.Code != 0 {
			return refused(fmt.Sprintf("lag of %s/%d", all[i].Topic, all[i].Partition), plan.Code, nil)
		}
		all[i].LogEnd = plan.HighWatermark
		all[i].Lag = max(int64(plan.HighWatermark-max(all[i].Committed, plan.LogStart)), 0)
		if len(plan.Locations) > 0 {
			age := time.Since(time.UnixMilli(plan.Locations[0].MaxTimestamp))
			all[i].LagSeconds = max(age.Seconds(), 0)
		}
	}
	return nil
}

func newConsumerGroupReset() *cobra.Command {
	var topicName, to string
	cmd := &cobra.Command{
		Use: "reset GROUP", Short: "Set the committed offsets of a consumer group that has no members", Args: cobra.ExactArgs(1),
		Long: `reset commits an offset for every partition of a topic. --to takes earliest, latest, an offset
(42; the nearest there is), or a time (2026-11-24T12:00:00Z): the first record that is as late. The group must have no
members: stop its consumers first.`,
		Example: "  isthmus consumer-group reset dashboard --topic events --to earliest",
	}
	cmd.Flags().StringVar(&topicName, "topic", "", "topic whose offsets are reset")
	cmd.Flags().StringVar(&to, "to", "", "earliest, latest, an offset, or an RFC 3339 time")
	return asOperator(cmd, func(ctx context.Context, o *operator, args []string) error {
		if topicName == "" || to == "" {
			return usageError{fmt.Errorf("give --topic and --to (try: isthmus consumer-group reset --help)")}
		}
		return o.resetGroup(ctx, args[0], topicName, to)
	})
}

func (o *operator) resetGroup(ctx context.Context, group, topicName, to string) error {
	t, err := o.topic(ctx, topicName)
	if err != nil {
		return err
	}
	offsets, err := o.resetOffsets(ctx, t, to)
	if err != nil {
		return err
	}
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.Generation = group, -1
	wanted := kmsg.NewOffsetCommitRequestTopic()
	wanted.Topic = topicName
	for i, offset := range offsets {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = int32(i), int64(offset)
		wanted.Partitions = append(wanted.Partitions, p)
	}
	request.Topics = append(request.Topics, wanted)
	answer, err := ask[*kmsg.OffsetCommitResponse](ctx, o, 8, request)
	if err != nil {
		return err
	}
	rows := make([][]any, 0, len(offsets))
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == kerr.UnknownMemberID.Code {
				return fmt.Errorf("reset consumer group %s: it has members; stop its consumers first", group)
			}
			if err := refused(fmt.Sprintf("reset %s of %s/%d", group, t.Topic, p.Partition), p.ErrorCode, nil); err != nil {
				return err
			}
			rows = append(rows, []any{t.Topic, p.Partition, offsets[p.Partition]})
		}
	}
	return o.print(map[string]any{"group": group, "topic": topicName, "offsets": offsets}, "TOPIC\tPARTITION\tOFFSET", rows)
}

// resetOffsets works out what --to means for every partition.
func (o *operator) resetOffsets(ctx context.Context, t topic.Topic, to string) ([]topic.Offset, error) {
	offsets := make([]topic.Offset, t.Partitions)
	if n, err := strconv.ParseInt(to, 10, 64); err == nil && n >= 0 {
		states, err := o.partitions(ctx, t)
		if err != nil {
			return nil, err
		}
		for i, p := range states {
			// Outside the log a consumer would go where its own reset policy says.
			offsets[i] = min(max(topic.Offset(n), p.LogStart), p.LogEnd)
		}
		return offsets, nil
	}
	timestamp := map[string]int64{"earliest": segment.TimestampEarliest, "latest": segment.TimestampLatest}[to]
	if timestamp == 0 {
		at, err := time.Parse(time.RFC3339, to)
		if err != nil {
			return nil, usageError{fmt.Errorf("--to %q is neither earliest, latest, an offset nor a time such as 2026-11-24T12:00:00Z", to)}
		}
		timestamp = at.UnixMilli()
	}
	queries := make([]segment.OffsetQuery, len(offsets))
	for i := range queries {
		queries[i] = segment.OffsetQuery{Partition: topic.Partition{Topic: t.ID, Index: int32(i)}, Timestamp: timestamp}
	}
	found, err := o.client.ListOffsets(ctx, queries)
	if err != nil {
		return nil, err
	}
	if len(found) != len(offsets) {
		return nil, fmt.Errorf("offsets of topic %s: asked for %d, got %d", t.Name, len(offsets), len(found))
	}
	for i, f := range found {
		if err := refused(fmt.Sprintf("offsets of %s/%d", t.Name, i), f.Code, nil); err != nil {
			return nil, err
		}
		offsets[i] = f.Offset
	}
	return o.endWhereNoneIsAsLate(ctx, t, offsets)
}

// endWhereNoneIsAsLate replaces "no record is as late" by the partition's end.
func (o *operator) endWhereNoneIsAsLate(ctx context.Context, t topic.Topic, offsets []topic.Offset) ([]topic.Offset, error) {
	states, err := o.partitions(ctx, t)
	if err != nil {
		return nil, err
	}
	for i := range offsets {
		if offsets[i] == topic.NoOffset {
			offsets[i] = states[i].LogEnd
		}
	}
	return offsets, nil
}
