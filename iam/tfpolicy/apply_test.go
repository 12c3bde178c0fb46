//go:build e2e

package tfpolicy

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// applied has a control plane of its own take the walls that an example renders, and then take them again.
func applied(t *testing.T, isthmus, bindings string) {
	t.Helper()
	dir := t.TempDir()
	file, data, admin := filepath.Join(dir, "bindings.yaml"), filepath.Join(dir, "data"), filepath.Join(dir, "admin")
	if err := os.WriteFile(file, []byte(bindings), 0o600); err != nil {
		t.Fatal(err)
	}
	var named struct {
		Bindings []struct {
			Grant struct{ Cluster string }
		}
	}
	if err := yaml.Unmarshal([]byte(bindings), &named); err != nil || len(named.Bindings) == 0 {
		t.Fatalf("%v in the bindings\n%s", err, bindings)
	}
	address := control(t, isthmus, named.Bindings[0].Grant.Cluster, data, "file://"+filepath.Join(dir, "bucket"))
	run(t, nil, isthmus, "control", "admin-cert", "--data-dir", data, "--out", admin)
	operator := []string{
		"--control", address, "--control-ca", filepath.Join(admin, "ca.crt"),
		"--login-cert", filepath.Join(admin, "admin.crt"), "--login-key", filepath.Join(admin, "admin.key"),
	}
	for _, want := range []string{"created", "unchanged"} {
		var results []struct{ Result, Kind, Name string }
		printed := run(t, nil, isthmus, append([]string{"binding", "apply", "-f", file, "-o", "json"}, operator...)...)
		if err := json.Unmarshal(printed, &results); err != nil {
			t.Fatalf("%v\n%s", err, printed)
		}
		kinds := map[string]int{}
		for _, r := range results {
			kinds[r.Kind]++
			if r.Result != want {
				t.Errorf("%s %s was %s, want %s", r.Kind, r.Name, r.Result, want)
			}
		}
		for _, kind := range []string{"share", "group", "grant", "binding"} {
			if kinds[kind] == 0 {
				t.Errorf("no %s was %s:\n%s", kind, want, printed)
			}
		}
	}
}

// control runs a control plane until the test ends, and says where it listens.
func control(t *testing.T, isthmus, cluster, data, bucket string) (address string) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = free.Addr().String()
	free.Close()
	var log bytes.Buffer
	cmd := exec.Command(isthmus, "control", "--cluster", cluster, "--data-dir", data, "--bucket", bucket, "--listen", address, "--http", "")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("stop the control plane: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the control plane ended with %v:\n%s", err, &log)
		}
	})
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		said, err := exec.Command(isthmus, "control", "status", "--control", address).CombinedOutput()
		if err == nil {
			return address
		}
		if time.Now().After(deadline) {
			t.Fatalf("the control plane does not answer: %v\n%s", err, strings.TrimSpace(string(said)))
		}
	}
}
