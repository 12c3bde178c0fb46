package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire/wiretest"
)

// claim is the beginning of a request that says it has size bytes: of the largest kind.
func claim(size int) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(size))
	return append(b, 0, byte(kmsg.Heartbeat), 0, 4, 0, 0, 0, 7)
}

// TestAStalledFrameHoldsUpNobody lets peers claim the whole budget with frames that they do not
// send: who waits for memory is served as soon as they are cut, not when their frames are overdue.
func TestAStalledFrameHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wiretest.NewPipes()
		cfg := Default()
		r := newRig(t, cfg, p, heartbeats(HandlerFunc(echo)))
		stalled, honest := p.Dial(), p.Dial()
		mustSend(t, stalled, claim(cfg.MaxOtherFrame)) // charged forty times that: everything
		synctest.Wait()
		if used := r.budget.used.Load(); used != cfg.MaxMemory {
			t.Fatalf("%d of %d bytes are charged", used, cfg.MaxMemory)
		}
		start := time.Now()
		mustSend(t, honest, beat(1))
		if _, _, err := answer(honest); err != nil {
			t.Fatalf("the honest request was not answered: %v", err)
		}
		if took := time.Since(start); took > 3*cfg.StallTimeout {
			t.Errorf("the honest request waited for %s", took)
		}
		if _, err := io.ReadAll(stalled); err != nil {
			t.Fatal(err)
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
