"""kafka-python: 3.x and, in the same words, 2.0.2, which knows no idempotent producer and no isolation level."""

import kafka
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from conversation import Errors, Every, Patience, arguments, isolation, max_batch, records, say, say_record


def produce(args):
    errors, counts = Errors(5), {"acked": 0, "failed": 0}
    options = {
        "bootstrap_servers": args.bootstrap,
        "acks": "all",
        "compression_type": None if args.codec == "none" else args.codec,
        "linger_ms": args.linger,
        "max_request_size": max_batch(args),
        "max_block_ms": int(args.timeout * 1000),
        "request_timeout_ms": int(min(30, args.timeout / 2) * 1000),
    }
    if "enable_idempotence" in KafkaProducer.DEFAULT_CONFIG:
        options.update(enable_idempotence=args.idempotent, delivery_timeout_ms=int(args.timeout * 1000))
    producer = KafkaProducer(**options)

    def acked(_):
        counts["acked"] += 1

    def failed(error):
        counts["failed"] += 1
        errors.say_kafka(error)

    for key, value in records(args):
        try:
            producer.send(args.topic, key=key, value=value, partition=args.partition).add_callback(acked).add_errback(failed)
        except KafkaError as e:  # refused by the client itself
            failed(e)
    producer.flush(timeout=args.timeout)
    producer.close()
    say("done", **counts)


class Assignments(ConsumerRebalanceListener):
    """Says what the group gives and takes; what was read is committed before it is given away."""

    def __init__(self, reader):
        self.reader = reader

    def on_partitions_assigned(self, assigned):
        say("assigned", partitions=sorted(p.partition for p in assigned))

    def on_partitions_revoked(self, revoked):
        self.reader.commit()
        say("revoked", partitions=sorted(p.partition for p in revoked))


class Reader:
    """A consumer that says what it reads, until it has read enough."""

    def __init__(self, args):
        self.args, self.errors, self.patience = args, Errors(20), Patience(args)
        self.group = getattr(args, "group", None)
        self.commits = self.group is not None and args.commit
        self.read, self.uncommitted = 0, False
        options = isolation(args, "isolation_level") if "isolation_level" in KafkaConsumer.DEFAULT_CONFIG else {}
        self.consumer = KafkaConsumer(
            bootstrap_servers=args.bootstrap, group_id=self.group, auto_offset_reset="earliest",
            enable_auto_commit=False, session_timeout_ms=10_000, fetch_max_wait_ms=500, **options)

    def partitions(self):
        return [TopicPartition(self.args.topic, p) for p in sorted(self.consumer.partitions_for_topic(self.args.topic) or ())]

    def commit(self):
        if not (self.commits and self.uncommitted):
            return
        try:
            self.consumer.commit()
            self.uncommitted = False
            say("committed")
        except KafkaError as e:
            self.errors.say_kafka(e)

    def run(self):
        stay = getattr(self.args, "stay", False)
        second = Every(1)
        while self.patience and (stay or self.read < self.args.count):
            try:
                most = None if stay else self.args.count - self.read
                batches = self.consumer.poll(timeout_ms=200, max_records=most)
            except KafkaError as e:
                self.errors.say_kafka(e)
                continue
            for partition, records in batches.items():
                for r in records:
                    say_record(partition.partition, r.offset, r.key, r.value, r.timestamp)
                self.read += len(records)
                self.uncommitted = True
            if stay and second:
                self.commit()
        self.commit()
        self.consumer.close(autocommit=False)
        if stay or self.read >= self.args.count:
            say("done", read=self.read)
        else:
            say("timeout", read=self.read)


def consume(args):
    reader = Reader(args)
    if args.group:
        reader.consumer.subscribe([args.topic], listener=Assignments(reader))
    else:
        partitions = reader.partitions()
        reader.consumer.assign(partitions)
        reader.consumer.seek_to_beginning(*partitions)
    reader.run()


def seek(args):
    reader = Reader(args)
    found = reader.consumer.offsets_for_times({p: args.timestamp for p in reader.partitions()})
    for partition, at in sorted(found.items()):
        say("offset", partition=partition.partition, offset=at.offset if at else -1)
    there = {partition: at.offset for partition, at in found.items() if at}
    reader.consumer.assign(list(there))
    for partition, offset in there.items():
        reader.consumer.seek(partition, offset)
    reader.run()


def main():
    args = arguments(f"kafka-python {kafka.__version__}")
    try:
        {"produce": produce, "consume": consume, "seek": seek}[args.verb](args)
    except KafkaError as e:  # of a call that asked the cluster something
        Errors(1).say_kafka(e)


if __name__ == "__main__":
    main()
