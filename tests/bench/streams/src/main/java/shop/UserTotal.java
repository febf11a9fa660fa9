package shop;

import java.nio.ByteBuffer;
import java.time.Instant;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/** A user's net orders and money; version rises with each event. */
record UserTotal(long version, long user, long orders, long cents, long lastOrderMs, long seq) {
    static final Serde<UserTotal> SERDE = Serdes.serdeFrom(
        (Serializer<UserTotal>) (topic, total) -> total == null ? null : total.bytes(),
        (Deserializer<UserTotal>) (topic, bytes) -> bytes == null ? null : from(ByteBuffer.wrap(bytes)));

    static UserTotal none() {
        return new UserTotal(0, 0, 0, 0, -1, 0);
    }

    UserTotal with(Order order) {
        return order.cancelled()
            ? new UserTotal(version + 1, order.user(), orders - 1, cents - order.cents(), lastOrderMs, order.seq())
            : new UserTotal(version + 1, order.user(), orders + 1, cents + order.cents(),
                Math.max(lastOrderMs, order.timeMs()), order.seq());
    }

    byte[] json() {
        return Json.object(o -> {
            o.put("v", version).put("user_id", user).put("orders", orders).put("spent", Json.money(cents));
            o.put("last_order_at", lastOrderMs < 0 ? null : Instant.ofEpochMilli(lastOrderMs).toString());
            o.put("seq", seq);
        });
    }

    private byte[] bytes() {
        return ByteBuffer.allocate(48).putLong(version).putLong(user).putLong(orders).putLong(cents)
            .putLong(lastOrderMs).putLong(seq).array();
    }

    private static UserTotal from(ByteBuffer b) {
        return new UserTotal(b.getLong(), b.getLong(), b.getLong(), b.getLong(), b.getLong(), b.getLong());
    }
}
