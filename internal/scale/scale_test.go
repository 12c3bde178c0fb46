package scale

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/isthmusdata/isthmus/internal/units"
)

func small() Config {
	c := Default()
	c.Producers, c.Fetchers, c.Zones, c.Partitions, c.Rate, c.For = 4, 6, 3, 300, 64*units.MiB, 2*time.Second
	return c
}

func play(t *testing.T, c Config) *Report {
	t.Helper()
	r, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOneSeedIsOneRun: all but what this machine took is the same again, and another seed gives another run.
func TestOneSeedIsOneRun(t *testing.T) {
	a, b := play(t, small()), play(t, small())
	a.Measured, b.Measured = Measured{}, Measured{}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("one seed, two runs:\n%+v\n%+v", a, b)
	}
	c := small()
	c.Seed++
	if other := play(t, c); other.Puts == a.Puts && other.Commit99 == a.Commit99 && other.Produce99 == a.Produce99 {
		t.Error("another seed gave the same run")
	}
}

// TestWhatIsProducedIsPlaced: nothing is refused, every segment is read by each zone, and news reach a watch in every zone.
func TestWhatIsProducedIsPlaced(t *testing.T) {
	r := play(t, small())
	batches := int64(300 * 2 * 20) // partitions, seconds, lingers a second
	if r.Refused != 0 || r.Acknowledged < batches*7/10 || r.Acknowledged > batches {
		t.Errorf("%d acknowledged of %d batches, %d refused", r.Acknowledged, batches, r.Refused)
	}
	if r.Placements < r.Acknowledged || r.Entries > r.Placements || r.Entries == 0 {
		t.Errorf("%d placements, %d index entries, %d acknowledged", r.Placements, r.Entries, r.Acknowledged)
	}
	if r.WatchEvents != 3*r.Entries {
		t.Errorf("%d events for %d entries and 3 zones", r.WatchEvents, r.Entries)
	}
	if r.Prefixes < 10 || r.Puts < r.Stored {
		t.Errorf("%d PUTs, %d stored, under %d prefixes", r.Puts, r.Stored, r.Prefixes)
	}
	if r.SnapshotBytes == 0 || r.MetadataBytes == 0 {
		t.Errorf("a snapshot of %d bytes, Metadata of %d", r.SnapshotBytes, r.MetadataBytes)
	}
	var out bytes.Buffer
	if err := Print(&out, r, r); err != nil || !strings.Contains(out.String(), "| 4, 6, 3") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestALeaderThatIsTooSlowShows: when the one core that places has more to do than there is time, commits wait.
func TestALeaderThatIsTooSlowShows(t *testing.T) {
	c := small()
	fast := play(t, c)
	c.PerRow *= 300
	slow := play(t, c)
	if slow.Busy < 0.8 || fast.Busy > 0.1 {
		t.Errorf("busy %.2f when slow, %.2f when not", slow.Busy, fast.Busy)
	}
	if slow.Commit99 < 10*fast.Commit99 || slow.Produce99 <= fast.Produce99 {
		t.Errorf("commit p99 %v and %v, produce p99 %v and %v", slow.Commit99, fast.Commit99, slow.Produce99, fast.Produce99)
	}
}

// TestConfigNamesEveryFault.
func TestConfigNamesEveryFault(t *testing.T) {
	c := Config{}
	err := c.Validate()
	for _, name := range []string{"producers", "fetchers", "zones", "partitions", "rate", "linger", "batch bytes", "for", "log batch"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}
