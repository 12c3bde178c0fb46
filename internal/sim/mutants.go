package sim

import (
	"fmt"
	"slices"
	"strings"
)

// Mutant is a fault of the protocol, one line long, that the simulation must catch: what survives
// is a check or a kind of weather that is missing. It is data; the code it breaks does not know of it.
type Mutant struct {
	Name   string
	Breaks string // what is promised and no longer kept
	File   string // below the root of the repository
	// Old stands exactly once in the file, on lines that hold nothing of another mutant's; New takes
	// its place in a build with mutants. There, $on is true when this mutant is switched on, and when it
	// is not, New must do what Old does.
	Old, New string
	// Seeds is how many seeds are played at most until it is caught.
	Seeds int
}

// Mutants returns all there are, in the order of their files.
func Mutants() []Mutant {
	return slices.Concat(controlMutants, produceMutants, fetchMutants, groupMutants)
}

// FindMutant returns the mutant of a name.
func FindMutant(name string) (Mutant, error) {
	all := Mutants()
	if i := slices.IndexFunc(all, func(m Mutant) bool { return m.Name == name }); i >= 0 {
		return all[i], nil
	}
	return Mutant{}, fmt.Errorf("no mutant is called %q: see internal/sim/mutants_*.go", name)
}

// MutantTable is the mutants as docs/architecture/simulation.md has them.
func MutantTable() string {
	var b strings.Builder
	b.WriteString("| mutant | breaks | in |\n| --- | --- | --- |\n")
	for _, m := range Mutants() {
		fmt.Fprintf(&b, "| %s | %s | `%s` |\n", m.Name, m.Breaks, m.File)
	}
	return b.String()
}
