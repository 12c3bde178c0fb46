package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// readBuffer is the memory of an idle connection's reader; larger frames are read past it.
const readBuffer = 8 << 10

// refusal is why a connection is closed that could be read on: a reason for metrics and an error
// for the log.
type refusal struct {
	reason string
	err    error
}

func (r *refusal) Error() string { return r.reason + ": " + r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(reason string, err error) error { return &refusal{reason, err} }

// errIdle and errDraining end a reader without blame.
var (
	errIdle     = errors.New("idle")
	errDraining = errors.New("draining")
)

// read hands over requests until the connection ends. It reports whether what was handed over is
// still to be answered: true when we end it, false when the peer is gone.
func (c *Conn) read() bool {
	in := bufio.NewReaderSize(c.raw, readBuffer)
	for {
		select {
		case c.queue.space <- struct{}{}:
		case <-c.server.draining:
			return true
		case <-c.ctx.Done():
			return false
		}
		err := c.readOne(in)
		if err == nil {
			continue
		}
		<-c.queue.space
		var refused *refusal
		switch {
		case errors.As(err, &refused):
			c.server.metrics.refused.WithLabelValues(refused.reason).Inc()
			c.server.rate.Warn(refused.reason+" "+c.remote, "connection closed", "remote", c.remote, "reason", refused.reason, "error", refused.err)
			return true
		case errors.Is(err, errDraining), errors.Is(err, errIdle):
			return true
		}
		return false
	}
}

// readOne reads one request and hands it to its handler.
func (c *Conn) readOne(in *bufio.Reader) error {
	size, err := c.awaitFrame(in)
	if err != nil {
		return err
	}
	first, err := in.Peek(headMin)
	if err != nil {
		return c.readError("header", err)
	}
	h := parseHead(first)
	api, ok := c.server.apis[h.key]
	if !ok {
		return refuse("unknown_request", fmt.Errorf("request key %d version %d is not served", h.key, h.version))
	}
	frame, charged, err := c.readFrame(in, h.key, size)
	if err != nil {
		return err
	}
	r, err := c.understand(api, h, frame)
	if err != nil {
		charged.release()
		return err
	}
	charged.shrink(footprint(r) * int64(max(api.Weight, 1)))
	r.Conn, r.Read, r.charge = c, time.Now(), charged
	c.took(r.Read, r.Key, 4+size)
	s := &slot{conn: c, req: r}
	c.queue.push(s)
	c.server.metrics.requests[r.Key].Inc()
	c.server.metrics.read.Add(float64(4 + size))
	c.dispatch(api, h, s)
	return nil
}

// dispatch calls the handler that fits the version.
func (c *Conn) dispatch(api API, h head, s *slot) {
	switch {
	case h.version >= api.ServeMin && h.version <= api.Max:
		api.Handler.Serve(c.ctx, s.req, s.answer)
	case api.Key == keyApiVersions:
		s.answer(Reply{Body: stepDown(api.Max)})
	default:
		s.answer(unserved(s.req))
	}
}

// understand parses a frame, or says why its connection must close.
func (c *Conn) understand(api API, h head, frame []byte) (*Request, error) {
	if h.version < api.Min || h.version > api.Max {
		if api.Key != keyApiVersions {
			return nil, refuse("unsupported_version", fmt.Errorf("%s version %d is not among those advertised, %d to %d",
				apiName(h.key), h.version, api.Min, api.Max))
		}
		// The layout of an unknown version is unknown; the answer is in version 0, which all read.
		return &Request{Key: h.key, CorrelationID: h.correlation, Body: emptyApiVersions(), Size: len(frame)}, nil
	}
	r, err := parseRequest(frame)
	if err != nil {
		return nil, refuse("malformed", fmt.Errorf("read %s version %d: %w", apiName(h.key), h.version, err))
	}
	return r, nil
}

// awaitFrame waits for the next frame's length. A connection with requests in flight is not idle.
func (c *Conn) awaitFrame(in *bufio.Reader) (size int, err error) {
	for {
		if err := c.readDeadline(c.server.cfg.IdleTimeout); err != nil {
			return 0, err
		}
		_, err := in.Peek(1)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		if c.isDraining() {
			return 0, errDraining
		}
		if c.queue.empty() {
			return 0, errIdle
		}
	}
	// What has come waits in the socket, and the client with it.
	if err := c.awaitQuota(); err != nil {
		return 0, err
	}
	if err := c.readDeadline(c.server.cfg.FrameTimeout); err != nil {
		return 0, err
	}
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return 0, c.readError("length", err)
	}
	size, err = checkLength(length[:], max(c.server.cfg.MaxFrame, c.server.cfg.MaxOtherFrame))
	if err != nil {
		return 0, refuse("bad_frame", err)
	}
	return size, nil
}

// readFrame charges the request to the budget once its beginning has come, and only then allocates
// and reads it.
func (c *Conn) readFrame(in *bufio.Reader, key int16, size int) ([]byte, *charge, error) {
	limit := c.server.cfg.MaxOtherFrame
	if key == keyProduce {
		limit = c.server.cfg.MaxFrame
	}
	if size > limit {
		return nil, nil, refuse("bad_frame", fmt.Errorf("%s request of %d bytes is over the limit of %d", apiName(key), size, limit))
	}
	// Memory is claimed for a frame that comes, not for one that was announced.
	if _, err := in.Peek(min(size, readBuffer)); err != nil {
		return nil, nil, c.readError("frame", err)
	}
	need := parseCharge(key, size)
	charged, err := c.server.budget.acquire(c.ctx, need, c.proven[classOf(need)])
	if err != nil {
		return nil, nil, err
	}
	frame := c.memory(key, size, charged)
	if err := c.fill(in, frame, charged.pool); err != nil {
		charged.release()
		return nil, nil, err
	}
	c.proven[classOf(need)] = true
	return frame, charged, nil
}

// memory is where a frame of size bytes is read to. That of a Produce request is used again when its charge is over.
func (c *Conn) memory(key int16, size int, charged *charge) []byte {
	if key != keyProduce {
		return make([]byte, size)
	}
	f := c.server.frames.get(size)
	charged.own(f, &c.server.frames)
	return f.bytes
}

// fill reads a frame. Its peer may take its time, but may not stall while others wait for the
// memory that the frame claims: a few half-sent frames would hold up every client.
func (c *Conn) fill(in *bufio.Reader, frame []byte, from *pool) error {
	cfg := &c.server.cfg
	overdue := time.Now().Add(cfg.FrameTimeout + time.Duration(float64(len(frame))/float64(cfg.FrameRate)*float64(time.Second)))
	for n := 0; n < len(frame); {
		if err := c.readDeadline(min(cfg.StallTimeout, time.Until(overdue))); err != nil {
			return err
		}
		contended := from.contended()
		m, err := io.ReadFull(in, frame[n:])
		n += m
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded) || c.isDraining() || !time.Now().Before(overdue):
			return c.readError("frame", err)
		case m == 0 && contended:
			return refuse("slow_frame", fmt.Errorf("nothing came for %v of a frame of %d bytes while others wait for memory", cfg.StallTimeout, len(frame)))
		}
	}
	return nil
}

// readDeadline gives reading so much time, unless the listener drains: stopReading is called after
// draining is closed, so that either its deadline stands or the channel is seen here.
func (c *Conn) readDeadline(d time.Duration) error {
	if err := c.raw.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	if c.isDraining() {
		return errDraining
	}
	return nil
}

func (c *Conn) isDraining() bool {
	select {
	case <-c.server.draining:
		return true
	default:
		return false
	}
}

// readError tells a peer that sends half a frame from one that has gone.
func (c *Conn) readError(part string, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if c.isDraining() {
			return errDraining
		}
		return refuse("slow_frame", fmt.Errorf("the rest of the %s did not come in time", part))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return io.ErrUnexpectedEOF
	}
	return err
}
