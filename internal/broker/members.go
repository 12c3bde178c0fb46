package broker

import (
	"slices"
	"strings"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// members are the group's, and this agent in any case: who answers lives.
func (b *broker) members() []Member {
	members := b.Group.Members()
	self := b.Group.Self()
	i, found := slices.BinarySearchFunc(members, self, func(a, b Member) int { return int(a.NodeID) - int(b.NodeID) })
	if found {
		return members
	}
	return slices.Insert(slices.Clone(members), i, self)
}

// leader chooses whom clients in zone are sent to for p. In a group of both roles a member that
// has both is preferred, for the client is not known to be a producer or a consumer. When nobody
// has a role the leader is this agent, whose refusal tells more than silence.
func (b *broker) leader(p topic.Partition, zone string) Member {
	producer, produces := b.Group.Leader(p, zone, RoleProduce)
	if produces && slices.Contains(producer.Roles, RoleFetch) {
		return producer
	}
	fetcher, fetches := b.Group.Leader(p, zone, RoleFetch)
	switch {
	case fetches && (!produces || slices.Contains(fetcher.Roles, RoleProduce)):
		return fetcher
	case produces:
		return producer
	}
	return b.Group.Self()
}

// rack is a member's zone as Kafka shows it.
func rack(m Member) *string {
	if m.Zone == "" {
		return nil
	}
	return ptr(m.Zone)
}

// clientZone reads zone= in a client id, the only thing that a client tells in Metadata:
// "billing,zone=eu-west-1a" is in eu-west-1a.
func clientZone(clientID string) string {
	const key = "zone="
	for from := 0; ; {
		i := strings.Index(clientID[from:], key)
		if i < 0 {
			return ""
		}
		i += from
		from = i + len(key)
		if i > 0 && isZone(clientID[i-1]) {
			continue // part of another word
		}
		end := from
		for end < len(clientID) && isZone(clientID[end]) {
			end++
		}
		return clientID[from:end]
	}
}

func isZone(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}
