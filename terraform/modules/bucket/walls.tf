# What the control plane is told: which share is where, who may do what on it, and by which role of their own account
# agents are known. isthmus binding apply -f reads it.

locals {
  # Names, not attributes: known before anything is applied, so that states apply in any order.
  role_arns = {
    for key, r in local.roles :
    key => "arn:${local.partition}:iam::${local.account_id}:role/isthmus-${var.cluster_id}-${r.share}-${r.group}-${r.role}"
  }
  control_arns = var.control_plane == null ? [] : ["arn:${local.partition}:iam::${local.account_id}:role/isthmus-${var.cluster_id}-control"]
  shares       = toset(flatten([for g in var.groups : tolist(g.shares)]))

  # Agents produce or fetch; jobs are not agents and log in as nobody.
  agents = { for name, g in var.groups : name => merge(g, { roles = setintersection(g.roles, ["produce", "fetch"]) }) }

  walls = {
    shares = [
      for share in local.shares : merge(
        {
          name    = share
          bucket  = "s3://${var.name}?region=${local.region}"
          region  = local.region
          account = local.account_id
          roles = [
            for key, r in local.roles : {
              group       = r.group
              role        = r.role
              role_arn    = local.role_arns[key]
              external_id = r.external_id
            } if r.share == share && r.role != "jobs"
          ]
        },
        local.kms_key_arn == null ? {} : { kms_key = local.kms_key_arn },
      )
    ]
    groups = [for name, g in local.agents : { name = name, roles = tolist(g.roles) } if length(g.roles) > 0]
    grants = flatten([
      for name, g in local.agents : [
        for share in g.shares : [
          for role in g.roles : merge(
            { name = "${name}-${role}-${share}", group = name, share = share, access = role },
            role == "produce" && g.create_topics ? { create = true } : {},
          )
        ]
      ]
    ])
    bindings = concat(
      [
        for name, arn in var.admin_role_arns : {
          name  = name
          match = { method = "aws-sigv4", arn = arn }
          grant = { cluster = var.cluster_id, admin = true }
        }
      ],
      flatten([
        for name, g in local.agents : [
          for i, arn in g.source_role_arns : {
            name  = i == 0 ? "${name}-agents" : "${name}-agents-${i + 1}"
            match = { method = "aws-sigv4", arn = arn }
            grant = merge(
              { cluster = var.cluster_id, group = name, roles = tolist(g.roles), shares = tolist(g.shares) },
              g.max_agents == 0 ? {} : { max_agents = g.max_agents },
            )
          }
        ] if length(g.roles) > 0
      ]),
    )
  }
}
