package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestListsAreShared: who asks while an answer is being made gets the next one, with all others who do; who asks
// something else waits for nobody.
func TestListsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sharing
		made := 0
		build := func() []byte {
			made++
			n := made
			time.Sleep(10 * time.Millisecond) // virtual
			return fmt.Append(nil, n)
		}
		got := make(chan string, 200)
		ask := func() {
			body, err := s.ask(t.Context(), "all", build)
			if err != nil {
				t.Error(err)
			}
			got <- string(body)
		}
		go ask()
		synctest.Wait()
		for range 100 {
			go ask()
		}
		synctest.Wait()
		if body, err := s.ask(t.Context(), "other", func() []byte { return []byte("x") }); err != nil || string(body) != "x" {
			t.Errorf("%q, %v", body, err)
		}
		counts := map[string]int{}
		for range 101 {
			counts[<-got]++
		}
		if made != 2 || counts["1"] != 1 || counts["2"] != 100 {
			t.Errorf("made %d, answers %v", made, counts)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.ask(gone, "all", build); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that has gone: %v", err)
		}
		time.Sleep(time.Second) // virtual
		synctest.Wait()
		if len(s.runs) != 0 {
			t.Errorf("%d questions are left", len(s.runs))
		}
	})
}
