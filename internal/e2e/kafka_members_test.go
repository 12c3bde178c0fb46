//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// member is a verifiable consumer of Apache Kafka's that stays in its group.
type member struct{ *process }

// join starts a member; more are arguments of the tool.
func (k *tools) join(t *testing.T, topic, group string, more ...string) member {
	t.Helper()
	return member{start(t, nil, "java", k.command(k.analytics, "org.apache.kafka.tools.VerifiableConsumer",
		append([]string{"--topic", topic, "--group-id", group, "--session-timeout", "45000"}, more...)...)...)}
}

// told is what a member has been told by its group, in order: "assigned [0 1]", "revoked [0]".
func (m member) told() []string {
	m.t.Helper()
	log, err := os.ReadFile(m.log)
	if err != nil {
		m.t.Fatal(err)
	}
	var all []string
	for text := range strings.Lines(string(log)) {
		if !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "\n") {
			continue
		}
		for _, e := range toolEvents(m.t, text, "") {
			kind, ok := strings.CutPrefix(e.Name, "partitions_")
			if !ok {
				continue
			}
			var partitions []int32
			for _, p := range e.Partitions {
				partitions = append(partitions, p.Partition)
			}
			slices.Sort(partitions)
			all = append(all, fmt.Sprint(kind, " ", partitions))
		}
	}
	return all
}

// hears waits until a member has been told one thing more than before, which it returns.
func (m member) hears(t *testing.T, before int) string {
	t.Helper()
	var last string
	eventually(t, "the group speaks to its member", func() error {
		told := m.told()
		if len(told) <= before {
			return fmt.Errorf("it has been told %v", told)
		}
		last = told[before]
		return nil
	})
	return last
}

// cooperates: members keep the partitions that stay theirs while a second one comes and goes.
func cooperates(t *testing.T, k *tools) string {
	k.isthmus("topic", "create", "cooperative", "--partitions", "4")
	strategy := []string{"--assignment-strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"}
	stays := k.join(t, "cooperative", "cooperators", strategy...)
	if got := stays.hears(t, 0); got != "assigned [0 1 2 3]" {
		t.Fatalf("the only member was told %s", got)
	}
	leaves := k.join(t, "cooperative", "cooperators", strategy...)
	// The second member gets nothing at first, and then what the first has given up.
	given := stays.hears(t, 1)
	moved, ok := strings.CutPrefix(given, "revoked ")
	if !ok || len(strings.Fields(moved)) != 2 {
		t.Fatalf("the first member was told %s, want that two partitions are revoked", given)
	}
	eventually(t, "the second member has what the first gave up", func() error {
		if told := leaves.told(); !slices.Contains(told, "assigned "+moved) {
			return fmt.Errorf("it has been told %v", told)
		}
		return nil
	})
	leaves.signal(syscall.SIGTERM)
	eventually(t, "the first member has them again", func() error {
		if told := stays.told(); !slices.Contains(told, "assigned "+moved) {
			return fmt.Errorf("it has been told %v", told)
		}
		return nil
	})
	for _, said := range stays.told()[1:] {
		if strings.HasPrefix(said, "revoked") && said != given {
			t.Errorf("the first member was told %s too", said)
		}
	}
	return works
}

// returns: a static member that is killed and comes back has its partitions again, and the other hears nothing of it.
func returns(t *testing.T, k *tools) string {
	k.isthmus("topic", "create", "static", "--partitions", "4")
	one := k.join(t, "static", "residents", "--group-instance-id", "one")
	one.hears(t, 0)
	two := k.join(t, "static", "residents", "--group-instance-id", "two")
	mine := two.hears(t, 0)
	if len(strings.Fields(mine)) != 3 {
		t.Fatalf("the second member was told %s, want two partitions", mine)
	}
	// What the first hears of the second: it gives all up and gets the rest.
	settled := []string{"assigned [0 1 2 3]", "revoked [0 1 2 3]", one.hears(t, 2)}
	two.kill()
	two.start()
	if got := two.hears(t, 1); got != mine {
		t.Errorf("the member that came back was told %s, before it was %s", got, mine)
	}
	if told := one.told(); !slices.Equal(told, settled) {
		t.Errorf("the other member was told %v, want %v: that one returned is nobody's business", told, settled)
	}
	return works
}
