variable "name" {
  description = "Name of the group."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", var.name))
    error_message = "name has lower-case letters, digits and dashes, at most 32: things of AWS are called by it."
  }
}

variable "cluster_id" {
  description = "Name of the cluster."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$", var.cluster_id))
    error_message = "cluster_id has lower-case letters, digits, dots and dashes, at most 64."
  }
}

variable "roles" {
  description = "What the agents are: produce, fetch or both."
  type        = set(string)

  validation {
    condition     = length(var.roles) > 0 && alltrue([for r in var.roles : contains(["produce", "fetch"], r)])
    error_message = "roles are produce, fetch or both."
  }
}

variable "platform" {
  description = "Where agents run: ecs-fargate; eks-pod-identity, whose association is made, while the workload is yours; ec2, whose instance profile is made; or none."
  type        = string
  default     = "ecs-fargate"

  validation {
    condition     = contains(["ecs-fargate", "ec2", "eks-pod-identity", "none"], var.platform)
    error_message = "platform is one of ecs-fargate, ec2, eks-pod-identity, none."
  }
}

variable "region" {
  description = "Region of the agents; null: the provider's."
  type        = string
  default     = null

  validation {
    condition     = var.region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "region is a region of AWS, such as eu-west-1."
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
  description = "Private subnets of the agents."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for s in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", s))])
    error_message = "subnet_ids are ids of subnets."
  }
}

variable "shares" {
  description = "Shares of the group: output agent_config of module bucket, at the group's name."
  type = map(object({
    bucket      = string
    region      = string
    account_id  = string
    role_arns   = map(string)
    external_id = string
    kms_key_arn = optional(string)
  }))

  validation {
    condition     = length(var.shares) > 0
    error_message = "Name at least one share."
  }
}

variable "control_plane" {
  description = "Where the control plane is, HOST:PORT, and how agents log in to it: aws-sigv4 or aws-oidc. ca_file is a PEM file on the agents' machines, or pin the certificate's sha256:HEX."
  type = object({
    endpoint    = string
    auth_method = optional(string, "aws-sigv4")
    ca_file     = optional(string)
    pin         = optional(string)
  })

  validation {
    condition     = can(regex("^[A-Za-z0-9.-]+:[0-9]+$", var.control_plane.endpoint))
    error_message = "endpoint is HOST:PORT."
  }
  validation {
    condition     = contains(["aws-sigv4", "aws-oidc"], var.control_plane.auth_method)
    error_message = "auth_method is aws-sigv4 or aws-oidc."
  }
  validation {
    condition     = !(var.control_plane.ca_file != null && var.control_plane.pin != null)
    error_message = "ca_file or pin, not both."
  }
}

variable "credentials" {
  description = "How agents reach buckets: assume the roles that shares name for the group, or ambient: with their own role, for shares that name none."
  type        = string
  default     = "assume"

  validation {
    condition     = contains(["assume", "ambient"], var.credentials)
    error_message = "credentials is assume or ambient."
  }
}

variable "sts_endpoint" {
  description = "URL of STS, such as that of an interface endpoint without a private name; null: the region's."
  type        = string
  default     = null

  validation {
    condition     = var.sts_endpoint == null || can(regex("^https://[A-Za-z0-9.-]+(:[0-9]+)?$", var.sts_endpoint))
    error_message = "sts_endpoint is https://HOST."
  }
}

variable "control_plane_security_group_ids" {
  description = "Security groups that agents may then reach, by a name of yours: that of the control plane's endpoint, and of STS's. None: control_plane_cidrs."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for s in values(var.control_plane_security_group_ids) : can(regex("^sg-[0-9a-f]+$", s))])
    error_message = "control_plane_security_group_ids are ids of security groups."
  }
}

variable "control_plane_cidrs" {
  description = "Addresses of a public control plane, and of STS where there is no endpoint for it. Agents reach nothing else by address."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for c in var.control_plane_cidrs : can(cidrhost(c, 0))])
    error_message = "control_plane_cidrs are ranges such as 203.0.113.0/24."
  }
}

variable "image" {
  description = "Image of isthmus, pinned by digest or version; for ecs-fargate."
  type        = string
  default     = null

  validation {
    condition     = var.image == null || can(regex("(@sha256:[0-9a-f]{64}|:[^:/]+)$", var.image)) && !can(regex(":latest$", var.image))
    error_message = "image names a version or a digest, and not latest."
  }
}

variable "cpu" {
  description = "Units of processor of an agent: 1024 are one."
  type        = number
  default     = 1024

  validation {
    condition     = contains([512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "cpu is what Fargate offers: 512, 1024, 2048, 4096, 8192 or 16384."
  }
}

variable "memory" {
  description = "Memory of an agent in MiB."
  type        = number
  default     = 2048

  validation {
    condition     = var.memory >= 1024 && floor(var.memory) == var.memory
    error_message = "memory is a whole number of MiB, at least 1024."
  }
}

variable "agents" {
  description = "Number of agents."
  type        = number
  default     = 2

  validation {
    condition     = var.agents >= 1 && floor(var.agents) == var.agents
    error_message = "agents is a whole number of at least 1."
  }
}

variable "kafka" {
  description = "Port for Kafka clients, and PEM files on the agents' machines for TLS; without them clients speak plain text inside the VPC."
  type = object({
    port     = optional(number, 9092)
    tls_cert = optional(string)
    tls_key  = optional(string)
  })
  default = {}

  validation {
    condition     = var.kafka.port > 0 && var.kafka.port < 65536
    error_message = "port is 1 to 65535."
  }
  validation {
    condition     = (var.kafka.tls_cert == null) == (var.kafka.tls_key == null)
    error_message = "tls_cert and tls_key: both or neither."
  }
}

variable "kafka_client_security_group_ids" {
  description = "Security groups of Kafka clients, by a name of yours."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for s in values(var.kafka_client_security_group_ids) : can(regex("^sg-[0-9a-f]+$", s))])
    error_message = "kafka_client_security_group_ids are ids of security groups."
  }
}

variable "gossip_port" {
  description = "Port of the gossip among the group's agents, TCP and UDP; the one above it is for segments that they hand each other."
  type        = number
  default     = 7946

  validation {
    condition     = var.gossip_port > 0 && var.gossip_port < 65535
    error_message = "gossip_port is 1 to 65534."
  }
}

variable "s3_gateway_endpoint" {
  description = "Whether to make the VPC's gateway endpoint for S3, which lets the shares' buckets through alone, and its route tables. Buckets of other regions are not reached by it."
  type = object({
    create          = optional(bool, false)
    route_table_ids = optional(list(string), [])
  })
  default = {}

  validation {
    condition     = !var.s3_gateway_endpoint.create || length(var.s3_gateway_endpoint.route_table_ids) > 0
    error_message = "s3_gateway_endpoint: name the route tables."
  }
}

variable "eks" {
  description = "For eks-pod-identity: cluster, namespace and service account of the agents."
  type = object({
    cluster         = string
    namespace       = string
    service_account = string
  })
  default = null

  validation {
    condition     = var.eks == null || try(length(var.eks.cluster) > 0, false)
    error_message = "eks names a cluster."
  }
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is a year or more, of the numbers that CloudWatch takes."
  }
}

variable "log_kms_key_arn" {
  description = "Key of the logs; null: CloudWatch's own."
  type        = string
  default     = null

  validation {
    condition     = var.log_kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:", var.log_kms_key_arn))
    error_message = "log_kms_key_arn is the ARN of a key."
  }
}

variable "permissions_boundary" {
  description = "Policy that bounds the roles; null: none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:policy/", var.permissions_boundary))
    error_message = "permissions_boundary is the ARN of a policy."
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
