package lint

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testNamed = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)`")
	fileNamed = regexp.MustCompile("`((?:agentgroup|cmd|control|docs|fetch|internal|produce|scripts)/[a-z0-9_/.-]+)`")
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)\(`)
)

// TestDocsNameWhatIsThere: a test, a file or a folder that docs/ names in code type exists. The next
// reader looks for it.
func TestDocsNameWhatIsThere(t *testing.T) {
	tests := testFunctions(t)
	walk(t, filepath.Join("..", "..", "docs"), ".md", func(path, text string) {
		for _, m := range testNamed.FindAllStringSubmatch(text, -1) {
			if !tests[m[1]] {
				t.Errorf("%s names %s, which no package has", path, m[1])
			}
		}
		for _, m := range fileNamed.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s names %s: %v", path, m[1], err)
			}
		}
	})
}

func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	walk(t, filepath.Join("..", ".."), "_test.go", func(_, text string) {
		for _, m := range testFunc.FindAllStringSubmatch(text, -1) {
			found[m[1]] = true
		}
	})
	return found
}

// walk calls f with every file below root whose name ends so, but for hidden folders.
func walk(t *testing.T, root, suffix string, f func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..":
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, suffix):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f(path, string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
