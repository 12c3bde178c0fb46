package cost

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestEveryKeyIsNeeded takes each key of the file away, and misspells it: both are refused, by the key's name.
func TestEveryKeyIsNeeded(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal(pricesFile, &root); err != nil {
		t.Fatal(err)
	}
	tried := 0
	var walk func(path string, n *yaml.Node)
	refused := func(what, key string) {
		t.Helper()
		file, err := yaml.Marshal(&root)
		if err != nil {
			t.Fatal(err)
		}
		tried++
		if _, err := ParsePrices(file); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s %s: %v", key, what, err)
		}
	}
	walk = func(path string, n *yaml.Node) {
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			key, name := n.Content[i], n.Content[i].Value
			if path != "regions" && !strings.HasPrefix(path, "instances") && !strings.HasSuffix(path, "ec2_hour") {
				key.Value = "un" + name
				refused("misspelt", key.Value)
				key.Value = name
				whole := n.Content
				n.Content = append(append([]*yaml.Node{}, whole[:i]...), whole[i+2:]...)
				refused("missing", name)
				n.Content = whole
			}
			walk(join(path, name), n.Content[i+1])
		}
		for i, item := range n.Content {
			if n.Kind == yaml.SequenceNode {
				walk(fmt.Sprintf("%s[%d]", path, i), item)
			}
		}
	}
	walk("", root.Content[0])
	if tried < 200 {
		t.Errorf("%d keys tried", tried)
	}
}

// TestBadValues are refused by the name of their key.
func TestBadValues(t *testing.T) {
	for _, c := range []struct{ from, to, says string }{
		{"date: 2026-11-25", "date: yesterday", "date"},
		{"month_hours: 730", "month_hours: 0", "month_hours is 0"},
		{"month_hours: 730", "month_hours: many", "many"},
		{"cross_zone_gb: 0.01 #", "cross_zone_gb: -1 #", "regions.us-east-1.cross_zone_gb is -1"},
		{"cross_zone_gb: 0.01 #", "cross_zone_gb: .nan #", "cross_zone_gb is NaN"},
		{"utilization: 0.5 # of processor and", "utilization: 1.5 # of processor and", "isthmus.utilization is 1.5"},
		{"agent: m7g.xlarge", "agent: z9.huge", `"z9.huge"`},
		{"{up_to_gb: 512000, gb_month: 0.022}", "{up_to_gb: 1, gb_month: 0.022}", "steps"},
		{"replication: 3", "replication: 0.5", "kafka.replication"},
		{"vcpu: 2,", "vcpu: 0,", "instance m7g.large"},
		{"regions:\n", "regionen:\n", `did you mean "regions"`},
	} {
		if !strings.Contains(string(pricesFile), c.from) {
			t.Errorf("the file has no %q", c.from)
		}
		_, err := ParsePrices([]byte(strings.Replace(string(pricesFile), c.from, c.to, 1)))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, which does not say %q", c.to, err, c.says)
		}
	}
	for _, file := range []string{"", "- a\n- b\n", "\t", "regions: 1"} {
		if _, err := ParsePrices([]byte(file)); err == nil {
			t.Errorf("%q is taken", file)
		}
	}
}

// TestStorageSteps: each step is priced by itself.
func TestStorageSteps(t *testing.T) {
	r := prices(t).Regions["us-east-1"]
	for gb, want := range map[float64]float64{0: 0, 100: 2.3, 51200: 1177.6, 51300: 1177.6 + 2.2, 512000: 1177.6 + 460800*0.022, 512100: 1177.6 + 460800*0.022 + 2.1} {
		if got := r.storage(gb); !near(got, want) {
			t.Errorf("%v GB cost %v, not %v", gb, got, want)
		}
	}
}
