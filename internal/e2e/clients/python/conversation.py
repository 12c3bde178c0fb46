"""What every driver of a Python client has in common: its command line, and the lines it prints.

A driver talks to a cluster as its client's users would and tells in JSON lines what it sees; who runs it
judges. Logs go to standard error.
"""

import argparse
import json
import logging
import signal
import sys
import time


def arguments(version):
    """The command line, or the end of the program for `driver version`."""
    boolean = {"true": True, "false": False}.__getitem__
    seconds = lambda text: float(text.removesuffix("s"))
    top = argparse.ArgumentParser()
    verbs = top.add_subparsers(dest="verb", required=True)
    verbs.add_parser("version")
    produce, consume, seek = (verbs.add_parser(verb) for verb in ("produce", "consume", "seek"))
    for verb in (produce, consume, seek):
        verb.add_argument("--bootstrap", required=True)
        verb.add_argument("--topic", required=True)
        verb.add_argument("--count", type=int, default=0)
        verb.add_argument("--timeout", type=seconds, default=60.0)
    produce.add_argument("--codec", choices=["none", "gzip", "snappy", "lz4", "zstd"], default="none")
    produce.add_argument("--size", type=int, default=100)
    produce.add_argument("--tag", required=True)
    produce.add_argument("--idempotent", type=boolean, default=True)
    produce.add_argument("--partition", type=int)
    produce.add_argument("--linger", type=int, default=5, help="milliseconds")
    consume.add_argument("--group")
    consume.add_argument("--commit", type=boolean, default=True)
    consume.add_argument("--stay", type=boolean, default=False)
    consume.add_argument("--from", dest="start", choices=["earliest", "committed"], default="earliest")
    consume.add_argument("--isolation", choices=["read_uncommitted", "read_committed"])
    seek.add_argument("--timestamp", type=int, required=True, help="milliseconds")
    args = top.parse_args()
    if args.verb == "version":
        print(version)
        sys.exit(0)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    return args


def say(event=None, **fields):
    """Prints one line at once."""
    print(json.dumps(fields if event is None else {"event": event, **fields}), flush=True)


def records(args):
    """Keys and values to produce: "TAG-i", the value padded with x."""
    for i in range(args.count):
        name = f"{args.tag}-{i}".encode()
        yield name, name.ljust(args.size, b"x")


def max_batch(args):
    """The limit of a client's batches in bytes: the usual million, or more where a single record needs it, so that
    it is the cluster that refuses what is too large."""
    return max(1_000_000, args.size + 1000)


def say_record(partition, offset, key, value, timestamp):
    say(partition=partition, offset=offset, key=(key or b"").decode(), value=value.split(b"x", 1)[0].decode(),
        size=len(value), timestamp=timestamp)


def isolation(args, name):
    """The option that sets the isolation level, where it is asked for: clients differ in what they do by themselves."""
    level = getattr(args, "isolation", None)
    return {name: level} if level else {}


class Errors:
    """Says each distinct error once, and no more than a few of them."""

    def __init__(self, most):
        self.most, self.said = most, set()

    def say(self, code, name, message):
        if len(self.said) < self.most and (code, name, message) not in self.said:
            self.said.add((code, name, message))
            say("error", code=code, name=name, message=message)

    def say_kafka(self, error):
        """An exception of kafka-python or aiokafka: the broker's code and name, else the client's name for what happened."""
        code = getattr(error, "errno", None)
        if code is None:
            self.say(-1, type(error).__name__, str(error))
        else:
            self.say(code, error.message, str(error))


class Patience:
    """When to stop: the timeout is over, or somebody sent SIGTERM. One that stays has no timeout."""

    def __init__(self, args):
        self.over = False
        self.deadline = float("inf") if getattr(args, "stay", False) else time.monotonic() + args.timeout
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_):
        self.over = True

    def __bool__(self):
        return not self.over and time.monotonic() < self.deadline


class Every:
    """True about once in so many seconds."""

    def __init__(self, seconds):
        self.seconds, self.last = seconds, time.monotonic()

    def __bool__(self):
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True
