import io.cloudevents.CloudEvent;
import io.cloudevents.CloudEventData;
import io.cloudevents.SpecVersion;
import io.cloudevents.core.data.BytesCloudEventData;
import io.cloudevents.core.format.EventFormat;
import io.cloudevents.core.message.MessageWriter;
import io.cloudevents.core.message.impl.BaseGenericBinaryMessageReaderImpl;
import io.cloudevents.core.message.impl.GenericStructuredMessageReader;
import io.cloudevents.core.message.impl.MessageUtils;
import io.cloudevents.rw.CloudEventContextWriter;
import io.cloudevents.rw.CloudEventWriter;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiConsumer;

/**
 * What CloudEvents become in RocketMQ: as the module cloudevents-rocketmq of the CloudEvents SDK has it, or as Apache's
 * rocketmq-cloudevents-binding. Both are in no Maven repository; this does what they do, and no better.
 */
final class Binding {
    private static final Set<String> ATTRIBUTES = SpecVersion.V1.getAllAttributes();
    private static final byte[] NOTHING = {0};

    /** Apache's, or the SDK's. */
    record Style(boolean apache) {
        String contentType() {
            return apache ? "CE_datacontenttype" : "CE_contenttype";
        }

        /** The SDK forgets the prefix of extensions, although it reads none without it. */
        String property(String name) {
            if (name.equals("datacontenttype")) return contentType();
            return apache || ATTRIBUTES.contains(name) ? "CE_" + name : name;
        }
    }

    static final class Writer implements MessageWriter<CloudEventWriter<Client.Outgoing>, Client.Outgoing>, CloudEventWriter<Client.Outgoing> {
        private final Style style;
        private final Map<String, String> properties = new HashMap<>();

        Writer(boolean apache) {
            style = new Style(apache);
        }

        @Override
        public CloudEventWriter<Client.Outgoing> create(SpecVersion version) {
            properties.put("CE_specversion", version.toString());
            return this;
        }

        @Override
        public CloudEventContextWriter withContextAttribute(String name, String value) {
            properties.put(style.property(name), value);
            return this;
        }

        @Override
        public Client.Outgoing setEvent(EventFormat format, byte[] value) {
            properties.put(style.contentType(), format.serializedContentType());
            return message(value);
        }

        @Override
        public Client.Outgoing end(CloudEventData data) {
            return message(data.toBytes());
        }

        @Override
        public Client.Outgoing end() {
            return message(NOTHING);
        }

        private Client.Outgoing message(byte[] body) {
            return new Client.Outgoing(body, null, List.of(), null, 0, properties);
        }
    }

    /** As the SDK reads. */
    static CloudEvent read(Map<String, String> properties, byte[] body) {
        String contentType = properties.get("CE_contenttype");
        return MessageUtils.parseStructuredOrBinaryMessage(
            () -> contentType,
            format -> new GenericStructuredMessageReader(format, body),
            () -> properties.get("CE_specversion"),
            version -> new Reader(version, properties, body)).toEvent();
    }

    private static final class Reader extends BaseGenericBinaryMessageReaderImpl<String, String> {
        private final Map<String, String> properties;

        Reader(SpecVersion version, Map<String, String> properties, byte[] body) {
            super(version, body.length == 1 && body[0] == 0 ? null : BytesCloudEventData.wrap(body));
            this.properties = properties;
        }

        @Override
        protected boolean isContentTypeHeader(String key) {
            return key.equals("CE_contenttype");
        }

        @Override
        protected boolean isCloudEventsHeader(String key) {
            return key.length() > 3 && key.startsWith("CE_");
        }

        @Override
        protected String toCloudEventsKey(String key) {
            return key.substring(3);
        }

        @Override
        protected void forEachHeader(BiConsumer<String, String> visit) {
            properties.forEach(visit);
        }

        @Override
        protected String toCloudEventsValue(String value) {
            return value;
        }
    }
}
