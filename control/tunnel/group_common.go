package tunnel

import (
	"unicode/utf8"

	"github.com/isthmusdata/isthmus/control/coordinator"
)

// checkGroupName refuses names that cannot be stored. The empty one is allowed
// where Kafka allows it: offsets could once be committed without a group.
func checkGroupName(name string, emptyToo bool) int16 {
	if name == "" && !emptyToo || len(name) > coordinator.MaxGroupName || !utf8.ValidString(name) {
		return codeInvalidGroup
	}
	return 0
}

// storable reports whether every text can be stored as text.
func storable(texts ...string) bool {
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return false
		}
	}
	return true
}
