-- Flink SQL, in the analytics account. The group's id begins with the name of the agents' group, as its binding asks.
CREATE TABLE matches (
  map STRING,
  players INT,
  ended TIMESTAMP(3),
  WATERMARK FOR ended AS ended - INTERVAL '10' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = 'matches',
  'properties.bootstrap.servers' = 'kafka.analytics.isthmus.internal:9092',
  'properties.group.id' = 'analytics-matches',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json'
);

SELECT map, window_start, COUNT(*) AS matches, SUM(players) AS players
FROM TABLE(TUMBLE(TABLE matches, DESCRIPTOR(ended), INTERVAL '1' MINUTE))
GROUP BY map, window_start, window_end;
