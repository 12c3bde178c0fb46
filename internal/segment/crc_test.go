package segment

import (
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

func TestCombineCRC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOf(rapid.Byte()).Draw(t, "a")
		b := make([]byte, rapid.IntRange(0, 1<<20).Draw(t, "length of b"))
		copy(b, rapid.SliceOf(rapid.Byte()).Draw(t, "b"))
		whole := crc32.Checksum(append(append([]byte{}, a...), b...), castagnoli)
		got := combineCRC(crc32.Checksum(a, castagnoli), crc32.Checksum(b, castagnoli), len(b))
		if got != whole {
			t.Fatalf("%d + %d bytes: got %08x, want %08x", len(a), len(b), got, whole)
		}
	})
}

// TestCombineCRCOfLongParts: zeros advance a checksum as any bytes do, so two halves of a
// length that no test would allocate must agree with each other.
func TestCombineCRCOfLongParts(t *testing.T) {
	zeros := func(n int) uint32 { // the CRC of n zeros, by doubling
		crc, length := crc32.Checksum([]byte{0}, castagnoli), 1
		for length < n {
			crc, length = combineCRC(crc, crc, length), 2*length
		}
		return crc
	}
	const half = 1 << 31
	whole := combineCRC(combineCRC(7, zeros(half), half), zeros(half), half)
	quarter := zeros(half / 2)
	parts := uint32(7)
	for range 4 {
		parts = combineCRC(parts, quarter, half/2)
	}
	if whole != parts {
		t.Errorf("two halves give %08x, four quarters %08x", whole, parts)
	}
}

func BenchmarkCombineCRC(b *testing.B) {
	for b.Loop() {
		combineCRC(0x12345678, 0x9abcdef0, 16<<10-21)
	}
}
