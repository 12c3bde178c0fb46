# Against the schema-only provider: which inputs are refused.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "222222222222" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
}

variables {
  name          = "prod"
  cluster_id    = "main"
  roles         = ["produce"]
  vpc_id        = "vpc-0a"
  shares        = {}
  control_plane = { endpoint = "control.example:443" }
}

run "values_out_of_bounds" {
  command = plan
  variables {
    name                             = "Prod"
    cluster_id                       = "Main"
    roles                            = ["jobs"]
    platform                         = "lambda"
    region                           = "europe"
    vpc_id                           = "0a"
    subnet_ids                       = ["0a"]
    control_plane                    = { endpoint = "control.example", auth_method = "none", ca_file = "/ca", pin = "sha256:0" }
    credentials                      = "web-identity"
    sts_endpoint                     = "sts.example"
    control_plane_security_group_ids = { control = "0a" }
    control_plane_cidrs              = ["everybody"]
    image                            = "isthmus:latest"
    cpu                              = 1
    memory                           = 1
    agents                           = 0
    kafka                            = { port = 0, tls_cert = "/crt" }
    kafka_client_security_group_ids  = { clients = "0a" }
    gossip_port                      = 0
    s3_gateway_endpoint              = { create = true }
    log_retention_days               = 1
    log_kms_key_arn                  = "key"
    permissions_boundary             = "boundary"
  }
  expect_failures = [
    var.name, var.cluster_id, var.roles, var.platform, var.region, var.vpc_id, var.subnet_ids, var.control_plane, var.credentials,
    var.sts_endpoint, var.control_plane_security_group_ids, var.control_plane_cidrs, var.image, var.cpu, var.memory, var.agents,
    var.kafka, var.kafka_client_security_group_ids, var.gossip_port, var.s3_gateway_endpoint, var.log_retention_days,
    var.log_kms_key_arn, var.permissions_boundary, var.shares,
  ]
}
