package fetch

import (
	"testing"
	"testing/synctest"

	"github.com/isthmusdata/isthmus/internal/record"
)

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

func batches(b ...record.Batch) []record.Batch { return b }
