//go:build e2e

package e2e

import (
	"path/filepath"
	"testing"
	"time"
)

// TestKillUnderLoad kills agents of both groups with -9 while idempotent producers and a
// verifying reader run, lets them return, and then kills the control plane: nothing that was
// acknowledged is lost, duplicated or reordered.
func TestKillUnderLoad(t *testing.T) {
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	underLoad(t, c, 45*time.Second, func() {
		for _, victim := range []*process{c.prod[0].process, c.analytics[0].process, c.prod[1].process, c.analytics[1].process, c.control} {
			pause()
			victim.kill()
			pause()
			victim.start()
		}
	})
}
