output "endpoint" {
  description = "Where callers reach the control plane, HOST:PORT."
  value       = "${aws_lb.this.dns_name}:443"
}

output "endpoint_service_name" {
  description = "What module control-plane-endpoint takes as service_name; null unless endpoint_service is enabled."
  value       = try(aws_vpc_endpoint_service.this[0].service_name, null)
}

output "security_group_id" {
  description = "Security group of the control node."
  value       = aws_security_group.this.id
}

output "source_role_arn" {
  description = "ARN of the role that the control node runs as: module bucket's control_plane trusts it."
  value       = "arn:${data.aws_partition.this.partition}:iam::${data.aws_caller_identity.this.account_id}:role/${local.name}-node"
}

output "control_yaml" {
  description = "The file for isthmus control --config."
  value       = yamlencode(local.config)
}
