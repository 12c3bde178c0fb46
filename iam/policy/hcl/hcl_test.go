package hcl

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/isthmusdata/isthmus/iam/policy"
)

func TestDocument(t *testing.T) {
	d := policy.Document{Version: policy.Version, Statement: []policy.Statement{
		{Sid: "A", Effect: "Allow", Principal: &policy.Principal{AWS: policy.Strings{"arn:aws:iam::1:root"}}, Action: policy.Strings{"sts:AssumeRole"}, Condition: policy.Conditions{
			"StringEquals": {"sts:ExternalId": {"c/g"}, "a:b": {"${aws:username}"}}, "Null": {"k:k": {"false"}},
		}},
		{Effect: "Deny", Principal: &policy.Principal{Everybody: true}, NotAction: policy.Strings{"s3:Get*"}, NotResource: policy.Strings{"*"}},
	}}
	const want = `data "aws_iam_policy_document" "x" {
  statement {
    sid     = "A"
    effect  = "Allow"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::1:root"]
    }

    condition {
      test     = "Null"
      variable = "k:k"
      values   = ["false"]
    }

    condition {
      test     = "StringEquals"
      variable = "a:b"
      values   = ["$${aws:username}"]
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = ["c/g"]
    }
  }

  statement {
    effect        = "Deny"
    not_actions   = ["s3:Get*"]
    not_resources = ["*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }
}
`
	got := Document("x", d)
	if got != want {
		t.Errorf("written:\n%s", got)
	}
	if _, diags := hclsyntax.ParseConfig([]byte(got), "x.tf", hcl.InitialPos); diags.HasErrors() {
		t.Error(diags)
	}
}
