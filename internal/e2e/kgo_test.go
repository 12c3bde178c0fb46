//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestKgoSuite runs franz-go's own pkg/kgo tests, unmodified, against a playground: all but its
// transaction, share group and SCRAM tests.
func TestKgoSuite(t *testing.T) {
	bin := need(t, "ISTHMUS_BIN")
	kafka := freeAddress(t)
	start(t, nil, bin, "playground", "--kafka", kafka, "--http", freeAddress(t))
	eventually(t, "the playground listens", func() error { return dial(kafka) })

	suite := exec.Command("../../scripts/kgo-suite.sh", kafka)
	suite.Env = append(os.Environ(), "KGO_RECORDS=50000")
	var out bytes.Buffer
	suite.Stdout, suite.Stderr = &out, &out
	started := time.Now()
	err := suite.Run()
	t.Logf("%.0f s\n%s", time.Since(started).Seconds(), tail(out.String(), 40))
	if err != nil {
		t.Fatalf("kgo suite: %v", err)
	}
	if !regexp.MustCompile(`(?m)^[1-9][0-9]* passed, 0 failed`).MatchString(out.String()) {
		t.Fatal("the suite did not say that its tests passed")
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
