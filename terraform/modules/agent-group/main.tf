# A group of agents in its own account and VPC: the role that they run as, what they may reach, and how they are told.
# The role may assume the bucket's roles and nothing else.

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

locals {
  region   = coalesce(var.region, data.aws_region.this.region)
  name     = "isthmus-agent-${var.name}"
  fargate  = var.platform == "ecs-fargate"
  tags     = merge(var.tags, { "isthmus:cluster" = var.cluster_id, "isthmus:group" = var.name })
  services = { ecs-fargate = "ecs-tasks.amazonaws.com", ec2 = "ec2.amazonaws.com", eks-pod-identity = "pods.eks.amazonaws.com", none = "ec2.amazonaws.com" }
  assumed  = flatten([for s in var.shares : [for role, arn in s.role_arns : arn if contains(var.roles, role)]])
  buckets  = [for s in var.shares : s.bucket]
  first    = values(var.shares)[0]
}

module "policy" {
  source = "../policy"

  partition        = data.aws_partition.this.partition
  bucket_name      = local.first.bucket
  cluster_id       = var.cluster_id
  group            = var.name
  region           = local.region
  account_id       = local.first.account_id
  assume_role_arns = local.assumed
  login_tokens     = var.control_plane.auth_method == "aws-oidc"
  endpoint_buckets = local.buckets
  endpoint_ecr     = local.fargate
}

# The name is agreed on in advance: the bucket's account names it in the trust of its roles before it is there.
resource "aws_iam_role" "agent" {
  name                 = local.name
  description          = "isthmus: agents of group ${var.name} of cluster ${var.cluster_id}"
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Platform"
      Effect    = "Allow"
      Principal = { Service = local.services[var.platform] }
      Action    = var.platform == "eks-pod-identity" ? ["sts:AssumeRole", "sts:TagSession"] : ["sts:AssumeRole"]
      Condition = local.fargate ? {
        StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.this.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${data.aws_partition.this.partition}:ecs:${local.region}:${data.aws_caller_identity.this.account_id}:*" }
      } : null
    }]
  })
}

resource "aws_iam_role_policy" "agent" {
  name   = "isthmus"
  role   = aws_iam_role.agent.name
  policy = module.policy.source_json

  lifecycle {
    precondition {
      condition     = length(local.assumed) > 0
      error_message = "No share has a role for what the agents are."
    }
  }
}

resource "aws_iam_instance_profile" "agent" {
  count = var.platform == "ec2" ? 1 : 0

  name = local.name
  role = aws_iam_role.agent.name
  tags = local.tags
}

# Session tags would ask sts:TagSession of the bucket's roles.
resource "aws_eks_pod_identity_association" "agent" {
  count = var.platform == "eks-pod-identity" ? 1 : 0

  region               = var.region
  cluster_name         = var.eks.cluster
  namespace            = var.eks.namespace
  service_account      = var.eks.service_account
  role_arn             = aws_iam_role.agent.arn
  disable_session_tags = true
  tags                 = local.tags

  lifecycle {
    precondition {
      condition     = var.eks != null
      error_message = "eks-pod-identity needs eks."
    }
  }
}
