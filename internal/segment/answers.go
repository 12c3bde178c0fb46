package segment

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// Bits of an encoded answer's first byte.
const (
	verdictMask  = 0x03
	hasCode      = 0x04
	sameLogStart = 0x08
)

// AppendAnswers encodes the answers to one commit:
//
//	version 1 byte
//	answers uvarint
//	each answer:
//	  flags     1 byte   bits 0-1 verdict, 2: a code follows, 3: the log start of the answer before
//	  code      varint   if flagged
//	  offset    varint   minus the offset of the answer before
//	  log start varint   unless flagged
func AppendAnswers(dst []byte, answers []Answer) []byte {
	dst = append(dst, encodingVersion)
	dst = binary.AppendUvarint(dst, uint64(len(answers)))
	last := Answer{LogStart: topic.NoOffset}
	for _, a := range answers {
		flags := byte(a.Verdict) & verdictMask
		if a.Code != 0 {
			flags |= hasCode
		}
		if a.LogStart == last.LogStart {
			flags |= sameLogStart
		}
		dst = append(dst, flags)
		if a.Code != 0 {
			dst = binary.AppendVarint(dst, int64(a.Code))
		}
		dst = binary.AppendVarint(dst, int64(a.Offset-last.Offset))
		if a.LogStart != last.LogStart {
			dst = binary.AppendVarint(dst, int64(a.LogStart))
		}
		last = a
	}
	return dst
}

// ParseAnswers decodes answers and refuses what would be neither a place nor a refusal: an
// answer without an offset must never look like an acknowledgement.
func ParseAnswers(b []byte) ([]Answer, error) {
	d := decoder{b: b}
	d.version()
	n := d.count(MaxRows, 2)
	if d.err != nil || n == 0 {
		return nil, d.finish()
	}
	answers := make([]Answer, 0, n)
	last := Answer{LogStart: topic.NoOffset}
	for i := range n {
		last = d.answer(last)
		if d.err == nil {
			if err := last.Validate(); err != nil {
				return nil, fmt.Errorf("answer %d: %w", i, err)
			}
		}
		answers = append(answers, last)
	}
	if err := d.finish(); err != nil {
		return nil, err
	}
	return answers, nil
}

func (d *decoder) answer(last Answer) Answer {
	flags := d.byte()
	if flags&^(verdictMask|hasCode|sameLogStart) != 0 {
		d.fail("answer flags")
	}
	a := Answer{Verdict: Verdict(flags & verdictMask), LogStart: last.LogStart}
	if flags&hasCode != 0 {
		code := d.varint()
		if code < math.MinInt16 || code > math.MaxInt16 {
			d.fail("answer code")
		}
		a.Code = int16(code)
	}
	a.Offset = last.Offset + topic.Offset(d.varint())
	if flags&sameLogStart == 0 {
		a.LogStart = topic.Offset(d.varint())
	}
	return a
}

// Validate reports an answer that contradicts itself.
func (a Answer) Validate() error {
	ok := a.Offset >= topic.NoOffset && a.LogStart >= topic.NoOffset
	switch a.Verdict {
	case Placed:
		ok = ok && a.Code == 0 && a.Offset >= 0
	case Duplicate:
		ok = ok && (a.Code == 0) == (a.Offset >= 0)
	case Refused:
		ok = ok && a.Code != 0
	default:
		ok = false
	}
	if !ok {
		return fmt.Errorf("%w: verdict %d, code %d, offset %d, log start %d",
			ErrManifest, a.Verdict, a.Code, a.Offset, a.LogStart)
	}
	return nil
}
