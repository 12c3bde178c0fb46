# What agents may reach: S3, the control plane, each other. No rule lets anything else out.

data "aws_ec2_managed_prefix_list" "s3" {
  region = var.region
  name   = "com.amazonaws.${local.region}.s3"
}

resource "aws_security_group" "agent" {
  region      = var.region
  name_prefix = "${local.name}-"
  description = "isthmus: agents of group ${var.name}"
  vpc_id      = var.vpc_id
  tags        = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  region            = var.region
  security_group_id = aws_security_group.agent.id
  description       = "isthmus: objects, by the gateway endpoint"
  prefix_list_id    = data.aws_ec2_managed_prefix_list.s3.id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "control" {
  for_each = var.control_plane_security_group_ids

  region                       = var.region
  security_group_id            = aws_security_group.agent.id
  description                  = "isthmus: the endpoint ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "cidr" {
  for_each = toset(var.control_plane_cidrs)

  region            = var.region
  security_group_id = aws_security_group.agent.id
  description       = "isthmus: the control plane and STS"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

locals {
  among = {
    gossip-tcp = { protocol = "tcp", from = var.gossip_port, to = var.gossip_port + 1 }
    gossip-udp = { protocol = "udp", from = var.gossip_port, to = var.gossip_port }
  }
}

resource "aws_vpc_security_group_ingress_rule" "among" {
  for_each = local.among

  region                       = var.region
  security_group_id            = aws_security_group.agent.id
  description                  = "isthmus: ${each.key} among the group's agents"
  referenced_security_group_id = aws_security_group.agent.id
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.from
  to_port                      = each.value.to
}

resource "aws_vpc_security_group_egress_rule" "among" {
  for_each = local.among

  region                       = var.region
  security_group_id            = aws_security_group.agent.id
  description                  = "isthmus: ${each.key} among the group's agents"
  referenced_security_group_id = aws_security_group.agent.id
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.from
  to_port                      = each.value.to
}

resource "aws_vpc_security_group_ingress_rule" "kafka" {
  for_each = var.kafka_client_security_group_ids

  region                       = var.region
  security_group_id            = aws_security_group.agent.id
  description                  = "isthmus: Kafka clients of ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = var.kafka.port
  to_port                      = var.kafka.port
}

resource "aws_vpc_endpoint" "s3" {
  count = var.s3_gateway_endpoint.create ? 1 : 0

  region            = var.region
  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.s3_gateway_endpoint.route_table_ids
  policy            = module.policy.endpoint_policy_json
  tags              = merge(local.tags, { Name = local.name })
}
