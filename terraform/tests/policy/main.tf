# Module policy over every case that iam/tfpolicy hands in, for its test to compare.

terraform {
  required_version = ">= 1.7"
}

variable "cases" {
  description = "Inputs of module policy by the case's name."
  type        = any
}

module "policy" {
  source   = "../../modules/policy"
  for_each = var.cases

  partition              = each.value.partition
  bucket_name            = each.value.bucket_name
  prefix                 = each.value.prefix
  cluster_id             = each.value.cluster_id
  share                  = each.value.share
  group                  = each.value.group
  role                   = each.value.role
  region                 = each.value.region
  account_id             = each.value.account_id
  kms_key_arn            = try(each.value.kms_key_arn, null)
  multipart              = each.value.multipart
  trusted_role_arns      = each.value.trusted_role_arns
  trust_mode             = each.value.trust_mode
  external_id            = each.value.external_id
  org_id                 = try(each.value.org_id, null)
  source_vpce_ids        = each.value.source_vpce_ids
  allow_session_tags     = each.value.allow_session_tags
  network_accounts       = each.value.network_accounts
  data_role_arns         = each.value.data_role_arns
  break_glass_role_arns  = each.value.break_glass_role_arns
  encrypt_role_arns      = each.value.encrypt_role_arns
  decrypt_role_arns      = each.value.decrypt_role_arns
  assume_role_arns       = each.value.assume_role_arns
  login_tokens           = each.value.login_tokens
  endpoint_buckets       = each.value.endpoint_buckets
  endpoint_ecr           = each.value.endpoint_ecr
  revoke_sessions_before = try(each.value.revoke_sessions_before, null)
}

output "documents" {
  description = "Every document of every case."
  value       = module.policy
}
