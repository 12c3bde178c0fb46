// Package hcl writes documents of IAM for Terraform: as data "aws_iam_policy_document", with a block for each statement, so that
// a plan shows which statement changes. The data source writes a single value as a string where package policy writes a
// list of one; to IAM both are the same.
package hcl

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/isthmusdata/isthmus/iam/policy"
)

// Document is a data source of that name.
func Document(name string, d policy.Document) string {
	f := hclwrite.NewEmptyFile()
	body := f.Body().AppendNewBlock("data", []string{"aws_iam_policy_document", name}).Body()
	for i, s := range d.Statement {
		if i > 0 {
			body.AppendNewline()
		}
		statement(body.AppendNewBlock("statement", nil).Body(), s)
	}
	return string(f.Bytes())
}

func statement(b *hclwrite.Body, s policy.Statement) {
	if s.Sid != "" {
		b.SetAttributeValue("sid", cty.StringVal(s.Sid))
	}
	b.SetAttributeValue("effect", cty.StringVal(s.Effect))
	for _, l := range []struct {
		name   string
		values policy.Strings
	}{{"actions", s.Action}, {"not_actions", s.NotAction}, {"resources", s.Resource}, {"not_resources", s.NotResource}} {
		if len(l.values) > 0 {
			b.SetAttributeValue(l.name, list(l.values))
		}
	}
	if p := s.Principal; p != nil {
		if p.Everybody {
			principals(b, "*", policy.Strings{"*"})
		}
		principals(b, "AWS", p.AWS)
		principals(b, "Federated", p.Federated)
		principals(b, "Service", p.Service)
	}
	for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
		for _, key := range slices.Sorted(maps.Keys(s.Condition[operator])) {
			b.AppendNewline()
			c := b.AppendNewBlock("condition", nil).Body()
			c.SetAttributeValue("test", cty.StringVal(operator))
			c.SetAttributeValue("variable", cty.StringVal(key))
			c.SetAttributeValue("values", list(s.Condition[operator][key]))
		}
	}
}

func principals(b *hclwrite.Body, kind string, who policy.Strings) {
	if len(who) == 0 {
		return
	}
	b.AppendNewline()
	p := b.AppendNewBlock("principals", nil).Body()
	p.SetAttributeValue("type", cty.StringVal(kind))
	p.SetAttributeValue("identifiers", list(who))
}

func list(values policy.Strings) cty.Value {
	out := make([]cty.Value, len(values))
	for i, v := range values {
		out[i] = cty.StringVal(v)
	}
	return cty.TupleVal(out)
}
