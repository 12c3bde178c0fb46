package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Inflate returns the uncompressed records of b: a part of b where they are not compressed,
// else at most limit new bytes. The codecs' own buffers come on top: at most 8 MiB for lz4, and
// for zstd a window of at most limit.
func Inflate(b Batch, limit int) ([]byte, error) {
	if len(b) < HeaderSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTruncated, len(b))
	}
	body := []byte(b[HeaderSize:])
	var err error
	switch codec := b.Codec(); codec {
	case CodecNone:
		if len(body) > limit {
			err = ErrTooLarge
		}
	case CodecGzip:
		body, err = inflateGzip(body, limit)
	case CodecSnappy:
		body, err = inflateSnappy(body, limit)
	case CodecLZ4:
		body, err = readBounded(lz4.NewReader(bytes.NewReader(body)), limit)
	case CodecZstd:
		body, err = inflateZstd(body, limit)
	default:
		return nil, fmt.Errorf("%w: %d", ErrCodec, codec)
	}
	switch {
	case err == nil:
		return body, nil
	case errors.Is(err, ErrTooLarge):
		return nil, fmt.Errorf("inflate %s: %w: %d bytes", CodecName(b.Codec()), ErrTooLarge, limit)
	default:
		return nil, fmt.Errorf("%w: inflate %s: %w", ErrCorrupt, CodecName(b.Codec()), err)
	}
}

func inflateGzip(body []byte, limit int) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return readBounded(r, limit)
}

func inflateZstd(body []byte, limit int) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(max(limit, 1))))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	out, err := d.DecodeAll(body, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || len(out) > limit {
		return nil, ErrTooLarge
	}
	return out, err
}

// readBounded reads r to its end; it grows with what has been read, never with what is claimed.
func readBounded(r io.Reader, limit int) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if len(out) > limit {
		return nil, ErrTooLarge
	}
	return out, err
}

// xerial is the framing of the Java client's snappy: this magic, two version numbers, and then
// blocks with their length before them. Other clients send one bare block.
var xerial = [8]byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeader = 16

func inflateSnappy(body []byte, limit int) ([]byte, error) {
	if len(body) < xerialHeader || !bytes.Equal(body[:len(xerial)], xerial[:]) {
		return appendSnappy(nil, body, limit)
	}
	var out []byte
	for body = body[xerialHeader:]; len(body) > 0; {
		if len(body) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(body))
		if body = body[4:]; n > int64(len(body)) {
			return nil, io.ErrUnexpectedEOF
		}
		var err error
		if out, err = appendSnappy(out, body[:n], limit); err != nil {
			return nil, err
		}
		body = body[n:]
	}
	return out, nil
}

func appendSnappy(dst, block []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return nil, err
	}
	if n > limit-len(dst) {
		return nil, ErrTooLarge
	}
	// A copy of 64 bytes costs at least three, so more than that is a lie, found before it is
	// believed with memory.
	if n > 22*len(block)+64 {
		return nil, errors.New("block claims more than it can hold")
	}
	plain, err := snappy.Decode(nil, block)
	if err != nil {
		return nil, err
	}
	return append(dst, plain...), nil
}
