output "endpoint_dns_name" {
  description = "Name of the endpoint; agents use it with port 443."
  value       = aws_vpc_endpoint.this.dns_entry[0].dns_name
}

output "security_group_id" {
  description = "Security group of the endpoint."
  value       = aws_security_group.this.id
}

output "vpc_endpoint_id" {
  description = "Id of the endpoint: the service's owner accepts it by this."
  value       = aws_vpc_endpoint.this.id
}
