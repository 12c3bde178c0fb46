variable "partition" {
  description = "Partition of AWS: aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"

  validation {
    condition     = contains(["aws", "aws-cn", "aws-us-gov"], var.partition)
    error_message = "partition is one of aws, aws-cn, aws-us-gov."
  }
}

variable "bucket_name" {
  description = "Name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name has 3 to 63 lower-case letters, digits, dots and dashes."
  }
}

variable "prefix" {
  description = "Prefix of the bucket that the cluster lives under, without slashes around it; empty: the bucket's root."
  type        = string
  default     = ""

  validation {
    condition     = var.prefix == "" || can(regex("^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", var.prefix))
    error_message = "prefix is made of letters, digits, dots, dashes and underscores, with single slashes between its parts."
  }
}

variable "cluster_id" {
  description = "Name of the cluster: the first part of every key."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$", var.cluster_id))
    error_message = "cluster_id has lower-case letters, digits, dots and dashes, at most 64."
  }
}

variable "share" {
  description = "The share that the role is for."
  type        = string
  default     = "default"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$", var.share))
    error_message = "share has lower-case letters, digits, dots and dashes, at most 64."
  }
}

variable "group" {
  description = "The group of agents that the role is for."
  type        = string
  default     = "default"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$", var.group))
    error_message = "group has lower-case letters, digits, dots and dashes, at most 64."
  }
}

variable "role" {
  description = "What the role is for: produce, fetch, jobs or control."
  type        = string
  default     = "produce"

  validation {
    condition     = contains(["produce", "fetch", "jobs", "control"], var.role)
    error_message = "role is one of produce, fetch, jobs, control."
  }
}

variable "region" {
  description = "Region of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "region is a region of AWS, such as eu-west-1."
  }
}

variable "account_id" {
  description = "Account of the bucket and its roles."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id has twelve digits."
  }
}

variable "kms_key_arn" {
  description = "ARN of the key that objects are encrypted with; null: the bucket's own encryption (SSE-S3)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a key, not of an alias."
  }
}

variable "multipart" {
  description = "Whether objects may be stored in parts."
  type        = bool
  default     = false
}

variable "trusted_role_arns" {
  description = "Roles of the agents' own account that may assume the role. They need not exist yet."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for a in var.trusted_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", a))])
    error_message = "trusted_role_arns are ARNs of IAM roles, without wildcards."
  }
}

variable "trust_mode" {
  description = "condition: the account is the principal and aws:PrincipalArn names the roles, which need not exist; arn: the roles are the principals, which pins their unique ids."
  type        = string
  default     = "condition"

  validation {
    condition     = contains(["condition", "arn"], var.trust_mode)
    error_message = "trust_mode is condition or arn."
  }
}

variable "external_id" {
  description = "External id that whoever assumes the role must name; null: CLUSTER/GROUP."
  type        = string
  default     = null

  validation {
    condition     = var.external_id == null ? true : can(regex("^[A-Za-z0-9_+=,.@:/-]{2,}$", var.external_id)) && length(var.external_id) <= 1224
    error_message = "external_id has 2 to 1224 letters, digits and characters of _+=,.@:/-."
  }
}

variable "org_id" {
  description = "Organization that whoever assumes the role must belong to; null: any."
  type        = string
  default     = null

  validation {
    condition     = var.org_id == null || can(regex("^o-[a-z0-9]{10,32}$", var.org_id))
    error_message = "org_id is the id of an organization, such as o-a1b2c3d4e5."
  }
}

variable "source_vpce_ids" {
  description = "STS interface endpoints through which alone the role may be assumed; none: any way."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for v in var.source_vpce_ids : can(regex("^vpce-[0-9a-f]+$", v))])
    error_message = "source_vpce_ids are ids of VPC endpoints."
  }
}

variable "allow_session_tags" {
  description = "Whether sessions may carry tags: EKS Pod Identity sends them unless its association disables them."
  type        = bool
  default     = false
}

variable "network_accounts" {
  description = "Accounts whose VPC endpoints requests must come through, to assume the role and to reach objects; none: any way. Not with readers that come over NAT."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for a in var.network_accounts : can(regex("^[0-9]{12}$", a))])
    error_message = "network_accounts have twelve digits each."
  }
}

variable "data_role_arns" {
  description = "Roles that alone may touch data in the bucket; none: whoever their own policies allow. Needs break_glass_role_arns."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for a in var.data_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", a))])
    error_message = "data_role_arns are ARNs of IAM roles, without wildcards."
  }
}

variable "break_glass_role_arns" {
  description = "Roles that network_accounts and data_role_arns do not hold for."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for a in var.break_glass_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", a))])
    error_message = "break_glass_role_arns are ARNs of IAM roles, without wildcards."
  }
}

variable "encrypt_role_arns" {
  description = "Roles that store with the key, for the key's policy."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for a in var.encrypt_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", a))])
    error_message = "encrypt_role_arns are ARNs of IAM roles, without wildcards."
  }
}

variable "decrypt_role_arns" {
  description = "Roles that read with the key, for the key's policy."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for a in var.decrypt_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", a))])
    error_message = "decrypt_role_arns are ARNs of IAM roles, without wildcards."
  }
}

variable "assume_role_arns" {
  description = "Roles of the bucket's account that the agents' own role may assume, for its policy."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for a in var.assume_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", a))])
    error_message = "assume_role_arns are ARNs of IAM roles, without wildcards."
  }
}

variable "login_tokens" {
  description = "Whether the agents' own role may ask STS for tokens to log in by (aws-oidc)."
  type        = bool
  default     = false
}

variable "endpoint_buckets" {
  description = "Buckets that a VPC's S3 endpoint lets through; none: bucket_name alone."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for b in var.endpoint_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", b))])
    error_message = "endpoint_buckets are names of buckets."
  }
}

variable "endpoint_ecr" {
  description = "Whether that endpoint lets the layers of container images through, too."
  type        = bool
  default     = false
}

variable "revoke_sessions_before" {
  description = "Time, in UTC as 2026-01-31T12:00:00Z, before which begun sessions are denied everything, for revoke_json; null: all sessions."
  type        = string
  default     = null

  validation {
    condition     = var.revoke_sessions_before == null ? true : can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$", var.revoke_sessions_before)) && can(timeadd(var.revoke_sessions_before, "0s"))
    error_message = "revoke_sessions_before is a time in UTC, such as 2026-01-31T12:00:00Z."
  }
}
