package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/isthmusdata/isthmus/fetch"
	"github.com/isthmusdata/isthmus/internal/objstore"
)

// shareReader reads the objects of one share for one agent.
type shareReader struct {
	f     *fetcher
	share string
}

func (f *fetcher) store(share string) (fetch.Getter, error) { return shareReader{f, share}, nil }

// GetRange implements fetch.Getter.
func (s shareReader) GetRange(ctx context.Context, key string, position, length int64) ([]byte, error) {
	f, w := s.f, s.f.w
	w.saw("GET")
	f.witness.reads(key)
	weather := w.bucket.weather[s.share]
	latency := w.between(5*time.Millisecond, 50*time.Millisecond)
	switch {
	case weather == slow && w.chance(0.5):
		latency = w.between(time.Second, 20*time.Second)
	case weather == stalled && w.chance(0.9):
		latency = w.between(10*time.Second, time.Minute)
	}
	throttled := weather == throttling && w.chance(0.7)
	refused := !throttled && w.chance(0.03)
	lost := weather == losing && w.chance(0.6) || w.chance(0.02)
	spoilt := w.chance(0.01)
	came := make(chan struct{}, 1)
	var data []byte
	var err error
	f.later(latency, "GET answered", func() {
		if ctx.Err() != nil {
			return // nobody waits for it any more
		}
		switch body, there := w.bucket.objects[key]; {
		case throttled:
			err = fmt.Errorf("get %s: 503: %w", key, objstore.ErrThrottled)
		case refused:
			err = fmt.Errorf("get %s: refused: %w", key, objstore.ErrUnavailable)
		case lost && w.rng.IntN(2) == 0:
			return // it never comes
		case lost:
			err = fmt.Errorf("get %s: reset: %w", key, objstore.ErrUnavailable)
		case !there:
			f.witness.gone(key)
			err = fmt.Errorf("get %s: %w", key, objstore.ErrNotFound)
		case position < 0 || position+length > int64(len(body)):
			err = fmt.Errorf("get %s: %w", key, objstore.ErrInvalid)
		default:
			data = objstore.Room(ctx, length)
			copy(data, body[position:])
			data = spoil(w, data, spoilt)
		}
		came <- struct{}{}
	})
	if f.crew.Wait(ctx, never, came) != 0 {
		return nil, fmt.Errorf("get %s: %w", key, objstore.ErrUnavailable)
	}
	return data, err
}

// spoil damages a byte, or lets some be missing.
func spoil(w *World, data []byte, damaged bool) []byte {
	if !damaged {
		return data
	}
	w.saw("damaged")
	if w.rng.IntN(3) == 0 {
		return data[:w.rng.IntN(len(data))]
	}
	data[w.rng.IntN(len(data))] ^= byte(1 + w.rng.IntN(255))
	return data
}

var errPeer = errors.New("the agent does not answer")

// Ask implements fetch.PeerTransport.
func (f *fetcher) Ask(ctx context.Context, addr string, frame []byte, want int64) ([]byte, error) {
	w := f.w
	var owner *fetcher
	for _, m := range f.r.fetchers {
		if m.name == addr {
			owner = m
		}
	}
	came := make(chan struct{}, 1)
	var answer []byte
	var err error
	w.after(f.network(), "peer is asked", func() {
		if !owner.up {
			f.later(f.network(), "peer refuses", func() { err = errPeer; came <- struct{}{} })
			return
		}
		if w.chance(0.05) {
			return // it is lost, or the agent frozen
		}
		owner.witness.asked(f.witness)
		handler, crew := owner.handler, owner.crew
		crew.do(func() {
			crew.Go(func() {
				c := question{Reader: bytes.NewReader(frame), answer: &bytes.Buffer{}}
				if e := handler.AnswerPeer(crew.ctx, c); e != nil {
					w.violated("%s cannot answer %s: %v", owner.name, f.name, e)
				}
				f.later(f.network(), "peer answers", func() {
					answer = c.answer.Bytes()
					if w.chance(0.02) && len(answer) > peerHead {
						spoil(w, answer[peerHead:], true)
					}
					came <- struct{}{}
				})
			})
		})
	})
	if f.crew.Wait(ctx, w.now+f.r.config.PeerTimeout, came) != 0 {
		return nil, errPeer
	}
	if err != nil {
		return nil, err
	}
	w.saw("peer answered")
	return fetch.ReadPeerAnswer(bytes.NewReader(answer), want, func() {})
}

// peerHead is what of a peer's answer is not the bytes of an object.
const peerHead = 6

// question is a connection that carries one question.
type question struct {
	io.Reader
	answer *bytes.Buffer
}

func (c question) Write(b []byte) (int, error) { return c.answer.Write(b) }
