package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

// claim is the beginning of a request that says it has size bytes, with sent of them behind its header.
func claim(key kmsg.Key, size, sent int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(size))
	return append(append(b, 0, byte(key), 0, 4, 0, 0, 0, 7), make([]byte, sent)...)
}

// TestAnAnnouncedFrameTakesNoMemory: the header of a large frame is only a word.
func TestAnAnnouncedFrameTakesNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		cfg := Default()
		r := newRig(t, cfg, p, heartbeats(HandlerFunc(echo)))
		for range 100 {
			mustSend(t, p.Dial(), claim(kmsg.Heartbeat, cfg.MaxOtherFrame, 100))
		}
		synctest.Wait()
		if used := r.budget.used.Load(); used != 0 {
			t.Errorf("%d bytes are charged", used)
		}
	})
}

// TestAStalledFrameHoldsUpNobody lets many peers claim memory with frames that they do not send: requests of
// other classes are served at once, and of the same class those of connections that have sent a whole one before, as soon
// as one claim is cut; a new connection has its turn soon after.
func TestAStalledFrameHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		cfg := Default()
		r := newRig(t, cfg, p, heartbeats(HandlerFunc(echo)))
		large := kmsg.NewPtrHeartbeatRequest()
		large.Group = string(bytes.Repeat([]byte("g"), 1<<20))
		whole := request(large, 4, 1)
		took := func(c net.Conn, send []byte) time.Duration {
			t.Helper()
			start := time.Now()
			mustSend(t, c, send)
			if _, _, err := answer(c); err != nil {
				t.Fatalf("the honest request was not answered: %v", err)
			}
			return time.Since(start)
		}
		honest, proven := p.Dial(), p.Dial()
		took(proven, whole)
		for range 100 {
			mustSend(t, p.Dial(), claim(kmsg.Heartbeat, cfg.MaxOtherFrame, readBuffer)) // charged forty times that: all of its class
		}
		synctest.Wait()
		if used := r.budget.used.Load(); used != r.budget.pools[giant].size {
			t.Fatalf("%d bytes are charged", used)
		}
		if d := took(honest, beat(1)); d != 0 {
			t.Errorf("a small request waited for %s", d)
		}
		if d := took(proven, whole); d > 2*cfg.StallTimeout {
			t.Errorf("a large request of a proven connection waited for %s", d)
		}
		if d := took(p.Dial(), beat(2)); d != 0 {
			t.Errorf("a new connection waited for %s", d)
		}
	})
}

// TestLines serves the proven first, the new every fourth time, and each line in its order.
func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{size: 10}
		ctx, cancel := context.WithCancel(t.Context())
		if err := p.acquire(ctx, 10, false); err != nil {
			t.Fatal(err)
		}
		var order []string
		line := func(name string, proven bool) {
			go func() {
				if p.acquire(ctx, 6, proven) == nil {
					order = append(order, name)
				}
			}()
			synctest.Wait()
		}
		for i := range 5 {
			line(fmt.Sprintf("new %d", i), false)
		}
		for i := range 5 {
			line(fmt.Sprintf("proven %d", i), true)
		}
		p.release(10)
		synctest.Wait()
		for range 8 {
			p.release(6)
			synctest.Wait()
		}
		want := []string{"proven 0", "proven 1", "proven 2", "new 0", "proven 3", "proven 4", "new 1", "new 2", "new 3"}
		if !slices.Equal(order, want) {
			t.Errorf("%q", order)
		}
		cancel()
		synctest.Wait()
		if p.contended() || p.used != 6 {
			t.Errorf("%d bytes are taken, waiting: %v", p.used, p.contended())
		}
	})
}

// TestASlowFrameIsReadOn is a frame that comes slowly while others wait, or pauses while nobody
// does: both are read to their end.
func TestASlowFrameIsReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		cfg := Default()
		newRig(t, cfg, p, heartbeats(HandlerFunc(echo)))
		slow, other := p.Dial(), p.Dial()
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group = string(bytes.Repeat([]byte("g"), 10<<20))
		whole := request(req, 4, 1)
		mustSend(t, slow, whole[:100])
		time.Sleep(3 * cfg.StallTimeout) // virtual: nobody waits, so nothing happens
		mustSend(t, other, beat(2))
		for at, piece := 100, len(whole)/4; at < len(whole); at += piece {
			mustSend(t, slow, whole[at:min(at+piece, len(whole))])
			time.Sleep(cfg.StallTimeout / 2)
		}
		if id, _, err := answer(slow); err != nil || id != 1 {
			t.Errorf("the slow request: answer to %d, %v", id, err)
		}
		if id, _, err := answer(other); err != nil || id != 2 {
			t.Errorf("the other request: answer to %d, %v", id, err)
		}
	})
}
