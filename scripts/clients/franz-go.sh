#!/usr/bin/env bash
# franz-go.
exec "$(dirname "$0")/../go-client.sh" franz-go
