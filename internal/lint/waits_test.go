package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scheduled are folders whose code begins goroutines, waits and tells the time by internal/sched alone, so that the
// simulation can run it; and in each the files that do not, with the reason.
var scheduled = map[string]map[string]string{
	"fetch": {
		"peer.go":      "holds sockets of other agents",
		"peer_pool.go": "holds sockets to other agents",
		"refuse.go":    "answers where the role is not",
	},
}

// clocks are what scheduled code does not call.
var clocks = map[string]bool{
	"time.Now": true, "time.Since": true, "time.Until": true, "time.Sleep": true, "time.After": true, "time.AfterFunc": true,
	"time.NewTimer": true, "time.NewTicker": true, "time.Tick": true,
	"context.WithTimeout": true, "context.WithDeadline": true, "context.AfterFunc": true,
	"errgroup.Group": true, "errgroup.WithContext": true,
}

func TestScheduledCodeWaitsBySched(t *testing.T) {
	for folder, except := range scheduled {
		files, err := filepath.Glob(filepath.Join("../..", folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for name := range except {
			if _, err := os.Stat(filepath.Join("../..", folder, name)); err != nil {
				t.Errorf("exemption of %s/%s: %v", folder, name, err)
			}
		}
		for _, path := range files {
			if name := filepath.Base(path); except[name] == "" && !strings.HasSuffix(name, "_test.go") {
				checkWaits(t, path)
			}
		}
	}
}

func checkWaits(t *testing.T, path string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	bad := func(n ast.Node, what string) {
		t.Errorf("%s: %s: code that the simulation runs does that by internal/sched", set.Position(n.Pos()), what)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			bad(n, "a go statement")
		case *ast.SelectStmt:
			for _, c := range n.Body.List {
				if c.(*ast.CommClause).Comm == nil {
					return true // it does not wait
				}
			}
			bad(n, "a select that waits")
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if ok && (clocks[x.Name+"."+n.Sel.Name] || x.Name == "rand") {
				bad(n, x.Name+"."+n.Sel.Name)
			}
		}
		return true
	})
}
