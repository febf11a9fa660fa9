package shop;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** orders-events to per-user totals and one-minute windows of each partition, exactly once. */
public final class ShopStreams {
    public static void main(String[] args) throws InterruptedException {
        KafkaStreams streams = new KafkaStreams(topology(), settings());
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
        Thread.currentThread().join();
    }

    private static Topology topology() {
        String topic = setting("RESULTS_TOPIC");
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, Order> orders = builder
            .stream(setting("ORDERS_TOPIC"), Consumed.with(Serdes.String(), Order.SERDE))
            .filter((user, order) -> order != null);
        orders.groupByKey(Grouped.with(Serdes.String(), Order.SERDE))
            .aggregate(UserTotal::none, (user, order, total) -> total.with(order),
                Materialized.<String, UserTotal, KeyValueStore<Bytes, byte[]>>as("users")
                    .withKeySerde(Serdes.String()).withValueSerde(UserTotal.SERDE))
            .toStream((user, total) -> "u:" + user)
            .mapValues(UserTotal::json)
            .to(topic, results());
        orders.process(windows()).to(topic, results());
        return builder.build();
    }

    /** Into the partition that the input came from: "u:USER" goes where USER is, "w:START:PARTITION" says it. */
    private static Produced<String, byte[]> results() {
        return Produced.with(Serdes.String(), Serdes.ByteArray(), (topic, key, value, partitions) -> {
            String last = key.substring(key.lastIndexOf(':') + 1);
            int partition = key.startsWith("w:")
                ? Integer.parseInt(last)
                : Utils.toPositive(Utils.murmur2(last.getBytes(StandardCharsets.UTF_8))) % partitions;
            return Optional.of(Set.of(partition));
        });
    }

    private static ProcessorSupplier<String, Order, String, byte[]> windows() {
        StoreBuilder<KeyValueStore<Long, Window>> store = Stores.keyValueStoreBuilder(
            Stores.persistentKeyValueStore(Windows.STORE), Serdes.Long(), Window.SERDE).withCachingEnabled();
        return new ProcessorSupplier<>() {
            @Override
            public Windows get() {
                return new Windows(commitInterval());
            }

            @Override
            public Set<StoreBuilder<?>> stores() {
                return Set.of(store);
            }
        };
    }

    private static Properties settings() {
        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, setting("GROUP"));
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, setting("KAFKA_BOOTSTRAP_SERVERS"));
        p.put(StreamsConfig.STATE_DIR_CONFIG, setting("STATE_DIR"));
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, commitInterval().toMillis());
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        // One result for each user in a commit interval.
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        // As the processor: a restart is the same member, nobody waits for a session to expire.
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), "0");
        p.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        p.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
        return p;
    }

    private static Duration commitInterval() {
        return Duration.ofMillis(Long.parseLong(setting("COMMIT_INTERVAL_MS")));
    }

    private static String setting(String name) {
        String value = System.getenv(name);
        if (value == null || value.isEmpty()) {
            throw new IllegalArgumentException(name + " is not set");
        }
        return value;
    }

    private ShopStreams() {}
}
