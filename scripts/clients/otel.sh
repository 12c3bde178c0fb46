#!/usr/bin/env bash
# Builds the OpenTelemetry collector from its own builder and the list in
# internal/e2e/clients/otel/build.yaml: .cache/clients/otel/driver --config FILE (driver version says which). Takes minutes the
# first time; a build of the same list is left alone.
set -euo pipefail
cd "$(dirname "$0")/../.."

VERSION=v0.155.0
list=$PWD/internal/e2e/clients/otel/build.yaml
mkdir -p .cache/clients/otel
home=$(realpath .cache/clients/otel)
exec 9>"$home/lock"
flock 9
stamp=$(cat "$list" "$0" | sha256sum)
[ "$(cat "$home/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

retry() { for pause in 3 20 0; do "$@" && return 0; sleep "$pause"; done; return 1; }
die() { echo "otel.sh: $*" >&2; exit 1; }

echo "otel.sh: building the OpenTelemetry collector $VERSION" >&2
GOBIN=$home GOFLAGS=-mod=mod retry go install "go.opentelemetry.io/collector/cmd/builder@$VERSION" ||
  die "could not install the collector's builder $VERSION; the messages above say why"
sed "s|\${BUILD_DIR}|$home/build|" "$list" >"$home/build.yaml"
GOFLAGS=-mod=mod retry "$home/builder" --config "$home/build.yaml" >"$home/build.log" 2>&1 ||
  { tail -n 30 "$home/build.log" >&2; die "could not build the collector; all of it is in $home/build.log"; }
mv "$home/build/otelcol" "$home/otelcol"
cat >"$home/driver" <<DRIVER
#!/bin/sh
[ "\$1" != version ] || { echo "otelcol ${VERSION#v}"; exit 0; }
exec "$home/otelcol" "\$@"
DRIVER
chmod +x "$home/driver"
rm -rf "$home/build"
echo "$stamp" >"$home/stamp"
