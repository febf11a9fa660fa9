package shop;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/** One minute of one partition. */
record Window(long version, long orders, long revenue, long cancelled, long refunded) {
    static final Serde<Window> SERDE = Serdes.serdeFrom(
        (Serializer<Window>) (topic, window) -> window == null ? null : window.bytes(),
        (Deserializer<Window>) (topic, bytes) -> bytes == null ? null : from(ByteBuffer.wrap(bytes)));

    static Window none() {
        return new Window(0, 0, 0, 0, 0);
    }

    Window with(Order order) {
        return order.cancelled()
            ? new Window(version + 1, orders, revenue, cancelled + 1, refunded + order.cents())
            : new Window(version + 1, orders + 1, revenue + order.cents(), cancelled, refunded);
    }

    byte[] json(long start, int partition, boolean isFinal) {
        return Json.object(o -> {
            o.put("v", version).put("start", start).put("partition", partition);
            o.put("orders", orders).put("revenue", Json.money(revenue));
            o.put("cancelled", cancelled).put("refunded", Json.money(refunded));
            o.put("final", isFinal);
        });
    }

    private byte[] bytes() {
        return ByteBuffer.allocate(40).putLong(version).putLong(orders).putLong(revenue)
            .putLong(cancelled).putLong(refunded).array();
    }

    private static Window from(ByteBuffer b) {
        return new Window(b.getLong(), b.getLong(), b.getLong(), b.getLong(), b.getLong());
    }
}
