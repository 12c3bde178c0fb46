variable "bucket_name" {
  description = "Name of the bucket, which is unique in the world."
  type        = string
  default     = "acme-main"

  validation {
    condition     = length(var.bucket_name) >= 3
    error_message = "bucket_name has at least 3 letters."
  }
}

variable "account_id" {
  description = "The account."
  type        = string
  default     = "222222222222"

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id has twelve digits."
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
