package tunnel

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/control"
	"github.com/isthmusdata/isthmus/control/controlpb"
)

// memory is a Backend whose log is the state itself.
type memory struct {
	mu    sync.Mutex
	state *control.State
	now   int64
	fail  error                    // what Propose answers instead
	gate  chan struct{}            // when set, Propose waits for it
	seen  func(*controlpb.Command) // when set, sees each command
}

func newMemory(t testing.TB) *memory {
	limits := control.Default()
	limits.Meta = control.Meta{Cluster: "test", ClusterID: "id", Incarnation: 3}
	limits.MaxTopicPartitions = 100
	m := &memory{state: control.NewState(limits), now: 1_700_000_000_000}
	m.must(t, &controlpb.Command{Op: &controlpb.Command_CreateShare{CreateShare: &controlpb.CreateShareCommand{
		Share: &controlpb.Share{Name: "default", Bucket: "mem://"},
	}}})
	return m
}

func (m *memory) must(t testing.TB, c *controlpb.Command) {
	t.Helper()
	rs, err := m.Propose(context.Background(), c)
	if err != nil || rs[0].Code != 0 {
		t.Fatalf("apply %v: %v %v", c, rs, err)
	}
}

func (m *memory) Propose(ctx context.Context, cmds ...*controlpb.Command) ([]control.Result, error) {
	m.mu.Lock()
	gate, fail := m.gate, m.fail
	m.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if fail != nil {
		return nil, fail
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []control.Result
	for _, c := range cmds {
		if m.seen != nil {
			m.seen(c)
		}
		m.now++
		c.Time = m.now
		out = append(out, m.state.Apply(c))
	}
	return out, nil
}

func (m *memory) View(ctx context.Context, read func(*control.State)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	read(m.state)
	return nil
}

func (m *memory) Peek(read func(*control.State)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	read(m.state)
}

func (m *memory) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

var errLost = errors.New("leadership lost")

// fixture is an elected tunnel before an empty cluster.
type fixture struct {
	*Tunnel
	m   *memory
	who control.Caller // who asks
}

func newFixture(t testing.TB) *fixture {
	cfg := Default()
	cfg.Coordinator.InitialRebalanceDelay = 0
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	m := newMemory(t)
	f := &fixture{New(m, cfg, slog.New(slog.NewTextHandler(io.Discard, nil))), m, control.Caller{Open: true, Admin: true, Group: "lab", Roles: []string{control.RoleProduce, control.RoleFetch}}}
	if err := f.Elected(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Resigned)
	return f
}

// ask sends a request in its version, through bytes.
func (f *fixture) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	got, err := f.Call(ctx, f.who, &controlpb.CallRequest{
		Key: int32(req.Key()), Version: int32(req.GetVersion()), Body: req.AppendTo(nil), ClientId: "client", ClientHost: "/127.0.0.1",
	})
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	return resp, resp.ReadFrom(got.GetBody())
}

// versions are those in which a request is carried.
func (f *fixture) versions(key int16) (lowest, highest int16, ok bool) {
	a, ok := f.apis[key]
	return a.min, a.max, ok
}

// request makes a request of its latest version here.
func request[R kmsg.Request](f *fixture, r R, fill func(R)) R {
	_, highest, _ := f.versions(r.Key())
	r.SetVersion(highest)
	fill(r)
	return r
}

// get asks and expects an answer of the type.
func get[P kmsg.Response](t testing.TB, f *fixture, req kmsg.Request) P {
	t.Helper()
	resp, err := f.ask(t.Context(), req)
	if err != nil {
		t.Fatalf("%s version %d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp.(P)
}

// topic creates a topic and returns its id.
func (f *fixture) topic(t testing.TB, name string, partitions int32, configs ...string) [16]byte {
	t.Helper()
	req := request(f, kmsg.NewPtrCreateTopicsRequest(), func(r *kmsg.CreateTopicsRequest) {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, 3
		for i := 0; i < len(configs); i += 2 {
			cf := kmsg.NewCreateTopicsRequestTopicConfig()
			cf.Name, cf.Value = configs[i], &configs[i+1]
			rt.Configs = append(rt.Configs, cf)
		}
		r.Topics = append(r.Topics, rt)
	})
	resp := get[*kmsg.CreateTopicsResponse](t, f, req)
	if resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("create topic %s: %d %s", name, resp.Topics[0].ErrorCode, text(resp.Topics[0].ErrorMessage))
	}
	return resp.Topics[0].TopicID
}
