package scale

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// epoch is the wall clock at the start, Unix milliseconds.
const epoch = 1_700_000_000_000

// world is a cluster in virtual time. Everything that happens is an event of one queue.
type world struct {
	cfg    Config
	rng    *rand.Rand
	now    time.Duration
	queue  events
	order  uint64 // of events that happen at the same time
	topics []topic.ID

	leader    *leader
	producers []*producer
	fetchers  []*fetcher
	bucket    bucket
	templates map[int64]record.Batch // by size in the cluster
	watching  map[topic.Partition][]*fetcher
	report    Report
}

type event struct {
	at    time.Duration
	order uint64
	do    func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{}
	*q = (*q)[:last]
	return e
}

func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.queue, event{w.now + max(d, 0), w.order, do})
}

// Run plays a cluster and says what came of it.
func Run(cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	w := &world{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 42)), templates: map[int64]record.Batch{}, watching: map[topic.Partition][]*fetcher{}}
	var err error
	if w.leader, err = newLeader(w); err != nil {
		return nil, err
	}
	if err := w.raise(); err != nil {
		return nil, err
	}
	for w.queue.Len() > 0 {
		e := heap.Pop(&w.queue).(event)
		if e.at > cfg.For {
			break
		}
		w.now = e.at
		e.do()
		if w.leader.failed != nil {
			return nil, fmt.Errorf("at %v: %w", w.now, w.leader.failed)
		}
	}
	return w.sum()
}

// raise makes topics, logs agents in, and gives each partition to one producer and, in every zone, to one fetcher's watch.
func (w *world) raise() error {
	for n := 0; n < w.cfg.Partitions; n += topicPartitions {
		id, err := w.leader.createTopic(n/topicPartitions, min(topicPartitions, w.cfg.Partitions-n))
		if err != nil {
			return err
		}
		w.topics = append(w.topics, id)
	}
	for i := range w.cfg.Producers {
		session, err := w.leader.login(fmt.Sprintf("producer-%d", i), "prod", control.RoleProduce)
		if err != nil {
			return err
		}
		w.producers = append(w.producers, newProducer(w, session))
	}
	for i := range w.cfg.Fetchers {
		agent := fmt.Sprintf("fetcher-%d", i)
		session, err := w.leader.login(agent, "analytics", control.RoleFetch)
		if err != nil {
			return err
		}
		w.fetchers = append(w.fetchers, w.leader.watch(agent, session))
	}
	perZone := w.cfg.Fetchers / w.cfg.Zones
	for n := range w.cfg.Partitions {
		p := w.partition(n)
		w.producers[w.rng.IntN(w.cfg.Producers)].take(p)
		for zone := range w.cfg.Zones {
			f := w.fetchers[zone*perZone+w.rng.IntN(perZone)]
			w.leader.join(f, p)
			w.watching[p] = append(w.watching[p], f)
		}
	}
	w.leader.begin()
	for _, p := range w.producers {
		p.begin()
	}
	return nil
}

func (w *world) partition(n int) topic.Partition {
	return topic.Partition{Topic: w.topics[n/topicPartitions], Index: int32(n % topicPartitions)}
}

// lognormal is a time whose median is m.
func (w *world) lognormal(m time.Duration, sigma float64) time.Duration {
	return time.Duration(float64(m) * math.Exp(sigma*w.rng.NormFloat64()))
}
