//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/bench"
	"github.com/isthmusdata/isthmus/internal/units"
)

// TestFrozenPastTheLease stops one agent of each group, as a paused virtual machine would be, until
// the control plane has ended their sessions, and lets them go on: what they held is settled under the old
// sessions and nothing is placed twice.
func TestFrozenPastTheLease(t *testing.T) {
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	underLoad(t, c, 25*time.Second, func() {
		pause()
		frozen := []*process{c.prod[0].process, c.analytics[0].process}
		for _, p := range frozen {
			p.signal(syscall.SIGSTOP)
		}
		c.control.says("no heartbeat within its lease", len(frozen))
		for _, p := range frozen {
			p.signal(syscall.SIGCONT)
		}
		c.prod[0].says("session is over: asking what became of its commits", 1)
		c.prod[0].says("session started", 2)
	})
}

// TestBucketAwayAndBack takes the bucket away while clients write and read: nothing is acknowledged that is
// not stored, the agents say what is wrong, and go on by themselves when it is back.
func TestBucketAwayAndBack(t *testing.T) {
	bucket := filepath.Join(t.TempDir(), "bucket")
	c := startCluster(t, "file://"+bucket)
	underLoad(t, c, 20*time.Second, func() {
		pause()
		if err := os.Rename(bucket, bucket+".away"); err != nil {
			t.Fatal(err)
		}
		for _, a := range c.prod {
			a.says("the bucket refuses uploads", 1)
		}
		pause()
		if err := os.Rename(bucket+".away", bucket); err != nil {
			t.Fatal(err)
		}
	})
}

// TestControlDiskFull gives the control plane's log no more room while clients write: it stops with an
// error that names the file, and started again with room it goes on where it ended.
func TestControlDiskFull(t *testing.T) {
	c := startCluster(t, "file://"+filepath.Join(t.TempDir(), "bucket"))
	roomy := *c.control
	// The limit on the size of files stands for the end of the disk: no mount, no root.
	c.control.kill()
	c.control.name, c.control.args = "sh", append([]string{"-c", `ulimit -f 512; exec "$0" "$@"`, roomy.name}, roomy.args...)
	c.control.start()
	ready(t, "control plane", c.controlHTTP)
	many := func(config *bench.Config) {
		config.Partitions, config.RecordSize, config.Rate, config.Linger = 100, 100*units.Byte, 2000, 10*time.Millisecond
	}
	underLoad(t, c, 25*time.Second, func() {
		c.control.says("control node has stopped", 1)
		c.control.says("log.db", 1)
		if err := c.control.cmd.Wait(); err == nil {
			t.Error("a control node without a disk ended with exit code 0")
		}
		c.control.name, c.control.args = roomy.name, roomy.args
		c.control.start()
	}, many)
}
