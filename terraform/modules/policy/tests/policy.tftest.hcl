# No provider is needed: which inputs are refused. What is made of the others is compared with iam/policy.

variables {
  bucket_name = "acme-main"
  cluster_id  = "main"
  region      = "eu-west-1"
  account_id  = "222222222222"
}

run "values_out_of_bounds" {
  command = plan
  variables {
    partition              = "aws-iso"
    prefix                 = "/streams/"
    bucket_name            = "Acme"
    cluster_id             = "Main"
    share                  = "*"
    group                  = "*"
    role                   = "admin"
    region                 = "europe"
    account_id             = "2222"
    kms_key_arn            = "alias/key"
    trusted_role_arns      = ["*"]
    trust_mode             = "anybody"
    external_id            = "*"
    org_id                 = "acme"
    source_vpce_ids        = ["*"]
    network_accounts       = ["*"]
    data_role_arns         = ["*"]
    break_glass_role_arns  = ["*"]
    encrypt_role_arns      = ["*"]
    decrypt_role_arns      = ["*"]
    assume_role_arns       = ["*"]
    endpoint_buckets       = ["*"]
    revoke_sessions_before = "yesterday"
  }
  expect_failures = [
    var.partition, var.prefix, var.bucket_name, var.cluster_id, var.share, var.group, var.role, var.region, var.account_id,
    var.kms_key_arn, var.trusted_role_arns, var.trust_mode, var.external_id, var.org_id, var.source_vpce_ids, var.network_accounts,
    var.data_role_arns, var.break_glass_role_arns, var.encrypt_role_arns, var.decrypt_role_arns, var.assume_role_arns,
    var.endpoint_buckets, var.revoke_sessions_before,
  ]
}

run "roles_alone_without_break_glass" {
  command = plan
  variables { data_role_arns = ["arn:aws:iam::222222222222:role/data"] }
  expect_failures = [output.bucket_policy_json]
}
