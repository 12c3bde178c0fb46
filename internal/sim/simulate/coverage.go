package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// coverSeeds is how many seeds are played to see what they reach: further ones reach little more.
const coverSeeds = 200

// protocol is the code whose branches are reported: what decides between a batch and its place.
var protocol = []string{
	"control/agenda.go", "control/apply.go", "control/commit.go", "control/place.go", "control/producers.go",
	"control/sessions.go", "control/statetime/clock.go", "control/walls.go",
	"produce/abandon.go", "produce/attempt.go", "produce/commit.go", "produce/hedge.go", "produce/seal.go",
	"produce/segment_state.go", "produce/session.go", "produce/share.go", "produce/writer.go",
}

// block is a stretch of a file that runs as one.
type block struct {
	file        string
	first, last int // lines
	statements  int
	reached     bool
}

// coverage plays seeds against the code without mutants, and says what of the protocol they reached. It
// returns what all runs came to, for the program with the mutants must come to the same.
func (b *builder) coverage(seeds int, first uint64) (digest string, err error) {
	program, data := filepath.Join(b.dir, "covered"), filepath.Join(b.dir, "coverage")
	packages := map[string]bool{"./internal/sim/simulate": true} // without its main package a program writes nothing down
	for _, file := range protocol {
		packages["./"+filepath.ToSlash(filepath.Dir(file))] = true
	}
	list := slices.Sorted(maps.Keys(packages))
	if err := b.run(nil, "go", "build", "-cover", "-covermode=set", "-coverpkg="+strings.Join(list, ","), "-o", program, "./internal/sim/simulate"); err != nil {
		return "", fmt.Errorf("build the simulation for coverage: %w", err)
	}
	if err := os.Mkdir(data, 0o755); err != nil {
		return "", fmt.Errorf("make a folder for coverage: %w", err)
	}
	told := filepath.Join(b.dir, "digest")
	play := exec.Command(program, "-play", "-digest", told, "-seeds", fmt.Sprint(seeds), "-first", fmt.Sprint(first))
	play.Dir, play.Stderr, play.Env = b.root, os.Stderr, append(os.Environ(), "GOCOVERDIR="+data)
	if err := play.Run(); err != nil {
		return "", fmt.Errorf("play %d seeds for coverage: %w", seeds, err)
	}
	profile := filepath.Join(b.dir, "profile")
	if err := b.run(nil, "go", "tool", "covdata", "textfmt", "-i="+data, "-o="+profile); err != nil {
		return "", fmt.Errorf("read coverage: %w", err)
	}
	blocks, err := readProfile(profile)
	if err != nil {
		return "", err
	}
	b.table(os.Stdout, blocks, seeds)
	text, err := os.ReadFile(told)
	return string(text), err
}

// readProfile reads "module/file.go:line.column,line.column statements count" a line.
func readProfile(path string) ([]block, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read coverage: %w", err)
	}
	defer f.Close()
	at := map[string]int{}
	var blocks []block
	for lines := bufio.NewScanner(f); lines.Scan(); {
		place, numbers, ok := strings.Cut(lines.Text(), ".go:")
		if !ok {
			continue // the mode
		}
		var b block
		var column, count int
		if _, err := fmt.Sscanf(numbers, "%d.%d,%d.%d %d %d", &b.first, &column, &b.last, &column, &b.statements, &count); err != nil {
			return nil, fmt.Errorf("read coverage line %q: %w", lines.Text(), err)
		}
		b.file, b.reached = strings.TrimPrefix(place, module)+".go", count > 0
		key := fmt.Sprint(b.file, numbers[:strings.IndexByte(numbers, ' ')])
		if i, twice := at[key]; twice {
			blocks[i].reached = blocks[i].reached || b.reached
			continue
		}
		at[key] = len(blocks)
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// module is what the names of files begin with.
const module = "github.com/isthmusdata/isthmus/"

// table says of each file how much was reached, and what was not.
func (b *builder) table(out io.Writer, blocks []block, seeds int) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "reached by %d seeds\tstatements\tnever reached (line: what stands there)\n", seeds)
	for _, file := range protocol {
		var all, reached int
		var never []block
		for _, one := range blocks {
			if one.file != file {
				continue
			}
			all += one.statements
			if one.reached {
				reached += one.statements
			} else {
				never = append(never, one)
			}
		}
		slices.SortFunc(never, func(x, y block) int { return cmp.Compare(x.first, y.first) })
		fmt.Fprintf(table, "%s\t%.0f %%\t%s\n", file, 100*float64(reached)/float64(max(all, 1)), b.first(file, never, 0))
		for i := 1; i < len(never); i++ {
			fmt.Fprintf(table, "\t\t%s\n", b.first(file, never, i))
		}
	}
	_ = table.Flush() // to a terminal that may have gone
}

// first is the first line of text inside the i-th block.
func (b *builder) first(file string, never []block, i int) string {
	if i >= len(never) {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(b.root, filepath.FromSlash(file)))
	if err != nil {
		return fmt.Sprintf("%d", never[i].first)
	}
	lines := strings.Split(string(text), "\n")
	at := min(never[i].first, len(lines)-1) // the line after the one that opens it, which is what runs
	if never[i].first == never[i].last {
		at--
	}
	return fmt.Sprintf("%d: %s", at+1, strings.TrimSpace(lines[at]))
}

// errNoSame says that a mutant changes something while it is switched off.
var errNoSame = errors.New("the mutants change what happens while they are switched off: New must then do what Old does")
