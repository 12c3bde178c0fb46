package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

const (
	peerIdle  = 90 * time.Second // a connection without requests is closed
	peerWrite = 15 * time.Second // for one answer

	peerGreeting = 10 * time.Second // for the handshake
)

// PeerServer gives the agents of the own group and zone the chunks that this one owns: plain
// bytes written from the cache without copying. It never asks another agent in turn.
type PeerServer struct {
	reader *reader
	cfg    *Config
	tls    *tls.Config
	check  func(tls.ConnectionState) error
	ctx    context.Context
	cancel context.CancelFunc
	slots  chan struct{}

	mu    sync.Mutex
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

// PeerServer returns the server for the chunks of this agent.
func (h *Handler) PeerServer() *PeerServer {
	ctx, cancel := context.WithCancel(context.Background())
	return &PeerServer{reader: h.reader, cfg: &h.cfg, tls: h.deps.PeerTLS, check: h.deps.PeerCheck, ctx: ctx, cancel: cancel,
		slots: make(chan struct{}, h.cfg.PeerServeConns), conns: map[net.Conn]bool{}}
}

// Serve accepts connections until Close; it returns nil then. More connections than are allowed
// wait unaccepted: their agents read the bucket instead.
func (s *PeerServer) Serve(l net.Listener) error {
	stop := context.AfterFunc(s.ctx, func() { _ = l.Close() }) // it ends Accept either way
	defer stop()
	for {
		select {
		case s.slots <- struct{}{}:
		case <-s.ctx.Done():
			return nil
		}
		conn, err := l.Accept()
		if err != nil {
			<-s.slots
			if s.ctx.Err() != nil {
				return nil
			}
			if temporary(err) {
				s.pause()
				continue
			}
			return fmt.Errorf("accept peers on %s: %w", l.Addr(), err)
		}
		if s.tls != nil {
			conn = tls.Server(conn, s.tls)
		}
		s.start(conn)
	}
}

// temporary reports whether accepting may work again later, as when descriptors run out.
func temporary(err error) bool {
	var n net.Error
	return !errors.Is(err, net.ErrClosed) && errors.As(err, &n)
}

func (s *PeerServer) pause() {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-s.ctx.Done():
	}
}

func (s *PeerServer) start(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		_ = conn.Close()
		<-s.slots
		return
	}
	s.conns[conn] = true
	s.done.Go(func() {
		defer func() {
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
			_ = conn.Close()
			<-s.slots
		}()
		s.converse(conn)
	})
}

// Close ends all connections and waits for them.
func (s *PeerServer) Close() {
	s.cancel()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
}

// converse answers the requests of one connection until it fails or falls silent.
func (s *PeerServer) converse(conn net.Conn) {
	if err := s.greet(conn); err != nil {
		s.reader.metrics.peerServed.WithLabelValues("stranger").Inc()
		s.reader.log.Warn("a peer is not let in", "remote", conn.RemoteAddr().String(), "error", err)
		return
	}
	for {
		_ = conn.SetDeadline(time.Now().Add(peerIdle)) // fails only on a closed socket, as the read then does
		q, err := readPeerRequest(conn)
		if err != nil {
			if errors.Is(err, errPeerFrame) {
				s.reader.metrics.peerServed.WithLabelValues("malformed").Inc()
				s.reader.log.Warn("malformed request of a peer", "remote", conn.RemoteAddr().String(), "error", err)
				_ = conn.SetDeadline(time.Now().Add(peerWrite))
				_ = refusePeer(conn, peerBadRequest, err) // it is closed in any case
			}
			return
		}
		if err := stillPeer(conn, s.check); err != nil {
			s.reader.metrics.peerServed.WithLabelValues("stranger").Inc()
			s.reader.log.Warn("a connection of a peer is ended", "remote", conn.RemoteAddr().String(), "error", err)
			return
		}
		if err := s.answer(conn, &q); err != nil {
			s.reader.metrics.peerServed.WithLabelValues("unsent").Inc()
			return
		}
	}
}

// greet is the handshake. It is bounded for itself: whoever cannot make it keeps no place for long.
func (s *PeerServer) greet(conn net.Conn) error {
	c, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, peerGreeting)
	defer cancel()
	return c.HandshakeContext(ctx)
}

// stillPeer asks again whether the other end of a connection is one of the group: what was so at the handshake may
// have ended since.
func stillPeer(conn net.Conn, check func(tls.ConnectionState) error) error {
	if c, ok := conn.(*tls.Conn); ok && check != nil {
		return check(c.ConnectionState())
	}
	return nil
}

// answer sends the ranges asked for, or why not. The error is the connection's.
func (s *PeerServer) answer(conn net.Conn, q *peerRequest) error {
	return s.reader.answerPeer(s.ctx, q, conn, func() { _ = conn.SetDeadline(time.Now().Add(peerWrite)) }) // as above
}

// AnswerPeer answers one request of another agent as the PeerServer does, over a connection
// that is somebody else's. The error is the connection's.
func (h *Handler) AnswerPeer(ctx context.Context, conn io.ReadWriter) error {
	q, err := readPeerRequest(conn)
	if err != nil {
		return err
	}
	return h.reader.answerPeer(ctx, &q, conn, func() {})
}

// answerPeer writes the ranges asked for, or why not. begun is called before that.
func (r *reader) answerPeer(ctx context.Context, q *peerRequest, w io.Writer, begun func()) error {
	ctx, cancel := r.sched.Timeout(ctx, min(max(q.wait, time.Millisecond), r.cfg.ReadTimeout))
	defer cancel()
	needs := make([]*need, len(q.spans))
	for i, sp := range q.spans {
		needs[i] = &need{loc: locationOf(q.object, q.size, sp), class: q.class, raw: true}
	}
	r.acquire(ctx, needs, false, true)
	defer r.release(needs...)
	bufs := net.Buffers{nil}
	total := int64(0)
	var failed error
	for _, n := range needs {
		data, err := r.await(ctx, n)
		if err != nil {
			failed = err
			break
		}
		bufs = append(bufs, data)
		total += int64(len(data))
	}
	begun()
	if failed != nil {
		r.metrics.peerServed.WithLabelValues("failed").Inc()
		status := peerFailed
		if errors.Is(failed, objstore.ErrNotFound) {
			status = peerNotFound
		}
		return refusePeer(w, status, failed)
	}
	bufs[0] = appendPeerHead(make([]byte, 0, peerAnswerHead), peerOK, total)
	n, err := bufs.WriteTo(w)
	r.metrics.peerSent.Add(float64(n))
	if err == nil {
		r.metrics.peerServed.WithLabelValues("ok").Inc()
	}
	return err
}

func refusePeer(w io.Writer, status uint8, why error) error {
	text := why.Error()
	text = text[:min(len(text), peerMaxText)]
	_, err := w.Write(append(appendPeerHead(nil, status, int64(len(text))), text...))
	return err
}
