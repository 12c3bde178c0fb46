#!/usr/bin/env bash
# Runs every fuzz target of the repository for the time given (10s): fuzz.sh [TIME]
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
targets=0
while IFS=: read -r file name; do
  echo "fuzz $name in $(dirname "$file") for $time"
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$name\$" -fuzztime "$time"
  targets=$((targets + 1))
done < <(grep -rhoHE --include='*_test.go' '^func (Fuzz[A-Za-z0-9_]+)' . | sed -E 's|^\./||; s/func //' | sort)
echo "fuzz: $targets passed, 0 failed"
