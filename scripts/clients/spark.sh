#!/usr/bin/env bash
# Installs Apache Spark and the job of internal/e2e/clients/spark: .cache/clients/spark/driver CLASS ARG...
# Spark asks for the packages of Java that it looks into.
set -euo pipefail
opens=()
for package in java.lang java.lang.invoke java.io java.net java.nio java.util java.util.concurrent \
  java.util.concurrent.atomic sun.nio.ch sun.nio.cs sun.security.action sun.util.calendar; do
  opens+=("--add-opens=java.base/$package=ALL-UNNAMED")
done
exec "$(dirname "$0")/../java-jobs.sh" spark -Xmx768m -XX:TieredStopAtLevel=1 "${opens[@]}"
