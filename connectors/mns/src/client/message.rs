//! What goes over the wire.
//!
//! Names and units are those of the API's documentation; times are milliseconds since 1970,
//! durations whole seconds. Elements that are missing are `None`, so that older servers and
//! look-alikes do; those that nobody knows are skipped over.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::xml::{Element, Writer};

/// What MNS calls a message that it has handed out: `ReceiptHandle`. Valid until the lease ends or
/// is changed; of a message that is handed out again, only the newest one counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReceiptHandle(Arc<str>);

impl ReceiptHandle {
    /// The handle as MNS writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ReceiptHandle {
    fn from(handle: &str) -> Self {
        Self(handle.into())
    }
}

impl fmt::Display for ReceiptHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message as it was received. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReceivedMessage {
    /// The same whenever it is handed out.
    pub id: String,
    /// For deleting it, and for changing its lease.
    pub handle: ReceiptHandle,
    /// The body as it was sent; what that means is up to the producers. Not decoded: see
    /// [`BodyEncoding`](crate::BodyEncoding).
    pub body: String,
    /// When it was sent.
    pub enqueue_time: Option<i64>,
    /// When its lease ends, by the server's clock.
    pub next_visible_time: Option<i64>,
    /// How long its lease lasts: `next_visible_time` less the time at which the server answered,
    /// which it tells in whole seconds.
    pub lease: Option<Duration>,
    /// How often it has been handed out, this time included.
    pub dequeue_count: Option<u32>,
    /// From 1, the highest, to 16.
    pub priority: Option<i32>,
    /// The message group; never empty.
    pub group: Option<String>,
    /// What the producer added.
    pub user_properties: Vec<Property>,
    /// What others added: the trace context, and where a dead letter comes from.
    pub system_properties: Vec<Property>,
}

/// Longer than any lease, by the second to which the server tells the time of its answer.
const LONGEST_LEASE: Duration = Duration::from_secs(12 * 3600 + 1);

impl ReceivedMessage {
    /// One with id, handle and body alone, for tests.
    pub fn new(id: impl Into<String>, handle: ReceiptHandle, body: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            handle,
            body: body.into(),
            enqueue_time: None,
            next_visible_time: None,
            lease: None,
            dequeue_count: None,
            priority: None,
            group: None,
            user_properties: Vec::new(),
            system_properties: Vec::new(),
        }
    }

    /// `None` without id or handle: such a message can be neither told apart nor settled.
    pub(super) fn read(message: &Element, answered: Option<SystemTime>) -> Option<Self> {
        let next_visible_time = message.number("NextVisibleTime");
        let handle = message.value("ReceiptHandle")?.into();
        let body = message.text_of("MessageBody").unwrap_or_default();
        Some(Self {
            enqueue_time: message.number("EnqueueTime"),
            next_visible_time,
            lease: lease(next_visible_time, answered),
            dequeue_count: message.number("DequeueCount"),
            priority: message.number("Priority"),
            group: message.value("MessageGroupId").map(str::to_owned),
            user_properties: Property::read(message, "UserProperties", "PropertyValue"),
            system_properties: Property::read(message, "SystemProperties", "SystemPropertyValue"),
            ..Self::new(message.value("MessageId")?, handle, body)
        })
    }
}

/// How long a lease lasts; `None` if that can't be, since the clocks are of different servers.
fn lease(until: Option<i64>, answered: Option<SystemTime>) -> Option<Duration> {
    let until = Duration::from_millis(u64::try_from(until?).ok()?);
    let answered = answered?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let lease = until.checked_sub(answered)?;
    (lease > Duration::ZERO && lease <= LONGEST_LEASE).then_some(lease)
}

/// A property of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Property {
    /// Its name.
    pub name: String,
    /// Its value as text; base64 if it is [binary](PropertyKind::Binary).
    pub value: String,
    /// What its value is.
    pub kind: PropertyKind,
}

/// What the value of a property is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PropertyKind {
    /// Text, or what is not known.
    #[default]
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Bytes.
    Binary,
}

impl PropertyKind {
    const ALL: [(Self, &'static str); 4] = [
        (Self::String, "STRING"),
        (Self::Number, "NUMBER"),
        (Self::Boolean, "BOOLEAN"),
        (Self::Binary, "BINARY"),
    ];

    fn read(name: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map_or(Self::String, |(kind, _)| kind)
    }

    fn as_str(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(kind, _)| *kind == self)
            .map_or("STRING", |(_, name)| name)
    }
}

impl Property {
    /// A property.
    pub fn new(name: impl Into<String>, value: impl Into<String>, kind: PropertyKind) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            kind,
        }
    }

    fn read(message: &Element, list: &str, entry: &str) -> Vec<Self> {
        let Some(list) = message.child(list) else {
            return Vec::new();
        };
        let properties = list.all(entry).filter_map(|property| {
            let value = property.text_of("Value").unwrap_or_default();
            let kind = PropertyKind::read(property.value("Type").unwrap_or_default());
            Some(Self::new(property.value("Name")?, value, kind))
        });
        properties.collect()
    }
}

/// A message to be sent. What the service does not allow is refused by the service.
///
/// ```
/// use std::time::Duration;
/// use eventlane_mns::client::{OutgoingMessage, Property, PropertyKind};
///
/// let message = OutgoingMessage::new("aGVsbG8=") // base64, as far as consumers expect that
///     .with_group("customer-9")
///     .with_delay(Duration::from_secs(60))
///     .with_property(Property::new("tenant", "7", PropertyKind::Number));
/// assert_eq!(message.properties.len(), 1);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use]
pub struct OutgoingMessage {
    /// The body, sent as it is.
    pub body: String,
    /// How long it stays invisible at first: `DelaySeconds`. Default: what the queue says.
    pub delay: Option<Duration>,
    /// From 1, the highest, to 16: `Priority`. Default: the service's, 8.
    pub priority: Option<u8>,
    /// The message group, within which order is kept: `MessageGroupId`.
    pub group: Option<String>,
    /// Properties: `UserProperties`.
    pub properties: Vec<Property>,
}

impl OutgoingMessage {
    /// A message with this body and nothing else.
    pub fn new(body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// Sets how long it stays invisible at first: up to 7 days, whole seconds.
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Sets the priority.
    pub fn with_priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets the message group.
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Adds a property.
    pub fn with_property(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    /// All the text in it that somebody else chose.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let properties = self.properties.iter();
        let properties = properties.flat_map(|property| [&*property.name, &*property.value]);
        let group = self.group.as_deref();
        [self.body.as_str()]
            .into_iter()
            .chain(group)
            .chain(properties)
    }

    pub(super) fn write(&self) -> String {
        let mut xml = Writer::new("Message");
        xml.element("MessageBody", &self.body);
        if let Some(delay) = self.delay {
            xml.element("DelaySeconds", &super::seconds(delay).to_string());
        }
        if let Some(priority) = self.priority {
            xml.element("Priority", &priority.to_string());
        }
        if let Some(group) = &self.group {
            xml.element("MessageGroupId", group);
        }
        if !self.properties.is_empty() {
            xml.open("UserProperties");
            for property in &self.properties {
                xml.open("PropertyValue");
                xml.element("Name", &property.name);
                xml.element("Value", &property.value);
                xml.element("Type", property.kind.as_str());
                xml.close("PropertyValue");
            }
            xml.close("UserProperties");
        }
        xml.finish("Message")
    }
}

/// What is set for a queue; `None` for what it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueAttributes {
    /// How long a lease lasts: `VisibilityTimeout`, in seconds.
    pub visibility_timeout: Option<Duration>,
    /// How long a receive waits that does not say: `PollingWaitSeconds`. Ours always say.
    pub polling_wait: Option<Duration>,
    /// How long a message is kept, whether anybody received it or not: `MessageRetentionPeriod`.
    pub retention: Option<Duration>,
    /// How long a body may be, in bytes: `MaximumMessageSize`.
    pub maximum_message_size: Option<u64>,
}

impl QueueAttributes {
    pub(super) fn read(queue: &Element) -> Self {
        let seconds = |name| queue.number(name).map(Duration::from_secs);
        Self {
            visibility_timeout: seconds("VisibilityTimeout"),
            polling_wait: seconds("PollingWaitSeconds"),
            retention: seconds("MessageRetentionPeriod"),
            maximum_message_size: queue.number("MaximumMessageSize"),
        }
    }
}

#[cfg(test)]
mod tests;
