"""ClickHouse, inside this process, fed by its Kafka table engine.

    driver version
    driver count --bootstrap B --topic T --group G --folder F --records N

reads JSON records {"u": text, "n": number} from where the group has committed into a table under the folder F, until
that table holds N records, and prints a JSON line per u: {"u": ..., "c": count, "s": sum}.
"""

import argparse
import sys
import time

from chdb import session


def main():
    top = argparse.ArgumentParser()
    verbs = top.add_subparsers(dest="verb", required=True)
    verbs.add_parser("version")
    count = verbs.add_parser("count")
    for option in ("bootstrap", "topic", "group", "folder"):
        count.add_argument("--" + option, required=True)
    count.add_argument("--records", type=int, required=True)
    args = top.parse_args()

    clickhouse = session.Session() if args.verb == "version" else session.Session(args.folder)
    if args.verb == "version":
        print("ClickHouse", str(clickhouse.query("SELECT version()", "TSV")).strip())
        return
    clickhouse.query("CREATE TABLE IF NOT EXISTS events (u String, n UInt64) ENGINE = MergeTree ORDER BY u")
    clickhouse.query(f"""
        CREATE TABLE queue (u String, n UInt64) ENGINE = Kafka SETTINGS
          kafka_broker_list = '{args.bootstrap}',
          kafka_topic_list = '{args.topic}',
          kafka_group_name = '{args.group}',
          kafka_format = 'JSONEachRow',
          kafka_flush_interval_ms = 500,
          kafka_poll_timeout_ms = 200""")
    clickhouse.query("CREATE MATERIALIZED VIEW feed TO events AS SELECT u, n FROM queue")  # it reads from now on

    deadline = time.monotonic() + 90
    while (stored := int(str(clickhouse.query("SELECT count() FROM events", "TSV")))) < args.records:
        if time.monotonic() > deadline:
            sys.exit(f"{stored} of {args.records} records are there")
        time.sleep(0.1)
    clickhouse.query("DROP TABLE feed")
    clickhouse.query("DROP TABLE queue")
    print(clickhouse.query("SELECT u, count() AS c, sum(n) AS s FROM events GROUP BY u", "JSONEachRow"))
    clickhouse.close()


main()
