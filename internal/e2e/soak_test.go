//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/soak"
)

// TestSoak is two minutes of the soak: some kinds of fault, in an order of their own, under load, in a whole
// cluster on Ceph. make soak runs ten, with all of them.
func TestSoak(t *testing.T) {
	config := soak.Default()
	config.Binary, config.Dir = need(t, "ISTHMUS_BIN"), t.TempDir()
	config.For, config.Seed = 2*time.Minute, 158
	config.Progress = t.Output()
	if err := config.FromEnv(); err != nil {
		t.Fatal(err)
	}
	report, err := soak.Run(t.Context(), config)
	if report != nil {
		var text strings.Builder
		if err := report.Print(&text); err != nil {
			t.Error(err)
		}
		t.Logf("\n%s", text.String())
		if !report.Sound() {
			t.Error("the soak found faults")
		}
	}
	if err != nil {
		t.Error(err)
	}
}
