# The bucket, its roles and its guard-rails, in the account that owns the data. Whoever comes from another account
# assumes a role of this one: the bucket's policy only denies.

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

locals {
  region      = coalesce(var.region, data.aws_region.this.region)
  account_id  = data.aws_caller_identity.this.account_id
  partition   = data.aws_partition.this.partition
  kms_key_arn = var.kms.create ? aws_kms_key.this[0].arn : var.kms.key_arn
  tags        = merge(var.tags, { "isthmus:cluster" = var.cluster_id })

  # One role for each group, role of agents and share.
  roles = merge([
    for name, g in var.groups : merge([
      for role in g.roles : {
        for share in g.shares : "${name}/${role}/${share}" => {
          group                = name
          role                 = role
          share                = share
          trusted              = g.source_role_arns
          external_id          = coalesce(g.external_id, "${var.cluster_id}/${name}")
          max_session_duration = g.max_session_duration
          permissions_boundary = g.permissions_boundary
        }
      }
    ]...)
  ]...)
}

module "policy" {
  source   = "../policy"
  for_each = local.roles

  partition         = local.partition
  bucket_name       = var.name
  cluster_id        = var.cluster_id
  share             = each.value.share
  group             = each.value.group
  role              = each.value.role
  region            = local.region
  account_id        = local.account_id
  kms_key_arn       = local.kms_key_arn
  trusted_role_arns = each.value.trusted
  external_id       = each.value.external_id
  org_id            = var.org_id

  revoke_sessions_before = lookup(var.revoke_sessions_before, each.value.group, null)
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "isthmus-${var.cluster_id}-${each.value.share}-${each.value.group}-${each.value.role}"
  description          = "isthmus: ${each.value.role} of group ${each.value.group} on share ${each.value.share} of cluster ${var.cluster_id}"
  assume_role_policy   = module.policy[each.key].trust_json
  max_session_duration = each.value.max_session_duration
  permissions_boundary = each.value.permissions_boundary
  tags                 = local.tags

  lifecycle {
    precondition {
      condition     = length("isthmus-${var.cluster_id}-${each.value.share}-${each.value.group}-${each.value.role}") <= 64
      error_message = "The role's name, isthmus-CLUSTER-SHARE-GROUP-ROLE, has more than 64 letters: shorten one of the names."
    }
  }
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = "isthmus"
  role   = aws_iam_role.this[each.key].name
  policy = module.policy[each.key].permission_json
}

# Sessions outlive what gave them: this ends those that began before a time.
resource "aws_iam_role_policy" "revoked" {
  for_each = { for key, r in local.roles : key => r if contains(keys(var.revoke_sessions_before), r.group) }

  name   = "isthmus-revoked-before"
  role   = aws_iam_role.this[each.key].name
  policy = module.policy[each.key].revoke_json
}

module "control" {
  source = "../policy"
  count  = var.control_plane == null ? 0 : 1

  partition         = local.partition
  bucket_name       = var.name
  cluster_id        = var.cluster_id
  group             = "control"
  role              = "control"
  region            = local.region
  account_id        = local.account_id
  kms_key_arn       = local.kms_key_arn
  trusted_role_arns = var.control_plane.source_role_arns
  org_id            = var.org_id
}

resource "aws_iam_role" "control" {
  count = var.control_plane == null ? 0 : 1

  name               = "isthmus-${var.cluster_id}-control"
  description        = "isthmus: the control plane of cluster ${var.cluster_id}"
  assume_role_policy = module.control[0].trust_json
  tags               = local.tags
}

resource "aws_iam_role_policy" "control" {
  count = var.control_plane == null ? 0 : 1

  name   = "isthmus"
  role   = aws_iam_role.control[0].name
  policy = module.control[0].permission_json
}
