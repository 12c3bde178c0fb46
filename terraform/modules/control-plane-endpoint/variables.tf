variable "name" {
  description = "Name of what is made."
  type        = string
  default     = "isthmus-control"

  validation {
    condition     = can(regex("^[a-zA-Z0-9-]{1,64}$", var.name))
    error_message = "name has letters, digits and dashes, at most 64."
  }
}

variable "service_name" {
  description = "Name of the control plane's endpoint service, output endpoint_service_name of module control-plane."
  type        = string

  validation {
    condition     = can(regex("^(com|cn)\\..*vpce.*\\.vpce-svc-[0-9a-f]+$", var.service_name))
    error_message = "service_name is the name of an endpoint service, such as com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0."
  }
}

variable "service_region" {
  description = "Region of the service, if it is not the VPC's."
  type        = string
  default     = null

  validation {
    condition     = var.service_region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", var.service_region))
    error_message = "service_region is a region of AWS, such as eu-west-1."
  }
}

variable "vpc_id" {
  description = "VPC of the agents."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id is the id of a VPC."
  }
}

variable "subnet_ids" {
  description = "Subnets of the endpoint, one for each availability zone."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for s in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", s))])
    error_message = "subnet_ids are ids of subnets, at least one."
  }
}

variable "allowed_security_group_ids" {
  description = "Security groups of who may reach the control plane, by a name of yours: those of the agents."
  type        = map(string)

  validation {
    condition     = length(var.allowed_security_group_ids) > 0
    error_message = "Name at least one security group."
  }
}

variable "private_dns_enabled" {
  description = "Whether the service's private name leads to the endpoint in the VPC."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.tags) <= 45
    error_message = "AWS takes at most 50 tags, and some are set here."
  }
}
