package control

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// chaos makes up commands of every kind from a seed: sensible ones mostly, so that they reach
// far, and some that make no sense. It looks at the state to know what is worth asking.
type chaos struct {
	rng *rand.Rand
	now int64
	ids byte
}

func newChaos(seed uint64) *chaos {
	return &chaos{rng: rand.New(rand.NewPCG(seed, 1)), now: 1_000_000}
}

func (c *chaos) n(n int) int             { return c.rng.IntN(n) }
func (c *chaos) one(of ...string) string { return of[c.n(len(of))] }

func (c *chaos) topicID(s *State) []byte {
	var ids []topic.ID
	s.EachTopic(func(t topic.Topic) bool { ids = append(ids, t.ID); return true })
	if c.n(20) == 0 {
		return []byte{1, 2, 3}[:c.n(4)]
	}
	id := ids[c.n(len(ids))]
	return id[:]
}

func (c *chaos) command(s *State) *controlpb.Command {
	switch c.n(12) {
	case 0:
		c.now += int64(c.n(120_000))
	case 1:
		c.now -= int64(c.n(10_000))
	case 2:
		c.now += int64(c.n(3)) * 3_600_000
	default:
		c.now += int64(c.n(50))
	}
	cmd := &controlpb.Command{Time: c.now}
	if c.n(10) == 0 {
		c.walls(s, cmd)
		return cmd
	}
	switch k := c.n(100); {
	case k < 45:
		cmd.Op = &controlpb.Command_Commit{Commit: c.commit(s)}
	case k < 52:
		cmd.Op = &controlpb.Command_Tick{Tick: &controlpb.TickCommand{}}
	case k < 57:
		cmd.Op = &controlpb.Command_Login{Login: c.login(s)}
	case k < 59:
		cmd.Op = &controlpb.Command_EndSession{EndSession: &controlpb.EndSessionRequest{Session: c.session(s)}}
	case k < 64:
		c.ids++
		id := topic.ID{c.ids, 7}
		cmd.Op = &controlpb.Command_CreateTopic{CreateTopic: &controlpb.CreateTopicCommand{
			Group: c.one("", "prod", "analytics"),
			Name:  c.one("t1", "t2", "t3", "t4", "bad name"), Id: id[:], Partitions: int32(c.n(5)), Share: c.one("default", "default", "other"),
			Config: map[string]string{"retention.ms": fmt.Sprint(c.n(4) * 600_000), "retention.bytes": fmt.Sprint(c.n(4)*2000 - 1)},
		}}
	case k < 66:
		cmd.Op = &controlpb.Command_DeleteTopic{DeleteTopic: &controlpb.DeleteTopicCommand{Id: c.topicID(s)}}
	case k < 68:
		cmd.Op = &controlpb.Command_CreatePartitions{CreatePartitions: &controlpb.CreatePartitionsCommand{Id: c.topicID(s), Partitions: int32(c.n(9))}}
	case k < 70:
		cmd.Op = &controlpb.Command_AlterTopicConfig{AlterTopicConfig: &controlpb.AlterTopicConfigCommand{
			Id: c.topicID(s), Config: map[string]string{"retention.ms": c.one("1000", "60000000", "-1", "x")},
		}}
	case k < 78:
		cmd.Op = &controlpb.Command_InitProducer{InitProducer: &controlpb.InitProducerCommand{
			ProducerId: c.producerID(s, int64(c.n(12))-4), Epoch: int32(c.n(4)) - 1, Group: c.one("", "prod", "prod", "analytics"),
		}}
	case k < 84:
		cmd.Op = &controlpb.Command_CommitOffsets{CommitOffsets: c.offsets(s)}
	case k < 86:
		cmd.Op = &controlpb.Command_DeleteOffsets{DeleteOffsets: &controlpb.DeleteOffsetsCommand{
			Group: c.group(), Partitions: []*controlpb.Partition{{TopicId: c.topicID(s), Index: int32(c.n(3))}},
		}}
	case k < 91:
		cmd.Op = &controlpb.Command_SyncGroup{SyncGroup: c.sync()}
	case k < 92:
		cmd.Op = &controlpb.Command_DeleteGroup{DeleteGroup: &controlpb.DeleteGroupCommand{Group: c.group()}}
	case k < 94:
		e := &controlpb.ElectCommand{Term: uint64(c.n(100)), Frozen: c.n(4) == 0}
		if c.n(3) == 0 {
			e.Limits = &controlpb.StateLimits{MaxProducers: int64(c.n(20)), AnswersKeptMs: int64(c.n(1_000_000)), OffsetsRetentionMs: int64(c.n(50_000_000))}
		}
		cmd.Op = &controlpb.Command_Elect{Elect: e}
	case k < 97:
		cmd.Op = &controlpb.Command_ConfirmClock{ConfirmClock: &controlpb.ConfirmClockCommand{}}
	case k < 99:
		cmd.Op = &controlpb.Command_CreateShare{CreateShare: &controlpb.CreateShareCommand{Share: &controlpb.Share{Name: c.one("default", "default", "other", "!")}}}
	}
	return cmd
}

// producerID is of nobody or of a group, with a number that is near one given out.
func (c *chaos) producerID(s *State, number int64) int64 {
	if c.n(3) == 0 || len(s.words) == 0 || number < 0 {
		return number
	}
	return ownedID(number, uint16(c.n(len(s.words)+1)))
}

func (c *chaos) login(s *State) *controlpb.LoginCommand {
	l := &controlpb.LoginCommand{GossipKey: []byte("key"), Request: &controlpb.LoginRequest{
		Agent: c.one("a", "b", "c", "d", "e", ""), Group: c.one("prod", "prod", "analytics", "*"), Roles: []string{c.one("produce", "produce", "fetch")},
		Zone: "zone", KafkaAddress: "kafka", GossipAddress: "gossip", PeerAddress: "peer", Version: "version",
	}}
	if names := s.bindings.Keys(); len(names) > 0 && c.n(4) > 0 {
		b, _ := s.bindings.Get(names[c.n(len(names))])
		l.Binding, l.Identity = b.pb.GetName(), "somebody"
		l.Request.Group, l.Request.Roles = b.pb.GetGroup(), b.pb.GetRoles()
	}
	return l
}

// walls makes up a change of the walls, a token that is used, a step of a rotation, or something for the audit.
func (c *chaos) walls(s *State, cmd *controlpb.Command) {
	until := int64(0)
	if c.n(2) == 0 {
		until = c.now + int64(c.n(4_000_000)) - 1000
	}
	group, share, hash := c.one("prod", "analytics"), c.one("default", "other"), bytes.Repeat([]byte{byte(c.n(4))}, hashBytes)
	ch := &controlpb.WallChange{}
	switch k := c.n(32); {
	case k < 3:
		ch.Change = &controlpb.WallChange_PutShare{PutShare: &controlpb.Share{Name: share, Bucket: "mem://", Region: c.one("", "eu", "!"), Roles: []*controlpb.ShareRole{
			{Group: group, Role: c.one("produce", "fetch", "x"), RoleArn: c.one("", "arn:aws:iam::1:role/r"), ExternalId: "e"},
		}}}
	case k < 6:
		ch.Change = &controlpb.WallChange_PutGroup{PutGroup: &controlpb.AgentGroup{Name: group, Roles: []string{"fetch", "produce"}[:c.n(3)], Zones: []string{"z"}, Note: "n",
			Quota: &controlpb.Quota{BytesIn: 1, ProducerIds: int64(c.n(4)), Partitions: int64(c.n(9)) - 1}}}
	case k < 13:
		ch.Change = &controlpb.WallChange_PutGrant{PutGrant: &controlpb.Grant{Name: c.one("g1", "g2", "g3", "g4", "g5"), Group: group, Share: share, Access: c.one("produce", "produce", "fetch"),
			Topic: c.one("", "", "t", "t1"), Prefix: c.n(3) == 0, Create: c.n(4) == 0, Until: until}}
	case k < 15:
		ch.Change = &controlpb.WallChange_RemoveGrant{RemoveGrant: c.one("g1", "g2", "g3", "g4", "g5")}
	case k < 20:
		b := &controlpb.Binding{Name: c.one("root", "agents", "readers"), Admin: c.n(2) == 0, Match: &controlpb.Match{Method: MethodMTLS, Uri: c.one("spiffe://x/a", "spiffe://x/b")}}
		if c.n(3) > 0 {
			b.Group, b.Roles, b.IdPrefixes, b.MaxAgents = group, []string{"fetch", "produce"}[:c.n(3)], []string{group + "-"}, int32(c.n(3))
			b.Shares = []string{"default", "other"}[:c.n(3)]
		}
		ch.Change = &controlpb.WallChange_PutBinding{PutBinding: b}
	case k < 24:
		ch.Change = &controlpb.WallChange_RemoveBinding{RemoveBinding: c.one(append(s.bindings.Keys(), "nobody")...)}
	case k < 25:
		ch.Change = &controlpb.WallChange_PutJoinToken{PutJoinToken: &controlpb.JoinToken{Hash: hash, Until: until, Group: group, Roles: []string{"fetch"}, IdPrefixes: []string{"*"}}}
	case k < 26:
		cmd.Op = &controlpb.Command_ConsumeToken{ConsumeToken: &controlpb.ConsumeTokenCommand{Hash: hash, Agent: c.one("a", "b", ""), Uri: c.one("spiffe://x/j", "spiffe://x/k", "")}}
		return
	case k < 27:
		keys, _ := s.GossipKeys(group)
		cmd.Op = &controlpb.Command_RotateKeys{RotateKeys: &controlpb.RotateKeysCommand{Group: group, Epoch: keys.GetEpoch() - uint64(c.n(2))}}
		return
	case k < 28:
		cmd.Op = &controlpb.Command_Audit{Audit: &controlpb.AuditCommand{Events: []*controlpb.AuditEvent{{Kind: "fetch", Group: group, Topic: "t1", Bytes: int64(c.n(99)), Records: 1, Grant: "g1", Detail: strings.Repeat("d", c.n(2000))}}}}
		return
	case k >= 30:
		cmd.Op = &controlpb.Command_Meter{Meter: c.metered(s)}
		return
	default:
		ch = []*controlpb.WallChange{
			{Change: &controlpb.WallChange_RevokeGroup{RevokeGroup: group}}, {Change: &controlpb.WallChange_RotateGroup{RotateGroup: group}},
			{Change: &controlpb.WallChange_RevokeRole{RevokeRole: &controlpb.RevokeRole{Group: group, Role: c.one("produce", "fetch")}}},
			{Change: &controlpb.WallChange_RemoveGroup{RemoveGroup: group}}, {Change: &controlpb.WallChange_RemoveShare{RemoveShare: "other"}}, {}, nil,
		}[c.n(7)]
	}
	w := &controlpb.ChangeWallsCommand{Change: ch, Identity: "root", GossipKey: []byte("key2")}
	if c.n(8) == 0 {
		w.GossipKey = nil
	}
	cmd.Op = &controlpb.Command_ChangeWalls{ChangeWalls: w}
}

func (c *chaos) group() string { return c.one("g1", "g2", "g3", "g4", "") }

func (c *chaos) session(s *State) uint64 {
	if s.nextSession == 1 || c.n(30) == 0 {
		return uint64(c.n(5))
	}
	return s.nextSession - 1 - uint64(c.n(min(4, int(s.nextSession)-1)))
}

func (c *chaos) offsets(s *State) *controlpb.CommitOffsetsCommand {
	var o controlpb.CommitOffsetsCommand
	for range c.n(4) {
		o.Offsets = append(o.Offsets, &controlpb.GroupOffset{Group: c.group(), TopicId: c.topicID(s), Partition: int32(c.n(5)) - 1,
			Offset: int64(c.n(100)), Metadata: strings.Repeat("m", c.n(8))})
	}
	return &o
}

func (c *chaos) sync() *controlpb.SyncGroupCommand {
	g := &controlpb.SyncGroupCommand{Group: c.group(), ProtocolType: "consumer", Protocol: "range", Generation: int32(c.n(100))}
	for i := range c.n(3) {
		g.Members = append(g.Members, &controlpb.GroupMember{Id: fmt.Sprint("m", i), Assignment: make([]byte, c.n(20)),
			Protocols: []*controlpb.GroupProtocol{{Name: "range", Metadata: make([]byte, c.n(9))}}})
	}
	return g
}

func (c *chaos) commit(s *State) *controlpb.CommitRequest {
	q := &controlpb.CommitRequest{Session: c.session(s), Share: c.one("default", "default", "default", "other"), Nonce: make([]byte, 12)}
	q.Nonce[0], q.Nonce[1] = byte(c.n(256)), 1
	var last uint64
	if x, ok := s.sessions.Get(q.Session); ok {
		if at, ok := x.find(s.wordOf[q.Share]); ok {
			last = x.lanes[at].last
		}
	}
	q.After, q.Sequence = last, last+1
	switch c.n(12) {
	case 0: // sent again
		q.Sequence = last - min(last, uint64(c.n(3)))
		q.After = q.Sequence - min(q.Sequence, 1)
	case 1: // abandons
		q.Sequence += 2
		q.Abandoned = []uint64{last + 1, last + 2}
	case 2: // out of order
		q.Sequence += uint64(c.n(3))
		q.After += uint64(c.n(2))
	}
	if c.n(2) == 0 {
		q.Acked = last - min(last, uint64(c.n(4)))
	}
	if c.n(10) == 0 {
		q.Losers = [][]byte{make([]byte, 12)}
	}
	if c.n(40) == 0 {
		q.Manifest = []byte{1, 2, 3, 4}
	} else if c.n(8) > 0 {
		m := c.manifest(s)
		q.Manifest = segment.AppendManifest(nil, &m)
	}
	return q
}

func (c *chaos) manifest(s *State) segment.Manifest {
	var m segment.Manifest
	at := uint32(20)
	s.topics.Scan(func(_ string, t *topicEntry) bool {
		for i := range len(t.places) + 1 {
			for range c.n(4) {
				r := segment.Row{Partition: topic.Partition{Topic: t.topic.ID, Index: int32(i)}, Position: at, Length: 61 + uint32(c.n(100)),
					Records: 1 + uint32(c.n(3)), MaxTimestamp: c.now - int64(c.n(5000)), Producer: segment.Producer{ID: segment.NoProducer}}
				if c.n(2) == 0 {
					r.Producer = segment.Producer{ID: c.producerID(s, int64(c.n(8))), Epoch: int16(c.n(5) / 4), First: int32(c.n(12))}
					if i, ok := s.producerAt[producerKey{r.Producer.ID, c.number(s, r.Partition)}]; ok && c.n(3) > 0 {
						p := s.producers.At(i)
						r.Producer.Epoch, r.Producer.First = p.epoch, p.last+1
					}
					r.Producer.Last = r.Producer.First + int32(r.Records) - 1
				}
				at += r.Length
				if c.n(6) == 0 {
					at += 10
				}
				m.Rows = append(m.Rows, r)
			}
		}
		return len(m.Rows) < 40
	})
	sortRows(m.Rows)
	m.Size = at + 50
	return m
}

// sortRows puts the rows of made-up topics in order, and their bytes with them.
func sortRows(rows []segment.Row) {
	for i := 1; i < len(rows); i++ {
		for j := i; j > 0 && rows[j].Partition.Compare(rows[j-1].Partition) < 0; j-- {
			rows[j], rows[j-1] = rows[j-1], rows[j]
		}
	}
	at := uint32(20)
	for i := range rows {
		rows[i].Position = at + rows[i].Position%2
		at = rows[i].Position + rows[i].Length
	}
}

func (c *chaos) number(s *State, p topic.Partition) uint64 {
	if x, _ := s.partition(p); x != nil {
		return x.number
	}
	return 0
}

// metered makes up what agents tell of shares: sums that rise, that are told twice, or that fall, of sessions and shares that may not be.
func (c *chaos) metered(s *State) *controlpb.MeterCommand {
	m := &controlpb.MeterCommand{}
	for range 1 + c.n(3) {
		x := &controlpb.SessionMeter{Session: uint64(c.n(int(s.nextSession) + 2))}
		for range c.n(3) {
			x.Shares = append(x.Shares, &controlpb.ShareMeter{Share: c.one("default", "other", "none"), Totals: []int64{int64(c.n(50)) - 5, 7, c.now % 1000}[:1+c.n(3)]})
		}
		m.Metered = append(m.Metered, x)
	}
	return m
}
