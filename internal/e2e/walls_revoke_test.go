//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	revokedWithin = 5 * time.Second  // the last successful read after the withdrawal
	revokedFor    = 12 * time.Second // how long it is looked that nothing is read
)

// revokes withdraws access from analytics while records flow, looks until when they read, and gives it back. It returns
// how long after the withdrawal the last record was read.
func (w *wallsWorld) revokes(f *flow) time.Duration {
	w.t.Helper()
	f.moves("before access is withdrawn", 100)
	began := time.Now()
	before := f.so()
	revocation := []string{"iam", "revoke", "--group", "analytics", "--apply", "--iam-endpoint", w.gateway()}
	var answer struct{ Undo string }
	w.check(json.Unmarshal([]byte(w.operator(append(revocation, "-o", "json")...)), &answer))
	told := time.Since(began)

	f.produces("while analytics are revoked", 200)
	time.Sleep(time.Until(began.Add(revokedFor))) // that nothing comes is seen by waiting alone
	after := f.so()
	revoked := max(after.lastRead.Sub(began), time.Millisecond)
	w.t.Logf("revoked: the command took %.1f s, the last record was read %.1f s after it began; %d records were produced meanwhile, %d read",
		told.Seconds(), revoked.Seconds(), after.acked-before.acked, after.read-before.read)
	if revoked > revokedWithin {
		w.t.Errorf("analytics read a record %s after their access was withdrawn, want %s at most", revoked, revokedWithin)
	}
	if after.read == after.acked {
		w.t.Errorf("analytics have read all %d records, though revoked", after.read)
	}
	w.revokedTries()

	w.operator(append(revocation, "--restore")...)
	undo := filepath.Join(w.dir, "undo.yaml")
	w.check(os.WriteFile(undo, []byte(answer.Undo), 0o600))
	w.operator("binding", "apply", "-f", undo)
	f.reads("after access was restored", after.acked-after.read)
	return revoked
}

// revokedTries is the thief's table of somebody who was let in until now.
func (w *wallsWorld) revokedTries() {
	w.t.Helper()
	h := w.thiefWith("fetch, revoked", "analytics", ownShare+"/analytics/fetch", w.net.B)
	h.denied("GET a segment of what was its share", h.get(ownKey))
	c := w.callAs("fetch, revoked", "analytics", w.net.B)
	_, err := c.logIn("analytics", "analytics-thief", "fetch")
	c.denied("log in again", err)
}

func roleName(share, group, role string) string {
	return fmt.Sprintf("isthmus-%s-%s-%s-%s", meshCluster, share, group, role)
}
