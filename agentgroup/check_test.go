package agentgroup

import (
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// TestCheckFindsAKilledMemberBeforeGossipDoes: gossip sleeps here, so that only the refused
// connection can tell.
func TestCheckFindsAKilledMemberBeforeGossipDoes(t *testing.T) {
	sleepy := func(c *Config, _ *Member, _ *Deps) { c.ProbeInterval, c.ProbeTimeout = time.Hour, time.Second }
	one := agent(t, "prod", 1, nil, sleepy)
	seeds := []string{one.Self().Gossip}
	two := agent(t, "prod", 2, seeds, sleepy)
	agent(t, "prod", 3, seeds, sleepy)
	one.seesIDs(t, "1 2 3")
	one.Check()
	one.seesIDs(t, "1 2 3")

	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	one.checked = 0 // the round before served its time
	one.Check()
	if got := ids(one.Members()); got != "1 3" {
		t.Errorf("after the check the members are %s, want 1 3", got)
	}
	if m, ok := one.Leader(topic.Partition{Topic: topic.ID{1}}, "a", "produce"); !ok || m.NodeID == 2 {
		t.Errorf("the leader is %v (%v), which was killed", m.NodeID, ok)
	}
}
