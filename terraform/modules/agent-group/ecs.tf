# Agents on Fargate. They are told by variables what config.tf writes as a file: ISTHMUS_GROUP is --group.

resource "aws_cloudwatch_log_group" "agent" {
  count = local.fargate ? 1 : 0

  region            = var.region
  name              = "/isthmus/${var.cluster_id}/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
  tags              = local.tags
}

resource "aws_ecs_cluster" "agent" {
  count = local.fargate ? 1 : 0

  region = var.region
  name   = local.name
  tags   = local.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

# The role that starts the container, and is not the agents': it fetches the image and writes the log.
resource "aws_iam_role" "start" {
  count = local.fargate ? 1 : 0

  name                 = "${local.name}-start"
  description          = "isthmus: starts containers of group ${var.name}"
  permissions_boundary = var.permissions_boundary
  tags                 = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Platform"
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.this.account_id } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "start" {
  count = local.fargate ? 1 : 0

  role       = aws_iam_role.start[0].name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_ecs_task_definition" "agent" {
  count = local.fargate ? 1 : 0

  region                   = var.region
  family                   = local.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.cpu)
  memory                   = tostring(var.memory)
  task_role_arn            = aws_iam_role.agent.arn
  execution_role_arn       = aws_iam_role.start[0].arn
  tags                     = local.tags

  container_definitions = jsonencode([{
    name                   = "agent"
    image                  = var.image
    command                = ["agent"]
    essential              = true
    privileged             = false
    readonlyRootFilesystem = true
    stopTimeout            = 60
    portMappings           = [{ containerPort = var.kafka.port, protocol = "tcp" }]
    environment = [
      for key, value in local.config : {
        name  = "ISTHMUS_${upper(replace(key, "-", "_"))}"
        value = try(join(",", value), tostring(value))
      }
    ]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.agent[0].name
        awslogs-region        = local.region
        awslogs-stream-prefix = "agent"
      }
    }
  }])

  lifecycle {
    precondition {
      condition     = var.image != null
      error_message = "ecs-fargate needs image."
    }
  }
}

resource "aws_ecs_service" "agent" {
  count = local.fargate ? 1 : 0

  region                = var.region
  name                  = local.name
  cluster               = aws_ecs_cluster.agent[0].arn
  task_definition       = aws_ecs_task_definition.agent[0].arn
  desired_count         = var.agents
  launch_type           = "FARGATE"
  platform_version      = "LATEST"
  wait_for_steady_state = false
  propagate_tags        = "SERVICE"
  tags                  = local.tags

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.agent.id]
    assign_public_ip = false
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  service_registries {
    registry_arn = aws_service_discovery_service.agent[0].arn
  }
}

resource "aws_service_discovery_private_dns_namespace" "agent" {
  count = local.fargate ? 1 : 0

  region      = var.region
  name        = "${var.name}.isthmus.internal"
  description = "isthmus: agents of group ${var.name}"
  vpc         = var.vpc_id
  tags        = local.tags
}

resource "aws_service_discovery_service" "agent" {
  count = local.fargate ? 1 : 0

  region = var.region
  name   = "kafka"
  tags   = local.tags

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.agent[0].id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}
