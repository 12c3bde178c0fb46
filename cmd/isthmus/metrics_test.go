package main

import (
	"bufio"
	"context"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmusdata/isthmus/internal/obs"
)

// owners are the packages whose docs name the metrics of a prefix; the longest prefix that fits
// counts. A doc that names a metric of somebody else's prefix speaks of another package's.
var owners = map[string][]string{
	"isthmus_produce_":        {"produce"},
	"isthmus_fetch_":          {"fetch"},
	"isthmus_wire_":           {"internal/wire"},
	"isthmus_broker_":         {"internal/broker"},
	"isthmus_agentgroup_":     {"agentgroup"},
	"isthmus_meter_":          {"internal/meter"},
	"isthmus_objstore_":       {"internal/objstore/metered"},
	"isthmus_iam_":            {"iam/creds"},
	"isthmus_control_client_": {"control/client"},
	"isthmus_control_":        {"control/raft", "control/server", "control/tunnel"},
}

// counted is what gauges and histograms count or show that have no unit of measure. Everything else
// ends in one: _bytes, _seconds, and counters in _total.
var counted = []string{
	"connections", "members", "partitions", "locations", "topics", "entries", "segments", "producers",
	"sessions", "streams", "groups", "requests", "commands", // numbers of things
	"leader", "frozen", // 0 or 1
	"index", "health", // a place in the log; memberlist's score
	"quota", // bytes or requests a second, or connections, as the label says
}

// TestEveryMetricIsDocumented holds the lists in the packages' docs and the metrics that a control
// node and agents register against each other: the person on call finds every one that is scraped
// in the doc of the package that owns it, and none there that does not exist.
func TestEveryMetricIsDocumented(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir, log, registry := t.TempDir(), logOf(t), obs.NewRegistry()
	config := defaultControlConfig()
	config.Raft.Dir, config.BucketURL = filepath.Join(dir, "control"), "file://"+filepath.Join(dir, "bucket")
	config.Listen, config.HTTP = "127.0.0.1:0", "127.0.0.1:0"
	node, err := startControl(ctx, config, log, registry, openBucket)
	if err != nil {
		t.Fatal(err)
	}
	l := &lands{localCluster: &localCluster{log: log, bucket: config.BucketURL, control: node, agents: map[string]*localAgent{}}, t: t, ctx: ctx}
	defer func() {
		if err := l.stop(ctx); err != nil {
			t.Errorf("stop the cluster: %v", err)
		}
	}()
	l.addAgent("both", "both", rolesOf("produce", "fetch"), func(c *agentConfig) { c.HTTP = "127.0.0.1:0" })
	both := l.running("both")

	registered := append(names(registry), names(both.deps.registry)...)
	for prefix, packages := range owners {
		for _, p := range packages {
			for _, name := range named(t, p) {
				if ownerOf(name) == prefix && !slices.Contains(registered, name) {
					t.Errorf("the doc of %s names %s, which nobody registers", p, name)
				}
			}
		}
	}
	for _, name := range registered {
		packages := owners[ownerOf(name)]
		switch {
		case packages == nil:
			t.Errorf("%s: no package owns metrics of that name", name)
		case !slices.ContainsFunc(packages, func(p string) bool { return slices.Contains(named(t, p), name) }):
			t.Errorf("%s is not named in the doc of %s", name, strings.Join(packages, " or "))
		}
		if last := name[strings.LastIndex(name, "_")+1:]; !slices.Contains([]string{"total", "bytes", "seconds"}, last) && !slices.Contains(counted, last) {
			t.Errorf("%s has no unit: end it in _bytes, _seconds or _total, or say what it counts", name)
		}
	}
	for _, address := range []string{node.http.Addr(), both.http.Addr()} {
		for _, name := range scraped(t, address) {
			if !slices.Contains(registered, name) {
				t.Errorf("%s serves %s, which is not among those registered", address, name)
			}
		}
	}
}

// ownerOf is the longest prefix of owners that fits, or "".
func ownerOf(metric string) (prefix string) {
	for p := range owners {
		if strings.HasPrefix(metric, p) && len(p) > len(prefix) {
			prefix = p
		}
	}
	return prefix
}

var (
	metricName = regexp.MustCompile(`\bisthmus_[a-z0-9_]+`)
	fqName     = regexp.MustCompile(`fqName: "(isthmus_[a-z0-9_]+)"`)
)

// names are the metrics of isthmus in a registry, those without a value yet included.
func names(r *prometheus.Registry) []string {
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		r.Describe(descriptions)
	}()
	var all []string
	for d := range descriptions {
		if m := fqName.FindStringSubmatch(d.String()); m != nil {
			all = append(all, m[1])
		}
	}
	return all
}

// named are the metrics that a package's doc names.
func named(t *testing.T, pkg string) []string {
	t.Helper()
	dir := filepath.Join("..", "..", filepath.FromSlash(pkg))
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, f.Name()), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Doc != nil {
			all = append(all, metricName.FindAllString(parsed.Doc.Text(), -1)...)
		}
	}
	return all
}

// scraped are the metrics of isthmus that an HTTP address serves.
func scraped(t *testing.T, address string) []string {
	t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s/metrics: %s", address, answer.Status)
	}
	var all []string
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if name, _, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "# TYPE "), " "); ok && strings.HasPrefix(lines.Text(), "# TYPE isthmus_") {
			all = append(all, name)
		}
	}
	if len(all) == 0 {
		t.Errorf("%s serves no metric of isthmus", address)
	}
	return all
}
