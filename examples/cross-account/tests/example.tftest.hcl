# Against the schema-only provider: names, types and wiring, and not AWS.

mock_provider "aws" {
  alias = "production"

  mock_data "aws_caller_identity" {
    defaults = { account_id = "222222222222" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab" }
  }
}

mock_provider "aws" {
  alias = "analytics"

  mock_data "aws_caller_identity" {
    defaults = { account_id = "333333333333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-west-1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab" }
  }
}

run "walls" {
  command = apply

  assert {
    condition     = sort(keys(output.role_arns)) == sort(["prod/produce/orders", "analytics/fetch/orders"])
    error_message = "There is one role for each group, role of agents and share."
  }
  assert {
    condition     = alltrue([for b in yamldecode(output.bindings_yaml).bindings : startswith(b.match.arn, "arn:aws:iam::")])
    error_message = "Bindings match roles of accounts."
  }
  assert {
    condition     = yamldecode(output.consumers_yaml).roles == ["fetch"] && yamldecode(output.producers_yaml).roles == ["produce"]
    error_message = "Production only produces, and analytics only fetches."
  }
}

# Only planned: the volume of the log may not be destroyed, not even by a test that clears up.
run "with_a_control_plane" {
  command = plan

  override_resource {
    target          = module.control_plane[0].aws_lb.this
    override_during = plan
    values          = { dns_name = "main.elb.example" }
  }
  override_resource {
    target          = module.control_plane[0].aws_vpc_endpoint_service.this[0]
    override_during = plan
    values          = { service_name = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0" }
  }
  override_resource {
    target          = module.control_plane_endpoint[0].aws_vpc_endpoint.this
    override_during = plan
    values          = { dns_entry = [{ dns_name = "main.vpce.example", hosted_zone_id = "Z0" }] }
  }
  override_resource {
    target          = module.control_plane_endpoint[0].aws_security_group.this
    override_during = plan
    values          = { id = "sg-0c" }
  }

  variables {
    control_plane = {
      ami_id                   = "ami-0a"
      subnet_id                = "subnet-0a1"
      availability_zone        = "eu-west-1a"
      load_balancer_subnet_ids = ["subnet-0a1", "subnet-0a2"]
      egress_cidrs             = ["10.0.0.0/16"]
    }
  }

  assert {
    condition     = yamldecode(output.control_yaml).cluster == "main" && yamldecode(output.control_yaml).advertise == ["main.elb.example"]
    error_message = "The control plane is of the cluster, and its certificate holds the load balancer's name."
  }
  assert {
    condition     = yamldecode(output.producers_yaml).control == ["main.elb.example:443"] && yamldecode(output.consumers_yaml).control == ["main.vpce.example:443"]
    error_message = "Production reaches the load balancer, and analytics its own endpoint."
  }
  assert {
    condition     = contains(yamldecode(output.control_yaml).sts-regions, "eu-west-1")
    error_message = "STS is asked who calls."
  }
}
