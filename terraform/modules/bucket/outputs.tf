output "bucket_name" {
  description = "Name of the bucket."
  value       = local.bucket
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = "arn:${local.partition}:s3:::${var.name}"
}

output "bucket_region" {
  description = "Region of the bucket."
  value       = local.region
}

output "bucket_account_id" {
  description = "Account of the bucket and its roles."
  value       = local.account_id
}

output "kms_key_arn" {
  description = "ARN of the key of objects; null: the bucket's own encryption."
  value       = local.kms_key_arn
}

output "role_arns" {
  description = "ARNs of the roles, by GROUP/ROLE/SHARE."
  value       = local.role_arns

  precondition {
    condition     = length(setsubtract(keys(var.revoke_sessions_before), keys(var.groups))) == 0
    error_message = "revoke_sessions_before names a group that is not there: nothing would be revoked."
  }
}

output "control_role_arn" {
  description = "ARN of the control plane's role; null: none was asked for."
  value       = var.control_plane == null ? null : "arn:${local.partition}:iam::${local.account_id}:role/${aws_iam_role.control[0].name}"
}

output "external_ids" {
  description = "External ids that agents name when they assume their roles, by group."
  value       = { for name, g in var.groups : name => coalesce(g.external_id, "${var.cluster_id}/${name}") }
}

output "canary_key" {
  description = "Key of the object that every fetch role may read."
  value       = local.canary_key
}

output "outside_canary_key" {
  description = "Key of the object that no role may read."
  value       = local.outside_key
}

output "bindings_yaml" {
  description = "Shares, groups, grants and bindings, for isthmus binding apply -f."
  value       = yamlencode(local.walls)
}

output "agent_config" {
  description = "By group, what module agent-group takes as shares."
  value = {
    for name, g in var.groups : name => {
      for share in g.shares : share => {
        bucket      = local.bucket
        region      = local.region
        account_id  = local.account_id
        role_arns   = { for role in g.roles : role => local.role_arns["${name}/${role}/${share}"] }
        external_id = coalesce(g.external_id, "${var.cluster_id}/${name}")
        kms_key_arn = local.kms_key_arn
      }
    }
  }
}
