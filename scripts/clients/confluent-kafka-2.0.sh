#!/usr/bin/env bash
# librdkafka 2.0, which judges a cluster by the oldest versions that it offers; needs Python 3.11 or older.
exec "$(dirname "$0")/../python-client.sh" confluent-kafka-2.0 confluent.py confluent-kafka==2.0.2
