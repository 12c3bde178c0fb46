# One account: two VPCs that share a bucket and nothing else

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]
}

module "bucket" {
  source = "../../terraform/modules/bucket"

  name       = var.bucket_name
  cluster_id = "main"
  region     = var.region
  kms        = { create = true }

  groups = {
    prod = {
      account_id       = var.account_id
      source_role_arns = ["arn:aws:iam::${var.account_id}:role/isthmus-agent-prod"]
      roles            = ["produce"]
      shares           = ["orders"]
      create_topics    = true
    }
    analytics = {
      account_id       = var.account_id
      source_role_arns = ["arn:aws:iam::${var.account_id}:role/isthmus-agent-analytics"]
      roles            = ["fetch"]
      shares           = ["orders"]
    }
  }

  admin_role_arns = {
    operators = "arn:aws:iam::${var.account_id}:role/isthmus-operators"
  }

  control_plane = {
    account_id       = var.account_id
    source_role_arns = ["arn:aws:iam::${var.account_id}:role/isthmus-main-node"]
  }
}

module "producers" {
  source = "../../terraform/modules/agent-group"

  name       = "prod"
  cluster_id = "main"
  roles      = ["produce"]
  vpc_id     = var.production_vpc.id
  subnet_ids = var.production_vpc.subnet_ids
  shares     = module.bucket.agent_config["prod"]
  image      = var.image

  control_plane       = { endpoint = var.control_endpoint, pin = var.control_pin }
  control_plane_cidrs = var.control_cidrs
  s3_gateway_endpoint = { create = true, route_table_ids = var.production_vpc.route_table_ids }
}

module "consumers" {
  source = "../../terraform/modules/agent-group"

  name       = "analytics"
  cluster_id = "main"
  roles      = ["fetch"]
  vpc_id     = var.analytics_vpc.id
  subnet_ids = var.analytics_vpc.subnet_ids
  shares     = module.bucket.agent_config["analytics"]
  image      = var.image

  control_plane       = { endpoint = var.control_endpoint, pin = var.control_pin }
  control_plane_cidrs = var.control_cidrs
  s3_gateway_endpoint = { create = true, route_table_ids = var.analytics_vpc.route_table_ids }
}
