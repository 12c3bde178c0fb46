#!/usr/bin/env bash
# Apache Kafka on loopback, the broker that the bench compares with.
#
#   kafka.sh install            its jars, once, into .cache/kafka
#   kafka.sh up 1|3 FOLDER      a fresh KRaft cluster that keeps everything in FOLDER: one broker, or three with
#                               replication factor 3 and min.insync.replicas 2. Prints a line per broker: its
#                               process id and HOST:PORT
#   kafka.sh down FOLDER        stops it and removes FOLDER
#
# KAFKA_PORT (17192): broker n listens on KAFKA_PORT+n, its controller on KAFKA_PORT+10+n. KAFKA_HEAP (2g) is the heap of a
# broker. Threads, flushing and everything else stay as Kafka has them, but that deleted topics go at once.
set -euo pipefail

scripts=$(cd "$(dirname "$0")" && pwd)
version=4.3.1
log4j=2.25.4
jars=$scripts/../.cache/kafka/$version
port=${KAFKA_PORT:-17192}
heap=${KAFKA_HEAP:-2g}
host=127.0.0.1

die() { echo "kafka.sh: $*" >&2; exit 1; }

install() {
  "$scripts/maven.sh" "$jars" "org.apache.kafka:kafka_2.13:$version" "org.apache.logging.log4j:log4j-slf4j-impl:$log4j"
}

broker() { echo "$host:$((port + $1))"; }
controller() { echo "$host:$((port + 10 + $1))"; }

# running N: whether broker N is a process of ours and lives.
running() {
  local pid
  pid=$(cat "$folder/$1/pid" 2>/dev/null) || return 1
  grep -qz "^KAFKA_BENCH_FOLDER=$folder\$" "/proc/$pid/environ" 2>/dev/null
}

settings() { # N NODES
  local voters='' n
  for n in $(seq "$2"); do voters+=${voters:+,}$n@$(controller "$n"); done
  cat <<CONF
process.roles=broker,controller
node.id=$1
controller.quorum.voters=$voters
listeners=PLAINTEXT://$(broker "$1"),CONTROLLER://$(controller "$1")
advertised.listeners=PLAINTEXT://$(broker "$1")
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$folder/$1/data
default.replication.factor=$2
min.insync.replicas=$(($2 > 1 ? 2 : 1))
offsets.topic.replication.factor=$2
transaction.state.log.replication.factor=$2
transaction.state.log.min.isr=$(($2 > 1 ? 2 : 1))
share.coordinator.state.topic.replication.factor=$2
share.coordinator.state.topic.min.isr=$(($2 > 1 ? 2 : 1))
log.segment.delete.delay.ms=500
CONF
}

logging() {
  printf '%s\n' rootLogger.level=INFO rootLogger.appenderRef.out.ref=out appender.out.type=Console appender.out.name=out \
    appender.out.layout.type=PatternLayout 'appender.out.layout.pattern=[%d] %p %m (%c)%n'
}

format() { # N CLUSTER
  java -cp "$jars/*" "-Dlog4j2.configurationFile=$folder/log4j2.properties" kafka.tools.StorageTool format \
    -t "$2" -c "$folder/$1/server.properties" >"$folder/$1/format.log" 2>&1 ||
    { cat "$folder/$1/format.log" >&2; die "could not format broker $1"; }
}

start() { # N
  KAFKA_BENCH_FOLDER=$folder setsid java -server "-Xms$heap" "-Xmx$heap" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
    -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true \
    "-Dlog4j2.configurationFile=$folder/log4j2.properties" -cp "$jars/*" kafka.Kafka "$folder/$1/server.properties" \
    </dev/null >"$folder/$1/server.log" 2>&1 &
  echo $! >"$folder/$1/pid"
}

await() { # N
  local end=$((SECONDS + 120))
  until grep -q 'Kafka Server started' "$folder/$1/server.log"; do
    running "$1" || { tail -20 "$folder/$1/server.log" >&2; die "broker $1 stopped"; }
    [ $SECONDS -lt $end ] || { tail -20 "$folder/$1/server.log" >&2; die "broker $1 did not start within 120 s"; }
    sleep 0.1
  done
}

up() { # NODES
  local nodes=$1 n cluster
  [ "$nodes" = 1 ] || [ "$nodes" = 3 ] || die "up takes 1 or 3 brokers, not $nodes"
  install
  [ ! -e "$folder" ] || die "$folder is there already; stop what runs in it: $0 down $folder"
  mkdir -p "$folder"
  logging >"$folder/log4j2.properties"
  cluster=$(head -c 16 /dev/urandom | base64 -w0 | tr '+/' 'xy' | tr -d '=')
  for n in $(seq "$nodes"); do
    mkdir "$folder/$n"
    settings "$n" "$nodes" >"$folder/$n/server.properties"
    format "$n" "$cluster"
  done
  for n in $(seq "$nodes"); do start "$n"; done
  for n in $(seq "$nodes"); do await "$n"; done
  for n in $(seq "$nodes"); do echo "$(cat "$folder/$n/pid") $(broker "$n")"; done
}

# down stops what the pid files name, and only while those processes are ours.
down() {
  local n
  for n in 1 2 3; do if running "$n"; then kill "$(cat "$folder/$n/pid")"; fi; done
  for n in 1 2 3; do
    for _ in $(seq 100); do running "$n" || break; sleep 0.1; done
    if running "$n"; then kill -9 "$(cat "$folder/$n/pid")"; fi
  done
  rm -rf "$folder"
}

case ${1:-} in
  install) install ;;
  up | down)
    command=$1
    shift
    [ "$command" = up ] && nodes=${1:-} && shift
    [ $# = 1 ] || { echo "usage: kafka.sh install | up 1|3 FOLDER | down FOLDER" >&2; exit 2; }
    folder=$(realpath -m "$1")
    "$command" ${nodes:+"$nodes"}
    ;;
  *) echo "usage: kafka.sh install | up 1|3 FOLDER | down FOLDER" >&2; exit 2 ;;
esac
