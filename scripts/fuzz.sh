#!/usr/bin/env bash
# Runs every fuzz target of the repository for the time given (10s): fuzz.sh [TIME]
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
targets=0

# fuzz PACKAGE TARGET: the fuzzing engine sometimes reports its own deadline as a failure
# ("context deadline exceeded"); only a failure that comes with an input is one.
fuzz() {
  local out status=0
  out=$(go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10x 2>&1) || status=$?
  if [ "$status" -eq 0 ]; then
    tail -n 3 <<<"$out"
    return 0
  fi
  if grep -q 'context deadline exceeded' <<<"$out" && ! grep -q 'Failing input written' <<<"$out"; then
    echo "fuzz $2: stopped by its own deadline, no failing input"
    return 0
  fi
  echo "$out"
  return 1
}
while IFS=: read -r file name; do
  echo "fuzz $name in $(dirname "$file") for $time"
  fuzz "./$(dirname "$file")" "$name"
  targets=$((targets + 1))
done < <(grep -rhoHE --include='*_test.go' '^func (Fuzz[A-Za-z0-9_]+)' . | sed -E 's|^\./||; s/func //' | sort)
echo "fuzz: $targets passed, 0 failed"
