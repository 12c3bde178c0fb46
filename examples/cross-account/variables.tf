variable "bucket_name" {
  description = "Name of the bucket, which is unique in the world."
  type        = string
  default     = "acme-main"

  validation {
    condition     = length(var.bucket_name) >= 3
    error_message = "bucket_name has at least 3 letters."
  }
}

variable "production_account_id" {
  description = "Account that produces, and owns the bucket."
  type        = string
  default     = "222222222222"

  validation {
    condition     = can(regex("^[0-9]{12}$", var.production_account_id))
    error_message = "production_account_id has twelve digits."
  }
}

variable "analytics_account_id" {
  description = "Account that fetches."
  type        = string
  default     = "333333333333"

  validation {
    condition     = can(regex("^[0-9]{12}$", var.analytics_account_id))
    error_message = "analytics_account_id has twelve digits."
  }
}

variable "production_profile" {
  description = "Profile of the AWS configuration for the production account."
  type        = string
  default     = "production"

  validation {
    condition     = length(var.production_profile) > 0
    error_message = "production_profile is the name of a profile."
  }
}

variable "analytics_profile" {
  description = "Profile of the AWS configuration for the analytics account."
  type        = string
  default     = "analytics"

  validation {
    condition     = length(var.analytics_profile) > 0
    error_message = "analytics_profile is the name of a profile."
  }
}

variable "region" {
  description = "Region of the bucket and of production."
  type        = string
  default     = "eu-west-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "region is a region of AWS."
  }
}

variable "production_vpc" {
  description = "VPC of production."
  type        = object({ id = string, subnet_ids = list(string), route_table_ids = list(string) })
  default     = { id = "vpc-0a", subnet_ids = ["subnet-0a1", "subnet-0a2"], route_table_ids = ["rtb-0a"] }

  validation {
    condition     = startswith(var.production_vpc.id, "vpc-")
    error_message = "production_vpc names a VPC, its private subnets and their route tables."
  }
}

variable "analytics_vpc" {
  description = "VPC of analytics."
  type        = object({ id = string, subnet_ids = list(string), route_table_ids = list(string) })
  default     = { id = "vpc-0b", subnet_ids = ["subnet-0b1", "subnet-0b2"], route_table_ids = ["rtb-0b"] }

  validation {
    condition     = startswith(var.analytics_vpc.id, "vpc-")
    error_message = "analytics_vpc names a VPC, its private subnets and their route tables."
  }
}

variable "image" {
  description = "Image of isthmus."
  type        = string
  default     = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/isthmus:0.1.0"

  validation {
    condition     = length(var.image) > 0
    error_message = "image is the name of an image."
  }
}

variable "control_endpoint" {
  description = "Where the control plane is, HOST:PORT: output endpoint of module control-plane."
  type        = string
  default     = "control.example.internal:443"

  validation {
    condition     = can(regex(":[0-9]+$", var.control_endpoint))
    error_message = "control_endpoint is HOST:PORT."
  }
}

variable "control_pin" {
  description = "The control plane's certificate, as isthmus control prints it."
  type        = string
  default     = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.control_pin))
    error_message = "control_pin is sha256: and 64 hexadecimal digits."
  }
}

variable "control_cidrs" {
  description = "Addresses of the control plane, and of STS where there is no endpoint for it."
  type        = list(string)
  default     = ["198.51.100.0/24"]

  validation {
    condition     = length(var.control_cidrs) > 0
    error_message = "Name at least one range."
  }
}

variable "control_plane" {
  description = "The machine, its subnet and zone, the load balancer's subnets, and STS's addresses, to make the control plane in production, with an endpoint for it in analytics; null: it is at control_endpoint already."
  type = object({
    ami_id                   = string
    subnet_id                = string
    availability_zone        = string
    load_balancer_subnet_ids = list(string)
    egress_cidrs             = list(string)
  })
  default = null

  validation {
    condition     = var.control_plane == null || try(startswith(var.control_plane.ami_id, "ami-"), false)
    error_message = "control_plane names the image of the machine, ami-..."
  }
}
