import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * WindowCount SOURCE SINK ZONE reads the JSON records of the topic "events" from its beginning to its present end at
 * the brokers SOURCE, counts and adds up each user's in windows of a second of the records' own time, and
 * writes a JSON record per window and user to the topic "counts" at the brokers SINK. It asks for agents in the zone ZONE.
 */
public class WindowCount {
  public static void main(String[] args) throws Exception {
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
    env.setParallelism(1);
    StreamTableEnvironment tables = StreamTableEnvironment.create(env);
    tables.getConfig().set("table.local-time-zone", "UTC");

    tables.executeSql("""
        CREATE TABLE events (
          u STRING,
          n BIGINT,
          ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
          WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
        ) WITH (
          'connector' = 'kafka',
          'topic' = 'events',
          'properties.bootstrap.servers' = '%s',
          'properties.group.id' = 'flink-sql',
          'properties.client.id.prefix' = 'flink,zone=%s,',
          'scan.startup.mode' = 'earliest-offset',
          'scan.bounded.mode' = 'latest-offset',
          'format' = 'json'
        )""".formatted(args[0], args[2]));
    tables.executeSql("""
        CREATE TABLE counts (w TIMESTAMP(3), u STRING, c BIGINT, s BIGINT) WITH (
          'connector' = 'kafka',
          'topic' = 'counts',
          'properties.bootstrap.servers' = '%s',
          'properties.client.id' = 'flink,zone=%s',
          'properties.linger.ms' = '50',
          'format' = 'json'
        )""".formatted(args[1], args[2]));

    tables.executeSql("""
        INSERT INTO counts
        SELECT CAST(window_start AS TIMESTAMP(3)), u, COUNT(*), SUM(n)
        FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' SECOND))
        GROUP BY window_start, window_end, u""").await();
  }
}
