import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** Produces and consumes with Apache Kafka's own client, and tells what it sees as JSON lines. */
public final class Driver {
  private final Map<String, String> options;
  private final PrintStream out;
  private final Instant deadline;
  private final Map<TopicPartition, OffsetAndMetadata> toCommit = new HashMap<>();
  private int read;
  private int errors;

  private Driver(Map<String, String> options, PrintStream out) {
    this.options = options;
    this.out = out;
    this.deadline = Instant.now().plus(timeout());
  }

  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(System.out, true, "UTF-8");
    if (args.length == 0) {
      System.err.println("usage: driver produce|consume|seek|version [--option value]...");
      System.exit(1);
    }
    Map<String, String> options = new HashMap<>();
    for (int i = 1; i + 1 < args.length; i += 2) {
      options.put(args[i], args[i + 1]);
    }
    Driver driver = new Driver(options, out);
    switch (args[0]) {
      case "version": out.println("kafka-clients " + AppInfoParser.getVersion()); break;
      case "produce": driver.produce(); break;
      case "consume": driver.consume(); break;
      case "seek": driver.seek(); break;
      default:
        System.err.println("no such verb: " + args[0]);
        System.exit(1);
    }
  }

  private void produce() throws InterruptedException {
    Properties p = new Properties();
    p.put("bootstrap.servers", need("--bootstrap"));
    p.put("acks", "all");
    p.put("enable.idempotence", option("--idempotent", "true"));
    p.put("compression.type", option("--codec", "none"));
    p.put("linger.ms", option("--linger", "20"));
    p.put("max.request.size", "16000000"); // let the broker say what is too large
    p.put("max.block.ms", "" + timeout().toMillis());
    p.put("request.timeout.ms", "" + Math.max(1000, timeout().toMillis() / 2));
    p.put("delivery.timeout.ms", "" + Math.max(2000, timeout().toMillis()));
    Integer partition = options.containsKey("--partition") ? Integer.valueOf(need("--partition")) : null;
    int acked = 0;
    int failed = 0;
    Set<String> told = new HashSet<>();
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer())) {
      List<Future<RecordMetadata>> sent = new ArrayList<>();
      for (int i = 0; i < count(); i++) {
        String key = need("--tag") + "-" + i;
        sent.add(producer.send(new ProducerRecord<>(need("--topic"), partition, key, padded(key))));
      }
      producer.flush();
      for (Future<RecordMetadata> s : sent) {
        try {
          s.get();
          acked++;
        } catch (ExecutionException e) {
          failed++;
          if (told.size() < 5 && told.add(e.getCause().toString())) {
            error(e.getCause());
          }
        }
      }
    }
    out.printf("{\"event\":\"done\",\"acked\":%d,\"failed\":%d}%n", acked, failed);
  }

  private String padded(String text) {
    char[] value = new char[Math.max(text.length(), Integer.parseInt(option("--size", "0")))];
    Arrays.fill(value, 'x');
    text.getChars(0, text.length(), value, 0);
    return new String(value);
  }

  private KafkaConsumer<String, String> consumer() {
    Properties p = new Properties();
    p.put("bootstrap.servers", need("--bootstrap"));
    p.put("auto.offset.reset", "earliest");
    p.put("enable.auto.commit", "false");
    p.put("isolation.level", option("--isolation", "read_uncommitted"));
    if (options.containsKey("--group")) {
      p.put("group.id", need("--group"));
    }
    return new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
  }

  private void consume() {
    KafkaConsumer<String, String> consumer = consumer();
    boolean group = options.containsKey("--group");
    CountDownLatch closed = new CountDownLatch(1);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      consumer.wakeup(); // poll ends, and main leaves the group
      try {
        closed.await();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
      Runtime.getRuntime().halt(0);
    }));
    try (KafkaConsumer<String, String> c = consumer) {
      if (group) {
        c.subscribe(List.of(need("--topic")), new Announcer(c));
      } else {
        List<TopicPartition> all = partitions(c);
        c.assign(all);
        c.seekToBeginning(all);
      }
      poll(c, group && option("--commit", "true").equals("true"));
    } catch (WakeupException e) {
      // Told to end while something other than poll was waiting.
    } finally {
      closed.countDown();
    }
  }

  /** Commits what was read before another member gets the partitions. */
  private final class Announcer implements ConsumerRebalanceListener {
    private final KafkaConsumer<String, String> consumer;

    Announcer(KafkaConsumer<String, String> consumer) {
      this.consumer = consumer;
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
      out.printf("{\"event\":\"assigned\",\"partitions\":%s}%n", numbers(partitions));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
      if (option("--commit", "true").equals("true")) {
        commit(consumer);
      }
      out.printf("{\"event\":\"revoked\",\"partitions\":%s}%n", numbers(partitions));
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
      toCommit.clear(); // they are somebody else's already
      out.printf("{\"event\":\"revoked\",\"partitions\":%s}%n", numbers(partitions));
    }
  }

  private void poll(KafkaConsumer<String, String> consumer, boolean commits) {
    boolean stay = option("--stay", "false").equals("true");
    Instant nextCommit = Instant.now().plusSeconds(1);
    try {
      while (stay || read < count()) {
        if (!stay && Instant.now().isAfter(deadline)) {
          out.printf("{\"event\":\"timeout\",\"read\":%d}%n", read);
          return;
        }
        try {
          for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(200))) {
            if (stay || read < count()) {
              show(r);
            }
          }
          if (commits && stay && Instant.now().isAfter(nextCommit)) {
            commit(consumer);
            nextCommit = Instant.now().plusSeconds(1);
          }
        } catch (WakeupException e) {
          break;
        } catch (RuntimeException e) {
          if (errors++ < 20) {
            error(e);
          }
        }
      }
    } catch (WakeupException e) {
      // as above
    }
    if (commits) {
      commit(consumer);
    }
    out.printf("{\"event\":\"done\",\"read\":%d}%n", read);
  }

  private void show(ConsumerRecord<String, String> r) {
    read++;
    toCommit.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
    int padding = r.value().indexOf('x');
    String value = padding < 0 ? r.value() : r.value().substring(0, padding);
    out.printf("{\"partition\":%d,\"offset\":%d,\"key\":%s,\"value\":%s,\"size\":%d,\"timestamp\":%d}%n", r.partition(), r.offset(),
        quoted(r.key()), quoted(value), r.value().getBytes(StandardCharsets.UTF_8).length, r.timestamp());
  }

  private void commit(KafkaConsumer<String, String> consumer) {
    if (toCommit.isEmpty()) {
      return;
    }
    try {
      consumer.commitSync(toCommit);
      toCommit.clear();
      out.println("{\"event\":\"committed\"}");
    } catch (WakeupException e) {
      throw e;
    } catch (RuntimeException e) {
      error(e);
    }
  }

  private void seek() {
    try (KafkaConsumer<String, String> consumer = consumer()) {
      List<TopicPartition> all = partitions(consumer);
      consumer.assign(all);
      long timestamp = Long.parseLong(need("--timestamp"));
      Map<TopicPartition, OffsetAndTimestamp> found =
          consumer.offsetsForTimes(all.stream().collect(Collectors.toMap(p -> p, p -> timestamp)));
      for (TopicPartition p : all) {
        OffsetAndTimestamp at = found.get(p);
        out.printf("{\"event\":\"offset\",\"partition\":%d,\"offset\":%d}%n", p.partition(), at == null ? -1 : at.offset());
        if (at == null) {
          consumer.seekToEnd(List.of(p));
        } else {
          consumer.seek(p, at.offset());
        }
      }
      poll(consumer, false);
    }
  }

  private List<TopicPartition> partitions(KafkaConsumer<String, String> consumer) {
    return consumer.partitionsFor(need("--topic"), timeout()).stream()
        .map(p -> new TopicPartition(p.topic(), p.partition())).collect(Collectors.toList());
  }

  private void error(Throwable e) {
    Errors code = Errors.forException(e);
    out.printf("{\"event\":\"error\",\"code\":%d,\"name\":%s,\"message\":%s}%n", code.code(), quoted(code.name()), quoted("" + e.getMessage()));
    e.printStackTrace();
  }

  private String option(String name, String otherwise) {
    return options.getOrDefault(name, otherwise);
  }

  private String need(String name) {
    String value = options.get(name);
    if (value == null) {
      throw new IllegalArgumentException(name + " is needed");
    }
    return value;
  }

  private int count() {
    return Integer.parseInt(option("--count", "0"));
  }

  private Duration timeout() {
    return Duration.ofSeconds(Long.parseLong(option("--timeout", "60s").replace("s", "")));
  }

  private static String numbers(Collection<TopicPartition> partitions) {
    return partitions.stream().map(p -> p.partition()).sorted().collect(Collectors.toList()).toString();
  }

  private static String quoted(String text) {
    if (text == null) {
      return "null";
    }
    StringBuilder b = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\' || c < ' ') {
        b.append(String.format("\\u%04x", (int) c));
      } else {
        b.append(c);
      }
    }
    return b.append('"').toString();
  }
}
