package shop;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.util.function.Consumer;

/** Writing the results. */
final class Json {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    static BigDecimal money(long cents) {
        return BigDecimal.valueOf(cents, 2);
    }

    static byte[] object(Consumer<ObjectNode> members) {
        ObjectNode object = MAPPER.createObjectNode();
        members.accept(object);
        try {
            return MAPPER.writeValueAsBytes(object);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }

    private Json() {}
}
