package units

import (
	"testing"

	"pgregory.net/rapid"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "512": 512, "1B": 1, "64KiB": 64 * KiB, "8MiB": 8 * MiB, "1.5MiB": MiB + 512*KiB,
		"1GiB": GiB, "2TiB": 2 * TiB, "10MB": 10_000_000, " 4 MiB ": 4 * MiB,
	} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "8 Mib", "ten", "1e30", "NaN"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", text, got)
		}
	}
}

func TestBytesPrintAndReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Bytes(rapid.Int64Range(0, 1<<50).Draw(t, "bytes"))
		if got, err := ParseBytes(want.String()); err != nil || got != want {
			t.Fatalf("ParseBytes(%q) = %d, %v; want %d", want.String(), got, err, want)
		}
	})
}

func TestNearest(t *testing.T) {
	known := []string{"flush-interval", "flush-bytes", "gossip", "kafka"}
	for name, want := range map[string]string{
		"flush-intervall": "flush-interval", "flush_bytes": "flush-bytes", "gosip": "gossip", "retention-of-the-law": "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

// FuzzParseBytes: what is read as a size is one, and is read back from how it is printed.
func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"8MiB", "1.5 GB", "0", "-1", "1e400", "NaN", "Inf", "9223372036854775807B", "0x1pB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBytes(s)
		if err != nil {
			return
		}
		if again, err := ParseBytes(b.String()); b < 0 || err != nil || (b < 1<<53 && again != b) {
			t.Errorf("%q is %d, printed as %s, read as %d, %v", s, b, b, again, err)
		}
	})
}
