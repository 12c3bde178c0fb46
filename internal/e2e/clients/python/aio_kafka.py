"""aiokafka: asyncio, pure Python."""

import asyncio

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from conversation import Errors, Every, Patience, arguments, isolation, max_batch, records, say, say_record


async def produce(args):
    errors, acked, failed = Errors(5), 0, 0
    producer = AIOKafkaProducer(
        bootstrap_servers=args.bootstrap, acks="all", enable_idempotence=args.idempotent,
        compression_type=None if args.codec == "none" else args.codec, linger_ms=args.linger,
        max_request_size=max_batch(args), request_timeout_ms=int(args.timeout * 1000))
    await producer.start()
    try:
        sent = []
        for key, value in records(args):
            try:
                sent.append(await producer.send(args.topic, key=key, value=value, partition=args.partition))
            except KafkaError as e:  # refused by the client itself
                failed += 1
                errors.say_kafka(e)
        for result in await asyncio.gather(*sent, return_exceptions=True):
            if not isinstance(result, BaseException):
                acked += 1
            elif isinstance(result, KafkaError):
                failed += 1
                errors.say_kafka(result)
            else:
                raise result
    finally:
        await producer.stop()
    say("done", acked=acked, failed=failed)


class Assignments(ConsumerRebalanceListener):
    """Says what the group gives and takes; what was read is committed before it is given away."""

    def __init__(self, reader):
        self.reader = reader

    async def on_partitions_assigned(self, assigned):
        say("assigned", partitions=sorted(p.partition for p in assigned))

    async def on_partitions_revoked(self, revoked):
        await self.reader.commit()
        say("revoked", partitions=sorted(p.partition for p in revoked))


class Reader:
    """A consumer that says what it reads, until it has read enough."""

    def __init__(self, args):
        self.args, self.errors, self.patience = args, Errors(20), Patience(args)
        self.group = getattr(args, "group", None)
        self.commits = self.group is not None and args.commit
        self.read, self.uncommitted = 0, False
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=args.bootstrap, group_id=self.group, auto_offset_reset="earliest",
            enable_auto_commit=False, session_timeout_ms=10_000, fetch_max_wait_ms=500,
            **isolation(args, "isolation_level"))

    def subscribe(self):
        """Without a group this is every partition of the topic."""
        self.consumer.subscribe([self.args.topic], listener=Assignments(self) if self.group else None)

    async def commit(self):
        if not (self.commits and self.uncommitted):
            return
        try:
            await self.consumer.commit()
            self.uncommitted = False
            say("committed")
        except KafkaError as e:
            self.errors.say_kafka(e)

    async def run(self):
        stay = getattr(self.args, "stay", False)
        second = Every(1)
        while self.patience and (stay or self.read < self.args.count):
            try:
                most = None if stay else self.args.count - self.read
                batches = await self.consumer.getmany(timeout_ms=200, max_records=most)
            except KafkaError as e:
                self.errors.say_kafka(e)
                continue
            for partition, records in batches.items():
                for r in records:
                    say_record(partition.partition, r.offset, r.key, r.value, r.timestamp)
                self.read += len(records)
                self.uncommitted = True
            if stay and second:
                await self.commit()
        await self.commit()
        await self.consumer.stop()
        if stay or self.read >= self.args.count:
            say("done", read=self.read)
        else:
            say("timeout", read=self.read)


async def consume(args):
    reader = Reader(args)
    reader.subscribe()
    try:
        await reader.consumer.start()
        await reader.run()
    finally:
        await reader.consumer.stop()


async def seek(args):
    reader = Reader(args)
    reader.subscribe()
    try:
        await reader.consumer.start()
        found = await reader.consumer.offsets_for_times(dict.fromkeys(reader.consumer.assignment(), args.timestamp))
        for partition, at in sorted(found.items()):
            say("offset", partition=partition.partition, offset=at.offset if at else -1)
            if at:
                reader.consumer.seek(partition, at.offset)
            else:
                await reader.consumer.seek_to_end(partition)
        await reader.run()
    finally:
        await reader.consumer.stop()


def main():
    args = arguments(f"aiokafka {aiokafka.__version__}")
    try:
        asyncio.run({"produce": produce, "consume": consume, "seek": seek}[args.verb](args))
    except KafkaError as e:  # of a call that asked the cluster something
        Errors(1).say_kafka(e)


if __name__ == "__main__":
    main()
