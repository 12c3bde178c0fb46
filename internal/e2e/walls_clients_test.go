//go:build e2e && linux

package e2e

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/e2e/walls"
)

// thievesAmongClients ask over Kafka's protocol what their account's own agents may not have done for them.
func (w *wallsWorld) thievesAmongClients() {
	w.t.Helper()
	w.clientOf("client of a produce agent", w.net.A, w.prod, "analytics-"+ownTopic)
	w.clientOf("client of a fetch agent", w.net.B, w.analytics, "prod-audit")
}

func (w *wallsWorld) brief() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	w.t.Cleanup(cancel)
	return ctx
}

// clientOf tries what only operators and other groups may, through the agents of one account.
func (w *wallsWorld) clientOf(actor string, in walls.VPC, agents []*agent, foreignGroup string) {
	w.t.Helper()
	client := kadm.NewClient(w.kafka(in, agents))
	deny := func(what string, err error, codes ...int16) {
		w.t.Helper()
		evidence, denied := kafkaDenied(err, codes...)
		w.attempt(actor, what, walls.Control, evidence, denied)
	}
	found, err := client.ListTopics(w.brief(), ownTopic)
	if err == nil {
		err = found[ownTopic].Err
	}
	w.works(actor, "be told of a topic that its group is granted", err)

	hidden, err := client.ListTopics(w.brief(), otherTopic)
	if err == nil {
		err = hidden[otherTopic].Err
	}
	deny("be told of another share's topic", err, walls.UnknownTopic)
	gone, err := client.DeleteTopics(w.brief(), ownTopic)
	if err == nil {
		err = gone[ownTopic].Err
	}
	deny("DeleteTopics of its share", err, walls.TopicDenied)
	altered, err := client.AlterTopicConfigs(w.brief(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kmsg.StringPtr("1")}}, ownTopic)
	if err == nil {
		err = altered[0].Err
	}
	deny("cut retention", err, walls.TopicDenied)
	offsets := kadm.Offsets{}
	offsets.AddOffset(ownTopic, 0, 1, -1)
	committed, err := client.CommitOffsets(w.brief(), foreignGroup, offsets)
	if err == nil {
		err = committed.Error()
	}
	deny("OffsetCommit on another account's groups", err, walls.GroupDenied)
}

// kafkaDenied judges an error of a client by the code that a broker has answered.
func kafkaDenied(err error, codes ...int16) (evidence string, denied bool) {
	var answered *kerr.Error
	if !errors.As(err, &answered) {
		if err == nil {
			return "done", false
		}
		return err.Error(), false
	}
	return walls.DeniedWith(answered.Code, codes...)
}
