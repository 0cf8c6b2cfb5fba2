use proptest::{collection::vec, option, prelude::*};

use super::*;

fn read(document: &str, answered: Option<SystemTime>) -> Option<ReceivedMessage> {
    ReceivedMessage::read(&Element::parse(document.as_bytes()).unwrap(), answered)
}

#[test]
fn a_message_is_read_whole() {
    let document = r#"<Message xmlns="http://mns.aliyuncs.com/doc/v1"><MessageId>5F29</MessageId>
        <ReceiptHandle>1-ODU4OTkzNDU5My0xNDM1MTk3NjAwLTItNg==</ReceiptHandle><MessageBody> a&amp;b
</MessageBody><MessageBodyMD5>X</MessageBodyMD5><EnqueueTime>1250700979248</EnqueueTime>
        <NextVisibleTime>1250701009500</NextVisibleTime><FirstDequeueTime>1250700979300</FirstDequeueTime>
        <DequeueCount>3</DequeueCount><Priority>8</Priority><MessageGroupId>g</MessageGroupId>
        <UserProperties><PropertyValue><Name>k</Name><Value> v </Value><Type>STRING</Type></PropertyValue>
        <PropertyValue><Name>n</Name><Value>1</Value><Type>number</Type></PropertyValue>
        <PropertyValue><Value>nameless</Value></PropertyValue><PropertyValue><Name>odd</Name><Type>X</Type></PropertyValue>
        </UserProperties><SystemProperties><SystemPropertyValue><Name>traceparent</Name><Value>00-1</Value><Type>STRING</Type>
        </SystemPropertyValue></SystemProperties><Unknown><Deep>1</Deep></Unknown></Message>"#;
    let answered = SystemTime::UNIX_EPOCH + Duration::from_secs(1_250_700_979);
    let message = read(document, Some(answered)).unwrap();
    assert_eq!(message.id, "5F29");
    assert_eq!(
        message.handle.as_str(),
        "1-ODU4OTkzNDU5My0xNDM1MTk3NjAwLTItNg=="
    );
    assert_eq!(message.body, " a&b\n");
    assert_eq!(message.enqueue_time, Some(1_250_700_979_248));
    assert_eq!(message.lease, Some(Duration::from_millis(30_500)));
    assert_eq!(message.dequeue_count, Some(3));
    assert_eq!(message.priority, Some(8));
    assert_eq!(message.group.as_deref(), Some("g"));
    assert_eq!(
        message.user_properties,
        [
            Property::new("k", " v ", PropertyKind::String),
            Property::new("n", "1", PropertyKind::Number),
            Property::new("odd", "", PropertyKind::String),
        ]
    );
    assert_eq!(message.system_properties[0].value, "00-1");
}

#[test]
fn what_is_missing_is_missing() {
    let message = read(
        "<Message><MessageId>1</MessageId><ReceiptHandle>h</ReceiptHandle><MessageGroupId/></Message>",
        None,
    )
    .unwrap();
    assert_eq!((message.body.as_str(), message.group), ("", None));
    assert_eq!((message.lease, message.dequeue_count), (None, None));
    assert!(read("<Message><MessageId>1</MessageId></Message>", None).is_none());
    assert!(read("<Message><ReceiptHandle>h</ReceiptHandle></Message>", None).is_none());
}

#[test]
fn a_lease_that_can_not_be_is_none() {
    let answered = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    for (until, seconds) in [
        (1_030_000, Some(30)),
        (44_200_000, Some(43_200)),
        (44_202_000, None),
        (1_000_000, None),
        (999_000, None),
        (-1, None),
        (i64::MAX, None),
    ] {
        let expected = seconds.map(Duration::from_secs);
        assert_eq!(lease(Some(until), Some(answered)), expected, "{until}");
    }
    assert_eq!(lease(None, Some(answered)), None);
    assert_eq!(lease(Some(1_030_000), None), None);
}

#[test]
fn a_message_is_written_whole() {
    let message = OutgoingMessage::new("<a>&\r")
        .with_delay(Duration::from_millis(1500))
        .with_priority(3)
        .with_group("g")
        .with_property(Property::new("k", "v", PropertyKind::Binary));
    assert!(message.texts().eq(["<a>&\r", "g", "k", "v"]));
    let document = Element::parse(message.write().as_bytes()).unwrap();
    assert_eq!(document.text_of("MessageBody"), Some("<a>&\r"));
    assert_eq!(document.number("DelaySeconds"), Some(2));
    assert_eq!(document.number("Priority"), Some(3));
    assert_eq!(document.value("MessageGroupId"), Some("g"));
    let properties = Property::read(&document, "UserProperties", "PropertyValue");
    assert_eq!(properties, message.properties);
}

#[test]
fn attributes_are_read() {
    let queue = "<Queue><QueueName>q</QueueName><VisibilityTimeout>45</VisibilityTimeout>\
        <MaximumMessageSize>65536</MaximumMessageSize></Queue>";
    let queue = QueueAttributes::read(&Element::parse(queue.as_bytes()).unwrap());
    assert_eq!(queue.visibility_timeout, Some(Duration::from_secs(45)));
    assert_eq!(queue.maximum_message_size, Some(65_536));
    assert_eq!(queue.retention, None);
}

proptest! {
    #[test]
    fn any_message_is_read_or_passed_over(
        fields in vec(
            (
                "(MessageId|ReceiptHandle|MessageBody|EnqueueTime|NextVisibleTime|DequeueCount|Priority|MessageGroupId)",
                "[0-9-]{0,22}|[a-z &;]{0,9}|<PropertyValue/>",
            ),
            0..12,
        ),
        properties in vec(("(Name|Value|Type|Odd)", "[A-Z]{0,6}|NUMBER|BINARY"), 0..6),
        answered in option::of(any::<u32>()),
    ) {
        let element = |(name, text): &(String, String)| format!("<{name}>{text}</{name}>");
        let fields: String = fields.iter().map(element).collect();
        let properties: String = properties.iter().map(element).collect();
        let document = format!(
            "<Message>{fields}<UserProperties><PropertyValue>{properties}</PropertyValue></UserProperties></Message>"
        );
        let answered = answered.map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at.into()));
        if let Some(message) = read(&document, answered) {
            prop_assert!(!message.id.is_empty() && !message.handle.as_str().is_empty());
            prop_assert!(message.lease.is_none_or(|lease| lease <= LONGEST_LEASE));
        }
        QueueAttributes::read(&Element::parse(document.as_bytes()).unwrap());
    }
}
