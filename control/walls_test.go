package control

import (
	"bytes"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// TestI6CommitAsksAsAllowDoes: what a commit remembers of grants is what Allow says of them, after any commands: for every
// session that lives, and every topic.
func TestI6CommitAsksAsAllowDoes(t *testing.T) {
	said := map[bool]int{}
	for seed := range uint64(30) {
		s, c := NewState(testLimits()), newChaos(seed+300)
		for step := range 500 {
			s.Apply(c.command(s))
			s.sessions.Scan(func(_ uint64, x *session) bool {
				if x.ended {
					return true
				}
				b, writes := s.writer(x)
				out := s.exportSession(x)
				s.topics.Scan(func(name string, e *topicEntry) bool {
					d := s.Allow(out.Caller(), Call{Kind: CallCommit, Share: e.topic.Share, Topic: name})
					if got := writes && s.mayPlace(x, b, e); got != d.Allowed {
						t.Fatalf("seed %d step %d: session %d (binding %q, group %q, roles %v) and topic %q of %q: a commit says %t, Allow %+v",
							seed, step, x.id, x.binding, out.Group, x.roles, name, e.topic.Share, got, d)
					}
					said[d.Allowed]++
					return true
				})
				return true
			})
		}
	}
	if said[true] < 1000 || said[false] < 1000 {
		t.Errorf("too little was asked: %v", said)
	}
}

// TestI6NothingPlacedWithoutAGrant looks at what every commit places, and at the grants of that moment, which it reads by
// itself.
func TestI6NothingPlacedWithoutAGrant(t *testing.T) {
	placed, refused := 0, 0
	for seed := range uint64(60) {
		s, c := NewState(testLimits()), newChaos(seed+400)
		for step := range 500 {
			cmd := c.command(s)
			r := s.Apply(cmd)
			m, err := segment.ParseManifest(cmd.GetCommit().GetManifest())
			if err != nil || len(r.Reply.Answers) != len(m.Rows) || len(r.Events) == 0 {
				continue
			}
			x, _ := s.Session(cmd.GetCommit().GetSession())
			if x.Binding == "" && !s.Open() {
				t.Fatalf("seed %d step %d: a session without a binding commits while there are bindings", seed, step)
			}
			for i, a := range r.Reply.Answers {
				e, known := s.TopicByID(m.Rows[i].Partition.Topic)
				switch {
				case a.Verdict == segment.Placed && !grantedAtThisMoment(s, x, e):
					t.Fatalf("seed %d step %d: group %q placed in %q of share %q without a grant", seed, step, x.Group, e.Name, e.Share)
				case a.Verdict == segment.Placed:
					placed++
				case known && a.Code == codeTopicDenied:
					refused++
				}
			}
		}
	}
	if placed < 100 || refused < 20 {
		t.Errorf("%d rows placed, %d denied: too few to tell", placed, refused)
	}
}

// grantedAtThisMoment reads the walls as people do, and none of the state's own ways to them.
func grantedAtThisMoment(s *State, x Session, e topic.Topic) bool {
	all := s.DescribeWalls()
	if all.GetOpen() && e.Share == topic.DefaultShare {
		return true
	}
	for _, b := range all.GetBindings() {
		if b.GetName() != x.Binding {
			continue
		}
		within := len(b.GetShares()) == 0
		for _, share := range b.GetShares() {
			within = within || share == e.Share
		}
		if !within {
			return false
		}
	}
	for _, g := range all.GetGrants() {
		if g.GetGroup() == x.Group && g.GetShare() == e.Share && g.GetAccess() == RoleProduce && (g.GetUntil() == 0 || s.clock() < g.GetUntil()) {
			if n := len(g.GetTopic()); g.GetTopic() == e.Name || g.GetPrefix() && len(e.Name) >= n && e.Name[:n] == g.GetTopic() || n == 0 {
				return true
			}
		}
	}
	return false
}

// TestI6AdminStays: whatever is changed, while there are bindings of operators one of them has admin; and what is counted of
// them and of their sessions follows.
func TestI6AdminStays(t *testing.T) {
	closed := 0
	for seed := range uint64(30) {
		s, c := NewState(testLimits()), newChaos(seed+500)
		for step := range 600 {
			walls := s.Walls()
			cmd := c.command(s)
			before, r := proto.Clone(s.DescribeWalls()), s.Apply(cmd)
			if !s.Open() {
				closed++
				if s.admins() == 0 {
					t.Fatalf("seed %d step %d: nobody has admin after %v", seed, step, cmd)
				}
			}
			if !proto.Equal(before, s.DescribeWalls()) && s.Walls() == walls {
				t.Fatalf("seed %d step %d: the walls changed and Walls did not rise after %v", seed, step, cmd)
			}
			if cmd.GetChangeWalls() != nil && (r.Code == 0) != (r.Reason == "") {
				t.Fatalf("seed %d step %d: code %d, reason %q", seed, step, r.Code, r.Reason)
			}
			s.sessions.Scan(func(id uint64, x *session) bool {
				if _, ok := s.bindings.Get(x.binding); !x.ended && !ok && (x.binding != "" || !s.Open()) {
					t.Fatalf("seed %d step %d: session %d lives without its binding %q after %v", seed, step, id, x.binding, cmd)
				}
				return true
			})
		}
	}
	if closed < 1000 {
		t.Errorf("bindings stood in %d steps only", closed)
	}
}

// TestSnapshotOfVersion1: a state that was written before there were walls is read, and its agents go on.
func TestSnapshotOfVersion1(t *testing.T) {
	b, err := os.ReadFile("testdata/snapshot-1")
	if err != nil {
		t.Fatal(err)
	}
	l := Default()
	l.Meta = Meta{}
	s, err := ReadState(bytes.NewReader(b), l)
	if err != nil {
		t.Fatal(err)
	}
	x := s.Stats()
	if x.Topics == 0 || x.Sessions == 0 || x.Producers == 0 || s.gossip.Len() == 0 || s.shares.Len() == 0 || !s.Open() {
		t.Errorf("%+v, %d gossip keys, %d shares, open %t", x, s.gossip.Len(), s.shares.Len(), s.Open())
	}
	if now := s.Limits(); now.MaxGrants != l.MaxGrants || now.MaxAuditEvents != l.MaxAuditEvents {
		t.Errorf("limits that are younger than the snapshot: %+v", now)
	}
	again := snapshotOf(t, s)
	if !bytes.Equal(again, snapshotOf(t, restored(t, again, l))) {
		t.Error("I4: read and written anew, it is another state")
	}
	s.EachSession(func(x Session) bool {
		if d := s.Allow(x.Caller(), Call{Kind: CallMembership}); !d.Allowed {
			t.Errorf("session %d: %+v", x.ID, d)
		}
		return true
	})
}

// FuzzWalls feeds a change of the walls, as bytes, to a state that has some, and asks Allow about what the bytes name:
// nothing panics, and the state comes back from its snapshot.
func FuzzWalls(f *testing.F) {
	c, s := newChaos(9), NewState(testLimits())
	for n := 0; n < 40; {
		cmd := &controlpb.Command{}
		if c.walls(s, cmd); cmd.GetChangeWalls().GetChange() != nil {
			b, err := proto.Marshal(cmd.GetChangeWalls())
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, "orders", int16(n))
			n++
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, name string, key int16) {
		var ch controlpb.ChangeWallsCommand
		if proto.Unmarshal(b, &ch) != nil {
			return
		}
		w := wallsOfTable(t)
		walls, before := w.s.Walls(), proto.Clone(w.s.DescribeWalls())
		r := w.apply(&controlpb.Command{Op: &controlpb.Command_ChangeWalls{ChangeWalls: &ch}})
		if r.Code != 0 && (r.Reason == "" || w.s.Walls() != walls || !proto.Equal(before, w.s.DescribeWalls())) {
			t.Fatalf("refused with %d, %q, and the walls went from %d to %d", r.Code, r.Reason, walls, w.s.Walls())
		}
		for _, caller := range tableCallers() {
			for kind := CallCommit; kind <= CallMeter; kind++ {
				d := w.s.Allow(caller.who, Call{Kind: kind, Share: name, Topic: name, Key: key, Group: name, Transactional: name})
				if d.Allowed != (d.Code == 0) {
					t.Fatalf("%+v", d)
				}
			}
		}
		w.check(t)
	})
}

// TestGrantsCostNoAllocation: a commit asks about grants for every partition that it names.
func TestGrantsCostNoAllocation(t *testing.T) {
	w := wallsOfTable(t)
	id := topic.ID{1}
	w.apply(&controlpb.Command{Op: &controlpb.Command_CreateTopic{CreateTopic: &controlpb.CreateTopicCommand{Name: ownTopic, Id: id[:], Partitions: 1, Share: ownShare}}})
	r := w.apply(&controlpb.Command{Op: &controlpb.Command_Login{Login: &controlpb.LoginCommand{
		Binding: "prod", GossipKey: []byte("k"), Request: &controlpb.LoginRequest{Agent: "1", Group: "prod", Roles: []string{RoleProduce}},
	}}})
	x, _ := w.s.sessions.Get(r.Login.GetSession())
	b, writes := w.s.writer(x)
	granted := writes
	if n := testing.AllocsPerRun(100, func() { granted = granted && w.s.mayPlace(x, b, w.s.topicByID[id]) }); n != 0 || !granted {
		t.Errorf("%v allocations; granted %t", n, granted)
	}
}
