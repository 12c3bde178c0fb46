#!/usr/bin/env bash
# Builds the driver of the client matrix for a client library in Go: go-client.sh NAME
# Leaves .cache/clients/NAME/driver. The drivers are a module of their own, so that the program depends on none of
# these libraries; its go.mod pins them. Downloads are tried three times.
set -euo pipefail
name=${1:?usage: go-client.sh NAME}
cd "$(dirname "$0")/.."

mkdir -p ".cache/clients/$name"
home=$(realpath ".cache/clients/$name")
cd internal/e2e/clients/go
for pause in 3 10 0; do
  downloaded=yes
  go mod download >&2 && break
  downloaded=no
  sleep "$pause"
done
[ $downloaded = yes ] || { echo "go-client.sh: could not download what internal/e2e/clients/go/go.mod names" >&2; exit 1; }
go vet ./talk "./$name"
go build -o "$home/driver" "./$name"
