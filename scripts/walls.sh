#!/usr/bin/env bash
# The proof between two accounts: installs what it needs, runs TestWalls with network namespaces as VPCs and Ceph as S3
# and STS, prints the thief's table and, last, how it ended. Needs root, for namespaces. The table is left in
# .cache/walls/table, and must be that of docs/proof.md; ISTHMUS_WALLS=write writes it there instead.
#   walls.sh [FLAG...]    flags of go test
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" = 0 ] || { echo "walls.sh: network namespaces need root: run this as root" >&2; exit 1; }
scripts/apt.sh nftables iproute2 ceph-mon ceph-osd ceph-common radosgw openssl curl rsyslog rsyslog-kafka maven openjdk-17-jdk-headless
scripts/clients/java.sh

export ISTHMUS_BIN=${ISTHMUS_BIN:-$PWD/isthmus} ISTHMUS_WALLS_REPORT=$PWD/.cache/walls/table
NETNS_PREFIX=walls-$$- TMPDIR=$(mktemp -d)
export NETNS_PREFIX TMPDIR
trap 'scripts/netns.sh down; rm -rf "$TMPDIR"' EXIT # what a run that was cut short has left
mkdir -p .cache/walls
rm -f .cache/walls/*
status=0
go test -tags e2e -count=1 -timeout 15m -v -run '^TestWalls$' "$@" ./internal/e2e >.cache/walls/log 2>&1 || status=$?
if [ "$status" = 0 ]; then tail -n 1 .cache/walls/log; else cat .cache/walls/log; fi
[ ! -f "$ISTHMUS_WALLS_REPORT" ] || cat "$ISTHMUS_WALLS_REPORT"
exit "$status"
