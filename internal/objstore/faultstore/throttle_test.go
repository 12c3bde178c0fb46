package faultstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

// TestLimit: within its time so many requests a second are let through, writes and reads apart; before and after all are.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewThrottle(memstore.New(nil), Limit{Writes: 2, Reads: 3, After: time.Second, For: 2 * time.Second}, Options{})
		n := 0
		passed := func() (writes, reads int) {
			for range 5 {
				n++
				err := s.PutNew(t.Context(), fmt.Sprint("k", n), hello, objstore.Sum(hello))
				if err == nil {
					writes++
				} else if !errors.Is(err, objstore.ErrThrottled) {
					t.Error(err)
				}
				switch _, err := s.GetRange(t.Context(), "k1", 0, -1); {
				case err == nil:
					reads++
				case !errors.Is(err, objstore.ErrThrottled):
					t.Error(err)
				}
			}
			return writes, reads
		}
		for second, want := range []string{"5 5", "2 3", "2 3", "5 5"} {
			if writes, reads := passed(); fmt.Sprint(writes, reads) != want {
				t.Errorf("second %d: %d %d were let through, want %s", second, writes, reads, want)
			}
			time.Sleep(time.Until(time.Unix(time.Now().Unix()+1, 0)))
		}
	})
}

func TestParseLimit(t *testing.T) {
	for text, want := range map[string]string{
		"5": "5:5:0s:0s", "5:20": "5:20:0s:0s", "0:20": "0:20:0s:0s", "5:20:10s:1m": "5:20:10s:1m0s",
	} {
		l, err := ParseLimit(text)
		if err != nil || l.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, l, err, want)
		}
		if again, err := ParseLimit(l.String()); err != nil || again != l {
			t.Errorf("%q was read as %v, and written down as %v (%v)", text, l, again, err)
		}
	}
	for text, want := range map[string]string{
		"": "not a number", "x": "not a number", "-1": "not a number", "5:": "not a number", "1:2:3s": "not a limit",
		"1:2:x:3s": "not a time", "1:2:3s:2h": "not a time", "1:2:3s:4s:5s": "not a limit", "10000000": "not a number",
	} {
		if l, err := ParseLimit(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want an error that says %q", text, l, err, want)
		}
	}
}
