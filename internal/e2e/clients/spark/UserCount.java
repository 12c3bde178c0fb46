import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.count;
import static org.apache.spark.sql.functions.struct;
import static org.apache.spark.sql.functions.sum;
import static org.apache.spark.sql.functions.to_json;

import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.streaming.Trigger;

/**
 * UserCount SOURCE SINK CHECKPOINT reads the JSON records of the topic "events" at the brokers SOURCE, from the
 * beginning or from where the last run with this CHECKPOINT ended, to the present end, 1000 at a time; it counts and
 * adds up each user's, and writes a JSON record per user that changed to the topic "totals" at the brokers SINK.
 */
public class UserCount {
  public static void main(String[] args) throws Exception {
    SparkSession spark = SparkSession.builder()
        .master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate();
    spark.readStream()
        .format("kafka")
        .option("kafka.bootstrap.servers", args[0])
        .option("subscribe", "events")
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", "1000")
        .load()
        .selectExpr("from_json(CAST(value AS STRING), 'u STRING, n BIGINT') AS event")
        .groupBy("event.u")
        .agg(count("*").as("c"), sum("event.n").as("s"))
        .select(col("u").as("key"), to_json(struct(col("u"), col("c"), col("s"))).as("value"))
        .writeStream()
        .outputMode("update")
        .format("kafka")
        .option("kafka.bootstrap.servers", args[1])
        .option("kafka.linger.ms", "50")
        .option("topic", "totals")
        .option("checkpointLocation", args[2])
        .trigger(Trigger.AvailableNow())
        .start()
        .awaitTermination();
    spark.stop();
  }
}
