output "source_role_arn" {
  description = "ARN of the role that agents run as, which the bucket's roles trust and bindings match."
  value       = aws_iam_role.agent.arn
}

output "security_group_id" {
  description = "Security group of the agents."
  value       = aws_security_group.agent.id
}

output "instance_profile" {
  description = "Instance profile of the agents' role; null unless platform is ec2."
  value       = try(aws_iam_instance_profile.agent[0].name, null)
}

output "service_name" {
  description = "Name of the ECS service; null unless platform is ecs-fargate."
  value       = try(aws_ecs_service.agent[0].name, null)
}

output "log_group_name" {
  description = "Name of the log group; null unless platform is ecs-fargate."
  value       = try(aws_cloudwatch_log_group.agent[0].name, null)
}

output "kafka_bootstrap" {
  description = "What Kafka clients of the VPC bootstrap from; null unless platform is ecs-fargate."
  value       = local.fargate ? "kafka.${var.name}.isthmus.internal:${var.kafka.port}" : null
}

output "agent_yaml" {
  description = "The file for isthmus agent --config."
  value       = yamlencode(local.config)
}
