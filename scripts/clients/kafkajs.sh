#!/usr/bin/env bash
# kafkajs, with the codecs that it asks its users to add.
exec "$(dirname "$0")/../node-client.sh" kafkajs
