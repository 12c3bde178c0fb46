package faultstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/memstore"
)

func rules(t *testing.T, text string) []Rule {
	t.Helper()
	parsed, err := ParseFaults(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

var hello = [][]byte{[]byte("hello")}

// TestEachFault: what the caller is told and what is true.
func TestEachFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			faults   string
			put, get error
			stored   bool
		}{
			{"lost:1", objstore.ErrUnknownOutcome, objstore.ErrUnavailable, true},
			{"error:1", objstore.ErrUnavailable, objstore.ErrUnavailable, false},
			{"503:1", objstore.ErrThrottled, objstore.ErrThrottled, false},
			{"torn:1", nil, objstore.ErrUnavailable, true},
			{"lost@put:1", objstore.ErrUnknownOutcome, nil, true},
			{"error@get:1", nil, objstore.ErrUnavailable, true},
			{"error:0,lost:0,503:0", nil, nil, true},
		} {
			inner := memstore.New(nil)
			s := NewFaults(inner, rules(t, c.faults), Options{})
			if err := s.PutNew(t.Context(), "k", hello, objstore.Sum(hello)); !errors.Is(err, c.put) || (err == nil) != (c.put == nil) {
				t.Errorf("%s: put: %v, want %v", c.faults, err, c.put)
			}
			_, err := inner.Head(t.Context(), "k")
			if stored := err == nil; stored != c.stored {
				t.Errorf("%s: stored %v, want %v", c.faults, stored, c.stored)
			}
			if !c.stored {
				must(t, inner.PutNew(t.Context(), "k", hello, objstore.Sum(hello)))
			}
			b, err := s.GetRange(t.Context(), "k", 0, -1)
			if !errors.Is(err, c.get) || (err == nil) != (c.get == nil) || (err == nil) != (string(b) == "hello") {
				t.Errorf("%s: get: %q, %v, want %v", c.faults, b, err, c.get)
			}
			must(t, s.Close())
		}
	})
}

// TestLate: the put lands after its caller was told that nobody knows, with the bytes of then.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memstore.New(nil)
		s := NewFaults(inner, rules(t, "late:1:3s"), Options{})
		body := [][]byte{[]byte("he"), []byte("llo")}
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.PutNew(ctx, "k", body, objstore.Sum(body)); !errors.Is(err, objstore.ErrUnknownOutcome) {
			t.Fatal(err)
		}
		cancel()
		copy(body[0], "xx")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, err := inner.Head(t.Context(), "k"); !errors.Is(err, objstore.ErrNotFound) {
			t.Errorf("too early: %v", err)
		}
		must(t, s.Close())
		if b, err := inner.GetRange(t.Context(), "k", 0, -1); err != nil || string(b) != "hello" {
			t.Errorf("got %q, %v", b, err)
		}
	})
}

// TestSlowEpisode: for its time a part of the keys is slow, and others are not.
func TestSlowEpisode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewFaults(memstore.New(nil), rules(t, "slow@list:1:10s:700ms"), Options{Seed: 5})
		slow := func() (n int) {
			for i := range 80 {
				switch took := elapsed(func() { must(t, s.Delete(t.Context(), fmt.Sprint("k", i))) }); took {
				case 0:
				case 700 * time.Millisecond:
					n++
				default:
					t.Errorf("took %v", took)
				}
			}
			return n
		}
		if n := slow(); n != 0 {
			t.Errorf("%d slow requests before the episode", n)
		}
		_, _, err := s.List(t.Context(), "", "", 1)
		must(t, err)
		if n := slow(); n < 2 || n > 20 {
			t.Errorf("%d of 80 requests were slow, want about 10", n)
		}
		time.Sleep(10 * time.Second)
		if n := slow(); n != 0 {
			t.Errorf("%d slow requests after the episode", n)
		}
	})
}

// history runs a fixed sequence of calls and writes down what came of each.
func history(t *testing.T, seed uint64) string {
	t.Helper()
	var b strings.Builder
	synctest.Test(t, func(t *testing.T) {
		p, _ := FindProfile("slow")
		var s objstore.Store = NewLatency(memstore.New(nil), p, Options{Seed: seed})
		s = NewFaults(s, rules(t, "lost:0.1,late:0.05,error:0.1,503@get:0.2,slow:0.05,torn:0.1"), Options{Seed: seed})
		for i := range 200 {
			var err error
			took := elapsed(func() {
				switch i % 4 {
				case 0, 1:
					err = s.PutNew(t.Context(), fmt.Sprintf("k/%d", i/2), hello, objstore.Sum(hello))
				case 2:
					_, err = s.GetRange(t.Context(), fmt.Sprintf("k/%d", i/2-1), 0, 5)
				case 3:
					_, _, err = s.List(t.Context(), "", "", 10)
				}
			})
			fmt.Fprintln(&b, i, objstore.Class(err), took)
		}
		must(t, s.Close())
	})
	return b.String()
}

// TestSeedDecides: the same seed and calls give the same history, another seed another one.
func TestSeedDecides(t *testing.T) {
	first := history(t, 1)
	if history(t, 1) != first {
		t.Error("the same seed gave another history")
	}
	if history(t, 2) == first {
		t.Error("another seed gave the same history")
	}
	for _, class := range []string{"ok", "unknown", "unavailable", "throttled"} {
		if !strings.Contains(first, class) {
			t.Errorf("no %s in 200 calls", class)
		}
	}
}

// TestPartsAreNotLost: an answer that is lost would make a part be sent twice.
func TestPartsAreNotLost(t *testing.T) {
	inner := memstore.New(nil)
	s := NewFaults(inner, rules(t, "lost:1"), Options{})
	u, err := s.Multipart(t.Context(), "k")
	must(t, err)
	must(t, u.Part(t.Context(), hello))
	if err := u.Complete(t.Context()); !errors.Is(err, objstore.ErrUnknownOutcome) {
		t.Errorf("complete: %v", err)
	}
	if b, err := inner.GetRange(t.Context(), "k", 0, -1); err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestParseFaults(t *testing.T) {
	for text, want := range map[string]string{
		"lost:0.01":              "[lost:0.01]",
		" lost:1 , error@put:0 ": "[lost:1 error@put:0]",
		"503:1e-3":               "[503:0.001]",
		"slow:0.001":             "[slow:0.001:5s:1s]",
		"slow:0.001:2s":          "[slow:0.001:2s:1s]",
		"slow:0.001:2s:800ms":    "[slow:0.001:2s:800ms]",
		"late@put:0.5:1m":        "[late@put:0.5:1m0s]",
		"torn:0.1,torn@get:0.2":  "[torn:0.1 torn@get:0.2]",
	} {
		got, err := ParseFaults(text)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: got %v, %v; want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                             "no fault",
		"lots:0.1":                     "try lost",
		"lost":                         "write lost:0.01",
		"lost:":                        "not a chance",
		"lost:2":                       "not a chance",
		"lost:-0.1":                    "not a chance",
		"lost:NaN":                     "not a chance",
		"lost@pot:0.1":                 "try put",
		"lost@:0.1":                    "no operation",
		"torn@put:0.1":                 "torn happens to get only",
		"late:0.1:2h":                  "not a time",
		"late:0.1:-2s":                 "not a time",
		"late:0.1:x":                   "not a time",
		"lost:0.1:2s":                  "takes 0 times",
		"lost:0.1,lost:0.2":            "said twice",
		"lost:0.1,,503:0.2":            "no fault",
		"slow:0.1:1s:1s:1s":            "takes 2 times",
		strings.Repeat("lost:0.1,", 3): "said twice",
	} {
		got, err := ParseFaults(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want an error that says %q", text, got, err, want)
		}
	}
}

// FuzzParseFaults: what is understood can be written down and is understood the same again.
func FuzzParseFaults(f *testing.F) {
	for _, seed := range []string{"lost:0.01,error:0.01,503:0.005,slow:0.001,torn:0.001", "late@put:1:2s", "slow:0:1h:1ns", "a@b:c:d", ",:@", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := ParseFaults(text)
		if err != nil {
			return
		}
		written := make([]string, len(parsed))
		for i, r := range parsed {
			written[i] = r.String()
		}
		again, err := ParseFaults(strings.Join(written, ","))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(parsed) {
			t.Errorf("%q was read as %v, and written down as %v (%v)", text, parsed, again, err)
		}
	})
}
