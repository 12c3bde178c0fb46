# One control node, whose log is on a volume of its own, behind a load balancer that passes TLS through: certificates of
# agents reach the process. The same load balancer is published by PrivateLink.

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

data "aws_ec2_managed_prefix_list" "s3" {
  name = "com.amazonaws.${data.aws_region.this.region}.s3"
}

locals {
  name = "isthmus-${var.cluster_id}"
  tags = merge(var.tags, { "isthmus:cluster" = var.cluster_id, Name = "isthmus-${var.cluster_id}-control" })
  port = 7400

  # The file that isthmus control --config reads.
  config = {
    cluster     = var.cluster_id
    bucket      = var.bucket_url
    data-dir    = "/var/lib/isthmus"
    listen      = "0.0.0.0:${local.port}"
    advertise   = concat(var.advertise, [aws_lb.this.dns_name])
    sts-regions = var.sts_regions
    oidc-issuer = var.trusted_issuers
  }
}

resource "aws_iam_role" "this" {
  name        = "${local.name}-node"
  description = "isthmus: the control plane of cluster ${var.cluster_id}"
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Platform"
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "isthmus"
  role = aws_iam_role.this.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "AssumeBucketRole"
      Effect   = "Allow"
      Action   = "sts:AssumeRole"
      Resource = var.control_role_arn
    }]
  })
}

resource "aws_iam_instance_profile" "this" {
  name = aws_iam_role.this.name
  role = aws_iam_role.this.name
  tags = local.tags
}

resource "aws_ebs_volume" "data" {
  availability_zone = var.availability_zone
  size              = var.data_volume_gb
  type              = "gp3"
  encrypted         = true
  tags              = local.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_volume_attachment" "data" {
  device_name                    = "/dev/sdf"
  volume_id                      = aws_ebs_volume.data.id
  instance_id                    = aws_instance.this.id
  stop_instance_before_detaching = true
}

resource "aws_instance" "this" {
  ami                    = var.ami_id
  instance_type          = var.instance_type
  subnet_id              = var.subnet_id
  vpc_security_group_ids = [aws_security_group.this.id]
  iam_instance_profile   = aws_iam_instance_profile.this.name
  monitoring             = true
  ebs_optimized          = true
  tags                   = local.tags

  # The SDK reads by which role the bucket is reached, and from what, in its own file.
  user_data_replace_on_change = true
  user_data = join("\n", ["#cloud-config", yamlencode({
    fs_setup = [{ device = "/dev/sdf", filesystem = "xfs", overwrite = false }]
    mounts   = [["/dev/sdf", "/var/lib/isthmus", "xfs", "defaults,nofail", "0", "2"]]
    write_files = [
      { path = "/etc/isthmus/control.yaml", content = yamlencode(local.config) },
      { path = "/etc/isthmus/aws", content = join("\n", [
        "[default]", "region = ${data.aws_region.this.region}", "role_arn = ${var.control_role_arn}",
        "external_id = ${var.cluster_id}/control", "role_session_name = control-1", "credential_source = Ec2InstanceMetadata", "",
      ]) },
    ]
    runcmd = [["systemctl", "enable", "--now", "isthmus-control"]]
  })])

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted = true
  }
}
