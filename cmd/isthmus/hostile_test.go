package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/record/recordtest"
)

// TestHostileBytesEndTheirConnectionAndNothingElse sends what no client sends to an agent that
// serves others meanwhile.
func TestHostileBytesEndTheirConnectionAndNothingElse(t *testing.T) {
	t.Parallel()
	l := startLands(t)
	l.create("quiet", 1)
	l.create("quiet-too", 1)
	honest := l.dial("prod-1")
	for name, send := range hostileBytes() {
		t.Run(name, func(t *testing.T) {
			c := dialKafka(t, l.address("prod-1"))
			if _, err := c.conn.Write(send); err != nil {
				t.Fatal(err)
			}
			c.closed()
			honest.stored("quiet", recordtest.Batch(recordtest.Options{}))
		})
	}
	t.Run("half a frame, and then nothing", func(t *testing.T) { l.in(t).halfFrames(honest) })
	t.Run("frames that claim all memory and never come", func(t *testing.T) { l.in(t).hugeClaims() })
	t.Run("more connections than are allowed", func(t *testing.T) { l.in(t).tooManyConnections() })
	t.Run("a version that is not served", func(t *testing.T) { l.in(t).strangeVersions() })
	t.Run("gossip and readers' ports", func(t *testing.T) { l.in(t).otherPorts() })
	if got := values(l.read("quiet", len(hostileBytes()))); len(got) != len(hostileBytes()) {
		t.Errorf("read %d records", len(got))
	}
}

func hostileBytes() map[string][]byte {
	request := kmsg.NewPtrMetadataRequest()
	request.SetVersion(12)
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, request, 1)
	truncated := append([]byte{}, frame[:len(frame)-3]...)
	binary.BigEndian.PutUint32(truncated, uint32(len(truncated)-4))
	garbage := make([]byte, 1000)
	_, _ = rand.Read(garbage[4:]) // never fails
	binary.BigEndian.PutUint32(garbage, uint32(len(garbage)-4))
	binary.BigEndian.PutUint16(garbage[4:], 9999)
	return map[string][]byte{
		"HTTP":                      []byte("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
		"TLS":                       {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03},
		"a negative length":         {0xff, 0xff, 0xff, 0xff},
		"a length of 2 GiB":         {0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9},
		"a length above the bound":  binary.BigEndian.AppendUint32(nil, 100<<20+1),
		"a length of nothing":       {0, 0, 0, 0},
		"a body that is cut short":  truncated,
		"random bytes":              garbage,
		"an array of 2^31 elements": {0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff},
	}
}

// halfFrames leaves connections hanging in the middle of a request while an honest one goes on.
func (l *lands) halfFrames(honest *caller) {
	whole := honest.format.AppendRequest(nil, produceRequest(-1, "quiet", recordtest.Batch(recordtest.Options{Size: 100})), 1)
	for cut := 1; cut < len(whole); cut += 7 {
		c := l.dial("prod-1")
		if _, err := c.conn.Write(whole[:cut]); err != nil {
			l.t.Fatal(err)
		}
		if cut%2 == 0 {
			c.conn.Close()
		}
	}
	if p := listOffset(honest, 7, "quiet", atLatest); p.ErrorCode != 0 || p.Offset != int64(len(hostileBytes())) {
		l.t.Errorf("code %d, the log ends at %d, want only what honest clients sent", p.ErrorCode, p.Offset)
	}
}

// hugeClaims opens connections that announce large requests, and send just enough of them to be believed.
func (l *lands) hugeClaims() {
	claim := binary.BigEndian.AppendUint32(nil, 90<<20)
	claim = append(claim, 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0) // Produce, version 9
	claim = append(claim, make([]byte, 8<<10)...)
	for range 3 {
		if _, err := l.dial("prod-2").conn.Write(claim); err != nil {
			l.t.Fatal(err)
		}
	}
	most := l.running("prod-2").config.Wire.MaxMemory
	eventually(l.t, "the claims are charged", func() bool { return gauge(l.t, l.running("prod-2"), "isthmus_wire_in_flight_bytes") > 90<<20 })
	if used := gauge(l.t, l.running("prod-2"), "isthmus_wire_in_flight_bytes"); used > float64(most) {
		l.t.Errorf("%.0f bytes are in flight, more than the %d that are allowed", used, most)
	}
	l.dial("prod-1").stored("quiet-too", recordtest.Batch(recordtest.Options{})) // the other agent has its own
	c := l.dial("prod-2")
	c.stored("quiet-too", recordtest.Batch(recordtest.Options{})) // and this one serves as soon as it has cut the stalled
}

// gauge is the value of an agent's metric without labels.
func gauge(t *testing.T, a *agent, name string) float64 {
	t.Helper()
	families, err := a.deps.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func (l *lands) tooManyConnections() {
	l.addAgent("narrow-1", "narrow", rolesOf("produce"), func(c *agentConfig) { c.Wire.MaxConnections = 3 })
	var callers []*caller
	served := func(c *caller) bool {
		request := kmsg.NewPtrApiVersionsRequest()
		request.SetVersion(0)
		if _, err := c.conn.Write(c.format.AppendRequest(nil, request, 0)); err != nil {
			return false
		}
		_, err := readFrame(c.conn)
		return err == nil
	}
	for i := range 5 {
		c := l.dial("narrow-1")
		callers = append(callers, c)
		if got, want := served(c), i < 3; got != want {
			l.t.Errorf("connection %d of 3: served %v", i+1, got)
		}
	}
	callers[0].conn.Close()
	eventually(l.t, "there is room again", func() bool { return served(l.dial("narrow-1")) })
}

func (l *lands) strangeVersions() {
	// ApiVersions steps down in version 0 and the connection lives on; anything else closes it.
	c := l.dial("analytics-1")
	request := kmsg.NewPtrApiVersionsRequest()
	request.SetVersion(4)
	frame := c.format.AppendRequest(nil, request, 0)
	binary.BigEndian.PutUint16(frame[6:], 99)
	if _, err := c.conn.Write(frame); err != nil {
		l.t.Fatal(err)
	}
	body, err := readFrame(c.conn)
	if err != nil {
		l.t.Fatal(err)
	}
	answer := kmsg.NewPtrApiVersionsResponse()
	if err := answer.ReadFrom(body[4:]); err != nil || answer.ErrorCode != 35 || len(answer.ApiKeys) != 1 || answer.ApiKeys[0].ApiKey != 18 || answer.ApiKeys[0].MaxVersion < 4 {
		l.t.Errorf("version 99 of ApiVersions: %v, %+v", err, answer)
	}
	c.next = 1
	if got := call[*kmsg.ApiVersionsResponse](c, 0, kmsg.NewPtrApiVersionsRequest()); got.ErrorCode != 0 {
		l.t.Errorf("the connection is of no use any more: code %d", got.ErrorCode)
	}
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.SetVersion(12)
	frame = c.format.AppendRequest(nil, metadata, 2)
	binary.BigEndian.PutUint16(frame[6:], 99)
	if _, err := c.conn.Write(frame); err != nil {
		l.t.Fatal(err)
	}
	c.closed()
}

// otherPorts sends noise to the ports that only agents should use.
func (l *lands) otherPorts() {
	for name, address := range map[string]string{
		"readers": l.running("analytics-1").peers.Addr().String(), "gossip": l.running("analytics-1").gossip.Address(), "control": l.controlAddr(),
	} {
		for _, send := range [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n"), bytes.Repeat([]byte{0xff}, 100), {0, 0}, []byte(strings.Repeat("x", 70_000))} {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				l.t.Fatalf("dial %s: %v", name, err)
			}
			_, _ = conn.Write(send) // it may be cut off before its end
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, _ = io.Copy(io.Discard, conn) // until it is cut off, or long enough
			conn.Close()
		}
	}
	l.create("still-there", 1)
	l.dial("prod-1").stored("still-there", recordtest.Batch(recordtest.Options{}))
	for _, name := range []string{"analytics-1", "analytics-2"} {
		if p := l.dial(name).fetch(11, fetchRequest("still-there", 0, 0))[0]; p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
			l.t.Errorf("%s: fetch: code %d, %d bytes", name, p.ErrorCode, len(p.RecordBatches))
		}
	}
}
