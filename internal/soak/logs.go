package soak

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Complaint is an error that processes wrote into their logs.
type Complaint struct {
	Process string `json:"process"`
	Message string `json:"message"`
	Times   int    `json:"times"`
	Example string `json:"example"`
}

// fatal is what no fault explains: a crash of the program itself, a promise broken, a data race.
var fatal = regexp.MustCompile(`^(panic:|fatal error:|WARNING: DATA RACE|runtime: )|contradicts itself|under a key that nobody else|panicked`)

// readLogs collects the errors of all processes, and what should never be there.
func (c *cluster) readLogs() (complaints []Complaint, wrong []string, err error) {
	for _, n := range c.nodes() {
		text, err := os.ReadFile(n.log)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read the log of %s: %w", n.name, err)
		}
		found, bad := readLog(n.name, text)
		complaints, wrong = append(complaints, found...), append(wrong, bad...)
	}
	slices.SortStableFunc(complaints, func(a, b Complaint) int { return b.Times - a.Times })
	return complaints, wrong, nil
}

func readLog(name string, text []byte) (complaints []Complaint, wrong []string) {
	index := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		if fatal.MatchString(line) {
			wrong = append(wrong, name+": "+line)
		}
		var entry struct{ Level, Msg string }
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &entry) != nil || entry.Level != "ERROR" {
			continue
		}
		i, ok := index[entry.Msg]
		if !ok {
			i = len(complaints)
			index[entry.Msg] = i
			complaints = append(complaints, Complaint{Process: name, Message: entry.Msg, Example: line})
		}
		complaints[i].Times++
	}
	return complaints, wrong
}
