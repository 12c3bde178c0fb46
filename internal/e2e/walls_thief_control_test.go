//go:build e2e && linux

package e2e

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
	"google.golang.org/grpc/codes"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/e2e/walls"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// answered judges an answer of the control plane: denied by gRPC's code, or by one of Kafka's that say so.
func (c *caller) answered(err error, code int32, denials ...int16) (evidence string, denied bool) {
	if err != nil {
		return walls.DeniedByControl(err, c.denial)
	}
	return walls.DeniedWith(int16(code), denials...)
}

// denied is one forbidden call to the control plane.
func (c *caller) denied(what string, err error) {
	c.t.Helper()
	evidence, denied := walls.DeniedByControl(err, c.denial)
	c.attempt(c.actor, what, walls.Control, evidence, denied)
}

// deniedBy is one whose denial may stand in the answer.
func (c *caller) deniedBy(what string, code int16, err error, denials ...int16) {
	c.t.Helper()
	evidence, denied := c.answered(err, int32(code), denials...)
	c.attempt(c.actor, what, walls.Control, evidence, denied)
}

// both is one thing tried at the bucket and at the control plane.
func (c *caller) both(what string, atBucket error, code int32, atControl error, denials ...int16) {
	c.t.Helper()
	one, first := walls.DeniedByBucket(atBucket)
	two, second := c.answered(atControl, code, denials...)
	c.attempt(c.actor, what, walls.Both, one+"; "+two, first && second)
}

// may is one thing that the same caller is let do.
func (c *caller) may(what string, code int32, err error) {
	c.t.Helper()
	if err == nil && code != 0 {
		err = kafkaError(code)
	}
	c.works(c.actor, what, err)
}

// refusedCommit is a commit that was not looked at row by row.
type refusedCommit segment.Outcome

func (r refusedCommit) Error() string {
	if segment.Outcome(r) == segment.Unauthorized {
		return "commit unauthorized"
	}
	return fmt.Sprintf("commit outcome %d", uint8(r))
}

// judgeCommit judges a commit: refused by gRPC's code, as unauthorized, or row by row with Kafka's.
func (c *caller) judgeCommit(err error) (evidence string, denied bool) {
	var refused refusedCommit
	var code kafkaError
	switch {
	case errors.As(err, &refused):
		return refused.Error(), segment.Outcome(refused) == segment.Unauthorized
	case errors.As(err, &code):
		return walls.DeniedWith(int16(code), walls.TopicDenied)
	}
	return walls.DeniedByControl(err, c.denial)
}

func (c *caller) deniedCommit(what string, err error) {
	c.t.Helper()
	evidence, denied := c.judgeCommit(err)
	c.attempt(c.actor, what, walls.Control, evidence, denied)
}

// bothCommit is writing, tried at the bucket and at the control plane.
func (c *caller) bothCommit(what string, atBucket, atControl error) {
	c.t.Helper()
	one, first := walls.DeniedByBucket(atBucket)
	two, second := c.judgeCommit(atControl)
	c.attempt(c.actor, what, walls.Both, one+"; "+two, first && second)
}

// stage is what thieves are after: topics, sessions and ids of others.
type stage struct {
	own, other *controlpb.Topic // of the share that is granted, and of one that is not
	producer   int64            // a producer id of production's
	sessions   map[string]uint64
}

const (
	ownTopic   = "play"
	otherTopic = "salaries"
)

// agentOf logs a thief in with a user's real keys, as one more agent of its group.
func (w *wallsWorld) agentOf(actor, group, role string, in walls.VPC) *caller {
	w.t.Helper()
	c := w.callAs(actor, group, in)
	agent := group + "-thief"
	certificate, err := c.logIn(group, agent, role)
	c.may("log in with its own account's identity", 0, err)
	// From here on it shows the certificate that it was given, too.
	shown := w.call(actor, in, certificate)
	shown.denial, shown.token = codes.PermissionDenied, c.token
	c.may("begin a session", 0, shown.join(group, agent, role))
	return shown
}

// thievesAtTheControlPlane holds its walls against everybody who has something.
func (w *wallsWorld) thievesAtTheControlPlane() {
	w.t.Helper()
	operator := w.admin()
	var s stage
	var err error
	s.own, err = operator.topicNamed(ownTopic)
	w.check(err)
	s.other, err = operator.topicNamed(otherTopic)
	w.check(err)
	producer, fetcher := w.agentOf("produce", "prod", "produce", w.net.A), w.agentOf("fetch", "analytics", "fetch", w.net.B)
	s.sessions = map[string]uint64{"prod": producer.session, "analytics": fetcher.session}
	code, id, err := producer.producerID(nil, -1)
	producer.may("take a producer id", int32(code), err)
	s.producer = id

	w.producerAtControl(producer, s)
	w.fetcherAtControl(fetcher, s)
	w.strangerAtControl(s)

	producer.may("end its own session", 0, producer.endSession(producer.session))
	fetcher.may("end its own session", 0, fetcher.endSession(fetcher.session))
}

func (w *wallsWorld) producerAtControl(c *caller, s stage) {
	w.t.Helper()
	h := w.thiefWith(c.actor, "prod", ownShare+"/prod/produce", w.net.A)
	found, err := c.topicNamed(ownTopic)
	c.may("be told of a topic that it is granted", found.GetError(), err)
	c.may("commit to its share", 0, c.commit(c.session, ownShare, nil))

	code, err := c.plan(s.own)
	c.both("read its own share: GET a segment, and Plan", h.get(ownKey), code, err, walls.TopicDenied)
	_, err = c.watch(s.own)
	c.denied("Watch its own share", err)
	c.bothCommit("write into another share: PUT, and Commit", h.put(otherKey+"-both"), c.commit(c.session, otherShare, s.other))
	c.deniedCommit("Commit a record of another share's topic as its own share's", c.commit(c.session, ownShare, s.other))
	c.deniedCommit("Commit naming another session", c.commit(s.sessions["analytics"], ownShare, s.own))
	c.denied("keep another agent's session alive", c.heartbeat(s.sessions["analytics"]))
	c.denied("end another agent's session", c.endSession(s.sessions["analytics"]))
	found, err = c.topicNamed(otherTopic)
	c.deniedBy("be told of another share's topic", int16(found.GetError()), err, walls.UnknownTopic, walls.TopicDenied)
	code, err = c.listOffsets(s.other)
	c.deniedBy("ListOffsets of another share's topic", int16(code), err, walls.UnknownTopicID, walls.UnknownTopic, walls.TopicDenied)

	w.meddlesWithGroups(c, "analytics-play", "analytics'")
	w.meddlesWithTopics(c)
	kafka, _, err := c.producerID(kmsg.StringPtr("finance-tx"), -1)
	c.deniedBy("InitProducerId with a foreign transactional id", kafka, err, walls.TransactionalDenied)
	w.meddlesWithWalls(c, "prod")

	_, err = w.callAs(c.actor, "prod", w.net.A).logIn("analytics", "prod-thief", "fetch")
	c.denied("log in as analytics", err)
	_, err = w.callAs(c.actor, "prod", w.net.A).logIn("prod", "prod-thief", "produce", "fetch")
	c.denied("log in with the role fetch besides", err)
	_, err = w.callAs(c.actor, "prod", w.net.A).logIn("", "")
	c.denied("log in as an operator", err)
}

func (w *wallsWorld) fetcherAtControl(c *caller, s stage) {
	w.t.Helper()
	h := w.thiefWith(c.actor, "analytics", ownShare+"/analytics/fetch", w.net.B)
	code, err := c.plan(s.own)
	c.may("Plan a topic that it is granted", code, err)
	kafka, err := c.commitOffset("analytics-thief", ownTopic)
	c.may("commit offsets of its own groups", int32(kafka), err)

	c.bothCommit("write into its share: PUT, and Commit", h.put(neighbourKey+"-both"), c.commit(c.session, ownShare, s.own))
	code, err = c.plan(s.other)
	c.both("read another share: GET, and Plan", h.get(otherKey), code, err, walls.UnknownTopicID, walls.UnknownTopic, walls.TopicDenied)
	removed, err := c.watch(s.other)
	if err == nil && removed {
		c.attempt(c.actor, "Watch another share's topic", walls.Control, "told that there is none", true)
	} else {
		c.denied("Watch another share's topic", err)
	}
	c.deniedCommit("Commit naming a session of production", c.commit(s.sessions["prod"], ownShare, s.own))
	c.denied("end a session of production", c.endSession(s.sessions["prod"]))

	w.meddlesWithGroups(c, "prod-audit", "production's")
	w.meddlesWithTopics(c)
	kafka, _, err = c.producerID(nil, -1)
	c.deniedBy("InitProducerId", kafka, err, walls.ClusterDenied)
	kafka, _, err = c.producerID(nil, s.producer)
	c.deniedBy("InitProducerId with production's id", kafka, err, walls.ClusterDenied)
	kafka, _, err = c.producerID(kmsg.StringPtr("prod-tx"), -1)
	c.deniedBy("InitProducerId with production's transactional id", kafka, err, walls.TransactionalDenied)
	w.meddlesWithWalls(c, "analytics")

	_, err = w.callAs(c.actor, "analytics", w.net.B).logIn("prod", "analytics-thief", "produce")
	c.denied("log in as production", err)
}

func (w *wallsWorld) meddlesWithGroups(c *caller, group, whose string) {
	w.t.Helper()
	code, err := c.commitOffset(group, ownTopic)
	c.deniedBy("OffsetCommit on "+whose+" groups", code, err, walls.GroupDenied)
	code, err = c.joinGroup(group)
	c.deniedBy("JoinGroup of "+whose+" groups", code, err, walls.GroupDenied)
	code, err = c.deleteGroup(group)
	c.deniedBy("DeleteGroups of "+whose+" groups", code, err, walls.GroupDenied)
}

func (w *wallsWorld) meddlesWithTopics(c *caller) {
	w.t.Helper()
	admin := []int16{walls.TopicDenied, walls.ClusterDenied}
	code, err := c.deleteTopic(ownTopic)
	c.deniedBy("DeleteTopics of its share", code, err, admin...)
	code, err = c.shorten(ownTopic)
	c.deniedBy("cut retention by IncrementalAlterConfigs", code, err, admin...)
	code, err = c.replaceConfigs(ownTopic)
	c.deniedBy("cut retention by AlterConfigs", code, err, admin...)
	code, err = c.createTopic("planted")
	c.deniedBy("CreateTopics", code, err, admin...)
	code, err = c.morePartitions(ownTopic)
	c.deniedBy("CreatePartitions of its share", code, err, admin...)
	code, err = c.deleteTopic(otherTopic)
	c.deniedBy("DeleteTopics of another share", code, err, append(admin, walls.UnknownTopic)...)
}

func (w *wallsWorld) meddlesWithWalls(c *caller, group string) {
	w.t.Helper()
	c.denied("grant itself another share", c.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutGrant{
		PutGrant: &controlpb.Grant{Name: "planted", Group: group, Share: otherShare, Access: "fetch"}}}))
	c.denied("bind itself as an operator", c.change(&controlpb.WallChange{Change: &controlpb.WallChange_PutBinding{
		PutBinding: &controlpb.Binding{Name: "planted", Admin: true, Match: &controlpb.Match{Method: "aws-sigv4", Arn: "*"}}}}))
	c.denied("revoke another group", c.change(&controlpb.WallChange{Change: &controlpb.WallChange_RevokeGroup{RevokeGroup: "finance"}}))
	c.denied("read the audit", c.audit())
	c.denied("read the meter", c.meter())
}
