#!/usr/bin/env bash
# Apache Kafka's Java client with its command-line tools, and the driver of the client matrix compiled against it:
#   java.sh [NAME ARTIFACT...]    another version of the client, under another name
# Leaves .cache/clients/NAME/driver, and .cache/clients/NAME/jars for java -cp.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ $# -eq 0 ]; then
  set -- java org.apache.kafka:kafka_2.13:4.3.1 org.apache.kafka:kafka-tools:4.3.1 org.apache.logging.log4j:log4j-slf4j-impl:2.25.4
fi
name=$1
shift

mkdir -p ".cache/clients/$name"
home=$(realpath ".cache/clients/$name")
source=internal/e2e/clients/java/Driver.java
scripts/maven.sh "$home/jars" "$@"
stamp="$* $(sha256sum "$source" "$0")"
[ "$(cat "$home/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

rm -rf "$home/classes"
javac -nowarn -d "$home/classes" -cp "$home/jars/*" "$source"
cat > "$home/log4j2.properties" <<'L'
rootLogger.level = WARN
rootLogger.appenderRef.err.ref = err
appender.err.type = Console
appender.err.name = err
appender.err.target = SYSTEM_ERR
appender.err.layout.type = PatternLayout
appender.err.layout.pattern = [%d] %p %m (%c)%n
L
cat > "$home/driver" <<D
#!/bin/sh
exec java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.configurationFile="$home/log4j2.properties" \\
  -cp "$home/classes:$home/jars/*" Driver "\$@"
D
chmod +x "$home/driver"
echo "$stamp" > "$home/stamp"
