//go:build e2e

package e2e

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// compatibilityPage says what was seen of each client and program. A run compares what it saw with
// the page that is committed; with ISTHMUS_COMPATIBILITY=write (make compatibility) it writes the page.
// A run of some tests (-run), or with tests that fail, speaks for the rows that it saw and leaves the others as they are.
const compatibilityPage = "../../docs/compatibility.md"

const (
	// works is the result of a feature that does what its name says.
	works = "works"
	// notOfferedMark begins the result of what a client has no means to do.
	notOfferedMark = "not offered by the client: "
)

// sighting is one row of the page.
type sighting struct {
	client, version, feature, result string
}

var seen struct {
	sync.Mutex
	rows []sighting
	// refused is the part of the page that tells what isthmus does not serve; "" when this run did not ask.
	refused string
}

// record notes what a test saw a client do. The result is works, or says in a few words, the same in
// every run, what happens instead. What a test that fails saw is not noted.
func record(t *testing.T, client, version, feature, result string) {
	t.Helper()
	if t.Failed() {
		return
	}
	for _, text := range []string{client, version, feature, result} {
		if text == "" || strings.ContainsAny(text, "|\n") {
			t.Fatalf("a row of %s cannot hold %q", compatibilityPage, text)
		}
	}
	seen.Lock()
	defer seen.Unlock()
	seen.rows = append(seen.rows, sighting{client, version, feature, result})
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	whole := code == 0 && flag.Lookup("test.run").Value.String() == ""
	if err := settlePage(whole); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// settlePage compares the page with what this run saw, or writes it; whole: the run saw all that there is to see.
func settlePage(whole bool) error {
	seen.Lock()
	defer seen.Unlock()
	if len(seen.rows) == 0 && seen.refused == "" {
		return nil
	}
	old, err := os.ReadFile(compatibilityPage)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the page of clients: %w", err)
	}
	rows, refused := seen.rows, seen.refused
	if !whole {
		kept, keptRefused := parsePage(string(old))
		rows = merge(kept, rows)
		refused = cmp.Or(refused, keptRefused)
	}
	page := renderPage(rows, refused)
	if page == string(old) {
		return nil
	}
	if os.Getenv("ISTHMUS_COMPATIBILITY") == "write" {
		if err := os.WriteFile(compatibilityPage, []byte(page), 0o644); err != nil {
			return fmt.Errorf("write the page of clients: %w", err)
		}
		return nil
	}
	return fmt.Errorf("FAIL: docs/compatibility.md is not what this run saw (make compatibility rewrites it):\n%s", changedLines(string(old), page))
}

// merge puts fresh rows in the place of older ones of the same client, version and feature. A library may be
// there in two versions, and only a run of everything knows which are no more.
func merge(old, fresh []sighting) []sighting {
	key := func(s sighting) string { return s.client + "|" + s.version + "|" + s.feature }
	replaced := make(map[string]bool)
	for _, s := range fresh {
		replaced[key(s)] = true
	}
	var all []sighting
	for _, s := range old {
		if !replaced[key(s)] {
			all = append(all, s)
		}
	}
	return append(all, fresh...)
}

const (
	pageHead = `# Compatibility

What real clients and programs did against a cluster of two groups, agents that may only produce and
agents that may only fetch, in the last run of the end-to-end tests. This page is written by that run
(` + "`make compatibility`" + `), and a run that sees anything else fails.
`
	clientsHead = "\n## Clients and programs\n"
	refusedHead = "\n## What is refused, and why\n"
	tableHead   = "\n| feature | result |\n| --- | --- |\n"
)

func renderPage(rows []sighting, refused string) string {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b sighting) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.client), strings.ToLower(b.client)), cmp.Compare(a.version, b.version),
			cmp.Compare(a.feature, b.feature), cmp.Compare(a.result, b.result))
	})
	rows = slices.Compact(rows)
	var b strings.Builder
	b.WriteString(pageHead + overview(rows) + clientsHead)
	for i, s := range rows {
		if i == 0 || rows[i-1].client != s.client || rows[i-1].version != s.version {
			fmt.Fprintf(&b, "\n### %s %s\n%s", s.client, s.version, tableHead)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", s.feature, s.result)
	}
	if refused != "" {
		b.WriteString(refusedHead + refused)
	}
	return b.String()
}

// overview is a line for every client: how many features work, which it has no means for, and which are refused.
func overview(rows []sighting) string {
	var b strings.Builder
	b.WriteString("\n| client or program | works | not offered by the client | refused |\n| --- | --- | --- | --- |\n")
	for len(rows) > 0 {
		first := rows[0]
		working := 0
		var refused, missing []string
		for len(rows) > 0 && rows[0].client == first.client && rows[0].version == first.version {
			switch s := rows[0]; {
			case s.result == works:
				working++
			case strings.HasPrefix(s.result, notOfferedMark):
				missing = append(missing, s.feature)
			default:
				refused = append(refused, s.feature)
			}
			rows = rows[1:]
		}
		fmt.Fprintf(&b, "| %s %s | %d | %s | %s |\n", first.client, first.version, working, strings.Join(missing, "; "), strings.Join(refused, "; "))
	}
	return b.String()
}

// parsePage is the inverse of renderPage.
func parsePage(page string) (rows []sighting, refused string) {
	page, refused, _ = strings.Cut(page, refusedHead)
	var s sighting
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "### "); ok {
			last := strings.LastIndexByte(title, ' ')
			s = sighting{client: title[:last], version: title[last+1:]}
		}
		cells := strings.Split(line, " | ")
		if s.client == "" || len(cells) != 2 || cells[0] == "| feature" || cells[0] == "| ---" {
			continue
		}
		s.feature, s.result = strings.TrimPrefix(cells[0], "| "), strings.TrimSuffix(cells[1], " |")
		rows = append(rows, s)
	}
	return rows, refused
}

// changedLines is what one page has and the other has not: every line with the heading that it stands under.
func changedLines(old, page string) string {
	before, after := linesUnderHeadings(old), linesUnderHeadings(page)
	var b strings.Builder
	for _, line := range before {
		if !slices.Contains(after, line) {
			fmt.Fprintf(&b, "- %s\n", line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			fmt.Fprintf(&b, "+ %s\n", line)
		}
	}
	return b.String()
}

func linesUnderHeadings(page string) []string {
	var lines []string
	heading := ""
	for line := range strings.Lines(page) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
			heading = strings.TrimLeft(line, "# ")
		}
		lines = append(lines, heading+": "+line)
	}
	return lines
}

// TestCompatibilityPage holds the page's writer and reader together.
func TestCompatibilityPage(t *testing.T) {
	rows := []sighting{{"b client", "2.0", "consume", works}, {"a", "1", "produce", works}, {"a", "1", "gzip", notOfferedMark + "no"}}
	page := renderPage(rows, "\ntext\n")
	got, refused := parsePage(page)
	if refused != "\ntext\n" || renderPage(got, refused) != page || len(got) != len(rows) {
		t.Fatalf("read back %v and %q from:\n%s", got, refused, page)
	}
	merged := merge(got, []sighting{{"a", "1", "gzip", works}, {"a", "3", "gzip", works}})
	if want := renderPage([]sighting{{"b client", "2.0", "consume", works}, {"a", "1", "produce", works}, {"a", "1", "gzip", works}, {"a", "3", "gzip", works}}, ""); renderPage(merged, "") != want {
		t.Errorf("merged into:\n%s\nwant:\n%s", renderPage(merged, ""), want)
	}
	if diff := changedLines(page, renderPage(merged, "\ntext\n")); !strings.Contains(diff, "- a 1: | gzip | not offered by the client: no |\n") || !strings.Contains(diff, "+ a 3: | gzip | works |\n") {
		t.Errorf("the difference reads:\n%s", diff)
	}
}
