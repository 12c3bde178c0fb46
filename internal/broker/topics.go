package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/sync/singleflight"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// TopicsConfig bounds a TopicCache.
type TopicsConfig struct {
	// TTL is the age at which an entry is read again when it is looked up.
	TTL time.Duration
	// MaxTopics bounds the entries; the least recently looked up goes first.
	MaxTopics int
	// Timeout bounds one read.
	Timeout time.Duration
}

// DefaultTopics is the configuration for production.
func DefaultTopics() TopicsConfig {
	return TopicsConfig{TTL: 5 * time.Second, MaxTopics: 200_000, Timeout: 10 * time.Second}
}

// Validate reports every fault at once.
func (c TopicsConfig) Validate() error {
	var errs []error
	if c.TTL <= 0 {
		errs = append(errs, fmt.Errorf("topic ttl must be above 0, not %s", c.TTL))
	}
	if c.MaxTopics <= 0 {
		errs = append(errs, fmt.Errorf("max topics must be above 0, not %d", c.MaxTopics))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("topic read timeout must be above 0, not %s", c.Timeout))
	}
	return errors.Join(errs...)
}

// waitAge is the age, in TTLs, from which a lookup waits for the new reading instead of
// answering from the old one while it is read.
const waitAge = 6

// leftKept is how many names are remembered of topics that are no longer shown.
const leftKept = 10_000

// listAge is the age at which the list of all topics is read again, so that there is one to show
// while the control plane is away.
const listAge = 5 * time.Minute

// TopicCache remembers topics for the data path. An entry is read again when it is looked up after
// its TTL; while that is under way, and for as long as the control plane is away, the old one
// holds. That a topic does not exist is never remembered: it is said only after a confirmed read.
//
// To an agent whose grant of a topic was taken, the topic does not exist by name any more. By its id, which only those
// know who were shown it, it is denied: so clients that have used it are told 29, which says why, and not 3.
type TopicCache struct {
	cfg    TopicsConfig
	source TopicSource
	flight singleflight.Group

	mu     sync.Mutex
	byName *simplelru.LRU[string, entry]
	names  map[topic.ID]string
	left   *simplelru.LRU[string, topic.ID] // what was shown once and is not any more: deleted, or no longer granted
	listed time.Time                        // when all topics were last read
	walls  time.Time                        // when the walls last changed: what was read before is read again
}

type entry struct {
	topic topic.Topic
	read  time.Time
}

// NewTopicCache makes an empty cache in front of source.
func NewTopicCache(cfg TopicsConfig, source TopicSource) (*TopicCache, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure topic cache: %w", err)
	}
	c := &TopicCache{cfg: cfg, source: source, names: make(map[topic.ID]string)}
	lru, err := simplelru.NewLRU(cfg.MaxTopics, c.dropped)
	if err != nil {
		return nil, fmt.Errorf("configure topic cache: %w", err)
	}
	c.byName = lru
	if c.left, err = simplelru.NewLRU[string, topic.ID](leftKept, nil); err != nil {
		return nil, fmt.Errorf("configure topic cache: %w", err)
	}
	return c, nil
}

// dropped keeps the index by id in step; it runs under the lock.
func (c *TopicCache) dropped(name string, e entry) {
	if c.names[e.topic.ID] == name {
		delete(c.names, e.topic.ID)
	}
}

// CodeError says with which Kafka code a topic was refused by a confirmed read. A code of 3 or 100
// is topic.ErrUnknown to errors.Is.
type CodeError struct {
	Topic string
	Code  int16
}

func (e *CodeError) Error() string {
	return fmt.Sprintf("look up topic %s: %v", e.Topic, kerr.ErrorForCode(e.Code))
}

// KafkaCode is the code for the client.
func (e *CodeError) KafkaCode() int16 { return e.Code }

// Is makes unknown topics comparable.
func (e *CodeError) Is(target error) bool {
	return target == topic.ErrUnknown &&
		(e.Code == kerr.UnknownTopicOrPartition.Code || e.Code == kerr.UnknownTopicID.Code)
}

// Lookup finds a topic by name. A CodeError is a confirmed answer; any other error says that there
// was none.
func (c *TopicCache) Lookup(ctx context.Context, name string) (topic.Topic, error) {
	e, ok := c.get(name)
	return c.lookup(ctx, "name "+name, topic.Query{Names: []string{name}}, e, ok)
}

// LookupID finds a topic by id, as Lookup does by name.
func (c *TopicCache) LookupID(ctx context.Context, id topic.ID) (topic.Topic, error) {
	e, ok := c.getID(id)
	return c.lookup(ctx, "id "+id.String(), topic.Query{IDs: []topic.ID{id}}, e, ok)
}

// lookup answers from e where it may, and reads otherwise; reads for one flight are shared.
func (c *TopicCache) lookup(ctx context.Context, flight string, q topic.Query, e entry, known bool) (topic.Topic, error) {
	age := time.Since(e.read)
	if known && age < c.cfg.TTL {
		return e.topic, nil
	}
	done := c.flight.DoChan(flight, func() (any, error) { return c.read(q) })
	if known && age < waitAge*c.cfg.TTL {
		return e.topic, nil
	}
	t, shared, err := await(ctx, done)
	if shared && refused(err) {
		// The read may have begun before this lookup, and before the topic was created: one that
		// begins now is the confirmed one.
		t, _, err = await(ctx, c.flight.DoChan(flight, func() (any, error) { return c.read(q) }))
	}
	if err != nil && known && !refused(err) {
		return e.topic, nil
	}
	return t, err
}

func await(ctx context.Context, done <-chan singleflight.Result) (t topic.Topic, shared bool, err error) {
	select {
	case r := <-done:
		if r.Err == nil {
			t = r.Val.(topic.Topic)
		}
		return t, r.Shared, r.Err
	case <-ctx.Done():
		return t, false, fmt.Errorf("look up topic: %w", ctx.Err())
	}
}

// refused reports whether err is a confirmed answer.
func refused(err error) bool {
	var e *CodeError
	return errors.As(err, &e) || errors.Is(err, topic.ErrDenied)
}

// lookupAll finds several topics by name with at most one read. It has an error for each name that
// is not found, as Lookup would return it.
func (c *TopicCache) lookupAll(ctx context.Context, names []string) (map[string]topic.Topic, map[string]error) {
	topics, errs := make(map[string]topic.Topic, len(names)), make(map[string]error)
	stale := make(map[string]topic.Topic)
	var ask []string
	for _, name := range names {
		_, done := topics[name]
		_, asked := errs[name]
		if done || asked {
			continue
		}
		e, ok := c.get(name)
		if ok && time.Since(e.read) < c.cfg.TTL {
			topics[name] = e.topic
			continue
		}
		if ok {
			stale[name] = e.topic
		}
		errs[name] = topic.ErrUnknown // until it is asked
		ask = append(ask, name)
	}
	if len(ask) == 0 {
		return topics, errs
	}
	found, err := c.askAbout(ctx, topic.Query{Names: ask})
	for i, name := range ask {
		old, known := stale[name]
		switch {
		case err == nil && found[i].Code == 0:
			topics[name] = found[i].Topic
		case err == nil:
			errs[name] = &CodeError{Topic: name, Code: found[i].Code}
		case known && !refused(err):
			topics[name] = old
		default:
			errs[name] = err
		}
		if _, ok := topics[name]; ok {
			delete(errs, name)
		}
	}
	return topics, errs
}

// LookupAll finds many topics, by name and by id, as Lookup and LookupID do each, with at most one read. It
// has a topic or an error for each name and then each id.
func (c *TopicCache) LookupAll(ctx context.Context, names []string, ids []topic.ID) ([]topic.Topic, []error) {
	topics, errs := make([]topic.Topic, len(names)+len(ids)), make([]error, len(names)+len(ids))
	var q topic.Query
	var byName, byID []int // where the answers go
	known := make([]bool, len(topics))
	for i := range topics {
		var e entry
		var ok bool
		if i < len(names) {
			e, ok = c.get(names[i])
		} else {
			e, ok = c.getID(ids[i-len(names)])
		}
		topics[i], known[i] = e.topic, ok
		switch {
		case ok && time.Since(e.read) < c.cfg.TTL:
		case i < len(names):
			q.Names, byName = append(q.Names, names[i]), append(byName, i)
		default:
			q.IDs, byID = append(q.IDs, ids[i-len(names)]), append(byID, i)
		}
	}
	asked := append(byName, byID...)
	if len(asked) == 0 {
		return topics, errs
	}
	found, err := c.askAbout(ctx, q)
	for j, i := range asked {
		switch {
		case err == nil && found[j].Code == 0:
			topics[i] = found[j].Topic
		case err == nil && i < len(names):
			errs[i] = &CodeError{Topic: names[i], Code: found[j].Code}
		case err == nil:
			errs[i] = &CodeError{Topic: ids[i-len(names)].String(), Code: found[j].Code}
		case !known[i] || refused(err):
			errs[i] = err
		}
	}
	return topics, errs
}

// read asks for one topic and remembers the answer; it outlives the request that began it.
func (c *TopicCache) read(q topic.Query) (topic.Topic, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Timeout)
	defer cancel()
	found, err := c.askAbout(ctx, q)
	if err != nil {
		return topic.Topic{}, err
	}
	if f := found[0]; f.Code != 0 {
		return topic.Topic{}, &CodeError{Topic: subject(q), Code: f.Code}
	}
	return found[0].Topic, nil
}

// askAbout reads topics as ask does, and says of a name that is not shown any more whether its topic is there.
func (c *TopicCache) askAbout(ctx context.Context, q topic.Query) ([]topic.Found, error) {
	found, err := c.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	var at []int
	var again topic.Query
	c.mu.Lock()
	for i, name := range q.Names {
		if id, known := c.left.Get(name); known && found[i].Code == kerr.UnknownTopicOrPartition.Code {
			at, again.IDs = append(at, i), append(again.IDs, id)
		}
	}
	c.mu.Unlock()
	if len(at) == 0 {
		return found, nil
	}
	there, err := c.ask(ctx, again)
	if err != nil {
		return nil, err
	}
	for j, i := range at {
		if there[j].Code == kerr.TopicAuthorizationFailed.Code {
			found[i].Code = there[j].Code
			continue
		}
		c.mu.Lock()
		c.left.Remove(q.Names[i])
		c.mu.Unlock()
	}
	return found, nil
}

// ask reads topics from the control plane and remembers what it said.
func (c *TopicCache) ask(ctx context.Context, q topic.Query) ([]topic.Found, error) {
	began := time.Now() // what changes from here on, the answer may not know of
	found, err := c.source.Topics(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read topics: %w", err)
	}
	if !q.All && len(found) != len(q.Names)+len(q.IDs) {
		return nil, fmt.Errorf("read topics: %d answers to %d questions", len(found), len(q.Names)+len(q.IDs))
	}
	c.learn(q, found, began)
	return found, nil
}

func (c *TopicCache) learn(q topic.Query, found []topic.Found, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, f := range found {
		switch {
		case f.Code == 0:
			c.remember(f.Topic, now)
		case q.All:
		case i < len(q.Names):
			c.leave(q.Names[i])
		default:
			c.leave(c.names[q.IDs[i-len(q.Names)]])
		}
	}
	if q.All {
		c.keepOnly(found)
		c.listed = now
	}
}

// leave drops a topic that is not shown any more.
func (c *TopicCache) leave(name string) {
	if e, ok := c.byName.Peek(name); ok {
		c.left.Add(name, e.topic.ID)
		c.byName.Remove(name)
	}
}

// WallsChanged has every topic read again before it is used: what was granted may not be any more.
func (c *TopicCache) WallsChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.walls = time.Now()
}

// keepListed reads the list of all topics in the background when it is missing or old.
func (c *TopicCache) keepListed() {
	c.mu.Lock()
	old := time.Since(c.listed) >= listAge
	c.mu.Unlock()
	if !old {
		return
	}
	// Nobody waits for it: a failure shows in the next request's own read.
	c.flight.DoChan("list", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), c.cfg.Timeout)
		defer cancel()
		_, err := c.ask(ctx, topic.Query{All: true})
		return topic.Topic{}, err
	})
}

// remember puts t under its name and its id; a topic of the same name that it replaces goes.
func (c *TopicCache) remember(t topic.Topic, now time.Time) {
	if old, ok := c.byName.Peek(t.Name); ok && old.topic.ID != t.ID {
		c.byName.Remove(t.Name)
	}
	c.byName.Add(t.Name, entry{t, now})
	c.left.Remove(t.Name)
	c.names[t.ID] = t.Name
}

// keepOnly drops what a list of all topics does not show.
func (c *TopicCache) keepOnly(found []topic.Found) {
	if c.byName.Len() <= len(found) {
		return
	}
	shown := make(map[string]bool, len(found))
	for _, f := range found {
		shown[f.Topic.Name] = true
	}
	for _, name := range c.byName.Keys() {
		if !shown[name] {
			c.leave(name)
		}
	}
}

// Forget drops a topic, so that the next lookup reads it.
func (c *TopicCache) Forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byName.Remove(name)
}

// Len counts the topics remembered.
func (c *TopicCache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byName.Len()
}

func (c *TopicCache) get(name string) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entry(name)
}

// entry is what is remembered under a name; of before the walls last changed, it is as old as can be.
func (c *TopicCache) entry(name string) (entry, bool) {
	e, ok := c.byName.Get(name)
	if e.read.Before(c.walls) {
		e.read = time.Time{}
	}
	return e, ok
}

func (c *TopicCache) getID(id topic.ID) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name, ok := c.names[id]
	if !ok {
		return entry{}, false
	}
	return c.entry(name)
}

// known lists what is remembered, by name; complete says that it was all there was when last listed.
func (c *TopicCache) known() (topics []topic.Topic, complete bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	topics = make([]topic.Topic, 0, c.byName.Len())
	for _, e := range c.byName.Values() {
		topics = append(topics, e.topic)
	}
	slices.SortFunc(topics, func(a, b topic.Topic) int { return strings.Compare(a.Name, b.Name) })
	return topics, !c.listed.IsZero()
}

func subject(q topic.Query) string {
	if len(q.Names) > 0 {
		return q.Names[0]
	}
	return q.IDs[0].String()
}
