package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/faultnet"
	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/open"
	"github.com/isthmusdata/isthmus/internal/record/recordtest"
)

// TestNothingIsLostDuplicatedOrReorderedWhen lets something go wrong while idempotent records flow
// from one land to the other. No client is told of an error, and all that was acknowledged is
// read once and in order.
func TestNothingIsLostDuplicatedOrReorderedWhen(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"agents of both groups are killed and return":      agentsKilled,
		"agents of both groups stop as they should":        agentsStopped,
		"the control plane is away and returns":            controlAway,
		"agents of both groups are cut off from it":        agentsCutOff,
		"answers of the bucket are lost or come late":      bucketForgets,
		"the bucket is slow and throttles":                 bucketSlow,
		"the disk of the bucket is full for a while":       diskFull,
		"the bucket denies agents what it allowed":         bucketDenied,
		"the folder of the bucket goes away and returns":   bucketGone,
		"a reader's bucket breaks off in the middle":       readsBreak,
		"everything happens at once":                       everythingAtOnce,
		"a producer without idempotence has one in flight": plainProducer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func agentsKilled(t *testing.T) {
	l := startLands(t)
	f := l.flows("killed", 4)
	for i, victim := range []string{"prod-1", "analytics-1", "prod-2", "analytics-2"} {
		f.send(300)
		f.acked(int64(100 + 600*i)) // some are on their way
		l.must(l.kill(victim))
		f.send(300)
		f.acked(int64(500 + 600*i))
		l.must(l.restart(l.ctx, victim))
	}
	f.sound()
}

func (l *lands) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func agentsStopped(t *testing.T) {
	l := startLands(t)
	f := l.flows("stopped", 4)
	for i, name := range []string{"prod-1", "analytics-1"} {
		f.send(300)
		f.acked(int64(100 + 600*i))
		if err := l.running(name).stop(l.ctx); err != nil {
			t.Errorf("stop %s: %v", name, err)
		}
		f.send(300)
	}
	f.sound()
}

// agentsCutOff lets the way from one agent of each group to the control plane fall silent: the others take
// over while it is.
func agentsCutOff(t *testing.T) {
	l := startLands(t)
	links := map[string]*faultnet.Link{}
	for name, a := range l.agents { // anew and together, so that all lead something
		l.must(l.kill(name))
		link, err := faultnet.Open("127.0.0.1:0", l.controlAddr())
		l.must(err)
		t.Cleanup(link.Close)
		links[name], a.config.Login.Addresses = link, []string{link.Address}
	}
	for name := range links {
		l.must(l.restart(l.ctx, name))
	}
	f := l.flows("cut-off", 8)
	f.send(400)
	f.acked(400)
	eventually(t, "all is read", func() bool { return f.ledger.Counts().Lost == 0 })
	links["prod-2"].Mute()
	links["analytics-2"].Mute()
	f.send(400)
	f.acked(800)
	eventually(t, "all is read while agents are cut off", func() bool { return f.ledger.Counts().Lost == 0 })
	l.must(links["prod-2"].Heal())
	l.must(links["analytics-2"].Heal())
	f.send(400)
	f.sound()
}

func controlAway(t *testing.T) {
	l := startLands(t)
	f := l.flows("away", 4)
	f.send(500)
	f.acked(100)
	member := l.dial("analytics-1").seated("survivors", nil)
	l.restartControl(func() { f.send(500) })
	f.acked(700)
	// A group lives through a restart without a rebalance.
	c := l.dial("analytics-1")
	eventually(t, "the coordinator is back", func() bool {
		code := c.heartbeat(member)
		if code != 0 && code != kerr.CoordinatorNotAvailable.Code && code != kerr.CoordinatorLoadInProgress.Code {
			t.Fatalf("heartbeat after the restart: code %d", code)
		}
		return code == 0
	})
	l.restartControl(func() {})
	f.send(500)
	f.sound()
}

// bucketURL is a bucket in a folder of the test, with these options.
func bucketURL(dir, options string) string {
	return "file://" + filepath.Join(dir, "bucket") + "?" + options
}

func bucketForgets(t *testing.T) {
	dir := t.TempDir()
	l := startLandsOn(t, dir, bucketURL(dir, "faults=lost:0.1,late@put:0.1:300ms,error:0.1,503:0.1&seed=7"))
	f := l.flows("forgetful", 4)
	for i := range 20 {
		f.send(100)
		f.acked(int64(50 + 100*i))
	}
	f.sound()
}

func bucketSlow(t *testing.T) {
	dir := t.TempDir()
	l := startLandsOn(t, dir, bucketURL(dir, "latency=slow&faults=slow:0.1:500ms:400ms,503:0.05&seed=3"))
	f := l.flows("slow", 4)
	for i := range 10 {
		f.send(100)
		f.acked(int64(50 + 100*i))
	}
	f.sound()
}

// brokenStore is a bucket of which a test breaks some requests.
type brokenStore struct {
	objstore.Store
	put, get atomic.Pointer[error] // what is answered instead
}

func (s *brokenStore) PutNew(ctx context.Context, key string, body [][]byte, crc32c uint32) error {
	if err := s.put.Load(); err != nil {
		return *err
	}
	return s.Store.PutNew(ctx, key, body, crc32c)
}

func (s *brokenStore) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	if err := s.get.Load(); err != nil {
		return nil, *err
	}
	return s.Store.GetRange(ctx, key, position, length)
}

// breakable puts a store that the test can break between an agent and its bucket. The agent must
// not have used the bucket yet.
func (l *lands) breakable(names ...string) *brokenStore {
	l.t.Helper()
	broken := &brokenStore{}
	var err error
	broken.Store, err = openStore(l.ctx, l.bucket)
	l.must(err)
	l.stores(broken, names...)
	return broken
}

// stores gives agents another store instead of their bucket, before they have used it.
func (l *lands) stores(store objstore.Store, names ...string) {
	for _, name := range names {
		s := l.running(name).stores
		s.mu.Lock()
		s.open = func(context.Context, string, open.Access) (objstore.Store, error) { return store, nil }
		s.mu.Unlock()
	}
}

func diskFull(t *testing.T) {
	l := startLands(t)
	disk := l.breakable("prod-1", "prod-2")
	var full error = &objstore.Error{Op: "put", Name: "bucket", Class: objstore.ErrUnavailable, Cause: syscall.ENOSPC, Try: "make room on the disk"}
	f := l.flows("full", 2)
	for i := range 3 {
		f.send(200)
		f.acked(int64(50 + 400*i))
		disk.put.Store(&full)
		f.send(200)
		l.waitsForTheBucket()
		disk.put.Store(nil)
	}
	f.sound()
}

// waitsForTheBucket waits until an agent has met a fault of its bucket and said so in its metrics.
func (l *lands) waitsForTheBucket() {
	l.t.Helper()
	failed := func() (n float64) {
		for _, name := range []string{"prod-1", "prod-2"} {
			n += metric(l.t, l.running(name), "isthmus_produce_puts_total", "result", "retry")
			n += metric(l.t, l.running(name), "isthmus_produce_puts_total", "result", "denied")
		}
		return n
	}
	before := failed()
	eventually(l.t, "an upload has failed", func() bool { return failed() > before })
}

// metric is the sum of an agent's metric over all series in which a label has a value.
func metric(t *testing.T, a *agent, name, label, value string) (sum float64) {
	t.Helper()
	families, err := a.deps.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, series := range family.GetMetric() {
			for _, pair := range series.GetLabel() {
				if pair.GetName() == label && pair.GetValue() == value {
					sum += series.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

func bucketDenied(t *testing.T) {
	l := startLands(t)
	bucket := l.breakable("prod-1", "prod-2")
	var denied error = &objstore.Error{Op: "put", Name: "bucket", Class: objstore.ErrDenied, Try: "look at the role"}
	f := l.flows("denied", 2)
	f.send(200)
	f.acked(50)
	bucket.put.Store(&denied)
	f.send(200)
	l.waitsForTheBucket()
	bucket.put.Store(nil)
	f.sound()
}

func bucketGone(t *testing.T) {
	l := startLands(t)
	f := l.flows("gone", 2)
	f.send(200)
	f.acked(50)
	folder, elsewhere := filepath.Join(l.dir, "bucket"), filepath.Join(l.dir, "elsewhere")
	l.must(os.Rename(folder, elsewhere))
	f.send(200)
	l.waitsForTheBucket()
	l.must(os.Rename(elsewhere, folder))
	f.send(200)
	f.sound()
}

func readsBreak(t *testing.T) {
	l := startLands(t)
	bucket := l.breakable("analytics-1", "analytics-2")
	var torn error = &objstore.Error{Op: "get", Name: "object", Class: objstore.ErrUnavailable, Cause: errors.New("connection reset")}
	var gone error = &objstore.Error{Op: "get", Name: "object", Class: objstore.ErrNotFound}
	var denied error = &objstore.Error{Op: "get", Name: "object", Class: objstore.ErrDenied}
	f := l.flows("reads", 2)
	for i, fault := range []error{torn, gone, denied} {
		f.send(100)
		f.acked(int64(50 + 200*i))
		bucket.get.Store(&fault)
		f.send(100)
		f.acked(int64(200 + 200*i)) // acknowledged while nobody can read them
		eventually(t, "a reader has met the fault", func() bool {
			n := 0.0
			for _, name := range []string{"analytics-1", "analytics-2"} {
				n += metric(t, l.running(name), "isthmus_objstore_requests_total", "result", objstore.Class(fault))
			}
			return n > 0
		})
		bucket.get.Store(nil)
	}
	f.sound()
}

func everythingAtOnce(t *testing.T) {
	dir := t.TempDir()
	l := startLandsOn(t, dir, bucketURL(dir, "latency=s3-express&faults=lost:0.05,error:0.05,503:0.05,slow:0.02:200ms:200ms&seed=11"))
	f := l.flows("havoc", 4)
	for i, victim := range []string{"prod-1", "analytics-2"} {
		f.send(200)
		f.acked(int64(100 + 600*i))
		l.must(l.kill(victim))
		f.send(200)
		l.restartControl(func() { f.send(200) })
		l.must(l.restart(l.ctx, victim))
	}
	f.sound()
}

// plainProducer has one request in flight and no retries after a lost answer: all that Kafka
// promises without idempotence.
func plainProducer(t *testing.T) {
	dir := t.TempDir()
	l := startLandsOn(t, dir, bucketURL(dir, "faults=lost:0.1,error:0.1,503:0.1&seed=5"))
	f := l.flows("plain", 2, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	for i := range 5 {
		f.send(100)
		f.acked(int64(50 + 100*i))
	}
	f.sound()
}

// TestABatchAnsweredWithAnErrorIsNeverPlacedLater stores nothing for so long that the agent gives
// up, and then lets the bucket do as it was told (I11).
func TestABatchAnsweredWithAnErrorIsNeverPlacedLater(t *testing.T) {
	t.Parallel()
	l := startLands(t, func(c *agentConfig) {
		p := &c.Produce
		p.UploadDeadline, p.AttemptTimeout, p.RetryMin, p.RetryMax = time.Second, time.Second, time.Second, time.Second
		p.AnswerTimeout, p.StreamGrace = time.Second, time.Second
	})
	late, err := openStore(l.ctx, bucketURL(l.dir, "faults=late@put:1:1500ms"))
	l.must(err)
	l.stores(late, "prod-1")
	l.create("never", 1)
	c := l.dial("prod-1")
	p := c.produce(9, "never", recordtest.Batch(recordtest.Options{Values: []string{"given up"}}))[0]
	if p.ErrorCode != kerr.NotEnoughReplicas.Code || said(p.ErrorMessage) == "" {
		t.Fatalf("code %d, %q, want 19 and why", p.ErrorCode, said(p.ErrorMessage))
	}
	objects, err := openStore(l.ctx, l.bucket)
	l.must(err)
	eventually(t, "the object has landed after all", func() bool {
		page, _, err := objects.List(l.ctx, "isthmus/data/", "", 10)
		return err == nil && len(page) > 0
	})
	if end := listOffset(c, 7, "never", atLatest).Offset; end != 0 {
		t.Errorf("the log ends at %d: the refused batch was placed", end)
	}
	l.must(objects.Close())
}

// TestWhileTheControlPlaneIsAwayNothingIsSaidToBeMissing stops it and asks agents: what they know they
// answer, of what they do not know they say "try again", and never that it does not exist (I9).
func TestWhileTheControlPlaneIsAwayNothingIsSaidToBeMissing(t *testing.T) {
	t.Parallel()
	l := startLands(t, func(c *agentConfig) {
		c.Broker.CallTimeout, c.Fetch.PlanTimeout = 500*time.Millisecond, 500*time.Millisecond
		c.Produce.UploadDeadline, c.Produce.AttemptTimeout, c.Produce.AnswerTimeout = time.Second, time.Second, time.Second
		c.Produce.RetryMax, c.Produce.StreamGrace = time.Second, time.Second
	})
	l.create("known", 1)
	l.create("never-asked-for", 1)
	prod, analytics := l.dial("prod-1"), l.dial("analytics-1")
	prod.stored("known", recordtest.Batch(recordtest.Options{Records: 3}))
	if p := analytics.fetch(11, fetchRequest("known", 0, 0))[0]; p.ErrorCode != 0 {
		t.Fatalf("fetch: code %d", p.ErrorCode)
	}
	call[*kmsg.MetadataResponse](analytics, 12, allTopics())
	l.restartControl(func() {
		l.awayMetadata(analytics)
		if p := analytics.fetch(11, fetchOf(1000, "known", fetchPartition(0, 0)))[0]; p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
			t.Errorf("fetch of what is known: code %d, %d bytes", p.ErrorCode, len(p.RecordBatches))
		}
		retriable := func(what string, code int16) {
			t.Helper()
			if err := kerr.ErrorForCode(code); code == 0 || !kerr.IsRetriable(err) || code == kerr.UnknownTopicOrPartition.Code || code == kerr.OffsetOutOfRange.Code {
				t.Errorf("%s: code %d (%v), want one that says try again", what, code, err)
			}
		}
		if p := analytics.fetch(11, fetchOf(1, "known", fetchPartition(0, 1000)))[0]; p.ErrorCode != 0 || len(p.RecordBatches) != 0 {
			t.Errorf("fetch beyond what is known: code %d, %d bytes, want nothing and no error", p.ErrorCode, len(p.RecordBatches))
		}
		retriable("fetch of a topic never asked for", analytics.fetch(11, fetchOf(1, "never-asked-for", fetchPartition(0, 0)))[0].ErrorCode)
		retriable("the latest offset", listOffset(analytics, 7, "known", atLatest).ErrorCode)
		retriable("commit", commitOffset(analytics, "waiters", "known", 1, ""))
		retriable("produce", prod.produce(9, "known", recordtest.Batch(recordtest.Options{}))[0].ErrorCode)
	})
	eventually(t, "everything is as before", func() bool {
		p := prod.produce(9, "known", recordtest.Batch(recordtest.Options{}))[0]
		return p.ErrorCode == 0
	})
	var end int64
	eventually(t, "the log's end is told", func() bool { // within half a second, which a busy machine may not manage
		found := listOffset(analytics, 7, "known", atLatest)
		end = found.Offset
		return found.ErrorCode == 0
	})
	if end != 4 {
		t.Errorf("the log ends at %d, want 4: what was answered with an error must not be placed", end)
	}
}

func (l *lands) awayMetadata(c *caller) {
	l.t.Helper()
	for _, name := range []string{"known", "never-heard-of"} {
		shown := call[*kmsg.MetadataResponse](c, 12, metadataOf(name, true)).Topics[0]
		want := int16(0)
		if name != "known" {
			want = kerr.LeaderNotAvailable.Code
		}
		if shown.ErrorCode != want {
			l.t.Errorf("metadata of %s: code %d, want %d", name, shown.ErrorCode, want)
		}
	}
}
