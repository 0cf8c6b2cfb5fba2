//! Conversions to and from the event of the crate `cloudevents-sdk`.
//!
//! That type can't hold everything: see the reasons for an error at each conversion.

use chrono::{DateTime, SecondsFormat, Utc};
use cloudevents::{
    AttributesReader as _, AttributesWriter as _, EventBuilder as _, EventBuilderV10,
    event::{ExtensionValue, SpecVersion},
};
use url::Url;

use super::{Data, Event, InvalidEvent, Timestamp, Value, check};

/// Text becomes `Data::String`, all other data `Data::Binary`, which keeps its bytes; `Data::Json`
/// would not. Extensions other than booleans and integers become strings. The time moves to UTC.
///
/// # Errors
/// If `dataschema` is not an absolute URL, or `time` is not one that chrono can express.
impl TryFrom<&Event> for cloudevents::Event {
    type Error = InvalidEvent;

    fn try_from(event: &Event) -> Result<Self, InvalidEvent> {
        let fault = InvalidEvent::of;
        let mut builder = EventBuilderV10::new()
            .id(event.id())
            .source(event.source())
            .ty(event.ty());
        if let Some(subject) = event.subject() {
            builder = builder.subject(subject);
        }
        if let Some(time) = event.time() {
            let time = time
                .with_str(DateTime::parse_from_rfc3339)
                .map_err(|_| fault("time", "can't be expressed by chrono"))?;
            builder = builder.time(time.with_timezone(&Utc));
        }
        for (name, value) in event.extensions() {
            let value = match value {
                Value::Boolean(value) => ExtensionValue::Boolean(*value),
                Value::Integer(value) => ExtensionValue::Integer((*value).into()),
                value => ExtensionValue::String(value.to_string()),
            };
            builder = builder.extension(name, value);
        }
        let mut converted = builder
            .build()
            .map_err(|error| InvalidEvent::new(error.to_string()))?;
        converted.set_datacontenttype(event.data_content_type());
        if let Some(schema) = event.data_schema() {
            let schema =
                Url::parse(schema).map_err(|_| fault("dataschema", "is not an absolute URL"))?;
            converted.set_dataschema(Some(schema));
        }
        if let Some(data) = event.data() {
            let bytes = data.as_bytes().to_vec();
            converted.set_data_unchecked(match data.is_text() {
                true => String::from_utf8(bytes)
                    .map_or_else(|error| error.into_bytes().into(), cloudevents::Data::String),
                false => cloudevents::Data::Binary(bytes),
            });
        }
        Ok(converted)
    }
}

/// As for a reference.
impl TryFrom<Event> for cloudevents::Event {
    type Error = InvalidEvent;

    fn try_from(event: Event) -> Result<Self, InvalidEvent> {
        Self::try_from(&event)
    }
}

/// `Data::Json` is written out, and is then known to be JSON.
///
/// # Errors
/// If the event is of another version than 1.0, or breaks a rule that the SDK doesn't check: names
/// and characters, empty attributes, a source that is no URI reference, integers beyond 32 bits.
impl TryFrom<cloudevents::Event> for Event {
    type Error = InvalidEvent;

    fn try_from(mut event: cloudevents::Event) -> Result<Self, InvalidEvent> {
        if event.specversion() != SpecVersion::V10 {
            return Err(InvalidEvent::of("specversion", check::VERSION));
        }
        let mut builder = Self::builder()
            .id(event.id())
            .source(event.source().as_str())
            .ty(event.ty());
        if let Some(subject) = event.subject() {
            builder = builder.subject(subject);
        }
        if let Some(time) = event.time() {
            // Our usual form has milliseconds, whatever they are; AutoSi leaves them out when 0.
            let format = match time.timestamp_subsec_nanos() % 1_000_000 {
                0 => SecondsFormat::Millis,
                _ => SecondsFormat::AutoSi,
            };
            let text = time.to_rfc3339_opts(format, true);
            builder = builder.time(Timestamp::parse(&text)?);
        }
        for (name, value) in event.iter_extensions() {
            let value = match value {
                ExtensionValue::String(text) => Value::from(text.as_str()),
                ExtensionValue::Boolean(value) => Value::Boolean(*value),
                ExtensionValue::Integer(value) => Value::Integer(
                    i32::try_from(*value).map_err(|_| InvalidEvent::of(name, check::INTEGER))?,
                ),
            };
            builder = builder.extension(name, value);
        }
        let (content_type, schema, data) = event.take_data();
        if let Some(content_type) = content_type {
            builder = builder.data_content_type(content_type);
        }
        if let Some(schema) = schema {
            builder = builder.data_schema(schema.as_str());
        }
        match data {
            None => {}
            Some(cloudevents::Data::Binary(bytes)) => builder = builder.data(bytes),
            Some(cloudevents::Data::String(text)) => builder = builder.data(Data::text(text)),
            Some(cloudevents::Data::Json(value)) => {
                builder = builder.data(Data::known_json(value.to_string().into()));
            }
        }
        builder.build()
    }
}
