package awake

import (
	"testing"
	"time"
)

func TestTimeAsleepDoesNotCount(t *testing.T) {
	var mono time.Duration
	c := New(func() time.Duration { return mono })
	for _, s := range []struct{ mono, want time.Duration }{
		{0, 0},
		{500 * time.Millisecond, 500 * time.Millisecond},
		{2 * time.Second, 2 * time.Second},
		{22 * time.Second, 4 * time.Second}, // stopped for 20 s
		{22500 * time.Millisecond, 4500 * time.Millisecond},
		{22 * time.Second, 4500 * time.Millisecond}, // another goroutine's older reading
		{23 * time.Second, 5 * time.Second},
	} {
		mono = s.mono
		if got := c.Now(); got != s.want {
			t.Errorf("at %v the clock shows %v, want %v", s.mono, got, s.want)
		}
	}
}
