//! XML, as the service writes and reads it.

use std::fmt::Write as _;

use super::store::Taken;

const HEAD: &str = r#"<?xml version="1.0" encoding="utf-8"?>"#;
// Without the last slash, as the Java SDK has it.
const SPACE: &str = r#"xmlns="http://mns.aliyuncs.com/doc/v1""#;

pub(super) fn error(code: &str, request_id: &str) -> String {
    format!(
        "{HEAD}\n<Error {SPACE}>\n  <Code>{code}</Code>\n  <Message>The fake says {code}.</Message>\n  \
         <RequestId>{request_id}</RequestId>\n  <HostId>http://fake</HostId>\n</Error>"
    )
}

pub(super) fn messages(taken: &[Taken]) -> String {
    let mut xml = format!("{HEAD}\n<Messages {SPACE}>\n");
    for message in taken {
        let Taken {
            id,
            handle,
            sent,
            enqueued,
            first_dequeue,
            next_visible,
            dequeues,
        } = message;
        let mut add = |text: std::fmt::Arguments<'_>| xml.write_fmt(text).expect("it is written");
        add(format_args!(
            "  <Message>\n    <MessageId>{id}</MessageId>\n"
        ));
        add(format_args!(
            "    <ReceiptHandle>{}</ReceiptHandle>\n",
            escape(handle)
        ));
        add(format_args!(
            "    <MessageBody>{}</MessageBody>\n",
            escape(&sent.body)
        ));
        add(format_args!("    <EnqueueTime>{enqueued}</EnqueueTime>\n"));
        add(format_args!(
            "    <NextVisibleTime>{next_visible}</NextVisibleTime>\n"
        ));
        add(format_args!(
            "    <FirstDequeueTime>{first_dequeue}</FirstDequeueTime>\n"
        ));
        add(format_args!(
            "    <DequeueCount>{dequeues}</DequeueCount>\n"
        ));
        add(format_args!(
            "    <Priority>{}</Priority>\n",
            sent.priority.unwrap_or(8)
        ));
        if let Some(group) = &sent.group {
            add(format_args!(
                "    <MessageGroupId>{}</MessageGroupId>\n",
                escape(group)
            ));
        }
        // Something that nobody has heard of yet.
        add(format_args!("    <Shard a=\"1\"><Part>7</Part></Shard>\n"));
        add(format_args!("{}  </Message>\n", sent.properties));
    }
    xml.push_str("</Messages>");
    xml
}

pub(super) fn sent(id: &str) -> String {
    format!("{HEAD}<Message {SPACE}><MessageId>{id}</MessageId></Message>")
}

pub(super) fn changed(handle: &str, next_visible: u64) -> String {
    format!(
        "{HEAD}<ChangeVisibility {SPACE}><ReceiptHandle>{}</ReceiptHandle><NextVisibleTime>{next_visible}</NextVisibleTime>\
         </ChangeVisibility>",
        escape(handle)
    )
}

pub(super) fn attributes(queue: &str, lease: u64) -> String {
    format!(
        "{HEAD}<Queue {SPACE}><QueueName>{queue}</QueueName><VisibilityTimeout>{lease}</VisibilityTimeout>\
         <MaximumMessageSize>65536</MaximumMessageSize><MessageRetentionPeriod>345600</MessageRetentionPeriod>\
         <DelaySeconds>0</DelaySeconds><PollingWaitSeconds>0</PollingWaitSeconds><LoggingEnabled>False</LoggingEnabled></Queue>"
    )
}

/// Code and handle of each that was not deleted.
pub(super) fn errors(failed: &[(&str, String)]) -> String {
    let entry = |(code, handle): &(&str, String)| {
        format!(
            "<Error><ErrorCode>{code}</ErrorCode><ErrorMessage>The fake says {code}.</ErrorMessage>\
             <ReceiptHandle>{}</ReceiptHandle></Error>",
            escape(handle)
        )
    };
    let entries: String = failed.iter().map(entry).collect();
    format!("{HEAD}<Errors {SPACE}>{entries}</Errors>")
}

/// The texts of all elements of a name.
pub(super) fn texts(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1);
    let text = |part: &str| unescape(part.split(&close).next().unwrap_or_default());
    parts.map(text).collect()
}

/// An element of a name, with its tags and all that is in it.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (_, rest) = xml.split_once(&open)?;
    let (inner, _) = rest.split_once(&close)?;
    Some(format!("{open}{inner}{close}"))
}

fn unescape(text: &str) -> String {
    let mut text = text.to_owned();
    for (entity, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#13;", "\r"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, character);
    }
    text
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#xD;"),
            _ => escaped.push(c),
        }
    }
    escaped
}
