// Package units reads what operators write, and prints it the same way: sizes in bytes as 8MiB,
// addresses as HOST:PORT, and names that are nearly right.
package units

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
)

// Bytes is a size in bytes that reads and prints with a unit: 512, 64KiB, 8MiB, 1GiB, or the
// decimal kB, MB, GB. It implements pflag.Value and encoding.TextUnmarshaler.
type Bytes int64

// A byte and the binary units.
const (
	Byte Bytes = 1
	KiB  Bytes = 1 << 10
	MiB  Bytes = 1 << 20
	GiB  Bytes = 1 << 30
	TiB  Bytes = 1 << 40
)

var suffixes = []struct {
	name string
	size float64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// ParseBytes reads a size. A bare number counts bytes.
func ParseBytes(s string) (Bytes, error) {
	text, factor := strings.TrimSpace(s), 1.0
	for _, u := range suffixes {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			text, factor = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || math.IsNaN(n) || n*factor > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is not a size: write a number and a unit, such as 8MiB", s)
	}
	return Bytes(math.Round(n * factor)), nil
}

// String prints the size in the largest binary unit that divides it.
func (b Bytes) String() string {
	for _, u := range suffixes[:4] {
		if size := Bytes(u.size); b >= size && b%size == 0 {
			return strconv.FormatInt(int64(b/size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// Set implements pflag.Value.
func (b *Bytes) Set(s string) error {
	v, err := ParseBytes(s)
	if err == nil {
		*b = v
	}
	return err
}

// Type implements pflag.Value.
func (b *Bytes) Type() string { return "size" }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) error { return b.Set(string(text)) }

// Loopback reports whether only this machine can reach a listener on address, HOST:PORT.
// An error says that it is no such address.
func Loopback(address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, fmt.Errorf("address %q: write HOST:PORT: %w", address, err)
	}
	if host == "localhost" {
		return true, nil
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback(), nil
}

// Nearest returns the known name closest to the given one by edit distance, or "" when none
// is close enough to be what was meant.
func Nearest(name string, known []string) string {
	best, bestDistance := "", len(name)/2+2
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short names.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
