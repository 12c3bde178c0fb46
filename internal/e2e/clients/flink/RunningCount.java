import java.util.concurrent.CompletableFuture;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import sun.misc.Signal;

/**
 * RunningCount SOURCE SINK GUARANTEE STATE [RESTORE] counts the records of the topic "clicks" at the brokers SOURCE by
 * their values, and writes "VALUE COUNT" to the topic "totals" at the brokers SINK for each of them.
 *
 * It keeps a checkpoint a second under the folder STATE, and begins with the counts and offsets of RESTORE, a
 * checkpoint or a savepoint. SIGTERM ends it with a savepoint, whose place it prints.
 * Counts are exact whatever happens. What it wrote after its last checkpoint it may write again, if GUARANTEE is
 * AT_LEAST_ONCE; with EXACTLY_ONCE it needs transactions.
 */
public class RunningCount {
  public static void main(String[] args) throws Exception {
    String source = args[0], sink = args[1], state = args[3];
    DeliveryGuarantee guarantee = DeliveryGuarantee.valueOf(args[2]);
    Configuration config = new Configuration();
    config.setString("execution.checkpointing.interval", "1 s");
    config.setString("execution.checkpointing.dir", state);
    config.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
    config.setString("restart-strategy.type", "none");
    if (args.length > 4) {
      config.setString("execution.state-recovery.path", args[4]);
    }
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(config);
    env.setParallelism(1);

    KafkaSource<String> clicks = KafkaSource.<String>builder()
        .setBootstrapServers(source)
        .setTopics("clicks")
        .setGroupId("flink-counts")
        .setStartingOffsets(OffsetsInitializer.earliest())
        .setValueOnlyDeserializer(new SimpleStringSchema())
        .setProperty("partition.discovery.interval.ms", "10000")
        .build();
    KafkaSink<String> totals = KafkaSink.<String>builder()
        .setBootstrapServers(sink)
        .setDeliveryGuarantee(guarantee)
        .setTransactionalIdPrefix("flink-counts") // of EXACTLY_ONCE
        .setProperty("transaction.timeout.ms", "60000")
        .setProperty("linger.ms", "50")
        .setRecordSerializer(KafkaRecordSerializationSchema.<String>builder()
            .setTopic("totals")
            .setValueSerializationSchema(new SimpleStringSchema())
            .build())
        .build();
    env.fromSource(clicks, WatermarkStrategy.noWatermarks(), "clicks").uid("clicks")
        .keyBy(value -> value)
        .map(new Count()).uid("count")
        .sinkTo(totals).uid("totals");

    JobClient job = env.executeAsync("running count");
    CompletableFuture<String> savepoint = new CompletableFuture<>();
    Signal.handle(new Signal("TERM"), signal -> job
        .stopWithSavepoint(false, state + "/savepoints", SavepointFormatType.CANONICAL)
        .whenComplete((place, failure) -> {
          if (failure != null) {
            failure.printStackTrace();
            System.exit(1);
          }
          savepoint.complete(place);
        }));
    job.getJobExecutionResult().get();
    System.out.println("savepoint " + savepoint.get());
  }

  /** Count is how often a value came, kept in Flink's state. */
  private static class Count extends RichMapFunction<String, String> {
    private transient ValueState<Long> count;

    @Override
    public void open(OpenContext context) {
      count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Long.class));
    }

    @Override
    public String map(String value) throws Exception {
      long n = count.value() == null ? 1 : count.value() + 1;
      count.update(n);
      return value + " " + n;
    }
  }
}
