package s3store

import (
	"errors"
	"io"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

// body reads gathered buffers one after the other, without copying them together. It never has a
// WriteTo: the SDK takes it away when a request ends early, and no slice may be read after that.
type body struct {
	buffers [][]byte
	size    int64
	at      int64 // bytes read
	index   int   // buffer that holds the next byte
	offset  int   // and where in it
}

func newBody(buffers [][]byte) *body {
	return &body{buffers: buffers, size: objstore.Size(buffers)}
}

// Len is what is left to read.
func (b *body) Len() int { return int(b.size - b.at) }

func (b *body) Read(p []byte) (n int, err error) {
	for n < len(p) && b.index < len(b.buffers) {
		copied := copy(p[n:], b.buffers[b.index][b.offset:])
		n += copied
		b.offset += copied
		if b.offset == len(b.buffers[b.index]) {
			b.index, b.offset = b.index+1, 0
		}
	}
	b.at += int64(n)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (b *body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 || offset > b.size {
		return b.at, errors.New("seek outside the body")
	}
	b.at, b.index, b.offset = offset, 0, 0
	for left := offset; b.index < len(b.buffers); b.index++ {
		if size := int64(len(b.buffers[b.index])); left >= size {
			left -= size
			continue
		}
		b.offset = int(left)
		break
	}
	return offset, nil
}
