package sim

import (
	"os"
	"strings"
	"testing"
)

// TestMutantsFitTheCode: every mutant's text stands where it says, once. Whether it is caught is for
// make sim to say, which alone builds them in.
func TestMutantsFitTheCode(t *testing.T) {
	if _, err := Overlay("../..", t.TempDir(), Mutants()); err != nil {
		t.Error(err)
	}
	names := map[string]bool{}
	for _, m := range Mutants() {
		if m.Name == "" || m.Breaks == "" || m.Seeds <= 0 || !strings.Contains(m.New, "$on") {
			t.Errorf("mutant %q: it needs a name, what it breaks, seeds to be caught in, and $on in its text", m.Name)
		}
		if names[m.Name] {
			t.Errorf("two mutants are called %s", m.Name)
		}
		names[m.Name] = true
	}
}

func TestMutantsThatRotAreNamed(t *testing.T) {
	const text = "package p\n\nfunc f(a bool) bool { return a && a }\n"
	for _, one := range []struct {
		what    string
		mutants []Mutant
		want    string
	}{
		{"gone", []Mutant{{Name: "m", File: "f.go", Old: "return b", New: "$on"}}, "stands 0 times"},
		{"twice", []Mutant{{Name: "m", File: "f.go", Old: "bool", New: "$on"}}, "stands 2 times"},
		{"overlap", []Mutant{{Name: "m", File: "f.go", Old: "return a", New: "return $on"}, {Name: "n", File: "f.go", Old: "a && a", New: "$on"}}, "the same text"},
		{"not Go", []Mutant{{Name: "m", File: "f.go", Old: "return a && a", New: "return $on &&"}}, "make no Go"},
	} {
		if _, err := mutate("f.go", text, one.mutants); err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("%s: %v, want %q", one.what, err, one.want)
		}
	}
	got, err := mutate("f.go", text, []Mutant{{Name: "m", File: "f.go", Old: "a && a", New: "a && (a || $on)"}})
	want := "package p; import \"" + mutantPackage + "\"\n\nfunc f(a bool) bool { return a && (a || mutant.Is(\"m\")) }\n"
	if err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestDocsListTheMutants: the page on the simulation has the mutants as they are.
func TestDocsListTheMutants(t *testing.T) {
	page, err := os.ReadFile("../../docs/architecture/simulation.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := MutantTable(); !strings.HasSuffix(string(page), want) {
		t.Errorf("docs/architecture/simulation.md does not end with what go run ./internal/sim/simulate -list prints:\n%s", want)
	}
}
