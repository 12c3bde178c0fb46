# The file that isthmus agent --config reads. Buckets and roles are not in it: the control plane tells them at login.

locals {
  config = merge(
    {
      group       = var.name
      roles       = sort(tolist(var.roles))
      control     = [var.control_plane.endpoint]
      login       = var.control_plane.auth_method
      credentials = var.credentials
      kafka       = "0.0.0.0:${var.kafka.port}"
      gossip      = "0.0.0.0:${var.gossip_port}"
      memory      = "${floor(var.memory * 3 / 4)}MiB"
      insecure    = var.kafka.tls_cert == null
    },
    contains(var.roles, "fetch") ? { peer = "0.0.0.0:${var.gossip_port + 1}" } : {},
    var.control_plane.ca_file == null ? {} : { control-ca = var.control_plane.ca_file },
    var.control_plane.pin == null ? {} : { control-pin = var.control_plane.pin },
    var.sts_endpoint == null ? {} : { sts-endpoint = var.sts_endpoint },
    var.kafka.tls_cert == null ? {} : { tls-cert = var.kafka.tls_cert, tls-key = var.kafka.tls_key },
  )
}
