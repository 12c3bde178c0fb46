#!/usr/bin/env bash
# Faults under load: starts a Ceph object store and runs internal/soak on it.
#   soak.sh [FLAG...]    flags of internal/soak/main, such as -for 2m -seed 7
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/ceph.sh up
trap 'scripts/ceph.sh down' EXIT
eval "$(scripts/ceph.sh env)"
go run ./internal/soak/main "$@"
