package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// joinCommand makes a token as a playground does, and reads the command that it prints.
func (l *lands) joinCommand() (args []string) {
	l.t.Helper()
	var printed bytes.Buffer
	l.must(printJoin(l.ctx, &printed, l.localCluster, "127.0.0.1", l.log))
	_, line, ok := strings.Cut(printed.String(), "isthmus agent ")
	if !ok {
		l.t.Fatalf("no command in %q", printed.String())
	}
	args = append([]string{"agent"}, strings.Fields(line)...)
	return append(args[:len(args)-2], "--kafka", "127.0.0.1:0", "--gossip", "127.0.0.1:0", "--http", "") // without --state
}

// bindings are those of the cluster, by name.
func (l *lands) bindings() (all []*controlpb.Binding) {
	l.control.node.Peek(func(st *control.State) {
		st.EachBinding(func(b *controlpb.Binding) bool {
			all = append(all, b)
			return true
		})
	})
	return all
}

// sessions counts the agents of a group that live.
func (l *lands) sessions(group string) (agents []string) {
	l.control.node.Peek(func(st *control.State) {
		st.EachSession(func(x control.Session) bool {
			if !x.Ended && x.Group == group {
				agents = append(agents, x.Agent)
			}
			return true
		})
	})
	return agents
}

func (p *process) serves() {
	p.t.Helper()
	eventually(p.t, "the agent serves", func() bool { return strings.Contains(p.stderr.String(), "agent serves") })
}

// TestASecondMachineJoinsOnce: the printed command lets one agent in, by a token that is dead afterwards; the agent has a
// certificate and a binding of its own, renews by it, and keeps them over a restart where it is told a folder.
func TestASecondMachineJoinsOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := startControlAlone(t, dir, "file://"+filepath.Join(dir, "bucket"), func(c *controlConfig) { c.Outside = "0.0.0.0:0" })
	args, state := l.joinCommand(), filepath.Join(dir, "state")
	refusal(t, 1, swap(args, "--group", "prod"), "is bound by the join token to group")
	kept := append(args, "--state", state)
	first := startProcess(t, kept...)
	first.serves()
	name := l.sessions(playgroundGroup)
	if all := l.bindings(); len(all) != 1 || !strings.HasSuffix(all[0].GetMatch().GetUri(), "/group/playground/agent/"+name[0]) {
		t.Errorf("bindings %v of agent %v", all, name)
	}
	if info, err := os.Stat(filepath.Join(state, stateFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("what is kept: %v, %v", info, err)
	}
	refusal(t, 1, args, "the join token is not known", "used")
	first.stops()
	second := startProcess(t, kept...)
	second.serves()
	if again := l.sessions(playgroundGroup); len(again) != 1 || again[0] != name[0] {
		t.Errorf("after a restart the agents are %v, before %v", again, name)
	}
	if !strings.Contains(second.stderr.String(), `"method":"mtls"`) {
		t.Errorf("the second login is by another way:\n%s", second.stderr.String())
	}
	// This machine's own callers are admitted still: no operator has made a binding.
	l.operate("topic", "list")
	refusal(t, 2, swap(kept, "--group", "prod"), "is of an agent of group playground")
	refusal(t, 2, append(args[:1:1], "--group", "a", "--roles", "fetch", "--join", "x"), "--control-pin")
	second.stops()
}

// swap is args with another value behind a flag.
func swap(args []string, flag, value string) []string {
	args = append([]string(nil), args...)
	for i := range args[1:] {
		if args[i] == flag {
			args[i+1] = value
		}
	}
	return args
}

// TestPlaygroundThatOthersReachNeedsABucketThatTheyReach: a folder is none.
func TestPlaygroundThatOthersReachNeedsABucketThatTheyReach(t *testing.T) {
	t.Parallel()
	refusal(t, 2, []string{"playground", "--listen", "0.0.0.0:0"}, "folder of this one", "--bucket s3://")
	refusal(t, 2, []string{"playground", "--listen", "0.0.0.0:0", "--bucket", "file:///tmp/b"}, "--bucket s3://")
	refusal(t, 2, []string{"playground", "--advertise", "a.example"}, "--listen")
}
