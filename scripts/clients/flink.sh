#!/usr/bin/env bash
# Installs Apache Flink and the jobs of internal/e2e/clients/flink: .cache/clients/flink/driver CLASS ARG...
# The compiler stops at its first tier, for jobs that live for seconds.
exec "$(dirname "$0")/../java-jobs.sh" flink -Xmx512m -XX:TieredStopAtLevel=1
