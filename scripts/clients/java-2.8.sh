#!/usr/bin/env bash
# The Java client before its producers were idempotent by default, with the driver of the client matrix.
exec "$(dirname "$0")/java.sh" java-2.8 org.apache.kafka:kafka-clients:2.8.2 org.slf4j:slf4j-simple:1.7.36
