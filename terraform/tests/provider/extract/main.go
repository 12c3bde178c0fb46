// Command extract writes the facts of a provider's schema (names, types, required marks) that the schema-only provider
// serves: extract PACKAGE.tgz TYPE… on standard output. PACKAGE is the npm package that scripts/terraform.sh names; a
// type that begins with data. is a data source.
package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

type block struct {
	Attributes []attribute `json:"attributes,omitempty"`
	Blocks     []nested    `json:"blocks,omitempty"`
}

type attribute struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required,omitempty"`
	Optional bool   `json:"optional,omitempty"`
	Computed bool   `json:"computed,omitempty"`
}

type nested struct {
	Name    string `json:"name"`
	Nesting string `json:"nesting"`
	Min     int    `json:"min,omitempty"`
	Block   block  `json:"block"`
}

type facts struct {
	Note        string           `json:"note"`
	Source      string           `json:"source"`
	Provider    string           `json:"provider"`
	Resources   map[string]block `json:"resources"`
	DataSources map[string]block `json:"data_sources"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "extract:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: extract PACKAGE.tgz TYPE…")
	}
	files, err := read(args[0], args[1:])
	if err != nil {
		return err
	}
	var about struct{ Name, Version, License string }
	if err := json.Unmarshal([]byte(files["package/package.json"]), &about); err != nil {
		return fmt.Errorf("read package.json: %w", err)
	}
	out := facts{
		Note:      "Facts of a published schema: names, types, required marks. Not the provider. Written by terraform/tests/provider/extract; do not edit.",
		Source:    fmt.Sprintf("npm package %s %s (%s)", about.Name, about.Version, about.License),
		Resources: map[string]block{}, DataSources: map[string]block{},
	}
	for _, name := range args[1:] {
		js, ok := files[path(name)]
		if !ok {
			return fmt.Errorf("%s has no %s", args[0], name)
		}
		if m := version.FindStringSubmatch(js); m != nil {
			out.Provider = "hashicorp/aws " + m[1]
		}
		b, err := source(js).top()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if plain, data := strings.CutPrefix(name, "data."); data {
			out.DataSources[plain] = b
		} else {
			out.Resources[name] = b
		}
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", " ")
	return e.Encode(out)
}

// path is where the package keeps a type.
func path(name string) string {
	plain, data := strings.CutPrefix(name, "data.")
	dir := strings.ReplaceAll(strings.TrimPrefix(plain, "aws_"), "_", "-")
	if data {
		dir = "data-aws-" + dir
	}
	return "package/lib/" + dir + "/index.js"
}

func read(archive string, names []string) (map[string]string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", archive, err)
	}
	want := map[string]bool{"package/package.json": true}
	for _, n := range names {
		want[path(n)] = true
	}
	found := map[string]string{}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", archive, err)
		}
		if want[h.Name] {
			text, err := io.ReadAll(t)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", h.Name, err)
			}
			found[h.Name] = string(text)
		}
	}
}

var (
	version = regexp.MustCompile(`providers/hashicorp/aws/([0-9.]+)/docs`)
	entry   = regexp.MustCompile(`(\w+): \{\s*value: ([^\n]*),\s*isBlock: (true|false),\s*type: "(\w+)",\s*storageClassType: "(\w+)",`)
	member  = regexp.MustCompile(`(?:this\._|struct\.)(\w+)`)
	inner   = regexp.MustCompile(`(\w+)ToHclTerraform`)
	listed  = regexp.MustCompile(`// (\w+) - computed: true, optional: false, required: false`)
	getter  = regexp.MustCompile(`return this\.get(String|Number|Boolean|List|StringMap)Attribute\('(\w+)'\)`)
)

// source is the text of one type.
type source string

// top is the block of the type itself, with what can only be read of it.
func (s source) top() (block, error) {
	class := strings.LastIndex(string(s), "extends cdktf.Terraform")
	at := strings.LastIndex(string(s), "synthesizeHclAttributes()")
	if class < 0 || at < 0 {
		return block{}, errors.New("the package is not laid out as it was")
	}
	b, err := s.block(string(s[at:]), string(s[class:]))
	if err != nil {
		return b, err
	}
	have := map[string]bool{}
	for _, a := range b.Attributes {
		have[a.Name] = true
	}
	types := map[string]string{"String": "string", "Number": "number", "Boolean": "bool", "List": "list(string)", "StringMap": "map(string)"}
	for _, m := range getter.FindAllStringSubmatch(string(s[class:]), -1) {
		if !have[m[2]] {
			have[m[2]] = true
			b.Attributes = append(b.Attributes, attribute{Name: m[2], Type: types[m[1]], Computed: true})
		}
	}
	for _, m := range listed.FindAllStringSubmatch(string(s[class:]), -1) {
		if !have[m[1]] {
			b.Attributes = append(b.Attributes, attribute{Name: m[1], Type: "dynamic", Computed: true}) // objects
		}
	}
	return b, nil
}

// block reads the arguments that begin at text, and who of them may be left out by the text of their class.
func (s source) block(text, class string) (block, error) {
	var b block
	at := strings.Index(text, "const attrs = {")
	if at < 0 {
		return b, nil
	}
	for _, m := range entry.FindAllStringSubmatch(braces(text[at:]), -1) {
		name, value, kind, storage := m[1], m[2], m[4], m[5]
		camel := member.FindStringSubmatch(value)
		if camel == nil {
			return b, fmt.Errorf("argument %s has no member", name)
		}
		// What can be left out can be reset. What the provider fills in when it is left out is not told: anything may.
		upper := strings.ToUpper(camel[1][:1]) + camel[1][1:]
		fetch := "Fetch" + strings.TrimPrefix(upper, "Get") // get_password_data would clash with a getter's name
		optional := strings.Contains(class, "reset"+upper+"()") || strings.Contains(class, "reset"+fetch+"()")
		if m[3] == "false" {
			t, err := typed(kind, storage)
			if err != nil {
				return b, fmt.Errorf("argument %s: %w", name, err)
			}
			b.Attributes = append(b.Attributes, attribute{name, t, !optional, optional, optional})
			continue
		}
		n := nested{Name: name, Nesting: kind}
		if kind == "struct" {
			n.Nesting = "single"
		} else if !optional {
			n.Min = 1
		}
		fn := inner.FindStringSubmatch(value)
		if fn == nil {
			return b, fmt.Errorf("block %s has no function", name)
		}
		body := strings.Index(string(s), "function "+fn[1]+"ToHclTerraform(")
		members := strings.Index(string(s), "class "+strings.ToUpper(fn[1][:1])+fn[1][1:]+"OutputReference ")
		if body < 0 || members < 0 {
			return b, fmt.Errorf("block %s is not described", name)
		}
		var err error
		if n.Block, err = s.block(braces(string(s[body:])), braces(string(s[members:]))); err != nil {
			return b, fmt.Errorf("block %s: %w", name, err)
		}
		b.Blocks = append(b.Blocks, n)
	}
	return b, nil
}

func typed(kind, storage string) (string, error) {
	element := map[string]string{"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
	base := strings.TrimSuffix(strings.TrimSuffix(storage, "List"), "Map")
	e, ok := element[base]
	switch {
	case !ok:
		return "dynamic", nil // an attribute of objects
	case kind == "simple":
		return e, nil
	case kind == "list", kind == "set", kind == "map":
		return kind + "(" + e + ")", nil
	}
	return "", fmt.Errorf("kind %q", kind)
}

// braces is the text up to the brace that closes its first one.
func braces(s string) string {
	depth := 0
	for i, r := range s {
		switch r {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return s[:i+1]
			}
		}
	}
	return s
}
