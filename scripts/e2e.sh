#!/usr/bin/env bash
# End-to-end tests: installs the real programs they use, starts a Ceph object store, runs the
# tests with the tag e2e, and ends with the test runner's own lines. Fails when anything is absent.
#   e2e.sh [-run PATTERN]
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/apt.sh rsyslog rsyslog-kafka kcat chromium
for client in java java-2.8 flink spark otel; do scripts/clients/$client.sh; done
scripts/ceph.sh up
trap 'scripts/ceph.sh down' EXIT
eval "$(scripts/ceph.sh env)"
export ISTHMUS_BIN=$PWD/isthmus
go test -tags e2e -count=1 -timeout 40m -v "$@" ./internal/e2e ./internal/objstore/... | grep -vE '^=== |no test files'
