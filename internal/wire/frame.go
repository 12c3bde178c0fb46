package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A frame is a big-endian int32 length and that many bytes, which begin with
//
//	int16 key, int16 version, int32 correlation id      always
//	nullable string client id                           unless key 7 version 0
//	tags                                                for flexible versions (header version 2)
//
// and end with the request's body.
const (
	headMin   = 8  // key, version, correlation id
	parseCost = 40 // bytes of memory that a decoded byte can take at worst (empty strings, tags)
)

var (
	errHead   = errors.New("request header cut short")
	errBody   = errors.New("malformed request body")
	errTagged = errors.New("malformed tags in request header")
)

// head is the fixed part of a request's header.
type head struct {
	key, version int16
	correlation  int32
}

func parseHead(b []byte) head {
	return head{
		key:         int16(binary.BigEndian.Uint16(b)),
		version:     int16(binary.BigEndian.Uint16(b[2:])),
		correlation: int32(binary.BigEndian.Uint32(b[4:])),
	}
}

// checkLength says why a frame of this length will not be read; the length may be something else
// altogether when the peer does not speak Kafka.
func checkLength(length []byte, limit int) (int, error) {
	n := int32(binary.BigEndian.Uint32(length))
	if n >= headMin && int(n) <= limit {
		return int(n), nil
	}
	switch {
	case length[0] == 0x16 && length[1] == 3:
		return 0, errors.New("the peer speaks TLS, this listener is plain: set security.protocol=PLAINTEXT at the client, or give the listener a certificate")
	case isHTTP(string(length)):
		return 0, errors.New("the peer speaks HTTP, this is the Kafka listener: health, metrics and pages are on the HTTP address")
	case n < 0:
		return 0, fmt.Errorf("negative frame length %d", n)
	case n < headMin:
		return 0, fmt.Errorf("frame of %d bytes is too short for a request header", n)
	}
	return 0, fmt.Errorf("frame of %d bytes is over the limit of %d", n, limit)
}

func isHTTP(s string) bool {
	switch s {
	case "GET ", "POST", "PUT ", "HEAD", "DELE", "OPTI", "PATC", "CONN", "TRAC", "PRI ":
		return true
	}
	return false
}

// parseRequest understands a frame whose key and version are known to be served. The body's byte
// slices are parts of frame.
func parseRequest(frame []byte) (*Request, error) {
	if len(frame) < headMin {
		return nil, errHead
	}
	h := parseHead(frame)
	body := kmsg.RequestForKey(h.key)
	if body == nil || h.version < 0 || h.version > body.MaxVersion() {
		return nil, fmt.Errorf("unknown request key %d version %d", h.key, h.version)
	}
	body.SetVersion(h.version)
	rd := kbin.Reader{Src: frame[headMin:]}
	clientID := rd.NullableString()
	if rd.Complete() != nil {
		return nil, errHead
	}
	if body.IsFlexible() {
		if kmsg.SkipTags(&rd); rd.Complete() != nil {
			return nil, errTagged
		}
	}
	if err := checkProduce(h, rd.Src); err != nil {
		return nil, err
	}
	if err := body.ReadFrom(rd.Src); err != nil {
		return nil, fmt.Errorf("%w: %w", errBody, err)
	}
	r := &Request{Key: h.key, Version: h.version, CorrelationID: h.correlation, Body: body, Size: len(frame)}
	if clientID != nil {
		r.ClientID = *clientID
	}
	return r, nil
}

// checkProduce bounds what decoding a Produce request may cost before it is decoded. kmsg bounds an
// array by the bytes that are left, so that partitions without records would take eight times the
// frame; real ones carry at least a batch header.
func checkProduce(h head, body []byte) error {
	if h.key != int16(kmsg.Produce) {
		return nil
	}
	flexible := h.version >= 9
	rd := kbin.Reader{Src: body}
	if h.version >= 3 {
		skipNullableString(&rd, flexible)
	}
	rd.Span(2 + 4) // acks, timeout
	allowed := produceAllowed(len(body))
	for range max(0, arrayLen(&rd, flexible)) {
		if allowed--; !rd.Ok() || allowed < 0 {
			break
		}
		if h.version >= 13 {
			rd.Span(16)
		} else {
			skipString(&rd, flexible)
		}
		for range max(0, arrayLen(&rd, flexible)) {
			if allowed--; !rd.Ok() || allowed < 0 {
				break
			}
			rd.Span(4)
			skipNullableBytes(&rd, flexible)
			allowed -= skipTags(&rd, flexible)
		}
		allowed -= skipTags(&rd, flexible)
	}
	if allowed < 0 {
		return fmt.Errorf("%w: produce request names more partitions than it can hold batches of", errBody)
	}
	if !rd.Ok() {
		return fmt.Errorf("%w: %w", errBody, io.ErrUnexpectedEOF)
	}
	return nil
}

const (
	// produceEntries topics and partitions may be named whatever the size of the frame.
	produceEntries = 2048
	// produceEntryMin bytes stand behind every further one: the header of an empty batch.
	produceEntryMin = 61
	// produceEntryCost is the memory of one decoded topic or partition, at most.
	produceEntryCost = 64
	// produceEntryWire is the least that one takes in a frame.
	produceEntryWire = 6
)

// produceAllowed is how many topics and partitions a request of size bytes may name.
func produceAllowed(size int) int {
	return min(produceEntries+size/produceEntryMin, size/produceEntryWire)
}

func arrayLen(rd *kbin.Reader, flexible bool) int32 {
	if flexible {
		return rd.CompactArrayLen()
	}
	return rd.ArrayLen()
}

func skipString(rd *kbin.Reader, flexible bool) {
	if flexible {
		rd.Span(int(rd.Uvarint()) - 1)
		return
	}
	rd.Span(int(rd.Int16()))
}

func skipNullableString(rd *kbin.Reader, flexible bool) {
	if flexible {
		rd.Span(max(0, int(rd.Uvarint())-1))
		return
	}
	rd.Span(max(0, int(rd.Int16())))
}

func skipNullableBytes(rd *kbin.Reader, flexible bool) {
	if flexible {
		rd.Span(max(0, int(rd.Uvarint())-1))
		return
	}
	rd.Span(max(0, int(rd.Int32())))
}

func skipTags(rd *kbin.Reader, flexible bool) (n int) {
	if !flexible {
		return 0
	}
	for num := rd.Uvarint(); num > 0 && rd.Ok(); num-- {
		rd.Uvarint()
		rd.Span(int(rd.Uvarint()))
		n++
	}
	return n
}

// parseCharge is what reading and decoding a request of key may take at worst.
func parseCharge(key int16, size int) int64 {
	if key == int16(kmsg.Produce) {
		return int64(size) + int64(produceAllowed(size))*produceEntryCost
	}
	return int64(size) * parseCost
}

// name is the request's name as metrics and logs show it.
func (r *Request) name() string { return kmsg.NameForKey(r.Key) }
