# Against the schema-only provider: what is made of the inputs, and which inputs are refused.

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
}

variables {
  name       = "acme-main"
  cluster_id = "main"
  groups = {
    prod = {
      account_id       = "222222222222"
      source_role_arns = ["arn:aws:iam::222222222222:role/isthmus-agent-prod"]
      roles            = ["produce"]
      shares           = ["orders"]
    }
    analytics = {
      account_id       = "333333333333"
      source_role_arns = ["arn:aws:iam::333333333333:role/isthmus-agent-analytics"]
      roles            = ["fetch", "jobs"]
      shares           = ["orders"]
    }
  }
}

run "open_by_default" {
  command = plan

  assert {
    condition     = !anytrue([for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : contains(["DataPlaneOnly", "DenyOutsideNetwork"], s.Sid)])
    error_message = "Nobody asked for these walls."
  }
  assert {
    condition     = length(aws_iam_role_policy.revoked) == 0
    error_message = "Nothing is revoked unless asked for."
  }
}

run "walled" {
  command = plan

  variables {
    data_plane_only        = true
    deny_outside_network   = true
    network_accounts       = ["333333333333", "222222222222"]
    break_glass_role_arns  = ["arn:aws:iam::222222222222:role/break-glass"]
    revoke_sessions_before = { analytics = "2026-01-31T12:00:00Z" }
  }

  assert {
    condition = [for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Condition.ArnNotEquals["aws:PrincipalArn"] if s.Sid == "DataPlaneOnly"] == [[
      "arn:aws:iam::222222222222:role/break-glass",
      "arn:aws:iam::222222222222:role/isthmus-main-orders-analytics-fetch",
      "arn:aws:iam::222222222222:role/isthmus-main-orders-analytics-jobs",
      "arn:aws:iam::222222222222:role/isthmus-main-orders-prod-produce",
    ]]
    error_message = "The groups' roles and who breaks the glass, and nobody else, touch data."
  }
  assert {
    condition     = [for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Condition.StringNotEqualsIfExists["aws:VpceAccount"] if s.Sid == "DenyOutsideNetwork"] == [["222222222222", "333333333333"]]
    error_message = "Endpoints of the two accounts are let through."
  }
  assert {
    condition     = sort(keys(aws_iam_role_policy.revoked)) == tolist(["analytics/fetch/orders", "analytics/jobs/orders"])
    error_message = "Sessions of the group's roles are revoked, and no others."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.revoked["analytics/fetch/orders"].policy).Statement[0].Condition.DateLessThan["aws:TokenIssueTime"] == ["2026-01-31T12:00:00Z"]
    error_message = "Sessions begun before the time are denied."
  }
}

run "data_plane_without_break_glass" {
  command = plan
  variables { data_plane_only = true }
  expect_failures = [aws_s3_bucket_policy.this]
}

run "network_without_accounts" {
  command = plan
  variables {
    deny_outside_network  = true
    break_glass_role_arns = ["arn:aws:iam::222222222222:role/break-glass"]
  }
  expect_failures = [aws_s3_bucket_policy.this]
}

run "revoke_nobody" {
  command = plan
  variables { revoke_sessions_before = { analitics = "2026-01-31T12:00:00Z" } }
  expect_failures = [output.role_arns]
}

run "values_out_of_bounds" {
  command = plan
  variables {
    name                   = "Acme"
    cluster_id             = "Main"
    region                 = "europe"
    kms                    = { create = true, key_arn = "arn:aws:kms:eu-west-1:222222222222:key/1234" }
    admin_role_arns        = { all = "arn:aws:iam::222222222222:role/*" }
    control_plane          = { account_id = "2222", source_role_arns = [] }
    org_id                 = "acme"
    network_accounts       = ["333"]
    break_glass_role_arns  = ["*"]
    revoke_sessions_before = { prod = "2026-02-31T12:00:00Z" }
    soft_delete_days       = 0
    abort_multipart_days   = 1.5
    access_log_bucket      = "Logs"
  }
  expect_failures = [
    var.name, var.cluster_id, var.region, var.kms, var.admin_role_arns, var.control_plane, var.org_id, var.network_accounts,
    var.break_glass_role_arns, var.revoke_sessions_before, var.soft_delete_days, var.abort_multipart_days, var.access_log_bucket,
  ]
}

run "groups_that_are_not" {
  command = plan
  variables {
    groups = {
      Prod = { account_id = "222222222222", source_role_arns = ["arn:aws:iam::222222222222:role/*"], roles = ["admin"], shares = [] }
    }
  }
  expect_failures = [var.groups]
}
