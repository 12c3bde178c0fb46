# Every document of IAM that isthmus needs, without a provider. roles.json is written by the program that prints the same
# documents on the command line (isthmus iam), once for each set of options; here values take the place of its marks.
# Lists are sorted, as the program sorts them.

locals {
  documents = jsondecode(file("${path.module}/roles.json"))

  has = {
    kms     = var.kms_key_arn != null
    network = length(var.network_accounts) > 0
    breaks  = length(var.break_glass_role_arns) > 0
    roles   = length(var.data_role_arns) > 0
  }
  s3_name  = "s3.${var.region}.amazonaws.com"
  buckets  = sort(distinct(length(var.endpoint_buckets) > 0 ? var.endpoint_buckets : [var.bucket_name]))
  accounts = sort(distinct([for a in var.trusted_role_arns : "${join(":", slice(split(":", a), 0, 5))}:root"]))

  values = {
    partition            = var.partition
    bucket               = var.bucket_name
    root                 = var.prefix == "" ? var.cluster_id : "${var.prefix}/${var.cluster_id}"
    cluster              = var.cluster_id
    share                = var.share
    group                = var.group
    region               = var.region
    account              = var.account_id
    kms_key              = var.kms_key_arn == null ? "" : var.kms_key_arn
    s3_service           = var.partition == "aws-cn" ? "${local.s3_name}.cn" : local.s3_name
    external_id          = var.external_id == null ? "${var.cluster_id}/${var.group}" : var.external_id
    org                  = var.org_id == null ? "" : var.org_id
    before               = var.revoke_sessions_before == null ? "" : var.revoke_sessions_before
    trusted              = jsonencode(sort(distinct(var.trusted_role_arns)))
    trusted_accounts     = jsonencode(local.accounts)
    source_vpces         = jsonencode(sort(distinct(var.source_vpce_ids)))
    network_accounts     = jsonencode(sort(distinct(var.network_accounts)))
    assumed              = jsonencode(sort(distinct(var.assume_role_arns)))
    encrypt              = jsonencode(sort(distinct(var.encrypt_role_arns)))
    decrypt              = jsonencode(sort(distinct(var.decrypt_role_arns)))
    break_glass          = jsonencode(sort(distinct(var.break_glass_role_arns)))
    data_and_break_glass = jsonencode(sort(distinct(concat(var.data_role_arns, var.break_glass_role_arns))))
    endpoint_buckets     = jsonencode([for b in local.buckets : "arn:${var.partition}:s3:::${b}"])
    endpoint_objects     = jsonencode([for b in local.buckets : "arn:${var.partition}:s3:::${b}/*"])
  }

  options = {
    permission = compact([var.role, local.has.kms ? "kms" : "", var.multipart ? "multipart" : ""])
    session    = compact([var.role, local.has.kms ? "kms" : "", var.multipart ? "multipart" : ""])
    trust = compact([
      var.trust_mode, var.org_id != null ? "org" : "", length(var.source_vpce_ids) > 0 ? "vpce" : "", local.has.network ? "network" : "",
      var.allow_session_tags ? "tags" : "",
    ])
    bucket = compact([
      local.has.kms ? "kms" : "", local.has.network ? "network" : "", local.has.breaks ? "break" : "", local.has.roles && local.has.breaks ? "roles" : "",
    ])
    key      = compact([length(var.encrypt_role_arns) > 0 ? "encrypt" : "", length(var.decrypt_role_arns) > 0 ? "decrypt" : ""])
    source   = compact([var.login_tokens ? "login" : ""])
    endpoint = compact([var.endpoint_ecr ? "ecr" : ""])
    revoke   = compact([var.revoke_sessions_before != null ? "before" : ""])
  }

  # What was not asked for is null: there is no document without whom it is about.
  asked = {
    permission = true
    session    = true
    trust      = length(var.trusted_role_arns) > 0
    bucket     = true
    key        = length(local.options.key) > 0
    source     = length(var.assume_role_arns) > 0
    endpoint   = true
    revoke     = true
  }

  # The text is cut at its marks; what stands before }} in a piece is a value's name.
  texts = {
    for kind, options in local.options : kind => local.asked[kind] ? join("", [
      for i, piece in split("{{", local.documents[kind][join(" ", options)]) :
      i == 0 ? piece : "${local.values[split("}}", piece)[0]]}${join("}}", slice(split("}}", piece), 1, length(split("}}", piece))))}"
    ]) : null
  }
}
