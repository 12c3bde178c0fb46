# Against the schema-only provider: which inputs are refused.

mock_provider "aws" {}

run "values_out_of_bounds" {
  command = plan
  variables {
    cluster_id               = "Main"
    bucket_url               = "acme-main"
    control_role_arn         = "arn:aws:iam::222222222222:role/*"
    vpc_id                   = "0a"
    subnet_id                = "0a"
    availability_zone        = "eu-west-1"
    load_balancer_subnet_ids = []
    ami_id                   = "0a"
    instance_type            = "large"
    data_volume_gb           = 1
    advertise                = ["https://control"]
    allowed_cidrs            = ["0.0.0.0/0"]
    endpoint_service         = { enabled = true, allowed_principals = ["*"] }
    trusted_issuers          = ["http://issuer"]
    sts_regions              = []
    egress_cidrs             = []
    access_log_bucket        = "Logs"
  }
  expect_failures = [
    var.cluster_id, var.bucket_url, var.control_role_arn, var.vpc_id, var.subnet_id, var.availability_zone, var.load_balancer_subnet_ids,
    var.ami_id, var.instance_type, var.data_volume_gb, var.advertise, var.allowed_cidrs, var.endpoint_service, var.trusted_issuers,
    var.sts_regions, var.egress_cidrs, var.access_log_bucket,
  ]
}
