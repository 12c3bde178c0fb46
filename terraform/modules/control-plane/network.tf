resource "aws_security_group" "load_balancer" {
  name_prefix = "${local.name}-lb-"
  description = "isthmus: who may reach the control plane"
  vpc_id      = var.vpc_id
  tags        = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "callers" {
  for_each = toset(var.allowed_cidrs)

  security_group_id = aws_security_group.load_balancer.id
  description       = "isthmus: agents and operators"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "node" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "isthmus: the control node"
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_security_group" "this" {
  name_prefix = "${local.name}-"
  description = "isthmus: the control node"
  vpc_id      = var.vpc_id
  tags        = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  security_group_id            = aws_security_group.this.id
  description                  = "isthmus: the load balancer"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  security_group_id = aws_security_group.this.id
  description       = "isthmus: the journal, by the gateway endpoint"
  prefix_list_id    = data.aws_ec2_managed_prefix_list.s3.id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "sts" {
  for_each = toset(var.egress_cidrs)

  security_group_id = aws_security_group.this.id
  description       = "isthmus: STS, which is asked who a caller is"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

#checkov:skip=CKV_AWS_91:made when access_log_bucket is given; the control plane has an audit of its own
#trivy:ignore:AWS-0053 public only if asked for: agents of other accounts come from the internet, and log in over TLS
resource "aws_lb" "this" {
  name                             = local.name
  load_balancer_type               = "network"
  internal                         = !var.public
  subnets                          = var.load_balancer_subnet_ids
  security_groups                  = [aws_security_group.load_balancer.id]
  enable_deletion_protection       = var.deletion_protection
  enable_cross_zone_load_balancing = true
  tags                             = local.tags

  # Endpoints of PrivateLink come from addresses that no rule names.
  enforce_security_group_inbound_rules_on_private_link_traffic = "off"

  dynamic "access_logs" {
    for_each = var.access_log_bucket == null ? [] : [var.access_log_bucket]

    content {
      enabled = true
      bucket  = access_logs.value
      prefix  = local.name
    }
  }
}

resource "aws_lb_target_group" "this" {
  name               = local.name
  port               = local.port
  protocol           = "TCP"
  vpc_id             = var.vpc_id
  preserve_client_ip = "false"
  tags               = local.tags

  health_check {
    protocol = "TCP"
  }
}

resource "aws_lb_target_group_attachment" "this" {
  target_group_arn = aws_lb_target_group.this.arn
  target_id        = aws_instance.this.id
  port             = local.port
}

# TLS is ended by the process; streams are kept alive more often than this.
resource "aws_lb_listener" "this" {
  load_balancer_arn        = aws_lb.this.arn
  port                     = 443
  protocol                 = "TCP"
  tcp_idle_timeout_seconds = 3600
  tags                     = local.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_vpc_endpoint_service" "this" {
  count = var.endpoint_service.enabled ? 1 : 0

  acceptance_required        = true
  network_load_balancer_arns = [aws_lb.this.arn]
  private_dns_name           = var.endpoint_service.private_dns_name
  supported_regions          = var.endpoint_service.supported_regions
  tags                       = local.tags
}

resource "aws_vpc_endpoint_service_allowed_principal" "this" {
  for_each = var.endpoint_service.enabled ? var.endpoint_service.allowed_principals : []

  vpc_endpoint_service_id = aws_vpc_endpoint_service.this[0].id
  principal_arn           = each.value
}
