output "bindings_yaml" {
  description = "For isthmus binding apply -f."
  value       = module.bucket.bindings_yaml
}

output "producers_yaml" {
  description = "For isthmus agent --config, in production."
  value       = module.producers.agent_yaml
}

output "consumers_yaml" {
  description = "For isthmus agent --config, in analytics."
  value       = module.consumers.agent_yaml
}

output "role_arns" {
  description = "Roles of the bucket, by GROUP/ROLE/SHARE."
  value       = module.bucket.role_arns
}

output "control_yaml" {
  description = "For isthmus control --config, as the machine has it; null: no control plane is made."
  value       = one(module.control_plane[*].control_yaml)
}
