package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

// rig is a server under test and how to reach it.
type rig struct {
	*testing.T
	*Server
	reg  *prometheus.Registry
	dial func() net.Conn
	logs *logBuffer
}

// logBuffer collects log lines of any goroutine.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newRig serves apis on ln, which is TCP when nil.
func newRig(t *testing.T, cfg Config, p *wiretest.Pipes, apis ...API) *rig {
	t.Helper()
	r := &rig{T: t, reg: prometheus.NewRegistry(), logs: new(logBuffer)}
	log := slog.New(slog.NewTextHandler(r.logs, nil))
	var err error
	if r.Server, err = NewServer(cfg, Deps{Log: log, Registerer: r.reg, Poison: true}, apis); err != nil {
		t.Fatal(err)
	}
	var ln net.Listener = p
	if p != nil {
		r.dial = p.Dial
	} else {
		if ln, err = Listen("127.0.0.1:0", nil); err != nil {
			t.Fatal(err)
		}
		r.dial = func() net.Conn {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
	}
	served := make(chan error, 1)
	go func() { served <- r.Server.Serve(ln) }()
	t.Cleanup(func() {
		r.Server.Close()
		if err := <-served; !errors.Is(err, ErrStopped) {
			t.Errorf("serve: %v", err)
		}
	})
	return r
}

// request encodes a whole frame.
func request(r kmsg.Request, version int16, correlation int32) []byte {
	r.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, r, correlation)
}

// frame prefixes b with its length.
func frame(b ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// answer reads one frame: its correlation id and what follows.
func answer(c net.Conn) (int32, []byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return 0, nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return 0, nil, err
	}
	return int32(binary.BigEndian.Uint32(b)), b[4:], nil
}

func mustSend(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// heartbeats is an API of Heartbeat, a small request.
func heartbeats(h Handler) API {
	return API{Key: int16(kmsg.Heartbeat), Min: 0, Max: 4, Handler: h}
}

func beat(n int32) []byte {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group = "g"
	req.Generation = n
	return request(req, 4, n)
}

// echo answers at once, with the generation as error code.
func echo(_ context.Context, r *Request, reply func(Reply)) {
	reply(Reply{Body: beatAnswer(r)})
}

func beatAnswer(r *Request) kmsg.Response {
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.ErrorCode = int16(r.Body.(*kmsg.HeartbeatRequest).Generation)
	return resp
}

// readAll returns what comes until the peer closes.
func readAll(t *testing.T, c net.Conn) []byte {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b, err := io.ReadAll(c)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("connection was not closed")
	}
	return b
}
