package control

import (
	"fmt"
	"slices"
	"strings"
)

// The requests of Kafka's that are tunnelled, or may be one day, by their keys.
const (
	keyOffsetCommit            int16 = 8
	keyOffsetFetch             int16 = 9
	keyJoinGroup               int16 = 11
	keyHeartbeat               int16 = 12
	keyLeaveGroup              int16 = 13
	keySyncGroup               int16 = 14
	keyDescribeGroups          int16 = 15
	keyListGroups              int16 = 16
	keyCreateTopics            int16 = 19
	keyDeleteTopics            int16 = 20
	keyInitProducerID          int16 = 22
	keyOffsetForLeaderEpoch    int16 = 23
	keyAddPartitionsToTxn      int16 = 24
	keyAddOffsetsToTxn         int16 = 25
	keyEndTxn                  int16 = 26
	keyTxnOffsetCommit         int16 = 28
	keyDescribeConfigs         int16 = 32
	keyAlterConfigs            int16 = 33
	keyCreatePartitions        int16 = 37
	keyDeleteGroups            int16 = 42
	keyIncrementalAlterConfigs int16 = 44
	keyOffsetDelete            int16 = 47
	keyDescribeProducers       int16 = 61
	keyDescribeTransactions    int16 = 65
	keyListTransactions        int16 = 66
)

// allowTunnel decides about a request of Kafka's. What it is about is asked one by one: its transactional id, its
// consumer group, its topics; one that names none of these is about the cluster.
//
// A request that is not in the table needs admin: what is new is closed until somebody has thought about it.
func (s *State) allowTunnel(st *standing, what Call) Decision {
	switch what.Key {
	case keyOffsetCommit, keyOffsetFetch, keyOffsetDelete:
		return s.allowOffset(st, what)
	case keyJoinGroup, keyHeartbeat, keyLeaveGroup, keySyncGroup, keyDescribeGroups, keyListGroups, keyDeleteGroups:
		return s.allowGroup(st, what.Group)
	case keyInitProducerID, keyAddPartitionsToTxn, keyAddOffsetsToTxn, keyEndTxn, keyTxnOffsetCommit:
		return s.allowProducer(st, what)
	case keyDescribeTransactions, keyListTransactions:
		if st.admin {
			return allow()
		}
		return s.allowTransactional(st, what.Transactional)
	case keyOffsetForLeaderEpoch, keyDescribeProducers:
		return s.allowOffsets(st, what)
	case keyDescribeConfigs:
		return s.allowSight(st, what)
	case keyCreateTopics:
		return allowAdmin(st, codeTopicDenied)
	case keyDeleteTopics, keyCreatePartitions, keyAlterConfigs, keyIncrementalAlterConfigs:
		return s.allowAlter(st, what)
	}
	return allowAdmin(st, codeClusterDenied)
}

// allowAlter lets admins change topics. For others, a topic that they do not see is not there.
func (s *State) allowAlter(st *standing, what Call) Decision {
	if what.Topic == "" {
		return allowAdmin(st, codeClusterDenied)
	}
	if d := s.allowSight(st, what); !d.Allowed {
		return d
	}
	return allowAdmin(st, codeTopicDenied)
}

// allowOffset decides about committed offsets: the group's, and of a topic that the caller may read.
func (s *State) allowOffset(st *standing, what Call) Decision {
	if what.Topic != "" {
		if st.admin {
			return allow()
		}
		return s.allowData(st, what, RoleFetch, RoleFetch)
	}
	return s.allowGroup(st, what.Group)
}

// allowGroup decides about a consumer group; without a name, whether the caller has any.
func (s *State) allowGroup(st *standing, group string) Decision {
	switch {
	case st.admin:
		return allow()
	case !s.role(st, RoleFetch):
		return deny(codeGroupDenied, "it needs the fetch role")
	case group != "" && !st.owns(group):
		return deny(codeGroupDenied, fmt.Sprintf("consumer group %q does not begin with an id prefix of group %q%s", group, st.group, st.prefixes()))
	}
	return allow()
}

// allowProducer decides about producer ids, and what is done in a transaction of theirs.
func (s *State) allowProducer(st *standing, what Call) Decision {
	switch {
	case what.Transactional != "":
		return s.allowTransactional(st, what.Transactional)
	case what.Topic != "":
		return s.allowData(st, what, RoleProduce, RoleProduce)
	case what.Group != "": // whose offsets the transaction commits
		if st.admin || s.role(st, RoleProduce) && st.owns(what.Group) {
			return allow()
		}
		return deny(codeGroupDenied, fmt.Sprintf("consumer group %q does not begin with an id prefix of group %q%s", what.Group, st.group, st.prefixes()))
	case st.open || s.role(st, RoleProduce) || s.produces(st):
		return allow()
	}
	return deny(codeClusterDenied, "it needs the produce role, or a grant of its group to produce")
}

// produces says whether the group has any grant to produce. Clients ask any agent of a group for a producer id, one that only
// fetches too, and an error there stops them for good; the id is of the group, and useless to who may not produce.
func (s *State) produces(st *standing) bool {
	now := s.clock()
	return slices.ContainsFunc(s.grantsOf[st.group], func(g *grant) bool {
		return g.pb.GetAccess() == RoleProduce && g.lives(now) && (st.binding == nil || st.binding.covers(g.pb.GetShare()))
	})
}

// allowTransactional decides about a transactional id; without one, whether the caller has any.
func (s *State) allowTransactional(st *standing, id string) Decision {
	switch {
	case !s.role(st, RoleProduce):
		return deny(codeTransactionalIDDenied, "it needs the produce role")
	case id != "" && !st.owns(id):
		return deny(codeTransactionalIDDenied, fmt.Sprintf("transactional id %q does not begin with an id prefix of group %q%s", id, st.group, st.prefixes()))
	}
	return allow()
}

// AnyID is the prefix of every id.
const AnyID = "*"

// owns says whether an id of a consumer group or a transaction is the caller's.
func (st *standing) owns(id string) bool {
	if st.binding == nil {
		return st.open || st.admin
	}
	for _, prefix := range st.binding.pb.GetIdPrefixes() {
		if prefix == AnyID || strings.HasPrefix(id, prefix) {
			return true
		}
	}
	return false
}

func (st *standing) prefixes() string {
	if st.binding == nil || len(st.binding.pb.GetIdPrefixes()) == 0 {
		return ", which has none"
	}
	return " (" + strings.Join(st.binding.pb.GetIdPrefixes(), ", ") + ")"
}
