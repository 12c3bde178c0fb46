#!/usr/bin/env bash
# End-to-end tests: installs the real programs they use, starts a Ceph object store, runs the
# tests with the tag e2e, and ends with the test runner's own lines. Fails when anything is absent.
#   e2e.sh [-run PATTERN]
# The proof between two accounts is apart, for it needs the machine's network: scripts/walls.sh.
# Installs run side by side. The slow ones go on while tests run that do not need them: what a test opens
# (openDriver in internal/e2e), it waits for.
set -euo pipefail
cd "$(dirname "$0")/.."
slow=' otel clickhouse '

ISTHMUS_E2E_INSTALLS=$(mktemp -d)
export ISTHMUS_E2E_INSTALLS
set -m # a process group for each install, so that it ends with all that it started
declare -A running

finish() {
  for pid in $(jobs -pr); do kill -- "-$pid" 2>/dev/null || true; done
  scripts/ceph.sh down
  rm -rf "$ISTHMUS_E2E_INSTALLS"
}
trap finish EXIT

# install NAME COMMAND...: in the background. NAME.log is what it says, NAME.status its exit code once it has ended.
install() {
  local name=$1 at=$ISTHMUS_E2E_INSTALLS/$1
  shift
  { status=0; nice -n 19 "$@" >"$at.log" 2>&1 </dev/null || status=$?; echo $status >"$at.new"; mv "$at.new" "$at.status"; } &
  running[$name]=$!
}

# installed NAME: waits for it, and shows its log if it failed.
installed() {
  wait "${running[$1]}" || true
  unset "running[$1]"
  [ "$(cat "$ISTHMUS_E2E_INSTALLS/$1.status" 2>/dev/null)" = 0 ] || {
    tail -n 60 "$ISTHMUS_E2E_INSTALLS/$1.log" >&2
    echo "e2e.sh: could not install $1: its last words are above" >&2
    exit 1
  }
}

began=$SECONDS
scripts/apt.sh rsyslog rsyslog-kafka kcat chromium maven openjdk-17-jdk-headless
for script in scripts/clients/*.sh; do install "$(basename "$script" .sh)" "$script"; done
scripts/ceph.sh up
eval "$(scripts/ceph.sh env)"
for name in "${!running[@]}"; do
  [[ $slow == *" $name "* ]] || installed "$name"
done
echo "e2e.sh: everything but${slow}is installed after $((SECONDS - began)) s" >&2

export ISTHMUS_BIN=$PWD/isthmus
go test -tags e2e -count=1 -parallel 3 -timeout 40m -v -skip '^TestWalls$' "$@" ./internal/e2e ./internal/objstore/... | grep -vE '^=== |no test files'
