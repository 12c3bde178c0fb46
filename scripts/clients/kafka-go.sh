#!/usr/bin/env bash
# segmentio's kafka-go.
exec "$(dirname "$0")/../go-client.sh" kafka-go
