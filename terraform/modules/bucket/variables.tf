variable "name" {
  description = "Name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.name))
    error_message = "name has 3 to 63 lower-case letters, digits, dots and dashes."
  }
}

variable "cluster_id" {
  description = "Name of the cluster, as isthmus control --cluster has it: the first part of every key."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$", var.cluster_id))
    error_message = "cluster_id has lower-case letters, digits, dots and dashes, at most 64."
  }
}

variable "region" {
  description = "Region of the bucket; null: the provider's."
  type        = string
  default     = null

  validation {
    condition     = var.region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "region is a region of AWS, such as eu-west-1."
  }
}

variable "create_bucket" {
  description = "Whether to make the bucket; otherwise it is there already and gets only its policy and the roles."
  type        = bool
  default     = true
}

variable "kms" {
  description = "Encryption: create makes a key, key_arn names one; neither: the bucket's own encryption (SSE-S3)."
  type = object({
    create  = optional(bool, false)
    key_arn = optional(string)
  })
  default = {}

  validation {
    condition     = !(var.kms.create && var.kms.key_arn != null)
    error_message = "kms: create a key or name one, not both."
  }
}

variable "groups" {
  description = "Groups of agents by name: their account, the roles of that account that their agents run as, what they may be, and the shares they are granted."
  type = map(object({
    account_id           = string
    source_role_arns     = list(string)
    roles                = set(string)
    shares               = set(string)
    external_id          = optional(string)
    max_session_duration = optional(number, 3600)
    permissions_boundary = optional(string)
    create_topics        = optional(bool, false)
    max_agents           = optional(number, 0)
  }))

  validation {
    condition     = alltrue([for n, g in var.groups : can(regex("^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$", n))])
    error_message = "A group's name has lower-case letters, digits, dots and dashes, at most 64."
  }
  validation {
    condition     = alltrue([for g in var.groups : can(regex("^[0-9]{12}$", g.account_id))])
    error_message = "account_id has twelve digits."
  }
  validation {
    condition     = alltrue(flatten([for g in var.groups : [for r in g.roles : contains(["produce", "fetch", "jobs"], r)]]))
    error_message = "roles are produce, fetch and jobs."
  }
  validation {
    condition     = alltrue([for g in var.groups : length(g.source_role_arns) > 0 && length(g.roles) > 0 && length(g.shares) > 0])
    error_message = "Every group names source_role_arns, roles and shares."
  }
  validation {
    condition     = alltrue(flatten([for g in var.groups : [for a in g.source_role_arns : can(regex("^arn:[a-z-]+:iam::${g.account_id}:role/[A-Za-z0-9+=,.@_/-]+$", a))]]))
    error_message = "source_role_arns are ARNs of roles of the group's own account, without wildcards."
  }
  validation {
    condition     = alltrue([for g in var.groups : g.max_session_duration >= 3600 && g.max_session_duration <= 43200])
    error_message = "max_session_duration is 3600 to 43200 seconds; agents that come from a role get 3600 whatever it says."
  }
}

variable "admin_role_arns" {
  description = "Roles whose holders are operators of the control plane: the first binding of a cluster must be one of them."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for a in values(var.admin_role_arns) : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", a))])
    error_message = "admin_role_arns are ARNs of IAM roles, without wildcards."
  }
}

variable "control_plane" {
  description = "Account and roles that the control plane runs as; null: its journal is kept elsewhere."
  type = object({
    account_id       = string
    source_role_arns = list(string)
  })
  default = null

  validation {
    condition     = var.control_plane == null || can(regex("^[0-9]{12}$", var.control_plane.account_id))
    error_message = "account_id has twelve digits."
  }
}

variable "org_id" {
  description = "Organization that every agent's account belongs to; null: not checked."
  type        = string
  default     = null

  validation {
    condition     = var.org_id == null || can(regex("^o-[a-z0-9]{10,32}$", var.org_id))
    error_message = "org_id is the id of an organization, such as o-a1b2c3d4e5."
  }
}

variable "data_plane_only" {
  description = "Whether the groups' roles alone may touch data, whatever other roles of the account are allowed. Needs break_glass_role_arns."
  type        = bool
  default     = false
}

variable "deny_outside_network" {
  description = "Whether objects are reached through VPC endpoints of network_accounts alone, the control plane's journal too. Needs break_glass_role_arns, with the role that applies this among them: it keeps the canary."
  type        = bool
  default     = false
}

variable "network_accounts" {
  description = "Accounts whose VPC endpoints deny_outside_network lets through."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for a in var.network_accounts : can(regex("^[0-9]{12}$", a))])
    error_message = "network_accounts have twelve digits each."
  }
}

variable "break_glass_role_arns" {
  description = "Roles that data_plane_only and deny_outside_network do not hold for, so that somebody can mend the bucket."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for a in var.break_glass_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", a))])
    error_message = "break_glass_role_arns are ARNs of IAM roles, without wildcards."
  }
}

variable "revoke_sessions_before" {
  description = "By group, a time in UTC such as 2026-01-31T12:00:00Z: sessions of its roles that began before it are denied everything. Later sessions are not; isthmus iam revoke denies those, too."
  type        = map(string)
  default     = {}

  validation {
    condition = alltrue([
      for t in values(var.revoke_sessions_before) :
      can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$", t)) && can(timeadd(t, "0s"))
    ])
    error_message = "revoke_sessions_before are times in UTC, such as 2026-01-31T12:00:00Z."
  }
}

variable "soft_delete_days" {
  description = "Days for which deleted objects can be brought back."
  type        = number
  default     = 1

  validation {
    condition     = var.soft_delete_days >= 1 && floor(var.soft_delete_days) == var.soft_delete_days
    error_message = "soft_delete_days is a whole number of at least 1."
  }
}

variable "abort_multipart_days" {
  description = "Days after which uploads that were not completed are given up."
  type        = number
  default     = 1

  validation {
    condition     = var.abort_multipart_days >= 1 && floor(var.abort_multipart_days) == var.abort_multipart_days
    error_message = "abort_multipart_days is a whole number of at least 1."
  }
}

variable "access_log_bucket" {
  description = "Bucket for the access log; null: none."
  type        = string
  default     = null

  validation {
    condition     = var.access_log_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket is the name of a bucket."
  }
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.tags) <= 45
    error_message = "AWS takes at most 50 tags, and some are set here."
  }
}
