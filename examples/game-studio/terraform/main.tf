# A game studio: game servers produce match events, analytics reads them with Flink

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
  source = "../../../terraform/modules/bucket"

  providers  = { aws = aws.production }
  name       = var.bucket_name
  cluster_id = "studio"
  region     = var.region
  kms        = { create = true }

  groups = {
    game = {
      account_id       = var.production_account_id
      source_role_arns = ["arn:aws:iam::${var.production_account_id}:role/isthmus-agent-game"]
      roles            = ["produce"]
      shares           = ["matches"]
      create_topics    = true
    }
    analytics = {
      account_id       = var.analytics_account_id
      source_role_arns = ["arn:aws:iam::${var.analytics_account_id}:role/isthmus-agent-analytics"]
      roles            = ["fetch"]
      shares           = ["matches"]
    }
  }

  admin_role_arns = {
    operators = "arn:aws:iam::${var.production_account_id}:role/isthmus-operators"
  }

  control_plane = {
    account_id       = var.production_account_id
    source_role_arns = ["arn:aws:iam::${var.production_account_id}:role/isthmus-studio-node"]
  }
}

module "producers" {
  source = "../../../terraform/modules/agent-group"

  providers  = { aws = aws.production }
  name       = "game"
  cluster_id = "studio"
  roles      = ["produce"]
  vpc_id     = var.production_vpc.id
  subnet_ids = var.production_vpc.subnet_ids
  shares     = module.bucket.agent_config["game"]
  image      = var.image

  control_plane       = { endpoint = var.control_endpoint, pin = var.control_pin }
  control_plane_cidrs = var.control_cidrs
  s3_gateway_endpoint = { create = true, route_table_ids = var.production_vpc.route_table_ids }
}

module "consumers" {
  source = "../../../terraform/modules/agent-group"

  providers  = { aws = aws.analytics }
  name       = "analytics"
  cluster_id = "studio"
  roles      = ["fetch"]
  vpc_id     = var.analytics_vpc.id
  subnet_ids = var.analytics_vpc.subnet_ids
  shares     = module.bucket.agent_config["analytics"]
  image      = var.image

  control_plane       = { endpoint = var.control_endpoint, pin = var.control_pin }
  control_plane_cidrs = var.control_cidrs
  s3_gateway_endpoint = { create = true, route_table_ids = var.analytics_vpc.route_table_ids }
}
