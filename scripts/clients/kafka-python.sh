#!/usr/bin/env bash
# kafka-python.
exec "$(dirname "$0")/../python-client.sh" kafka-python kafka_python.py kafka-python==3.0.12 lz4==4.4.5 python-snappy==0.7.3 cramjam==2.14.0 zstandard==0.25.0
