package server

import (
	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/internal/segment"
)

// WatchMessage is what a watch sends of events: the simulation of scale weighs the very message.
func WatchMessage(events []segment.Event) proto.Message { return encodeEvents(events) }

// CommitMessage is what answers a commit, for the same purpose.
func CommitMessage(r segment.Reply) proto.Message { return encodeReply(r) }
