# Two accounts: production owns the bucket and produces, analytics fetches

provider "aws" {
  alias               = "production"
  region              = var.region
  profile             = var.production_profile
  allowed_account_ids = [var.production_account_id]
}

provider "aws" {
  alias               = "analytics"
  region              = var.region
  profile             = var.analytics_profile
  allowed_account_ids = [var.analytics_account_id]
}

module "bucket" {
  source = "../../terraform/modules/bucket"

  providers  = { aws = aws.production }
  name       = var.bucket_name
  cluster_id = "main"
  region     = var.region
  kms        = { create = true }

  groups = {
    prod = {
      account_id       = var.production_account_id
      source_role_arns = ["arn:aws:iam::${var.production_account_id}:role/isthmus-agent-prod"]
      roles            = ["produce"]
      shares           = ["orders"]
      create_topics    = true
    }
    analytics = {
      account_id       = var.analytics_account_id
      source_role_arns = ["arn:aws:iam::${var.analytics_account_id}:role/isthmus-agent-analytics"]
      roles            = ["fetch"]
      shares           = ["orders"]
    }
  }

  admin_role_arns = {
    operators = "arn:aws:iam::${var.production_account_id}:role/isthmus-operators"
  }

  control_plane = {
    account_id       = var.production_account_id
    source_role_arns = ["arn:aws:iam::${var.production_account_id}:role/isthmus-main-node"]
  }
}

# Made if asked for. Production reaches it at its load balancer, and analytics through PrivateLink.
module "control_plane" {
  source = "../../terraform/modules/control-plane"
  count  = var.control_plane == null ? 0 : 1

  providers                = { aws = aws.production }
  cluster_id               = "main"
  bucket_url               = "s3://${module.bucket.bucket_name}?region=${module.bucket.bucket_region}"
  control_role_arn         = module.bucket.control_role_arn
  vpc_id                   = var.production_vpc.id
  subnet_id                = var.control_plane.subnet_id
  availability_zone        = var.control_plane.availability_zone
  load_balancer_subnet_ids = var.control_plane.load_balancer_subnet_ids
  ami_id                   = var.control_plane.ami_id
  allowed_cidrs            = var.control_cidrs
  egress_cidrs             = var.control_plane.egress_cidrs
  sts_regions              = [var.region]
  endpoint_service         = { enabled = true, allowed_principals = ["arn:aws:iam::${var.analytics_account_id}:root"] }
}

module "control_plane_endpoint" {
  source = "../../terraform/modules/control-plane-endpoint"
  count  = var.control_plane == null ? 0 : 1

  providers                  = { aws = aws.analytics }
  service_name               = module.control_plane[0].endpoint_service_name
  service_region             = var.region
  vpc_id                     = var.analytics_vpc.id
  subnet_ids                 = var.analytics_vpc.subnet_ids
  allowed_security_group_ids = { analytics = module.consumers.security_group_id }
}

locals {
  producers_endpoint = var.control_plane == null ? var.control_endpoint : module.control_plane[0].endpoint
  consumers_endpoint = var.control_plane == null ? var.control_endpoint : "${module.control_plane_endpoint[0].endpoint_dns_name}:443"
}

module "producers" {
  source = "../../terraform/modules/agent-group"

  providers  = { aws = aws.production }
  name       = "prod"
  cluster_id = "main"
  roles      = ["produce"]
  vpc_id     = var.production_vpc.id
  subnet_ids = var.production_vpc.subnet_ids
  shares     = module.bucket.agent_config["prod"]
  image      = var.image

  control_plane       = { endpoint = local.producers_endpoint, pin = var.control_pin }
  control_plane_cidrs = var.control_cidrs
  s3_gateway_endpoint = { create = true, route_table_ids = var.production_vpc.route_table_ids }
}

module "consumers" {
  source = "../../terraform/modules/agent-group"

  providers  = { aws = aws.analytics }
  name       = "analytics"
  cluster_id = "main"
  roles      = ["fetch"]
  vpc_id     = var.analytics_vpc.id
  subnet_ids = var.analytics_vpc.subnet_ids
  shares     = module.bucket.agent_config["analytics"]
  image      = var.image

  control_plane       = { endpoint = local.consumers_endpoint, pin = var.control_pin }
  control_plane_cidrs = var.control_cidrs

  control_plane_security_group_ids = { for m in module.control_plane_endpoint : "control" => m.security_group_id }
  s3_gateway_endpoint              = { create = true, route_table_ids = var.analytics_vpc.route_table_ids }
}
