package sim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutantPackage is where the switch is.
const mutantPackage = "github.com/isthmusdata/isthmus/internal/sim/mutant"

// Overlay writes the files that mutants break into dir, with every mutant in them switched off, and
// what the compiler is to be told of them: go build -overlay PATH. All that is wrong with the
// mutants is reported at once; a mutant whose line has changed must not rot.
func Overlay(root, dir string, mutants []Mutant) (path string, err error) {
	root, err = filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	var faults []error
	replace := map[string]string{}
	for _, file := range filesOf(mutants) {
		source := filepath.Join(root, filepath.FromSlash(file))
		text, err := os.ReadFile(source)
		if err != nil {
			faults = append(faults, fmt.Errorf("read what mutants break: %w", err))
			continue
		}
		broken, err := mutate(file, string(text), mutants)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		target := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(target, []byte(broken), 0o644); err != nil {
			return "", fmt.Errorf("write %s with its mutants: %w", file, err)
		}
		replace[source] = target
	}
	if err := errors.Join(faults...); err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return "", fmt.Errorf("encode the overlay: %w", err)
	}
	path = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	return path, nil
}

func filesOf(mutants []Mutant) []string {
	var files []string
	for _, m := range mutants {
		if !slices.Contains(files, m.File) {
			files = append(files, m.File)
		}
	}
	return files
}

// edit is a mutant with the place of its text.
type edit struct {
	Mutant
	at int
}

// mutate puts all mutants of a file into its text. Lines keep their numbers as far as mutants have as
// many as they replace.
func mutate(file, text string, mutants []Mutant) (string, error) {
	var edits []edit
	var faults []error
	for _, m := range mutants {
		if m.File != file {
			continue
		}
		if n := strings.Count(text, m.Old); n != 1 {
			faults = append(faults, fmt.Errorf("mutant %s: %q stands %d times in %s, not once: the code has changed, and so must the mutant", m.Name, m.Old, n, file))
			continue
		}
		edits = append(edits, edit{m, strings.Index(text, m.Old)})
	}
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(b.at, a.at) })
	for i, e := range edits {
		if i > 0 && e.at+len(e.Old) > edits[i-1].at {
			faults = append(faults, fmt.Errorf("mutants %s and %s break the same text of %s", e.Name, edits[i-1].Name, file))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return "", err
	}
	for _, e := range edits { // from the end, so that places stay true
		on := fmt.Sprintf("mutant.Is(%q)", e.Name)
		text = text[:e.at] + strings.ReplaceAll(e.New, "$on", on) + text[e.at+len(e.Old):]
	}
	return imported(file, text)
}

// imported adds the import of the switch, on the line of the package clause.
func imported(file, text string) (string, error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		return "", fmt.Errorf("mutants of %s make no Go: %w", file, err)
	}
	at := set.Position(parsed.Name.End()).Offset
	return text[:at] + fmt.Sprintf("; import %q", mutantPackage) + text[at:], nil
}
