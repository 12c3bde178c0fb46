package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/segment"
	"github.com/isthmusdata/isthmus/internal/topic"
	"github.com/isthmusdata/isthmus/internal/wire"
)

const cluster = "c1"

// world is everything around a Handler: a control plane that places segments, a bucket that
// counts, and topics. Records written to it are what a consumer has to read.
type world struct {
	t testing.TB

	mu          sync.Mutex
	incarnation uint32
	objects     map[string][]byte
	gets        []string // keys, in order
	onGet       func(ctx context.Context, n int, key string) error
	spoil       func(n int, data []byte) []byte
	logs        map[topic.Partition]*worldLog
	topics      []topic.Topic
	watches     []*worldWatch
	sequence    uint64
	plans       int
	away        bool // the control plane does not answer
	deaf        bool // nor does it push
	refuseWatch bool
	slowLookups time.Duration // what one question about topics takes
	lookups     int           // questions about topics
	stale       topic.Topic   // what a topic cache says once more before it is told to forget
}

type worldLog struct {
	start     topic.Offset
	high      topic.Offset
	locations []segment.Location
	written   []byte // the batches as a consumer must see them, stamped
	starts    []int  // where in written the batch that holds each offset begins
}

func newWorld(t testing.TB, topics ...string) *world {
	w := &world{t: t, incarnation: 1, objects: map[string][]byte{}, logs: map[topic.Partition]*worldLog{}}
	for i, name := range topics {
		id := topic.ID{15: byte(i + 1)}
		w.topics = append(w.topics, topic.Topic{Name: name, ID: id, Partitions: 4, Share: "s1", Internal: name == "__consumer_offsets"})
		for p := range int32(4) {
			w.logs[topic.Partition{Topic: id, Index: p}] = &worldLog{}
		}
	}
	return w
}

// handler makes a Handler in the world, and runs it until the test ends.
func (w *world) handler(edit ...func(*Config, *Deps)) *Handler {
	w.t.Helper()
	cfg := Default()
	deps := Deps{Cluster: cluster, Poison: true, Index: w, Topics: w, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Registry: prometheus.NewRegistry(),
		Incarnation: func() uint32 { w.mu.Lock(); defer w.mu.Unlock(); return w.incarnation },
		Stores: func(share string) (Getter, error) {
			if share != "s1" {
				return nil, fmt.Errorf("no grant for share %s", share)
			}
			return w, nil
		}}
	for _, f := range edit {
		f(&cfg, &deps)
	}
	h, err := New(cfg, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := h.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-ended
		h.Close()
	})
	return h
}

func (w *world) partition(name string, index int32) topic.Partition {
	for _, t := range w.topics {
		if t.Name == name {
			return topic.Partition{Topic: t.ID, Index: index}
		}
	}
	w.t.Fatalf("no topic %s", name)
	return topic.Partition{}
}

// frame is some batches of one partition.
type frame struct {
	partition topic.Partition
	batches   []record.Batch
}

// produce stores one segment of the frames, places it, and pushes the news.
func (w *world) produce(frames ...frame) string {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	b := segment.NewBuilder(cluster, "s1")
	for _, f := range frames {
		b.Add(f.partition, f.batches...)
	}
	w.sequence++
	o := segment.Object{Share: "s1", Group: "prod", ID: segment.ID{Incarnation: w.incarnation, Session: 7, Sequence: w.sequence}, Nonce: segment.Nonce{1, byte(w.sequence)}}
	sealed, err := b.Finish(o.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	key := segment.Key(cluster, o)
	w.objects[key] = bytes.Join(sealed.Body, nil)
	events := map[topic.Partition]*segment.Event{}
	var order []*segment.Event
	for _, row := range sealed.Manifest.Rows {
		l := w.logs[row.Partition]
		loc := segment.Location{Partition: row.Partition, Base: l.high, Records: row.Records, Object: o, Size: sealed.Manifest.Size,
			Position: row.Position, Length: row.Length, MaxTimestamp: row.MaxTimestamp}
		w.place(l, loc, w.objects[key][row.Position:row.Position+row.Length])
		ev := events[row.Partition]
		if ev == nil {
			ev = &segment.Event{Partition: row.Partition}
			events[row.Partition] = ev
			order = append(order, ev)
		}
		ev.LogStart, ev.HighWatermark = l.start, l.high
		ev.Locations = append(ev.Locations, loc)
	}
	if !w.deaf {
		for _, watch := range w.watches {
			watch.push(order)
		}
	}
	return key
}

// place appends a location to a log, and its batches, stamped the slow way, to what is written.
func (w *world) place(l *worldLog, loc segment.Location, data []byte) {
	l.locations = append(l.locations, loc)
	for len(data) > 0 {
		b, rest, err := record.Split(data)
		if err != nil {
			w.t.Fatal(err)
		}
		out := kmsg.RecordBatch{}
		if err := out.ReadFrom(b); err != nil {
			w.t.Fatal(err)
		}
		out.FirstOffset, out.PartitionLeaderEpoch = int64(l.high), int32(w.incarnation)
		for range out.NumRecords {
			l.starts = append(l.starts, len(l.written))
		}
		l.written = out.AppendTo(l.written)
		l.high += topic.Offset(out.NumRecords)
		data = rest
	}
}

// from is everything that a consumer at offset must read.
func (w *world) from(p topic.Partition, offset topic.Offset) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.logs[p]
	if offset >= l.high {
		return nil
	}
	return l.written[l.starts[offset]:]
}

// set changes the world while others use it.
func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// breakWatches ends all streams from the other side.
func (w *world) breakWatches() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.watches {
		close(x.broken)
	}
	w.watches = nil
}

func (w *world) getCount() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.gets)
}

var errAway = errors.New("control plane is away")

func (w *world) Plan(_ context.Context, queries []segment.PlanQuery) ([]segment.PartitionPlan, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return nil, errAway
	}
	w.plans += len(queries)
	out := make([]segment.PartitionPlan, len(queries))
	for i, q := range queries {
		l := w.logs[q.Partition]
		if l == nil {
			out[i] = segment.PartitionPlan{Code: codeUnknownID}
			continue
		}
		out[i] = segment.PartitionPlan{LogStart: l.start, HighWatermark: l.high, LastStable: l.high}
		if q.Offset < l.start {
			continue
		}
		size := int64(0)
		for _, loc := range l.locations {
			if loc.End() > q.Offset && size < q.MaxBytes {
				out[i].Locations = append(out[i].Locations, loc)
				size += int64(loc.Length)
			}
		}
	}
	return out, nil
}

func (w *world) ListOffsets(context.Context, []segment.OffsetQuery) ([]segment.OffsetFound, error) {
	return nil, errAway
}

func (w *world) lookup(is func(*topic.Topic) bool) (topic.Topic, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.IndexFunc(w.topics, func(t topic.Topic) bool { return is(&t) }); i >= 0 {
		return w.topics[i], nil
	}
	if w.away {
		return topic.Topic{}, errAway
	}
	return topic.Topic{}, topic.ErrUnknown
}

func (w *world) Lookup(_ context.Context, name string) (topic.Topic, error) {
	w.question()
	return w.byName(name)
}

func (w *world) byName(name string) (topic.Topic, error) {
	w.mu.Lock()
	stale := w.stale
	w.mu.Unlock()
	if stale.Name == name {
		return stale, nil
	}
	return w.lookup(func(t *topic.Topic) bool { return t.Name == name })
}

func (w *world) LookupAll(_ context.Context, names []string, ids []topic.ID) (topics []topic.Topic, errs []error) {
	w.question()
	add := func(t topic.Topic, err error) { topics, errs = append(topics, t), append(errs, err) }
	for _, name := range names {
		add(w.byName(name))
	}
	for _, id := range ids {
		add(w.byID(id))
	}
	return topics, errs
}

// question takes the time of one question about topics.
func (w *world) question() {
	w.mu.Lock()
	w.lookups++
	slow := w.slowLookups
	w.mu.Unlock()
	time.Sleep(slow)
}

func (w *world) LookupID(_ context.Context, id topic.ID) (topic.Topic, error) {
	w.question()
	return w.byID(id)
}

func (w *world) byID(id topic.ID) (topic.Topic, error) {
	return w.lookup(func(t *topic.Topic) bool { return t.ID == id })
}

func (w *world) Forget(string) { w.set(func() { w.stale = topic.Topic{} }) }

// GetRange counts, fails and spoils as the test says.
func (w *world) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	w.mu.Lock()
	w.gets = append(w.gets, key)
	n, hook, spoil := len(w.gets), w.onGet, w.spoil
	w.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, n, key); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	body, ok := w.objects[key]
	w.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, objstore.ErrNotFound)
	}
	if position < 0 || position+length > int64(len(body)) {
		return nil, fmt.Errorf("get %s: %w", key, objstore.ErrInvalid)
	}
	data := objstore.Room(ctx, length)
	copy(data, body[position:])
	if spoil != nil {
		data = spoil(n, data)
	}
	return data, nil
}

// worldWatch is one stream of news.
type worldWatch struct {
	w      *world
	ctx    context.Context
	mu     sync.Mutex
	added  map[topic.Partition]bool
	events []segment.Event
	wake   chan struct{}
	broken chan struct{}
}

func (w *world) Watch(ctx context.Context) (Watch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away || w.refuseWatch {
		return nil, errAway
	}
	watch := &worldWatch{w: w, ctx: ctx, added: map[topic.Partition]bool{}, wake: make(chan struct{}, 1), broken: make(chan struct{})}
	w.watches = append(w.watches, watch)
	return watch, nil
}

func (x *worldWatch) push(events []*segment.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, ev := range events {
		if x.added[ev.Partition] {
			x.events = append(x.events, *ev)
		}
	}
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

func (x *worldWatch) Add(partitions []topic.Partition) error {
	x.w.mu.Lock()
	defer x.w.mu.Unlock()
	if x.w.deaf {
		return nil
	}
	var events []*segment.Event
	x.mu.Lock()
	for _, p := range partitions {
		x.added[p] = true
		if l := x.w.logs[p]; l != nil {
			events = append(events, &segment.Event{Partition: p, LogStart: l.start, HighWatermark: l.high})
		} else {
			events = append(events, &segment.Event{Partition: p, Removed: true})
		}
	}
	x.mu.Unlock()
	x.push(events)
	return nil
}

func (x *worldWatch) Remove(partitions []topic.Partition) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range partitions {
		delete(x.added, p)
	}
	return nil
}

func (x *worldWatch) Recv() ([]segment.Event, error) {
	for {
		x.mu.Lock()
		events := x.events
		x.events = nil
		x.mu.Unlock()
		if len(events) > 0 {
			return events, nil
		}
		select {
		case <-x.wake:
		case <-x.broken:
			return nil, errAway
		case <-x.ctx.Done():
			return nil, x.ctx.Err()
		}
	}
}

// ask is one partition of a request.
type ask struct {
	topic    string
	index    int32
	offset   topic.Offset
	maxBytes int32
}

// request builds a Fetch request.
func (w *world) request(version int16, maxWait, minBytes, maxBytes int32, asks ...ask) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = version, maxWait, minBytes, maxBytes
	for _, a := range asks {
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic = a.topic
		if version >= 13 {
			rt.Topic = ""
			for _, t := range w.topics {
				if t.Name == a.topic {
					rt.TopicID = t.ID
				}
			}
		}
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = a.index, int64(a.offset), a.maxBytes
		rt.Partitions = append(rt.Partitions, rp)
		if n := len(req.Topics); n > 0 && req.Topics[n-1].Topic == rt.Topic && req.Topics[n-1].TopicID == rt.TopicID {
			req.Topics[n-1].Partitions = append(req.Topics[n-1].Partitions, rp)
		} else {
			req.Topics = append(req.Topics, rt)
		}
	}
	return req
}

// serve sends a request through a handler and decodes the answer.
func serve(t *testing.T, h wire.Handler, req *kmsg.FetchRequest) *kmsg.FetchResponse {
	t.Helper()
	replies := make(chan wire.Reply, 1)
	h.Serve(t.Context(), &wire.Request{Key: 1, Version: req.Version, Body: req}, func(r wire.Reply) { replies <- r })
	r := <-replies
	var raw []byte
	for _, b := range r.Gathered {
		raw = append(raw, b...)
	}
	if r.Done != nil {
		r.Done()
	}
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = req.Version
	if err := resp.ReadFrom(raw); err != nil {
		t.Fatalf("decode version %d: %v", req.Version, err)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, raw) {
		t.Fatalf("version %d: kmsg encodes this answer differently", req.Version)
	}
	return resp
}

// only returns the one partition of an answer.
func only(t *testing.T, resp *kmsg.FetchResponse) kmsg.FetchResponseTopicPartition {
	t.Helper()
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Fatalf("answer of %d topics, wanted one partition: %+v", len(resp.Topics), resp.Topics)
	}
	return resp.Topics[0].Partitions[0]
}
