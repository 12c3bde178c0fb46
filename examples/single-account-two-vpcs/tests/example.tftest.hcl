# Against the schema-only provider: names, types and wiring, and not AWS.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "222222222222" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab" }
  }
}

run "walls" {
  command = apply

  assert {
    condition     = sort(keys(output.role_arns)) == sort(["prod/produce/orders", "analytics/fetch/orders"])
    error_message = "There is one role for each group, role of agents and share."
  }
  assert {
    condition     = alltrue([for b in yamldecode(output.bindings_yaml).bindings : startswith(b.match.arn, "arn:aws:iam::")])
    error_message = "Bindings match roles of accounts."
  }
  assert {
    condition     = yamldecode(output.consumers_yaml).roles == ["fetch"] && yamldecode(output.producers_yaml).roles == ["produce"]
    error_message = "Production only produces, and analytics only fetches."
  }
}
