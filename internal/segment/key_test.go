package segment

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawName(t *rapid.T, label string) string {
	return rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,62}`).Draw(t, label)
}

func drawObject(t *rapid.T) Object {
	o := Object{Share: drawName(t, "share"), Group: drawName(t, "group"), ID: ID{
		Incarnation: rapid.Uint32().Draw(t, "incarnation"),
		Session:     rapid.Uint64().Draw(t, "session"),
		Sequence:    rapid.Uint64().Draw(t, "sequence"),
	}}
	copy(o.Nonce[:], rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "nonce"))
	return o
}

func TestKeyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cluster, o := drawName(t, "cluster"), drawObject(t)
		key := Key(cluster, o)
		got, err := ParseKey(cluster, key)
		if err != nil || got != o {
			t.Fatalf("%s: got %+v, %v; want %+v", key, got, err, o)
		}
		if !strings.HasPrefix(key, GroupPrefix(cluster, o.Share, o.Group)) {
			t.Fatalf("%s lies outside its group's prefix", key)
		}
		if _, err := ParseKey(cluster+"x", key); err == nil {
			t.Fatal("another cluster's key was accepted")
		}
	})
}

func TestKeyIsWhatItWas(t *testing.T) {
	o := Object{Share: "default", Group: "prod", ID: ID{Incarnation: 1, Session: 7, Sequence: 42}}
	copy(o.Nonce[:], "0123456789ab")
	want := "demo/data/default/prod/e4/1-7-42-303132333435363738396162"
	if got := Key("demo", o); got != want {
		t.Errorf("got %s, want %s: keys in buckets do not change", got, want)
	}
	if got := MetaKey("demo", "cluster"); got != "demo/meta/cluster" {
		t.Errorf("got %s", got)
	}
}

// TestKeyStaysInItsPlace: names that should have been refused earlier climb out of no prefix.
func TestKeyStaysInItsPlace(t *testing.T) {
	for _, name := range []string{"", "..", "a/b", "../../meta", "*", "a\x00", "ü", strings.Repeat("x", 64)} {
		key := Key("demo", Object{Share: "default", Group: name})
		if strings.Count(key, "/") != 5 || slices.Contains(strings.Split(key, "/"), "..") || !strings.HasPrefix(key, "demo/data/default/") {
			t.Errorf("group %q: key %q", name, key)
		}
		if _, err := ParseKey("demo", key); err == nil {
			t.Errorf("group %q: key %q was accepted", name, key)
		}
		if CheckName("group", name) == nil {
			t.Errorf("name %q was accepted", name)
		}
	}
}

// TestKeyHashSpreads: a thousand consecutive sequences fill the prefixes about evenly.
func TestKeyHashSpreads(t *testing.T) {
	var counts [256]int
	for sequence := range uint64(25600) {
		o := Object{ID: ID{Incarnation: 1, Session: 3, Sequence: sequence}}
		counts[keyHash(o)]++
	}
	for prefix, n := range counts {
		if n < 50 || n > 150 {
			t.Errorf("prefix %02x holds %d of 25600, expected about 100", prefix, n)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("demo", Key("demo", Object{Share: "default", Group: "prod", ID: ID{1, math.MaxUint64, 1}}))
	f.Add("demo", "demo/data/default/prod/00/01-1-1-000000000000000000000000")
	f.Fuzz(func(t *testing.T, cluster, key string) {
		o, err := ParseKey(cluster, key)
		if err == nil && Key(cluster, o) != key {
			t.Fatalf("%q became %q", key, Key(cluster, o))
		}
	})
}
