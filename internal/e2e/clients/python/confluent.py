"""confluent-kafka: librdkafka, from Python."""

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

from conversation import Errors, Every, Patience, arguments, isolation, max_batch, records, say, say_record


def produce(args):
    errors, counts = Errors(5), {"acked": 0, "failed": 0}

    def delivered(error, _):
        counts["failed" if error else "acked"] += 1
        if error:
            errors.say(error.code(), error.name(), error.str())

    producer = Producer({
        "bootstrap.servers": args.bootstrap,
        "acks": "all",
        "enable.idempotence": args.idempotent,
        "compression.type": args.codec,
        "linger.ms": args.linger,
        "message.max.bytes": max_batch(args),
        "message.timeout.ms": int(args.timeout * 1000),
    })
    where = {} if args.partition is None else {"partition": args.partition}
    for key, value in records(args):
        while True:
            try:
                producer.produce(args.topic, key=key, value=value, on_delivery=delivered, **where)
                break
            except BufferError:  # the local queue is full
                producer.poll(0.1)
            except KafkaException as e:  # refused by the client itself
                delivered(e.args[0], None)
                break
        producer.poll(0)
    producer.flush()
    say("done", **counts)


class Reader:
    """A consumer that says what it reads, until it has read enough."""

    def __init__(self, args):
        self.args, self.errors, self.patience = args, Errors(20), Patience(args)
        self.group = getattr(args, "group", None)
        self.commits = self.group is not None and args.commit
        self.read, self.uncommitted = 0, False
        self.consumer = Consumer({
            "bootstrap.servers": args.bootstrap,
            "group.id": self.group or "none",  # the client insists, but does not join it for what is assigned
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 10_000,
            "fetch.wait.max.ms": 500,
            **isolation(args, "isolation.level"),
        }, logger=None)

    def subscribe(self):
        def assigned(_, partitions):
            say("assigned", partitions=sorted(p.partition for p in partitions))

        def revoked(_, partitions):
            if self.commits:
                self.commit()
            say("revoked", partitions=sorted(p.partition for p in partitions))

        self.consumer.subscribe([self.args.topic], on_assign=assigned, on_revoke=revoked)

    def partitions(self):
        topic = self.consumer.list_topics(self.args.topic, timeout=self.args.timeout).topics[self.args.topic]
        if topic.error:
            raise KafkaException(topic.error)
        return sorted(topic.partitions)

    def commit(self):
        if not self.uncommitted:
            return
        try:
            self.consumer.commit(asynchronous=False)
            self.uncommitted = False
            say("committed")
        except KafkaException as e:
            self.say(e.args[0])

    def say(self, error):
        self.errors.say(error.code(), error.name(), error.str())

    def run(self):
        stay = getattr(self.args, "stay", False)
        second = Every(1)
        while self.patience and (stay or self.read < self.args.count):
            message = self.consumer.poll(0.2)
            if message is not None and message.error():
                self.say(message.error())
            elif message is not None:
                say_record(message.partition(), message.offset(), message.key(), message.value(), message.timestamp()[1])
                self.read += 1
                self.uncommitted = True
            if stay and self.commits and second:
                self.commit()
        if self.commits:
            self.commit()
        self.consumer.close()
        if stay or self.read >= self.args.count:
            say("done", read=self.read)
        else:
            say("timeout", read=self.read)


def consume(args):
    reader = Reader(args)
    if args.group:
        reader.subscribe()
    else:
        reader.consumer.assign([TopicPartition(args.topic, p, OFFSET_BEGINNING) for p in reader.partitions()])
    reader.run()


def seek(args):
    reader = Reader(args)
    wanted = [TopicPartition(args.topic, p, args.timestamp) for p in reader.partitions()]
    found = reader.consumer.offsets_for_times(wanted, timeout=args.timeout)
    for p in found:
        say("offset", partition=p.partition, offset=max(p.offset, -1))
    reader.consumer.assign([p for p in found if p.offset >= 0])
    reader.run()


def main():
    args = arguments(f"confluent-kafka {confluent_kafka.__version__}")
    try:
        {"produce": produce, "consume": consume, "seek": seek}[args.verb](args)
    except KafkaException as e:  # of a call that asked the cluster something
        error = e.args[0]
        say("error", code=error.code(), name=error.name(), message=error.str())


if __name__ == "__main__":
    main()
