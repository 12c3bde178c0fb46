# The consumer's side of PrivateLink: one address of the agents' own VPC that leads to the control plane, and nowhere else.

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-"
  description = "isthmus: who may reach the control plane through its endpoint"
  vpc_id      = var.vpc_id
  tags        = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "agents" {
  for_each = var.allowed_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "isthmus: ${each.key} to the control plane"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_endpoint" "this" {
  vpc_id              = var.vpc_id
  service_name        = var.service_name
  service_region      = var.service_region
  vpc_endpoint_type   = "Interface"
  subnet_ids          = var.subnet_ids
  security_group_ids  = [aws_security_group.this.id]
  private_dns_enabled = var.private_dns_enabled
  tags                = merge(var.tags, { Name = var.name })
}
