package segment

import "hash/crc32"

// castagnoli is never written after it is made; crc32 finds the hardware's way by it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)
