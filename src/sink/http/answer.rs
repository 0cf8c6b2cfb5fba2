//! What of an answer is a reply.

use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
    response,
};

use super::{
    KEPT_BODY, ResponseBody,
    response::{Cut, read_whole},
};
use crate::event::{
    Event,
    http::{Message, read},
};
use bytes::Bytes;

/// An answer that means *delivered*, read to its end.
#[derive(Debug)]
pub(super) enum Answer {
    /// The replies in it, perhaps none.
    Replies(Vec<Event>),
    /// A body that is no reply.
    Undecodable {
        /// For metrics.
        reason: &'static str,
        /// For people, to come behind "answered 200 with".
        message: String,
        /// Of the body, for the dead letter.
        beginning: Bytes,
    },
    /// The body did not come to its end.
    BrokenOff(String),
}

/// Reads an answer.
///
/// A 202 says that the work is still to be done: whatever it carries is no reply, so it has none.
/// An empty body is a reply only if the headers say so (an event without data, in binary mode).
pub(super) async fn read_answer(
    head: &response::Parts,
    body: ResponseBody,
    max_bytes: usize,
) -> Answer {
    let body = match read_whole(body, max_bytes, announced(&head.headers)).await {
        Ok(body) => body,
        Err(Cut::TooLong(beginning)) => {
            return Answer::Undecodable {
                reason: "reply_too_large",
                message: format!("a body of more than {max_bytes} bytes"),
                beginning: kept(&beginning),
            };
        }
        Err(Cut::BrokenOff(why)) => return Answer::BrokenOff(why),
    };
    if body.is_empty() && !head.headers.contains_key("ce-specversion") {
        return Answer::Replies(Vec::new());
    }
    let undecodable = |reason, message| Answer::Undecodable {
        reason,
        message,
        beginning: kept(&body),
    };
    // Nothing was asked for but the body as it is.
    if let Some(encoding) = head.headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return undecodable("reply_invalid", format!("a body that is {encoding:?}"));
    }
    match read(&head.headers, body.clone()) {
        Ok(Message::One(event)) => Answer::Replies(vec![event]),
        Ok(Message::Batch(events)) => Answer::Replies(events),
        Ok(Message::NotCloudEvent(_)) => undecodable(
            "reply_not_event",
            "a body that is no CloudEvent: if that is all right, let `replies.undecodable` be \
             ignore"
                .to_owned(),
        ),
        Err(error) => undecodable("reply_invalid", format!("no valid CloudEvent: {error}")),
    }
}

/// How long the body is going to be, if that was said.
fn announced(headers: &HeaderMap) -> usize {
    let length = headers.get(CONTENT_LENGTH);
    length
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}

fn kept(body: &Bytes) -> Bytes {
    // A slice would keep all of it in memory for as long as the event is tried again.
    Bytes::copy_from_slice(&body[..body.len().min(KEPT_BODY)])
}
