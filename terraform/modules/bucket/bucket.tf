#checkov:skip=CKV_AWS_144:replication is for who reads in several regions; readers come to this bucket
#checkov:skip=CKV2_AWS_62:nothing waits for notifications: the control plane says what there is
#checkov:skip=CKV_AWS_143:retention is the jobs role's work, which object lock would forbid
#trivy:ignore:AWS-0170 versions are kept for days only, and no role may delete one
resource "aws_s3_bucket" "this" {
  count = var.create_bucket ? 1 : 0

  bucket = var.name
  region = var.region
  tags   = local.tags
}

locals {
  # What is made in the bucket waits for it, and is in its region.
  bucket        = var.create_bucket ? aws_s3_bucket.this[0].bucket : var.name
  canary_key    = "${var.cluster_id}/_isthmus/canary"
  outside_key   = "_outside/canary"
  preflight_key = "${var.cluster_id}/_preflight/"
}

resource "aws_s3_bucket_ownership_controls" "this" {
  count = var.create_bucket ? 1 : 0

  bucket = local.bucket
  region = var.region

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  count = var.create_bucket ? 1 : 0

  bucket                  = local.bucket
  region                  = var.region
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "this" {
  count = var.create_bucket ? 1 : 0

  bucket = local.bucket
  region = var.region

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  count = var.create_bucket ? 1 : 0

  bucket = local.bucket
  region = var.region

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms.create || var.kms.key_arn != null ? "aws:kms" : "AES256"
      kms_master_key_id = local.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  count = var.create_bucket ? 1 : 0

  bucket = local.bucket
  region = var.region

  rule {
    id     = "soft-delete"
    status = "Enabled"

    filter {
      prefix = ""
    }
    noncurrent_version_expiration {
      noncurrent_days = var.soft_delete_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = var.abort_multipart_days
    }
  }

  rule {
    id     = "preflight"
    status = "Enabled"

    filter {
      prefix = local.preflight_key
    }
    expiration {
      days = 1
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

#checkov:skip=CKV_AWS_18:made when access_log_bucket is given
#trivy:ignore:AWS-0089 made when access_log_bucket is given
resource "aws_s3_bucket_logging" "this" {
  count = var.create_bucket && var.access_log_bucket != null ? 1 : 0

  bucket        = local.bucket
  region        = var.region
  target_bucket = var.access_log_bucket
  target_prefix = "${var.name}/"
}

module "guard" {
  source = "../policy"

  partition   = local.partition
  bucket_name = var.name
  cluster_id  = var.cluster_id
  region      = local.region
  account_id  = local.account_id
  kms_key_arn = local.kms_key_arn

  # Without somebody to break the glass, what these deny could not be mended: the policy is not made, then.
  data_role_arns        = var.data_plane_only && length(var.break_glass_role_arns) > 0 ? values(local.role_arns) : []
  network_accounts      = var.deny_outside_network ? var.network_accounts : []
  break_glass_role_arns = var.break_glass_role_arns
}

resource "aws_s3_bucket_policy" "this" {
  bucket = local.bucket
  region = var.region
  policy = module.guard.bucket_policy_json

  lifecycle {
    precondition {
      condition     = !(var.data_plane_only || var.deny_outside_network) || length(var.break_glass_role_arns) > 0
      error_message = "data_plane_only and deny_outside_network need break_glass_role_arns: nobody could mend the bucket."
    }
    precondition {
      condition     = var.deny_outside_network == (length(var.network_accounts) > 0)
      error_message = "deny_outside_network and network_accounts: both or neither."
    }
  }

  depends_on = [aws_s3_bucket_public_access_block.this]
}

# The canary tells an agent that lost access from one whose object is gone; the decoy, which no role may read, tells
# that the prefix is a wall.
resource "aws_s3_object" "canary" {
  bucket                 = local.bucket
  region                 = var.region
  key                    = local.canary_key
  server_side_encryption = "AES256" # who applies this may not use the key
  content                = "isthmus canary of cluster ${var.cluster_id}\n"

  depends_on = [aws_s3_bucket_server_side_encryption_configuration.this]
}

resource "aws_s3_object" "outside" {
  bucket                 = local.bucket
  region                 = var.region
  key                    = local.outside_key
  server_side_encryption = "AES256"
  content                = "no role of isthmus may read this\n"

  depends_on = [aws_s3_bucket_server_side_encryption_configuration.this]
}

# Who keeps the key cannot use it; roles use it through S3 and for this bucket alone. Roles are named, not referred to.
module "key" {
  source = "../policy"

  partition   = local.partition
  bucket_name = var.name
  cluster_id  = var.cluster_id
  region      = local.region
  account_id  = local.account_id

  encrypt_role_arns = concat([for k, r in local.roles : local.role_arns[k] if r.role != "fetch"], local.control_arns)
  decrypt_role_arns = concat([for k, r in local.roles : local.role_arns[k] if r.role != "produce"], local.control_arns)
}

resource "aws_kms_key" "this" {
  count = var.kms.create ? 1 : 0

  region                  = var.region
  description             = "isthmus: objects of cluster ${var.cluster_id}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = module.key.kms_policy_json
  tags                    = local.tags
}

resource "aws_kms_alias" "this" {
  count = var.kms.create ? 1 : 0

  region        = var.region
  name          = "alias/isthmus-${replace(var.cluster_id, ".", "-")}"
  target_key_id = aws_kms_key.this[0].key_id
}
