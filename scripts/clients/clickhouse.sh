#!/usr/bin/env bash
# ClickHouse as a library in Python; it looks for pyarrow, whatever it is asked.
exec "$(dirname "$0")/../python-client.sh" clickhouse clickhouse.py chdb==3.7.2 pyarrow==26.0.1
