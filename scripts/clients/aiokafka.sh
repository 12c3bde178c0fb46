#!/usr/bin/env bash
# aiokafka, kafka-python's asynchronous relative.
exec "$(dirname "$0")/../python-client.sh" aiokafka aio_kafka.py aiokafka==0.14.0 async-timeout==5.0.1 packaging==26.3 typing_extensions==4.16.0 cramjam==2.14.0
