package fetch

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/isthmusdata/isthmus/internal/segment"
)

// span is a range of one object's bytes.
type span struct{ from, to int64 }

func (s span) size() int64           { return s.to - s.from }
func (s span) holds(other span) bool { return s.from <= other.from && other.to <= s.to }

// spanOf is where a location's bytes lie.
func spanOf(l *segment.Location) span {
	return span{int64(l.Position), int64(l.Position) + int64(l.Length)}
}

// fits reports whether a location lies inside its object, as one from a sound index does.
func fits(l *segment.Location) bool {
	return l.Length > 0 && l.Records > 0 && uint64(l.Position)+uint64(l.Length) <= uint64(l.Size)
}

// chunkOf returns the chunk that a location is read with: the whole object while that is small,
// so that one GET brings all that anybody in the zone will want of it, or else the aligned
// ranges that hold the location.
func chunkOf(cfg *Config, l *segment.Location) span {
	size := int64(l.Size)
	if size <= cfg.MaxChunk {
		return span{0, size}
	}
	s := spanOf(l)
	from := s.from / cfg.ChunkAlign * cfg.ChunkAlign
	to := (s.to + cfg.ChunkAlign - 1) / cfg.ChunkAlign * cfg.ChunkAlign
	return span{from, min(to, size)}
}

// chunkID names a chunk towards the ring that says who owns it.
func chunkID(key string, chunk span) string { return key + "@" + strconv.FormatInt(chunk.from, 10) }

// coalesce merges spans of one object that lie no further apart than gap, in ascending order.
func coalesce(spans []span, gap int64) []span {
	sorted := slices.Clone(spans)
	slices.SortFunc(sorted, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	out := sorted[:0]
	for _, s := range sorted {
		if n := len(out); n > 0 && s.from <= out[n-1].to+gap {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// coldSpans decides what of a chunk is read for history: the ranges asked for, coalesced, when
// they are a small part of it and nobody has asked for another part lately; else all of it, so
// that readers of the same history share the GET.
func coldSpans(cfg *Config, chunk span, asked []span, seen bool) []span {
	spans := coalesce(asked, cfg.CoalesceGap)
	total := int64(0)
	for _, s := range spans {
		total += s.size()
	}
	if seen || total*2 >= chunk.size() {
		return []span{chunk}
	}
	return spans
}
