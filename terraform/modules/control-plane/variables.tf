variable "cluster_id" {
  description = "Name of the cluster: the first part of every key."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,15}[a-z0-9])?$", var.cluster_id))
    error_message = "cluster_id has lower-case letters, digits and dashes, at most 17: a load balancer is called by it."
  }
}

variable "bucket_url" {
  description = "The bucket of the control plane's journal, as isthmus control --bucket takes it: s3://BUCKET?region=REGION."
  type        = string

  validation {
    condition     = can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?]*)?(\\?.*)?$", var.bucket_url))
    error_message = "bucket_url is s3://BUCKET/PREFIX?region=REGION."
  }
}

variable "control_role_arn" {
  description = "The role of the bucket's account that the control plane keeps its journal by: output control_role_arn of module bucket."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", var.control_role_arn))
    error_message = "control_role_arn is the ARN of an IAM role."
  }
}

variable "vpc_id" {
  description = "VPC of the control plane."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id is the id of a VPC."
  }
}

variable "subnet_id" {
  description = "Subnet of the control node and of its volume, which is in the same availability zone for good."
  type        = string

  validation {
    condition     = can(regex("^subnet-[0-9a-f]+$", var.subnet_id))
    error_message = "subnet_id is the id of a subnet."
  }
}

variable "availability_zone" {
  description = "Availability zone of subnet_id."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+[a-z]$", var.availability_zone))
    error_message = "availability_zone is one such as eu-west-1a."
  }
}

variable "load_balancer_subnet_ids" {
  description = "Subnets of the load balancer: public ones when public is set."
  type        = list(string)

  validation {
    condition     = length(var.load_balancer_subnet_ids) > 0 && alltrue([for s in var.load_balancer_subnet_ids : can(regex("^subnet-[0-9a-f]+$", s))])
    error_message = "load_balancer_subnet_ids are ids of subnets, at least one."
  }
}

variable "ami_id" {
  description = "Image of the machine, with isthmus in /usr/local/bin and systemd."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]+$", var.ami_id))
    error_message = "ami_id is the id of an image."
  }
}

variable "instance_type" {
  description = "Type of the machine."
  type        = string
  default     = "m7g.large"

  validation {
    condition     = can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", var.instance_type))
    error_message = "instance_type is a type such as m7g.large."
  }
}

variable "data_volume_gb" {
  description = "Size of the volume that holds the log."
  type        = number
  default     = 50

  validation {
    condition     = var.data_volume_gb >= 10 && floor(var.data_volume_gb) == var.data_volume_gb
    error_message = "data_volume_gb is a whole number of at least 10."
  }
}

variable "advertise" {
  description = "Names that callers know the control plane by, beside the load balancer's: its certificate holds them."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for n in var.advertise : can(regex("^[A-Za-z0-9.-]+$", n))])
    error_message = "advertise are names of hosts."
  }
}

variable "public" {
  description = "Whether the load balancer is reached from the internet; otherwise from its VPC and through the endpoint service."
  type        = bool
  default     = false
}

variable "allowed_cidrs" {
  description = "Addresses that may reach the control plane: the NAT addresses of the agents' VPCs when public."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for c in var.allowed_cidrs : can(cidrhost(c, 0)) && !endswith(c, "/0")])
    error_message = "allowed_cidrs are ranges such as 203.0.113.0/24, and never everybody."
  }
}

variable "endpoint_service" {
  description = "PrivateLink: whether agents' accounts may make an endpoint, and which principals."
  type = object({
    enabled            = optional(bool, false)
    allowed_principals = optional(set(string), [])
    private_dns_name   = optional(string)
    supported_regions  = optional(set(string))
  })
  default = {}

  validation {
    condition     = alltrue([for p in var.endpoint_service.allowed_principals : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(root|role/.+)$", p))])
    error_message = "allowed_principals are ARNs of accounts or roles, never *."
  }
}

variable "trusted_issuers" {
  description = "Issuers whose tokens are taken for logins by aws-oidc."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for i in var.trusted_issuers : startswith(i, "https://")])
    error_message = "trusted_issuers are https URLs."
  }
}

variable "sts_regions" {
  description = "Regions whose STS is asked who has signed a login by aws-sigv4."
  type        = list(string)

  validation {
    condition     = length(var.sts_regions) > 0 && alltrue([for r in var.sts_regions : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", r))])
    error_message = "sts_regions are regions of AWS, at least one."
  }
}

variable "egress_cidrs" {
  description = "Addresses that the control plane may reach by TLS: those of STS, or of its endpoint."
  type        = list(string)

  validation {
    condition     = length(var.egress_cidrs) > 0 && alltrue([for c in var.egress_cidrs : can(cidrhost(c, 0))])
    error_message = "egress_cidrs are ranges such as 10.0.0.0/16, at least one."
  }
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be destroyed."
  type        = bool
  default     = true
}

variable "access_log_bucket" {
  description = "Bucket of the load balancer's access log; null: none."
  type        = string
  default     = null

  validation {
    condition     = var.access_log_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket))
    error_message = "access_log_bucket is the name of a bucket."
  }
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
