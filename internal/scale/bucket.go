package scale

import (
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/internal/segment"
)

// bucket answers as S3 Standard does, and counts by prefix.
type bucket struct {
	puts     int
	stored   int
	bytes    int64 // of the cluster
	prefixes map[string]int
}

// put returns how long a PUT of so many bytes takes: 60 ms in the median, a size at 95 MiB/s, and one in a thousand four times as long.
func (b *bucket) put(w *world, o segment.Object, size int64) time.Duration {
	b.puts++
	b.bytes += size
	if b.prefixes == nil {
		b.prefixes = map[string]int{}
	}
	key := segment.Key("main", o)
	b.prefixes[key[:strings.LastIndexByte(key, '/')]]++
	took := w.lognormal(60*time.Millisecond, 0.55) + time.Duration(float64(size)/(95<<20)*float64(time.Second))
	if w.rng.IntN(1000) == 0 {
		took *= 4
	}
	return took
}

// spread is how the keys fall upon prefixes: the most of one, and the mean.
func (b *bucket) spread() (most, mean float64) {
	for _, n := range b.prefixes {
		most = max(most, float64(n))
		mean += float64(n)
	}
	return most, mean / float64(max(len(b.prefixes), 1))
}
