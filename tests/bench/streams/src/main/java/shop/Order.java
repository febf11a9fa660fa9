package shop;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Instant;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/** What is needed of an event of orders-events. */
record Order(long user, long cents, long timeMs, long seq, boolean cancelled) {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Serializer<Order> NEVER = (topic, order) -> {
        throw new UnsupportedOperationException("orders are only read");
    };

    static final Serde<Order> SERDE = Serdes.serdeFrom(NEVER, (Deserializer<Order>) (topic, bytes) -> parse(bytes));

    /** null, which Streams skips, when it cannot be read. */
    private static Order parse(byte[] bytes) {
        try {
            JsonNode event = JSON.readTree(bytes);
            return new Order(
                event.get("user_id").longValue(),
                Math.round(event.get("price").doubleValue() * 100),
                Instant.parse(event.get("timestamp").textValue()).toEpochMilli(),
                event.path("seq").longValue(),
                "order.cancelled".equals(event.path("type").textValue()));
        } catch (IOException | RuntimeException e) {
            return null;
        }
    }
}
