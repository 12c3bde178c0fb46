output "permission_json" {
  description = "What the role may do."
  value       = local.texts.permission
}

output "session_json" {
  description = "The same for a session's policy, which narrows a session should the role be wider."
  value       = local.texts.session
}

output "trust_json" {
  description = "Who may assume the role: trusted_role_arns; null without them."
  value       = local.texts.trust
}

output "bucket_policy_json" {
  description = "What nobody may do in the bucket."
  value       = local.texts.bucket

  precondition {
    condition     = !local.has.roles || local.has.breaks
    error_message = "data_role_arns needs break_glass_role_arns: nobody could mend a bucket that only those roles may touch."
  }
}

output "kms_policy_json" {
  description = "Who may use the key: encrypt_role_arns and decrypt_role_arns; null without them."
  value       = local.texts.key
}

output "source_json" {
  description = "What the agents' own role may do: assume assume_role_arns; null without them."
  value       = local.texts.source
}

output "endpoint_policy_json" {
  description = "What a VPC's S3 endpoint lets through."
  value       = local.texts.endpoint
}

output "revoke_json" {
  description = "What ends sessions: all of them, or those begun before revoke_sessions_before."
  value       = local.texts.revoke
}
