#!/usr/bin/env bash
# kafka-python as most have it installed; needs Python 3.11 or older.
exec "$(dirname "$0")/../python-client.sh" kafka-python-2.0 kafka_python.py kafka-python==2.0.2 lz4==4.4.5 python-snappy==0.7.3 cramjam==2.14.0 zstandard==0.25.0 crc32c==2.9.post0
