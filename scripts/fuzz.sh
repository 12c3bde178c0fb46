#!/usr/bin/env bash
# Runs every fuzz target of the repository, and keeps what it finds interesting:
#   fuzz.sh [TIME [PATTERN]]  each target (whose name matches) for TIME (10s). Interesting inputs are kept in .cache/fuzz and
#                             used by the next run; one that fails is written to testdata/fuzz beside its test
#   fuzz.sh keep              takes a few small ones of each target from there into testdata/fuzz, which every
#                             go test runs
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
pattern=${2:-.}
corpus=$PWD/.cache/fuzz
kept=6       # inputs of a target in testdata/fuzz
largest=400  # bytes of one

targets() { grep -rhoHE --include='*_test.go' '^func (Fuzz[A-Za-z0-9_]+)' . | sed -E 's|^\./||; s/func //' | sort | grep -E ":.*($pattern)"; }

# keep copies an even sample, by size, of the small inputs of one target.
keep() {
  local dir=$1/testdata/fuzz/$2
  [ -d "$corpus/$2" ] || return 0
  mkdir -p "$dir"
  find "$corpus/$2" -type f -size "-${largest}c" -printf '%s %p\n' | sort -n -k 1,1 -k 2 | cut -d' ' -f2 |
    awk -v most="$kept" '{ all[NR] = $0 } END { for (i = 1; i <= most && i <= NR; i++) print all[int((i - 0.5) * NR / (NR < most ? NR : most)) + 1] }' |
    xargs -r cp -t "$dir"
}
if [ "$time" = keep ]; then
  while IFS=: read -r file name; do keep "$(dirname "$file")" "$name"; done < <(targets)
  exit 0
fi

programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT

# fuzz FOLDER TARGET: the fuzzing engine sometimes reports its own deadline as a failure
# ("context deadline exceeded"); only a failure that comes with an input is one.
fuzz() {
  local out status=0 program=$programs/${1//\//_}.test
  [ -x "$program" ] || go test -c -fuzz . -o "$program" "./$1"
  out=$(cd "$1" && "$program" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$time" -test.fuzzminimizetime 10x -test.fuzzcachedir "$corpus" 2>&1) || status=$?
  if [ "$status" -eq 0 ]; then
    grep '^fuzz: elapsed' <<<"$out" | tail -n 1
    return 0
  fi
  if grep -q 'context deadline exceeded' <<<"$out" && ! grep -q 'Failing input written' <<<"$out"; then
    echo "fuzz $2: stopped by its own deadline, no failing input"
    return 0
  fi
  echo "$out"
  return 1
}

passed=0 failed=()
mkdir -p "$corpus"
while IFS=: read -r file name; do
  echo "fuzz $name in $(dirname "$file") for $time"
  if fuzz "$(dirname "$file")" "$name"; then passed=$((passed + 1)); else failed+=("$name"); fi
done < <(targets)
echo "fuzz: $passed passed, ${#failed[@]} failed ${failed[*]-}"
[ "$passed" -gt 0 ] && [ ${#failed[@]} -eq 0 ]
