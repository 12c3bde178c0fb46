package lint

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/isthmusdata/isthmus/"

// rules are edges that must not exist, each with its reason, for the day somebody wants it gone. A rule
// holds for a package and everything below it, and for imports of a package and everything below.
var rules = []struct{ from, to, why string }{
	{"control", "produce", "the sequencer must not know what an agent is"},
	{"control", "fetch", "the sequencer must not know what an agent is"},
	{"control", "agentgroup", "gossip is trusted for liveness, never for order"},
	{"produce", "fetch", "an agent may run either role alone"},
	{"fetch", "produce", "an agent may run either role alone"},
	{"produce", "control", "roles meet control through interfaces of their own"},
	{"fetch", "control", "roles meet control through interfaces of their own"},
	{"agentgroup", "control", "a group is told its seeds and key; it asks for nothing"},
	{"agentgroup", "produce", "a group must not know what its members do"},
	{"agentgroup", "fetch", "a group must not know what its members do"},
	{"control/client", "control/raft", "an agent links no consensus"},
	{"control/client", "control/server", "an agent links no sequencer"},
	{"internal", "produce", "imports point inward"},
	{"internal", "fetch", "imports point inward"},
	{"internal", "control", "imports point inward"},
	{"internal", "agentgroup", "imports point inward"},
	{"internal", "cmd", "imports point inward"},
	{"internal", "iam", "a bucket is handed its credentials; it does not know where they come from"},
	{"iam", "control", "who may assume a role is not the control plane's to say"},
	{"iam", "produce", "credentials do not know what they are used for"},
	{"iam", "fetch", "credentials do not know what they are used for"},
	{"iam/policy", "iam/standin", "what a policy means does not depend on who enforces it"},
	{"internal/topic", "internal/segment", "a place's name knows no object"},
	{"internal/topic", "internal/objstore", "a place's name knows no object"},
	{"internal/objstore", "internal/segment", "a bucket knows bytes, not what they mean"},
	{"internal/objstore", "internal/record", "a bucket knows bytes, not what they mean"},
	{"control", "internal/sim", "what runs does not know that it is simulated"},
	{"produce", "internal/sim", "what runs does not know that it is simulated"},
	{"fetch", "internal/sim", "what runs does not know that it is simulated"},
	{"agentgroup", "internal/sim", "what runs does not know that it is simulated"},
	{"cmd", "internal/sim", "what runs does not know that it is simulated"},
	{"internal/wire", "internal/broker", "the conversation does not know the answers"},
	{"internal/wire", "internal/segment", "the conversation does not know where bytes are kept"},
	{"internal/wire", "internal/objstore", "the conversation does not know where bytes are kept"},
}

// exempt are packages that a rule of a parent folder does not hold for.
var exempt = map[string]string{
	"internal/scale": "the simulation of scale runs every role that decides, a thousand times",
	"internal/sim":   "the simulation drives every role's decisions from one seed",
}

// pure are packages that decide; they may not reach for a clock, a socket or a lock.
var pure = map[string][]string{
	"control":             {"net", "os", "math/rand", "math/rand/v2", "crypto/rand", "google.golang.org/grpc"},
	"control/hub":         {"net", "os", "time", "math/rand", "math/rand/v2", "crypto/rand", "google.golang.org/grpc"},
	"control/desk":        {"net", "os", "time", "math/rand", "math/rand/v2", "crypto/rand", "google.golang.org/grpc", "sync"},
	"control/coordinator": {"net", "os", "math/rand", "math/rand/v2", "crypto/rand", "google.golang.org/grpc", "sync"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Doc        string
	GoFiles    []string
}

func TestImportsPointInward(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			if to, ours := strings.CutPrefix(imported, module); ours {
				checkEdge(t, from, to)
			}
			for _, forbidden := range pure[from] {
				if imported == forbidden || strings.HasPrefix(imported, forbidden+"/") && strings.Contains(forbidden, ".") {
					t.Errorf("%s imports %s: what decides must be pure, so that a seed replays it", from, imported)
				}
			}
		}
	}
}

func checkEdge(t *testing.T, from, to string) {
	t.Helper()
	if _, ok := exempt[from]; ok {
		return
	}
	for _, r := range rules {
		if within(from, r.from) && within(to, r.to) && !within(from, r.to) {
			t.Errorf("%s imports %s: %s", from, to, r.why)
		}
	}
}

func within(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

// TestRulesNameRealPackages keeps a rule from outliving the package it was written for.
func TestRulesNameRealPackages(t *testing.T) {
	all := packages(t)
	exists := func(folder string) bool {
		for _, p := range all {
			if within(strings.TrimPrefix(p.ImportPath, module), folder) {
				return true
			}
		}
		return false
	}
	for _, r := range rules {
		if !exists(r.from) || !exists(r.to) {
			t.Errorf("rule %s -> %s (%s) names a package that is not there", r.from, r.to, r.why)
		}
	}
	for p := range exempt {
		if !exists(p) {
			t.Errorf("exemption of %s, which is not there", p)
		}
	}
	for p := range pure {
		if !exists(p) {
			t.Errorf("purity of %s, which is not there", p)
		}
	}
}

func TestEveryPackageOpensWithItsPromise(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.Command("go", "list", "-json=ImportPath,Imports,Doc,GoFiles", module+"...")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
