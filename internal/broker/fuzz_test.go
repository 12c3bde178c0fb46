package broker

import (
	"encoding/binary"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzServe finds no body of any request, in any version that is served, that an agent does not survive: it
// is answered as its version demands, or its connection is closed.
func FuzzServe(f *testing.F) {
	for key := range int16(70) {
		req := kmsg.RequestForKey(key)
		if req == nil {
			continue
		}
		for _, version := range []int16{0, req.MaxVersion() / 2, req.MaxVersion()} {
			req := kmsg.RequestForKey(key)
			req.SetVersion(version)
			f.Add(key, version, req.AppendTo(nil))
			fill(reflect.ValueOf(req).Elem())
			f.Add(key, version, req.AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		req := kmsg.RequestForKey(key)
		if req == nil || version < 0 || version > req.MaxVersion() || len(body) > 64<<10 {
			return
		}
		req.SetVersion(version)
		a := newAgent(t, Default(), newFakeControl("x", "orders"), alone(), nil)
		conn := a.pipes.Dial()
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		frame := append(binary.BigEndian.AppendUint32(nil, 0), 0, byte(key), 0, byte(version), 0, 0, 0, 9, 0xff, 0xff)
		if req.IsFlexible() {
			frame = append(frame, 0)
		}
		frame = append(frame, body...)
		binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
		if _, err := conn.Write(frame); err != nil {
			return // refused by its header
		}
		var length [4]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return // closed
		}
		answer := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatalf("%s version %d: half an answer: %v", kmsg.NameForKey(key), version, err)
		}
		answer = answer[4:]
		if req.IsFlexible() && key != int16(kmsg.ApiVersions) {
			answer = answer[1:]
		}
		resp := req.ResponseKind()
		if err := resp.ReadFrom(answer); err != nil {
			if resp.SetVersion(0); key == int16(kmsg.ApiVersions) && resp.ReadFrom(answer) == nil {
				return // it steps down
			}
			t.Fatalf("%s version %d: answered with what it is not: %v", kmsg.NameForKey(key), version, err)
		}
	})
}
