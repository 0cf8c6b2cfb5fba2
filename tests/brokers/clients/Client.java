import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.cloudevents.CloudEvent;
import io.cloudevents.jackson.JsonFormat;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.compression.CompressionType;

/** RocketMQ's Java clients; tests/brokers/rocketmq-clients says how they are told what to do. */
class Client {
    // The shortest that proxies take.
    static final Duration WAIT = Duration.ofSeconds(5);
    static final Duration LEASE = Duration.ofSeconds(10);
    static final Duration PATIENCE = Duration.ofSeconds(30);
    static final ObjectMapper JSON = new ObjectMapper();

    final ClientServiceProvider provider = ClientServiceProvider.loadService();
    final ClientConfiguration configuration;
    final JsonFormat format = new JsonFormat();
    final Map<String, Producer> producers = new HashMap<>();
    PushConsumer push;

    Client(String endpoint) {
        configuration = ClientConfiguration.newBuilder().setEndpoints(endpoint).enableSsl(false)
            .setRequestTimeout(Duration.ofSeconds(5)).build();
    }

    /** A message to send, of whatever protocol. */
    record Outgoing(byte[] body, String tag, List<String> keys, String group, long delay, Map<String, String> properties) {
        static Outgoing read(JsonNode it) {
            List<String> keys = new ArrayList<>();
            it.path("keys").forEach(key -> keys.add(key.textValue()));
            Map<String, String> properties = new HashMap<>();
            it.path("properties").fields().forEachRemaining(entry -> properties.put(entry.getKey(), entry.getValue().textValue()));
            return new Outgoing(Base64.getDecoder().decode(it.get("body").textValue()), it.path("tag").textValue(), keys,
                it.path("group").textValue(), it.path("delay").asLong(), properties);
        }
    }

    JsonNode run(JsonNode command) throws Exception {
        ObjectNode answer = JSON.createObjectNode();
        switch (command.get("do").textValue()) {
            case "send" -> {
                List<Outgoing> messages = new ArrayList<>();
                for (JsonNode it : command.get("messages")) messages.add(Outgoing.read(it));
                send(command, messages, answer.putArray("sent"));
            }
            case "send-events" -> {
                List<Outgoing> messages = new ArrayList<>();
                boolean structured = command.get("mode").textValue().equals("structured");
                for (JsonNode it : command.get("events")) {
                    CloudEvent event = format.deserialize(JSON.writeValueAsBytes(it));
                    var writer = new Binding.Writer(command.has("namesrv"));
                    messages.add(structured ? writer.writeStructured(event, format) : writer.writeBinary(event));
                }
                send(command, messages, answer.putArray("sent"));
            }
            case "receive" -> {
                ArrayNode messages = answer.putArray("messages");
                for (MessageView it : take(command)) write(it, messages.addObject());
            }
            case "receive-events" -> {
                ArrayNode events = answer.putArray("events");
                for (MessageView it : take(command)) {
                    CloudEvent event = Binding.read(it.getProperties(), bytes(it.getBody()));
                    events.add(JSON.readTree(format.serialize(event)));
                }
            }
            case "consume" -> {
                consume(command);
                answer.put("consumes", true);
            }
            case "stop" -> {
                push.close();
                answer.put("stopped", true);
            }
            default -> throw new IllegalArgumentException("unknown command");
        }
        return answer;
    }

    void send(JsonNode command, List<Outgoing> messages, ArrayNode ids) throws Exception {
        String topic = command.get("topic").textValue();
        if (command.has("namesrv")) {
            sendByRemoting(command, topic, messages, ids);
            return;
        }
        Producer producer = producers.get(topic);
        if (producer == null) {
            producer = provider.newProducerBuilder().setClientConfiguration(configuration).setTopics(topic).build();
            producers.put(topic, producer);
        }
        for (Outgoing it : messages) {
            MessageBuilder builder = provider.newMessageBuilder().setTopic(topic).setBody(it.body);
            if (it.tag != null) builder.setTag(it.tag);
            if (!it.keys.isEmpty()) builder.setKeys(it.keys.toArray(String[]::new));
            if (it.group != null) builder.setMessageGroup(it.group);
            if (it.delay > 0) builder.setDeliveryTimestamp(System.currentTimeMillis() + it.delay);
            it.properties.forEach(builder::addProperty);
            ids.add(producer.send(builder.build()).getMessageId().toString());
        }
    }

    void sendByRemoting(JsonNode command, String topic, List<Outgoing> messages, ArrayNode ids) throws Exception {
        var producer = new DefaultMQProducer("interop");
        producer.setNamesrvAddr(command.get("namesrv").textValue());
        // The default of 3 s is too short for a first message on a machine that is busy.
        producer.setSendMsgTimeout(30_000);
        if (command.has("compression")) {
            producer.setCompressType(CompressionType.of(command.get("compression").textValue()));
        }
        producer.start();
        for (Outgoing it : messages) {
            var message = new org.apache.rocketmq.common.message.Message(topic, it.tag, String.join(" ", it.keys), it.body);
            it.properties.forEach(message::putUserProperty);
            ids.add(producer.send(message).getMsgId());
        }
        producer.shutdown();
    }

    /** So many messages, each acknowledged. */
    List<MessageView> take(JsonNode command) throws Exception {
        int count = command.get("count").intValue();
        List<MessageView> messages = new ArrayList<>();
        Instant end = Instant.now().plus(PATIENCE);
        try (SimpleConsumer consumer = provider.newSimpleConsumerBuilder().setClientConfiguration(configuration)
            .setConsumerGroup(command.get("group").textValue()).setAwaitDuration(WAIT)
            .setSubscriptionExpressions(Map.of(command.get("topic").textValue(), FilterExpression.SUB_ALL)).build()) {
            while (messages.size() < count) {
                if (Instant.now().isAfter(end)) throw new Exception(messages.size() + " of " + count + " came");
                for (MessageView it : consumer.receive(32, LEASE)) {
                    consumer.ack(it);
                    messages.add(it);
                }
            }
        }
        return messages;
    }

    void write(MessageView it, ObjectNode out) {
        out.put("id", it.getMessageId().toString());
        out.put("body", Base64.getEncoder().encodeToString(bytes(it.getBody())));
        out.put("tag", it.getTag().orElse(null));
        ArrayNode keys = out.putArray("keys");
        new TreeSet<>(it.getKeys()).forEach(keys::add);
        out.put("group", it.getMessageGroup().orElse(null));
        ObjectNode properties = out.putObject("properties");
        it.getProperties().forEach(properties::put);
        out.put("attempt", it.getDeliveryAttempt());
    }

    void consume(JsonNode command) throws Exception {
        long work = command.get("work").longValue();
        push = provider.newPushConsumerBuilder().setClientConfiguration(configuration)
            .setConsumerGroup(command.get("group").textValue()).setConsumptionThreadCount(4).setMaxCacheMessageCount(32)
            .setSubscriptionExpressions(Map.of(command.get("topic").textValue(), FilterExpression.SUB_ALL))
            .setMessageListener(message -> {
                long began = now();
                try {
                    Thread.sleep(work);
                } catch (InterruptedException interrupted) {
                    return ConsumeResult.FAILURE;
                }
                String body = new String(bytes(message.getBody()), StandardCharsets.UTF_8);
                say(JSON.createObjectNode().put("body", body).put("from", began).put("to", now()));
                return ConsumeResult.SUCCESS;
            }).build();
    }

    static long now() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000_000 + now.getNano();
    }

    static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    static synchronized void say(JsonNode answer) {
        System.out.println(answer);
        System.out.flush();
    }

    public static void main(String[] arguments) throws Exception {
        var client = new Client(arguments[0]);
        say(JSON.createObjectNode().put("ready", true));
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            try {
                say(client.run(JSON.readTree(line)));
            } catch (Throwable error) {
                say(JSON.createObjectNode().put("error", error.toString()));
            }
        }
        Runtime.getRuntime().halt(0); // whatever threads there are
    }
}
