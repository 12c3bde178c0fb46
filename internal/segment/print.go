package segment

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/internal/record"
)

// printer writes the lines of a dump: position, bytes, meaning.
type printer struct{ w io.Writer }

// errWriter remembers the first error, so that the printer need not ask after every line.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(p []byte) (int, error) {
	if e.err == nil {
		_, e.err = e.w.Write(p)
	}
	return len(p), nil
}

// field is so many bytes and what they mean.
type field struct {
	size int
	text string
}

// fields prints consecutive fields of b, which stands at the position at; longer ones than a
// line holds continue on the next.
func (p printer) fields(at int64, b []byte, fields []field) {
	const perLine = 8
	for _, f := range fields {
		text := f.text
		for n := f.size; n > 0; {
			k := min(n, perLine)
			fmt.Fprintf(p.w, "%8d  %-23s  %s\n", at, spaced(b[:k]), text)
			at, b, n, text = at+int64(k), b[k:], n-k, "  …"
		}
	}
}

func spaced(b []byte) string { return fmt.Sprintf("% x", b) }

func (p printer) text(s string)   { fmt.Fprintf(p.w, "# %s\n", s) }
func (p printer) fault(err error) { fmt.Fprintf(p.w, "# FAULT: %v\n", err) }

func (p printer) header(h Header, b []byte, size int64) {
	p.text(fmt.Sprintf("segment %s of share %s of cluster %s, %d bytes", h.ID, h.Share, h.Cluster, size))
	p.fields(0, b, []field{
		{8, fmt.Sprintf("magic %q", headMagic)},
		{1, fmt.Sprintf("version %d", b[8])},
		{1, "kind 0: batches as clients sent them, without offsets"},
		{2, fmt.Sprintf("header of %d bytes", len(b))},
		{4, fmt.Sprintf("incarnation %d", h.ID.Incarnation)},
		{8, fmt.Sprintf("session %d", h.ID.Session)},
		{8, fmt.Sprintf("sequence %d", h.ID.Sequence)},
		{1, fmt.Sprintf("length of the cluster's name: %d", len(h.Cluster))},
		{len(h.Cluster), "cluster " + h.Cluster},
		{1, fmt.Sprintf("length of the share's name: %d", len(h.Share))},
		{len(h.Share), "share " + h.Share},
		{4, "CRC-32C of the header"},
	})
}

func (p printer) extent(e *Extent) {
	p.text(fmt.Sprintf("extent of %s: %d bytes, %d records", e.Partition, e.Length, e.Records))
}

// batch prints a line: the batch's place, its records as offsets after the extent's first, and
// what its header says.
func (p printer) batch(at, delta int64, h record.Batch, intact bool) {
	var b strings.Builder
	fmt.Fprintf(&b, "records +%d to +%d, %s", delta, delta+int64(h.LastOffsetDelta()), record.CodecName(h.Codec()))
	if h.ProducerID() >= 0 {
		fmt.Fprintf(&b, ", producer %d epoch %d sequences %d to %d",
			h.ProducerID(), h.ProducerEpoch(), h.FirstSequence(), h.LastSequence())
	}
	fmt.Fprintf(&b, ", %s to %s", timeText(h.FirstTimestamp()), timeText(h.MaxTimestamp()))
	for _, flag := range []struct {
		text string
		set  bool
	}{
		{"append time", h.LogAppendTime()},
		{"transactional", h.IsTransactional()},
		{"control", h.IsControl()},
	} {
		if flag.set {
			b.WriteString(", " + flag.text)
		}
	}
	crc := "intact"
	if !intact {
		crc = "DAMAGED"
	}
	fmt.Fprintf(p.w, "%8d  %-23s  %s\n", at, fmt.Sprintf("batch, %d bytes", h.Length()), b.String()+", "+crc)
}

func (p printer) footer(at int64, b []byte) {
	n := int(binary.BigEndian.Uint32(b))
	p.text("footer")
	p.fields(at, b, []field{{4, fmt.Sprintf("extents: %d", n)}})
	for i := range n {
		from := 4 + extentSize*i
		p.fields(at+int64(from), b[from:], extentFields(b[from:]))
	}
	p.fields(at+int64(len(b)-4), b[len(b)-4:], []field{{4, "CRC-32C of the footer"}})
}

func (p printer) trailer(at int64, b []byte) {
	p.text("trailer")
	p.fields(at, b, []field{
		{4, fmt.Sprintf("footer at %d", binary.BigEndian.Uint32(b))},
		{4, fmt.Sprintf("footer of %d bytes", binary.BigEndian.Uint32(b[4:]))},
		{8, fmt.Sprintf("magic %q", tailMagic)},
		{1, fmt.Sprintf("version %d", b[16])},
		{3, "zero"},
		{4, "CRC-32C of the trailer"},
	})
}

// timeText prints Unix milliseconds as a time, or as the number where they are none.
func timeText(ms int64) string {
	const lastYear = 253402300799999 // 9999-12-31T23:59:59.999Z
	if ms < 0 || ms > lastYear {
		return fmt.Sprint(ms)
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
