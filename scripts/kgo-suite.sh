#!/usr/bin/env bash
# Runs the tests of franz-go's client, as its module ships them, against a broker:
#   kgo-suite.sh HOST:PORT
# All but transactions, share groups and SCRAM. The last line is 'N passed, M failed, K skipped'.
# KGO_RECORDS is the number of records that a chain of consumers passes on (50000).
set -euo pipefail
broker=${1:?usage: kgo-suite.sh HOST:PORT}
version=v1.22.2
package=github.com/twmb/franz-go/pkg/kgo
root=$(cd "$(dirname "$0")/.." && pwd)
work=$root/.cache/kgo-suite-$version
tests='^(TestPing|TestIssue1034|TestIssue325|TestConsumeTopicRetrieval.*|TestConsumeRegex|TestIssue337|TestDirectPartitionPurge|TestIssue434|TestAddRemovePartitions|TestPauseIssue489|TestIssue523|TestPauseIssueOct2023|TestIssue648|TestIssue810|TestIssue865|TestIssueFetchLargerThanBrokerMaxReadBytes|TestPooling|TestGroupSimple|TestHookPollStart|TestConsumeMaxDecompressBatchBytes|TestGroupETL|TestClient_Produce|TestIssue769|TestIssueProduceBrokerTooOldFailsRecords|TestIssueProduceSyncManualPartitionNegativeDoesNotPanic|TestIssue831|TestClient_ProduceLargeMessages)$'

mkdir -p "$work"
cd "$work"
if [ ! -x kgo.test ]; then
  rm -f go.mod go.sum
  go mod init kgosuite >/dev/null 2>&1
  printf '//go:build tools\n\npackage kgosuite\n\nimport _ "%s"\n' "$package" > tools.go
  for pause in 3 10 0; do GOFLAGS=-mod=mod go get -t "$package@$version" && break; sleep "$pause"; done
  GOFLAGS=-mod=mod go test -c -o kgo.test "$package"
fi
# Some tests read the package's own sources from the working directory.
cd "$(GOFLAGS=-mod=mod go list -f '{{.Dir}}' "$package")"
log=$work/last.log
status=0
KGO_SEEDS=$broker KGO_TEST_RF=1 KGO_TEST_RECORDS=${KGO_RECORDS:-50000} KGO_LOG_LEVEL=none \
  "$work/kgo.test" -test.v -test.timeout 15m -test.run "$tests" >"$log" 2>&1 || status=$?
count() { grep -cE "^ *--- $1" "$log" || true; }
passed=$(count PASS) failed=$(count FAIL) skipped=$(count SKIP)
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
grep -E '^ *--- (FAIL|SKIP)|^panic:|test timed out' "$log" || true
if [ "$failed" -ne 0 ]; then grep -E '_test.go:[0-9]+:' "$log" | tail -40 || true; fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
