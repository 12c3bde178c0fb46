package wire

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	flushBytes  = 1 << 20   // what is encoded before it is written
	keepScratch = 64 << 10  // an idle connection keeps no larger buffer
	tlsWrite    = 256 << 10 // bytes of one write under TLS, which has a deadline of its own
)

// writer gathers answers: encoded ones in one scratch buffer, gathered ones by reference.
type writer struct {
	conn    *Conn
	scratch []byte
	pieces  []piece
	slots   []*slot // whose answers are in pieces
	size    int
}

// piece is a part of the scratch buffer, or a buffer of somebody else's.
type piece struct {
	from, to int
	foreign  []byte
}

// write sends answers in order until the connection ends.
func (c *Conn) write() {
	w := writer{conn: c}
	var ready []*slot
	for {
		var end bool
		clear(ready)
		ready, end = c.queue.take(ready[:0])
		if !w.send(ready) {
			c.close()
			return
		}
		if end {
			return
		}
		if len(ready) > 0 {
			continue // more may have become ready meanwhile
		}
		select {
		case <-c.queue.wake:
		case <-c.ctx.Done():
			return
		}
	}
}

// send writes the answers of slots and releases them, written or not. It reports false when the
// connection is to be closed.
func (w *writer) send(slots []*slot) bool {
	for i, s := range slots {
		w.slots = append(w.slots, s)
		err := w.add(s)
		if err != nil || w.size >= flushBytes || s.reply.Close {
			err = errors.Join(err, w.flush())
		}
		if err == nil && !s.reply.Close {
			continue
		}
		if err != nil {
			w.conn.writeFailed(s.req, err)
		}
		w.release()
		for _, late := range slots[i+1:] {
			late.release()
		}
		return !s.reply.Close && err == nil
	}
	if err := w.flush(); err != nil {
		w.conn.writeFailed(slots[len(slots)-1].req, err)
		w.release()
		return false
	}
	return true
}

// add puts the answer of s behind those gathered so far:
//
//	int32 length, int32 correlation id, [tags], body
func (w *writer) add(s *slot) error {
	r, reply := s.req, s.reply
	if reply.None || reply.Close && reply.Body == nil && reply.Gathered == nil {
		return nil
	}
	start := len(w.scratch)
	w.scratch = append(w.scratch, 0, 0, 0, 0)
	w.scratch = binary.BigEndian.AppendUint32(w.scratch, uint32(r.CorrelationID))
	if r.Body.IsFlexible() && r.Key != keyApiVersions {
		w.scratch = append(w.scratch, 0) // no tags
	}
	foreign := 0
	switch {
	case reply.Gathered != nil:
		for _, b := range reply.Gathered {
			foreign += len(b)
		}
	case reply.Body == nil || reply.Body.Key() != r.Key:
		w.scratch = w.scratch[:start]
		return fmt.Errorf("encode answer to %s: the handler gave none that fits", r.name())
	default:
		reply.Body.SetVersion(r.Version)
		w.scratch = reply.Body.AppendTo(w.scratch)
	}
	length := len(w.scratch) - start - 4 + foreign
	if d := w.conn.gives(time.Now(), r.Key, 4+length); d > 0 {
		reply.Gathered = w.throttle(start, s, d)
	}
	if int64(length) > 1<<31-1 {
		w.scratch = w.scratch[:start]
		return fmt.Errorf("encode answer to %s: %d bytes do not fit a frame", r.name(), length)
	}
	binary.BigEndian.PutUint32(w.scratch[start:], uint32(length))
	w.addScratch(start)
	for _, b := range reply.Gathered {
		if len(b) > 0 {
			w.pieces = append(w.pieces, piece{foreign: b})
		}
	}
	w.size += 4 + length
	return nil
}

// throttle writes into the answer that begins at start how long its client is to wait; its length stays. What is gathered
// is the handler's and not changed: its first four bytes are written anew, and the rest of it returned.
func (w *writer) throttle(start int, s *slot, d time.Duration) net.Buffers {
	rest := s.reply.Gathered
	switch {
	case rest == nil:
		if setThrottle(s.reply.Body, d) {
			body := len(w.scratch) - len(s.reply.Body.AppendTo(nil))
			w.scratch = s.reply.Body.AppendTo(w.scratch[:body])
		}
	case s.reply.Throttle && len(rest) > 0 && len(rest[0]) >= 4:
		w.scratch = binary.BigEndian.AppendUint32(w.scratch, uint32(millis(d)))
		rest = append(net.Buffers{rest[0][4:]}, rest[1:]...)
	}
	return rest
}

// addScratch makes a piece of the scratch buffer's end, or lengthens the last one.
func (w *writer) addScratch(start int) {
	if n := len(w.pieces); n > 0 && w.pieces[n-1].foreign == nil {
		w.pieces[n-1].to = len(w.scratch)
		return
	}
	w.pieces = append(w.pieces, piece{from: start, to: len(w.scratch)})
}

// flush writes what is gathered and releases its slots.
func (w *writer) flush() error {
	if len(w.pieces) > 0 {
		buffers := make(net.Buffers, len(w.pieces))
		for i, p := range w.pieces {
			if buffers[i] = p.foreign; p.foreign == nil {
				buffers[i] = w.scratch[p.from:p.to]
			}
		}
		if err := w.conn.writeAll(buffers, w.size, w.awaited); err != nil {
			return err
		}
		w.conn.server.metrics.written.Add(float64(w.size))
	}
	now := time.Now()
	for _, s := range w.slots {
		w.conn.server.metrics.seconds[s.req.Key].Observe(now.Sub(s.req.Read).Seconds())
	}
	w.release()
	return nil
}

// awaited reports whether others wait for memory that the gathered answers hold.
func (w *writer) awaited() bool {
	return w.conn.server.debts.over() || slices.ContainsFunc(w.slots, func(s *slot) bool {
		return s.reply.Awaited != nil && s.reply.Awaited() || s.req.charge != nil && s.req.charge.pool.contended()
	})
}

// release ends the gathered requests and empties the writer.
func (w *writer) release() {
	for _, s := range w.slots {
		s.release()
	}
	clear(w.slots)
	clear(w.pieces)
	w.slots, w.pieces, w.scratch, w.size = w.slots[:0], w.pieces[:0], w.scratch[:0], 0
	if cap(w.scratch) > keepScratch {
		w.scratch = nil
	}
}

// writeAll writes buffers for as long as the peer takes something within every WriteTimeout; and within
// every StallTimeout while others wait for the memory that answers take.
func (c *Conn) writeAll(buffers net.Buffers, size int, awaited func() bool) error {
	if _, ok := c.raw.(*tls.Conn); ok {
		return c.writeTLS(buffers, size, awaited)
	}
	for last := time.Now(); len(buffers) > 0; {
		if err := c.raw.SetWriteDeadline(time.Now().Add(min(c.server.cfg.StallTimeout, c.server.cfg.WriteTimeout))); err != nil {
			return err
		}
		n, err := buffers.WriteTo(c.raw) // drops from buffers what it has written
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if n > 0 {
			last = time.Now()
		} else if err != nil && (time.Since(last) >= c.server.cfg.WriteTimeout || awaited()) {
			return err
		}
	}
	return nil
}

// writeTLS copies small buffers together, so that each is not a TLS record of its own. After a
// deadline the connection is lost, therefore each write is small enough to be done within one.
func (c *Conn) writeTLS(buffers net.Buffers, size int, awaited func() bool) error {
	chunk := make([]byte, 0, min(size, tlsWrite))
	put := func() error {
		patience := c.server.cfg.WriteTimeout
		if awaited() {
			patience = min(patience, c.server.cfg.StallTimeout)
		}
		if err := c.raw.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		_, err := c.raw.Write(chunk)
		chunk = chunk[:0]
		return err
	}
	for _, b := range buffers {
		for len(b) > 0 {
			n := min(len(b), cap(chunk)-len(chunk))
			chunk, b = append(chunk, b[:n]...), b[n:]
			if len(chunk) == cap(chunk) {
				if err := put(); err != nil {
					return err
				}
			}
		}
	}
	if len(chunk) == 0 {
		return nil
	}
	return put()
}

// writeFailed logs what the peer could not be told, unless it has just gone.
func (c *Conn) writeFailed(r *Request, err error) {
	if c.ctx.Err() != nil {
		return
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.server.metrics.refused.WithLabelValues("slow_reader").Inc()
		err = fmt.Errorf("the peer takes no answers (%s, or %s while there is no room for more)", c.server.cfg.WriteTimeout, c.server.cfg.StallTimeout)
	}
	c.server.rate.Warn("write "+c.remote, "connection closed while answering", "remote", c.remote,
		"request", r.name(), "client_id", r.ClientID, "error", err)
}

func apiName(key int16) string { return kmsg.NameForKey(key) }
