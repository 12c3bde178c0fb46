#!/usr/bin/env bash
# @platformatic/kafka, which speaks newer versions of most requests than kafkajs.
exec "$(dirname "$0")/../node-client.sh" platformatic
