package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isthmusdata/isthmus/internal/topic"
)

func newCache(t *testing.T, control *fakeControl, change ...func(*TopicsConfig)) *TopicCache {
	t.Helper()
	cfg := DefaultTopics()
	for _, f := range change {
		f(&cfg)
	}
	c, err := NewTopicCache(cfg, control)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTopicCache reads a topic once in its time, holds it while the control plane is away, and
// drops it when a confirmed read does.
func TestTopicCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl("orders")
		c := newCache(t, control)
		found := func() error {
			got, err := c.Lookup(t.Context(), "orders")
			if err == nil && got.ID != idOf("orders", 0) {
				t.Errorf("found %+v", got)
			}
			if byID, e := c.LookupID(t.Context(), idOf("orders", 0)); e == nil && byID.Name != "orders" || (e == nil) != (err == nil) {
				t.Errorf("by id: %+v, %v; by name: %v", byID, e, err)
			}
			return err
		}
		for range 10 {
			if err := found(); err != nil {
				t.Fatal(err)
			}
		}
		if n := control.readCount(); n != 1 {
			t.Errorf("%d reads, want 1", n)
		}
		time.Sleep(6 * time.Second) // virtual: past its TTL
		control.setAway(true)
		for range 3 {
			if err := found(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // virtual
		}
		control.setAway(false)
		control.mu.Lock()
		delete(control.topics, "orders")
		control.mu.Unlock()
		if err := found(); !errors.Is(err, topic.ErrUnknown) {
			t.Errorf("after its deletion: %v", err)
		}
		var coded interface{ KafkaCode() int16 }
		if _, err := c.Lookup(t.Context(), "orders"); !errors.As(err, &coded) || coded.KafkaCode() != 3 {
			t.Errorf("error %v has no code", err)
		}
		if c.Len() != 0 {
			t.Errorf("%d topics are remembered", c.Len())
		}
		control.setAway(true)
		if err := found(); err == nil || errors.Is(err, topic.ErrUnknown) {
			t.Errorf("away and not known: %v", err)
		}
	})
}

// TestTopicCacheAfterTheWallsChanged: what was read before is read again; what is not granted any more is denied to those
// who knew it, unknown to others, and unknown to all once it is deleted.
func TestTopicCacheAfterTheWallsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl("orders", "paid")
		c := newCache(t, control)
		look := func(want string) {
			t.Helper()
			all, errs := c.LookupAll(t.Context(), []string{"orders"}, []topic.ID{idOf("orders", 0)})
			byName, e1 := c.Lookup(t.Context(), "orders")
			byID, e2 := c.LookupID(t.Context(), idOf("orders", 0))
			some, e3 := c.lookupAll(t.Context(), []string{"orders"})
			for i, got := range []struct {
				topic.Topic
				error
			}{{byName, e1}, {byID, e2}, {all[0], errs[0]}, {all[1], errs[1]}, {some["orders"], e3["orders"]}} {
				said := got.Name
				var coded *CodeError
				switch {
				case errors.Is(got.error, topic.ErrUnknown):
					said = "unknown"
				case errors.As(got.error, &coded):
					said = fmt.Sprint(coded.Code)
				case got.error != nil:
					said = got.Error()
				}
				if said != want {
					t.Errorf("way %d: %s, want %s", i, said, want)
				}
			}
		}
		wall := func(names ...string) {
			control.mu.Lock()
			defer control.mu.Unlock()
			control.walled = map[string]bool{}
			for _, name := range names {
				control.walled[name] = true
			}
		}
		look("orders")
		wall("orders", "paid")
		look("orders") // until it is told
		time.Sleep(time.Millisecond)
		c.WallsChanged()
		look("29")
		if _, err := c.Lookup(t.Context(), "paid"); !errors.Is(err, topic.ErrUnknown) {
			t.Errorf("a topic that was never shown: %v", err)
		}
		wall()
		look("orders")
		time.Sleep(time.Millisecond)
		c.WallsChanged()
		control.setAway(true)
		look("orders") // nobody says otherwise
		control.setAway(false)
		wall("orders")
		if _, err := c.ask(t.Context(), topic.Query{All: true}); err != nil { // the list is one way to learn of it
			t.Fatal(err)
		}
		look("29")
		control.mu.Lock()
		delete(control.topics, "orders")
		control.mu.Unlock()
		look("unknown")
		control.create("orders", 1)
		wall()
		control.mu.Lock()
		control.denied = true
		control.mu.Unlock()
		time.Sleep(time.Millisecond)
		c.WallsChanged()
		look("read topics: ask: not allowed: there is no binding")
	})
}

// TestTopicCacheSharesReads has one read under way for a topic however many ask.
func TestTopicCacheSharesReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl("orders")
		release := make(chan struct{})
		control.hold = func(context.Context, topic.Query) { <-release }
		c := newCache(t, control)
		errs := make(chan error, 100)
		for range cap(errs) {
			go func() { _, err := c.Lookup(t.Context(), "orders"); errs <- err }()
		}
		synctest.Wait()
		close(release)
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := control.readCount(); n != 1 {
			t.Errorf("%d reads, want 1", n)
		}
	})
}

// TestTopicCacheReadsOwnWrites does not deny a topic because of a read that began before it was
// created.
func TestTopicCacheReadsOwnWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl()
		// A read here takes a second after the control plane has looked.
		slow := delayed{control, time.Second}
		c, err := NewTopicCache(DefaultTopics(), slow)
		if err != nil {
			t.Fatal(err)
		}
		first := make(chan error, 1)
		go func() { _, err := c.Lookup(t.Context(), "orders"); first <- err }()
		synctest.Wait()
		control.create("orders", 1)
		if _, err := c.Lookup(t.Context(), "orders"); err != nil {
			t.Errorf("a created topic was denied: %v", err)
		}
		<-first
	})
}

type delayed struct {
	TopicSource
	by time.Duration
}

func (d delayed) Topics(ctx context.Context, q topic.Query) ([]topic.Found, error) {
	found, err := d.TopicSource.Topics(ctx, q)
	time.Sleep(d.by) // virtual
	return found, err
}

// TestTopicCacheRefresh answers at once from an entry past its TTL and reads it meanwhile.
func TestTopicCacheRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl("orders")
		c := newCache(t, control)
		if _, err := c.Lookup(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		control.mu.Lock()
		control.topics["orders"] = topic.Topic{Name: "orders", ID: idOf("orders", 1), Partitions: 9}
		control.mu.Unlock()
		time.Sleep(6 * time.Second) // virtual
		if got, err := c.Lookup(t.Context(), "orders"); err != nil || got.Partitions != 2 {
			t.Errorf("at once: %+v, %v", got, err)
		}
		synctest.Wait()
		if got, err := c.Lookup(t.Context(), "orders"); err != nil || got.Partitions != 9 {
			t.Errorf("then: %+v, %v", got, err)
		}
		if _, err := c.LookupID(t.Context(), idOf("orders", 0)); !errors.Is(err, topic.ErrUnknown) {
			t.Errorf("by the id that was deleted: %v", err)
		}
		c.Forget("orders")
		if c.Len() != 0 || len(c.names) != 0 {
			t.Errorf("%d names and %d ids after Forget", c.Len(), len(c.names))
		}
		// An entry that nobody asked for in a long time is read before it is told.
		if _, err := c.Lookup(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		control.mu.Lock()
		control.topics["orders"] = topic.Topic{Name: "orders", ID: idOf("orders", 1), Partitions: 10}
		control.mu.Unlock()
		time.Sleep(time.Hour) // virtual
		if got, err := c.Lookup(t.Context(), "orders"); err != nil || got.Partitions != 10 {
			t.Errorf("after an hour: %+v, %v", got, err)
		}
	})
}

// TestTopicCacheBound keeps no more topics than it may.
func TestTopicCacheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl()
		c := newCache(t, control, func(c *TopicsConfig) { c.MaxTopics = 10 })
		for i := range 50 {
			name := fmt.Sprint("t", i)
			control.create(name, 1)
			if _, err := c.Lookup(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		if c.Len() != 10 || len(c.names) != 10 {
			t.Errorf("%d names and %d ids", c.Len(), len(c.names))
		}
	})
	if err := (TopicsConfig{}).Validate(); err == nil {
		t.Error("an empty configuration is valid")
	}
}
