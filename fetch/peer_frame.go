package fetch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/segment"
)

// How agents of a group and zone ask each other for bytes. All numbers are big endian. A
// connection carries one request at a time.
//
//	request    u32 length of what follows
//	           u8  version: 1
//	           u8  class: 0 tail, 1 cold
//	           u32 milliseconds that the asker waits
//	           u32 incarnation, u64 session, u64 sequence, 12 bytes nonce
//	           u32 size of the object
//	           u8  length, share; u8 length, group
//	           u16 count, then for each range: u32 position, u32 length (whole batches)
//
//	answer     u8  version: 1
//	           u8  status: 0 ok, else why not
//	           u32 length of what follows: the ranges back to back, or a text
const (
	peerVersion    = 1
	peerMaxRequest = 16 << 10
	peerMaxSpans   = 1024
	peerMaxBytes   = objstore.MaxWhole // of all ranges of a request
	peerMaxText    = 1 << 10
	peerMaxWait    = 1<<31 - 1 // milliseconds
	peerAnswerHead = 6
	peerFixed      = 2 + 4 + 4 + 8 + 8 + 12 + 4
)

// The statuses of an answer.
const (
	peerOK uint8 = iota
	peerBadRequest
	peerNotFound
	peerFailed
)

// errPeerFrame: the bytes are not what the protocol allows.
var errPeerFrame = errors.New("malformed peer frame")

// peerRequest asks for ranges of an object.
type peerRequest struct {
	class  class
	wait   time.Duration
	object segment.Object
	size   uint32
	spans  []span
}

// appendPeerRequest encodes q, with its length in front.
func appendPeerRequest(dst []byte, q *peerRequest) ([]byte, error) {
	if len(q.spans) == 0 || len(q.spans) > peerMaxSpans {
		return nil, fmt.Errorf("ask peer for %d ranges: at most %d", len(q.spans), peerMaxSpans)
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, peerVersion, byte(q.class))
	dst = binary.BigEndian.AppendUint32(dst, uint32(max(0, min(q.wait.Milliseconds(), peerMaxWait))))
	dst = binary.BigEndian.AppendUint32(dst, q.object.ID.Incarnation)
	dst = binary.BigEndian.AppendUint64(dst, q.object.ID.Session)
	dst = binary.BigEndian.AppendUint64(dst, q.object.ID.Sequence)
	dst = append(dst, q.object.Nonce[:]...)
	dst = binary.BigEndian.AppendUint32(dst, q.size)
	for _, name := range []string{q.object.Share, q.object.Group} {
		if len(name) > segment.MaxName {
			return nil, fmt.Errorf("ask peer: name of %d bytes: at most %d", len(name), segment.MaxName)
		}
		dst = append(append(dst, byte(len(name))), name...)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(q.spans)))
	for _, s := range q.spans {
		dst = binary.BigEndian.AppendUint32(dst, uint32(s.from))
		dst = binary.BigEndian.AppendUint32(dst, uint32(s.size()))
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst, nil
}

// readPeerRequest reads one request and bounds everything it says.
func readPeerRequest(r io.Reader) (peerRequest, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return peerRequest{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < peerFixed || n > peerMaxRequest {
		return peerRequest{}, fmt.Errorf("%w: request of %d bytes", errPeerFrame, n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return peerRequest{}, err
	}
	return parsePeerRequest(b)
}

// parsePeerRequest decodes what follows the length.
func parsePeerRequest(b []byte) (peerRequest, error) {
	bad := func(format string, args ...any) (peerRequest, error) {
		return peerRequest{}, fmt.Errorf("%w: %s", errPeerFrame, fmt.Sprintf(format, args...))
	}
	if len(b) < peerFixed {
		return bad("%d bytes", len(b))
	}
	if b[0] != peerVersion || b[1] >= classes {
		return bad("version %d, class %d", b[0], b[1])
	}
	wait := binary.BigEndian.Uint32(b[2:])
	if wait > peerMaxWait {
		return bad("a wait of %d ms", wait)
	}
	q := peerRequest{class: class(b[1]), wait: time.Duration(wait) * time.Millisecond}
	q.object.ID = segment.ID{
		Incarnation: binary.BigEndian.Uint32(b[6:]),
		Session:     binary.BigEndian.Uint64(b[10:]),
		Sequence:    binary.BigEndian.Uint64(b[18:]),
	}
	copy(q.object.Nonce[:], b[26:])
	q.size = binary.BigEndian.Uint32(b[38:])
	b = b[peerFixed:]
	for _, name := range []*string{&q.object.Share, &q.object.Group} {
		if len(b) == 0 || len(b)-1 < int(b[0]) {
			return bad("name cut off")
		}
		*name, b = string(b[1:1+b[0]]), b[1+b[0]:]
		if err := segment.CheckName("share or group", *name); err != nil {
			return bad("%v", err)
		}
	}
	if len(b) < 2 {
		return bad("ranges cut off")
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n == 0 || n > peerMaxSpans || len(b) != 8*n {
		return bad("%d ranges in %d bytes", n, len(b))
	}
	q.spans = make([]span, n)
	total := int64(0)
	for i := range q.spans {
		from, length := int64(binary.BigEndian.Uint32(b[8*i:])), int64(binary.BigEndian.Uint32(b[8*i+4:]))
		if length == 0 || from+length > int64(q.size) {
			return bad("range %d+%d in %d bytes", from, length, q.size)
		}
		q.spans[i] = span{from, from + length}
		if total += length; total > peerMaxBytes {
			return bad("ranges of more than %d bytes", peerMaxBytes)
		}
	}
	return q, nil
}

// appendPeerHead encodes the head of an answer.
func appendPeerHead(dst []byte, status uint8, length int64) []byte {
	dst = append(dst, peerVersion, status)
	return binary.BigEndian.AppendUint32(dst, uint32(length))
}

// ReadPeerAnswer reads the answer to a request for so many bytes. begun is called once the
// head is there.
func ReadPeerAnswer(r io.Reader, want int64, begun func()) ([]byte, error) {
	var head [peerAnswerHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	begun()
	length := int64(binary.BigEndian.Uint32(head[2:]))
	switch {
	case head[0] != peerVersion:
		return nil, fmt.Errorf("%w: answer of version %d", errPeerFrame, head[0])
	case head[1] == peerOK && length == want:
		b := make([]byte, want)
		_, err := io.ReadFull(r, b)
		return b, err
	case head[1] == peerOK || length > peerMaxText:
		return nil, fmt.Errorf("%w: answer of %d bytes, asked for %d", errPeerFrame, length, want)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	return nil, &peerRefusal{status: head[1], text: string(text)}
}

// peerRefusal is an answer that is not the bytes; the connection is still good.
type peerRefusal struct {
	status uint8
	text   string
}

func (e *peerRefusal) Error() string { return fmt.Sprintf("peer answered %d: %s", e.status, e.text) }
