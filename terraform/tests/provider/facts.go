package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

//go:embed schema-facts.json
var raw []byte

// facts are what was extracted from the published schema.
type facts struct {
	Resources   map[string]block `json:"resources"`
	DataSources map[string]block `json:"data_sources"`
}

type block struct {
	Attributes []attribute `json:"attributes"`
	Blocks     []nested    `json:"blocks"`
}

type attribute struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required"`
	Optional bool   `json:"optional"`
	Computed bool   `json:"computed"`
}

type nested struct {
	Name    string `json:"name"`
	Nesting string `json:"nesting"`
	Min     int64  `json:"min"`
	Block   block  `json:"block"`
}

func readFacts() (facts, error) {
	var f facts
	if err := json.Unmarshal(raw, &f); err != nil {
		return f, fmt.Errorf("read schema-facts.json: %w", err)
	}
	return f, nil
}

var simple = map[string]tftypes.Type{
	"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool, "dynamic": tftypes.DynamicPseudoType,
}

// typeOf reads a type such as map(string).
func typeOf(s string) (tftypes.Type, error) {
	outer, inner, composed := strings.Cut(strings.TrimSuffix(s, ")"), "(")
	element, known := simple[outer]
	if composed {
		element, known = simple[inner]
	}
	switch {
	case !known:
		return nil, fmt.Errorf("unknown type %q", s)
	case !composed:
		return element, nil
	}
	switch outer {
	case "list":
		return tftypes.List{ElementType: element}, nil
	case "set":
		return tftypes.Set{ElementType: element}, nil
	case "map":
		return tftypes.Map{ElementType: element}, nil
	}
	return nil, fmt.Errorf("unknown type %q", s)
}

var nestings = map[string]tfprotov5.SchemaNestedBlockNestingMode{
	"list": tfprotov5.SchemaNestedBlockNestingModeList, "set": tfprotov5.SchemaNestedBlockNestingModeSet,
	"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
}

func schemas(from map[string]block) (map[string]*tfprotov5.Schema, error) {
	all := map[string]*tfprotov5.Schema{}
	for name, b := range from {
		converted, err := b.schema()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = &tfprotov5.Schema{Block: converted}
	}
	return all, nil
}

func (b block) schema() (*tfprotov5.SchemaBlock, error) {
	s := &tfprotov5.SchemaBlock{}
	for _, a := range b.Attributes {
		t, err := typeOf(a.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.Name, err)
		}
		s.Attributes = append(s.Attributes, &tfprotov5.SchemaAttribute{
			Name: a.Name, Type: t, Required: a.Required, Optional: a.Optional, Computed: a.Computed,
		})
	}
	for _, n := range b.Blocks {
		inner, err := n.Block.schema()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
		s.BlockTypes = append(s.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: n.Name, Nesting: nestings[n.Nesting], MinItems: n.Min, Block: inner,
		})
	}
	return s, nil
}
