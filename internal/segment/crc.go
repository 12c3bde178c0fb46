package segment

import (
	"hash/crc32"
	"math/bits"
)

// castagnoli is never written after it is made; crc32 finds the hardware's way by it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// powers holds x^(2^k) modulo the CRC-32C polynomial, for k from 3 (one byte) on.
var powers = makePowers()

func makePowers() (p [35]uint32) {
	p[0] = 1 << 30 // x^1: the highest bit is x^0
	for k := 1; k < len(p); k++ {
		p[k] = multiply(p[k-1], p[k-1])
	}
	return p
}

// multiply is a times b modulo the polynomial, in the reflected order of bits of CRC-32C.
func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		product ^= b & -(a >> 31)
		b = b>>1 ^ crc32.Castagnoli&-(b&1)
	}
	return product
}

// combineCRC returns the CRC-32C of A followed by B from those of A and B and the length of B.
// It lets a segment's checksums follow from those that clients computed: the payload is not
// read again, and what was damaged in memory since then is refused by the store instead of
// being acknowledged.
func combineCRC(a, b uint32, length int) uint32 {
	shift := uint32(1 << 31) // x^0
	for n := uint64(length); n != 0; n &= n - 1 {
		shift = multiply(powers[bits.TrailingZeros64(n)+3], shift)
	}
	return multiply(shift, a) ^ b
}
