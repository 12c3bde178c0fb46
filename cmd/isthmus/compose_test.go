package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composeService is what the example says of one container.
type composeService struct {
	Image       string    `yaml:"image"`
	User        string    `yaml:"user"`
	ReadOnly    bool      `yaml:"read_only"`
	Drop        []string  `yaml:"cap_drop"`
	Security    []string  `yaml:"security_opt"`
	Build       yaml.Node `yaml:"build"`
	Command     []string  `yaml:"command"`
	Networks    []string  `yaml:"networks"`
	NetworkMode string    `yaml:"network_mode"`
	Ports       []string  `yaml:"ports"`
	Volumes     []string  `yaml:"volumes"`
	DependsOn   map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Health struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
	Restart string `yaml:"restart"`
}

// composeFile is examples/docker-compose/compose.yaml.
func composeFile(t *testing.T) map[string]composeService {
	t.Helper()
	raw, err := os.ReadFile("../../examples/docker-compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]composeService `yaml:"services"`
		Networks map[string]struct{}       `yaml:"networks"`
		Volumes  map[string]struct{}       `yaml:"volumes"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	for name, s := range file.Services {
		for _, network := range s.Networks {
			if _, ok := file.Networks[network]; !ok {
				t.Errorf("%s: no network %s", name, network)
			}
		}
		for _, volume := range s.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if _, ok := file.Volumes[source]; !ok && !strings.HasPrefix(source, "./") {
				t.Errorf("%s: no volume %s", name, source)
			}
		}
		for on := range s.DependsOn {
			if _, ok := file.Services[on]; !ok {
				t.Errorf("%s waits for %s, which is not there", name, on)
			}
		}
	}
	return file.Services
}

// TestComposeKeepsAccountsApart reads the example as Compose would: which container reaches what.
func TestComposeKeepsAccountsApart(t *testing.T) {
	services := composeFile(t)
	names := []string{}
	for name, s := range services {
		names = append(names, name)
		if s.Image != "isthmus" || s.User != "65532:65532" || !s.ReadOnly || !slices.Equal(s.Drop, []string{"ALL"}) || len(s.Security) != 1 {
			t.Errorf("%s runs as more than it needs to: %+v", name, s)
		}
		if s.Restart != "no" && !slices.Equal(s.Health.Test, []string{"CMD", "/usr/local/bin/healthcheck", "http://127.0.0.1:7480/healthz"}) {
			t.Errorf("%s is asked for its health by %q", name, s.Health.Test)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s is published to other machines: %s", name, port)
			}
		}
		certificates := slices.DeleteFunc(slices.Clone(s.Volumes), func(v string) bool { return !strings.HasPrefix(v, "./certs/") })
		if len(certificates) != 1 || !strings.HasSuffix(certificates[0], ":/certs:ro") {
			t.Errorf("%s has the certificates of %q, and should have a folder of its own", name, certificates)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"consumers", "control", "producers", "walls"}) {
		t.Fatalf("services are %v", names)
	}
	control, producers, consumers := services["control"], services["producers"], services["consumers"]
	if control.Build.IsZero() || !slices.Equal(control.Networks, []string{"production", "analytics"}) {
		t.Errorf("the control plane is built %v and in %v, and should be in both networks", !control.Build.IsZero(), control.Networks)
	}
	if !slices.Equal(producers.Networks, []string{"production"}) || !slices.Equal(consumers.Networks, []string{"analytics"}) {
		t.Errorf("producers are in %v and consumers in %v, and should share no network", producers.Networks, consumers.Networks)
	}
	if services["walls"].NetworkMode != "service:control" {
		t.Errorf("the first binding is made from %q, and should be from the control plane's own loopback", services["walls"].NetworkMode)
	}
	if !slices.Contains(producers.Volumes, "bucket:/bucket") || !slices.Contains(consumers.Volumes, "bucket:/bucket:ro") {
		t.Errorf("producers have %v and consumers %v: those store, and these only read", producers.Volumes, consumers.Volumes)
	}
	for _, agent := range []composeService{producers, consumers} {
		if agent.DependsOn["walls"].Condition != "service_completed_successfully" {
			t.Errorf("agents wait for %+v, and should for the walls", agent.DependsOn)
		}
	}
}

// TestComposeCommandsAreRead has the program read the options of every container.
func TestComposeCommandsAreRead(t *testing.T) {
	services := composeFile(t)
	for name, want := range map[string][]string{
		"control":   {"cluster: main", "bucket: file:///bucket", "listen: 0.0.0.0:7400"},
		"producers": {"group: prod", "roles: produce", "login: mtls", "kafka: 0.0.0.0:9092"},
		"consumers": {"group: analytics", "roles: fetch", "login: mtls", "kafka: 0.0.0.0:9192"},
	} {
		var out bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(append(slices.Clone(services[name].Command), "--print-config"))
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		read := strings.Join(strings.Fields(strings.ReplaceAll(out.String(), `"`, "")), " ")
		for _, line := range want {
			if !strings.Contains(read, line) {
				t.Errorf("%s is read without %q:\n%s", name, line, &out)
			}
		}
	}
	apply := services["walls"].Command
	cmd, rest, err := newRoot().Find(apply)
	if err != nil || cmd.CommandPath() != "isthmus binding apply" {
		t.Fatalf("%q is %v: %v", apply, cmd.CommandPath(), err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", apply, err)
	}
}

// TestComposeWallsHold runs the walls of the example: both groups log in by its bindings, and events go from one to the other.
func TestComposeWallsHold(t *testing.T) {
	t.Parallel()
	walls, err := os.ReadFile("../../examples/docker-compose/walls.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := startWalled(t, string(walls))
	w.run("topic", "create", "events")
	w.produce(w.client("prod"), texts("events", numbered("event", 20)...)...)
	if got := w.read("events", 20); len(got) != 20 {
		t.Errorf("analytics reads %d of 20 events", len(got))
	}
}
