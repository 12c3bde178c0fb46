package segment

import (
	"context"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/isthmusdata/isthmus/internal/record"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// RangeGetter is the one thing a reader asks of object storage: exactly length bytes from
// position on, or an error.
type RangeGetter interface {
	GetRange(ctx context.Context, key string, position, length int64) ([]byte, error)
}

// tailGuess is read at the end of an object in the hope that the footer lies in it: 340
// partitions.
const tailGuess = 16 << 10

// ReadFooter reads header and footer of the object under key, whose size is known, in one to
// three ranges, and checks that it is the one wanted. The bytes between are not looked at.
func ReadFooter(ctx context.Context, get RangeGetter, key string, size int64, want Object) (Footer, error) {
	cluster, _, _ := strings.Cut(key, "/")
	if key != Key(cluster, want) {
		return Footer{}, corrupt("key %s is not that of segment %s of share %s", key, want.ID, want.Share)
	}
	f, err := readFooter(ctx, get, key, size, wantHeader(cluster, want))
	if err != nil {
		return Footer{}, fmt.Errorf("read footer of %s: %w", key, err)
	}
	return f, nil
}

func wantHeader(cluster string, o Object) Header {
	return Header{Kind: KindLevel0, Cluster: cluster, Share: o.Share, ID: o.ID}
}

func readFooter(ctx context.Context, get RangeGetter, key string, size int64, want Header) (Footer, error) {
	if size < minSize || size > MaxSize {
		return Footer{}, corrupt("%d bytes", size)
	}
	from := max(0, size-tailGuess)
	tail, err := getExactly(ctx, get, key, from, size-from)
	if err != nil {
		return Footer{}, err
	}
	position, length, err := parseTrailer(tail[len(tail)-trailerSize:], size)
	if err != nil {
		return Footer{}, err
	}
	if int64(position) < from {
		rest, err := getExactly(ctx, get, key, int64(position), from-int64(position))
		if err != nil {
			return Footer{}, err
		}
		tail, from = append(rest, tail...), int64(position)
	}
	head := tail
	if from > 0 {
		n := min(size, int64(HeaderSize(want.Cluster, want.Share)))
		if head, err = getExactly(ctx, get, key, 0, n); err != nil {
			return Footer{}, err
		}
	}
	headerLength, err := checkHeader(head, want)
	if err != nil {
		return Footer{}, err
	}
	at := int64(position) - from
	extents, err := ParseFooter(tail[at:at+int64(length)], uint32(headerLength), position)
	if err != nil {
		return Footer{}, err
	}
	return Footer{Header: want, Extents: extents, Position: position}, nil
}

func getExactly(ctx context.Context, get RangeGetter, key string, position, length int64) ([]byte, error) {
	b, err := get.GetRange(ctx, key, position, length)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != length {
		return nil, corrupt("%d bytes at %d, asked for %d", len(b), position, length)
	}
	return b, nil
}

// checkHeader checks that b begins with the header wanted, and returns its length.
func checkHeader(b []byte, want Header) (int, error) {
	got, length, err := ParseHeader(b)
	if err != nil {
		return 0, err
	}
	if got != want {
		return 0, corrupt("segment %s of share %s of cluster %s, wanted %s of %s of %s",
			got.ID, got.Share, got.Cluster, want.ID, want.Share, want.Cluster)
	}
	return length, nil
}

// VerifyWhole checks b, the bytes of a whole object: that it is the one wanted, and that
// header, every extent, footer and trailer are what was written.
func VerifyWhole(b []byte, cluster string, want Object) (Footer, error) {
	if len(b) < minSize || uint64(len(b)) > MaxSize {
		return Footer{}, corrupt("%d bytes", len(b))
	}
	h := wantHeader(cluster, want)
	first, err := checkHeader(b, h)
	if err != nil {
		return Footer{}, err
	}
	position, length, err := parseTrailer(b[len(b)-trailerSize:], int64(len(b)))
	if err != nil {
		return Footer{}, err
	}
	extents, err := ParseFooter(b[position:position+length], uint32(first), position)
	if err != nil {
		return Footer{}, err
	}
	for _, e := range extents {
		if err := VerifyExtent(b[e.Position:e.Position+e.Length], e); err != nil {
			return Footer{}, err
		}
	}
	return Footer{Header: h, Extents: extents, Position: position}, nil
}

// VerifyExtent checks the bytes of one extent against its line in the footer.
func VerifyExtent(b []byte, e Extent) error {
	if uint64(len(b)) != uint64(e.Length) {
		return corrupt("extent %s: %d bytes, the footer says %d", e.Partition, len(b), e.Length)
	}
	if got := crc32.Checksum(b, castagnoli); got != e.CRC {
		return corrupt("extent %s: CRC-32C is %08x, the footer says %08x", e.Partition, got, e.CRC)
	}
	return nil
}

// VerifyRange checks the bytes of one location without its footer: whole batches, each with
// its own CRC, that hold as many records as were placed there; and where the batches carry
// offsets, those that were given. The fields that no batch's CRC covers are either stamped on
// the way out or checked here.
func VerifyRange(b []byte, l *Location) error {
	if uint64(len(b)) != uint64(l.Length) {
		return corrupt("%s at %d: %d bytes, the index says %d", l.Partition, l.Base, len(b), l.Length)
	}
	records := uint64(0)
	for len(b) > 0 {
		batch, rest, err := record.Split(b)
		if err == nil {
			err = record.CheckCRC(batch)
		}
		if err != nil {
			return corrupt("%s at %d: %v", l.Partition, l.Base, err)
		}
		base := l.Base + topic.Offset(records)
		if l.Stamped && batch.BaseOffset() != int64(base) {
			return corrupt("%s at %d: batch says %d", l.Partition, base, batch.BaseOffset())
		}
		if batch.LastOffsetDelta() < 0 {
			return corrupt("%s at %d: last offset delta %d", l.Partition, base, batch.LastOffsetDelta())
		}
		records += uint64(batch.LastOffsetDelta()) + 1
		b = rest
	}
	if records != uint64(l.Records) {
		return corrupt("%s at %d: %d records, the index says %d", l.Partition, l.Base, records, l.Records)
	}
	return nil
}

// Find returns the extent of a partition.
func (f *Footer) Find(p topic.Partition) (Extent, bool) {
	for _, e := range f.Extents {
		if e.Partition == p {
			return e, true
		}
	}
	return Extent{}, false
}
