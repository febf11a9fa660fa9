package shop;

import java.time.Duration;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * The one-minute windows of a partition, without a repartition topic: the DSL can only group by the key.  What
 * changed is written once in a commit interval, as the DSL's record cache does it for the users.
 */
final class Windows extends ContextualProcessor<String, Order, String, byte[]> {
    static final String STORE = "windows";
    private static final long MINUTE_MS = 60_000, GRACE_MS = 10_000;

    private final Duration every;
    private final Set<Long> changed = new TreeSet<>();
    private KeyValueStore<Long, Window> windows;
    private long watermarkMs = -1;

    Windows(Duration every) {
        this.every = every;
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        super.init(context);
        windows = context.getStateStore(STORE);
        // A crash may have come between a change and its result: write all of them again, they are absolute.
        try (KeyValueIterator<Long, Window> all = windows.all()) {
            all.forEachRemaining(entry -> changed.add(entry.key));
        }
        context.schedule(every, PunctuationType.WALL_CLOCK_TIME, this::write);
    }

    @Override
    public void process(Record<String, Order> record) {
        long start = record.value().timeMs() / MINUTE_MS * (MINUTE_MS / 1000);
        Window window = windows.get(start);
        windows.put(start, (window == null ? Window.none() : window).with(record.value()));
        watermarkMs = Math.max(watermarkMs, record.value().timeMs());
        changed.add(start);
    }

    private void write(long now) {
        int partition = context().taskId().partition();
        for (long start : changed) {
            boolean isFinal = watermarkMs >= start * 1000 + MINUTE_MS + GRACE_MS;
            byte[] json = windows.get(start).json(start, partition, isFinal);
            context().forward(new Record<>("w:" + start + ":" + partition, json, now));
        }
        changed.clear();
    }
}
