# Against the schema-only provider: which inputs are refused.

mock_provider "aws" {}

run "values_out_of_bounds" {
  command = plan
  variables {
    name                       = "a name"
    service_name               = "control"
    service_region             = "europe"
    vpc_id                     = "0a"
    subnet_ids                 = []
    allowed_security_group_ids = {}
  }
  expect_failures = [var.name, var.service_name, var.service_region, var.vpc_id, var.subnet_ids, var.allowed_security_group_ids]
}
