#!/usr/bin/env bash
# librdkafka, from Python.
exec "$(dirname "$0")/../python-client.sh" confluent-kafka confluent.py confluent-kafka==2.16.1
