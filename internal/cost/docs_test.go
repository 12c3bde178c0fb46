package cost

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

const page = "../../docs/cost.md"

// TestTheDocumentedExample works out the arithmetic that docs/cost.md writes down for the default load, line by line, and holds the sums
// against this code. Every line of every bill is there, and its formula.
func TestTheDocumentedExample(t *testing.T) {
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	e := reckon(t, DefaultWorkload())
	worked := map[string]float64{}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 4 || !strings.HasPrefix(line, "| ") || !strings.HasPrefix(strings.TrimSpace(cells[2]), "`") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		got, err := work(strings.Trim(cells[2], "`"))
		if err != nil {
			t.Errorf("%s: %s, %s: %v", page, cells[0], cells[1], err)
			continue
		}
		said, err := strconv.ParseFloat(strings.ReplaceAll(cells[3], ",", ""), 64)
		if err != nil || math.Abs(said-got) > 0.0051 {
			t.Errorf("%s: %s, %s: it says %s, and %s is %.4f", page, cells[0], cells[1], cells[3], cells[2], got)
		}
		worked[cells[0]+", "+cells[1]] = got
	}
	for _, b := range all(e) {
		for _, l := range b.Lines {
			key := b.System + ", " + l.Name
			got, ok := worked[key]
			if !ok {
				t.Errorf("%s does not work out %q", page, key)
			} else if math.Abs(got-l.Month) > 0.005 {
				t.Errorf("%s works out %q as %.4f, the code says %.4f", page, key, got, l.Month)
			}
			delete(worked, key)
			if !strings.Contains(text, "`"+l.Formula+"`") {
				t.Errorf("%s has no formula `%s` of %q", page, l.Formula, key)
			}
		}
	}
	for key := range worked {
		t.Errorf("%s works out %q, which is no line of a bill", page, key)
	}
}

// work evaluates arithmetic as a person would: + - * / ( ) and min, max, ceil, on real numbers.
func work(text string) (float64, error) {
	tree, err := parser.ParseExpr(text)
	if err != nil {
		return 0, err
	}
	return eval(tree)
}

func eval(n ast.Expr) (float64, error) {
	switch n := n.(type) {
	case *ast.BasicLit:
		return strconv.ParseFloat(n.Value, 64)
	case *ast.ParenExpr:
		return eval(n.X)
	case *ast.CallExpr:
		var args []float64
		for _, a := range n.Args {
			v, err := eval(a)
			if err != nil {
				return 0, err
			}
			args = append(args, v)
		}
		switch name := n.Fun.(*ast.Ident).Name; {
		case name == "ceil" && len(args) == 1:
			return math.Ceil(args[0]), nil
		case name == "max" && len(args) == 2:
			return max(args[0], args[1]), nil
		case name == "min" && len(args) == 2:
			return min(args[0], args[1]), nil
		}
	case *ast.BinaryExpr:
		a, err := eval(n.X)
		if err != nil {
			return 0, err
		}
		b, err := eval(n.Y)
		if err != nil {
			return 0, err
		}
		switch n.Op {
		case token.ADD:
			return a + b, nil
		case token.SUB:
			return a - b, nil
		case token.MUL:
			return a * b, nil
		case token.QUO:
			return a / b, nil
		}
	}
	return 0, fmt.Errorf("%T is no arithmetic", n)
}
