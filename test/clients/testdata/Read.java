import io.apicurio.registry.serde.avro.AvroKafkaDeserializer;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/**
 * Reads a topic by Apicurio's Avro deserializer. Prints a line of JSON for each
 * record, until the one with the last id has come.
 */
public class Read {
    public static void main(String[] args) throws Exception {
        String topic = args[2], last = args[3];
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("bootstrap.servers", args[0]);
        config.put("group.id", "java-" + topic);
        config.put("auto.offset.reset", "earliest");
        config.put("isolation.level", "read_committed");
        config.put("enable.auto.commit", "false");
        config.put("key.deserializer", AvroKafkaDeserializer.class.getName());
        config.put("value.deserializer", AvroKafkaDeserializer.class.getName());
        config.put("apicurio.registry.url", args[1]);
        config.put("apicurio.registry.as-confluent", "true");
        config.put("apicurio.registry.use-id", "contentId");
        config.put("apicurio.registry.headers.enabled", "false");
        var json = new com.fasterxml.jackson.databind.ObjectMapper();
        long deadline = System.nanoTime() + Duration.ofMinutes(2).toNanos();
        try (KafkaConsumer<Object, Object> consumer = new KafkaConsumer<>(config)) {
            consumer.subscribe(List.of(topic));
            while (System.nanoTime() < deadline) {
                for (ConsumerRecord<Object, Object> r : consumer.poll(Duration.ofSeconds(1))) {
                    Map<String, Object> line = new LinkedHashMap<>();
                    line.put("key", plain(r.key()));
                    line.put("value", plain(r.value()));
                    System.out.println(json.writeValueAsString(line));
                    if (r.key() instanceof GenericRecord key && key.get("id").toString().equals(last)) {
                        return;
                    }
                }
            }
        }
        throw new IllegalStateException("the last record did not come");
    }

    private static Object plain(Object v) {
        if (v instanceof GenericRecord record) {
            Map<String, Object> map = new LinkedHashMap<>();
            for (Schema.Field f : record.getSchema().getFields()) {
                map.put(f.name(), plain(record.get(f.pos())));
            }
            return map;
        }
        if (v instanceof List<?> list) {
            List<Object> out = new ArrayList<>();
            list.forEach(x -> out.add(plain(x)));
            return out;
        }
        if (v instanceof ByteBuffer b) {
            byte[] bytes = new byte[b.remaining()];
            b.duplicate().get(bytes);
            return "0x" + HexFormat.of().formatHex(bytes);
        }
        if (v == null || v instanceof Boolean || v instanceof Float || v instanceof Double) {
            return v;
        }
        return v.toString();
    }
}
