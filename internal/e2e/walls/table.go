package walls

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
)

// Layer says who must deny an attempt.
type Layer string

const (
	S3      Layer = "S3"            // the bucket or its STS, at Ceph
	Control Layer = "control plane" // over gRPC, or Kafka through an agent
	Both    Layer = "both"          // tried at the bucket and at the control plane, and denied twice
	Eval    Layer = "eval"          // the embedded S3 and STS, over HTTP with signatures
	Nobody  Layer = "allowed"       // a control: it must work
)

// Row is one attempt, or one control, and what became of it.
type Row struct {
	Actor    string
	Attempt  string
	Layer    Layer
	Held     bool   // denied by its layer, or for a control: done
	Evidence string // the answers, short
}

func (r Row) outcome() string {
	switch {
	case r.Layer == Nobody && r.Held:
		return "works"
	case r.Layer == Nobody:
		return "BROKEN"
	case r.Held:
		return "denied"
	}
	return "NOT DENIED"
}

// Table is the thief's table of one run. Rows may be added from many goroutines.
type Table struct {
	mu   sync.Mutex
	rows []Row
}

// Add keeps a row.
func (t *Table) Add(r Row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

// Rows are all rows in the order in which they were added.
func (t *Table) Rows() []Row {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Row(nil), t.rows...)
}

// Count is the number of attempts, and of those that were denied; controls are not counted.
func (t *Table) Count() (attempts, denied int) {
	for _, r := range t.Rows() {
		if r.Layer == Nobody {
			continue
		}
		attempts++
		if r.Held {
			denied++
		}
	}
	return attempts, denied
}

var heads = []string{"actor", "attempt", "layer", "outcome", "evidence"}

func (r Row) cells() []string {
	return []string{r.Actor, r.Attempt, string(r.Layer), r.outcome(), r.Evidence}
}

// Print writes the table for a terminal.
func (t *Table) Print(w io.Writer) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, strings.Join(heads, "\t"))
	for _, r := range t.Rows() {
		fmt.Fprintln(columns, strings.Join(r.cells(), "\t"))
	}
	return columns.Flush()
}

// Markdown writes the table for a page.
func (t *Table) Markdown(w io.Writer) error {
	var page strings.Builder
	fmt.Fprintf(&page, "| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat(" --- |", len(heads)))
	for _, r := range t.Rows() {
		cells := r.cells()
		for i := range cells {
			cells[i] = strings.NewReplacer("|", `\|`, "\n", " ").Replace(cells[i])
		}
		fmt.Fprintf(&page, "| %s |\n", strings.Join(cells, " | "))
	}
	_, err := io.WriteString(w, page.String())
	return err
}

// Run is what the last line of a run tells.
type Run struct {
	Table   *Table
	Packets int64   // between the VPCs, dropped ones included
	Revoked float64 // seconds from the withdrawal of access to the last successful read; 0: not tried
}

// String is the last line.
func (r Run) String() string {
	attempts, denied := r.Table.Count()
	line := fmt.Sprintf("walls: %d attempts, %d denied; %d packets between the VPCs", attempts, denied, r.Packets)
	if r.Revoked > 0 {
		line += fmt.Sprintf("; revoked in %.2f s", r.Revoked)
	}
	return line
}
