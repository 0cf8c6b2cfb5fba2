//! A small client for one queue: what MNS is asked, without polling, retries or events.
//!
//! * Every method is one request, whose answer has the wait, if there is one, and `request_timeout`
//!   to come. Only what was refused for its date or its credentials is sent again, once for each;
//!   it was not carried out.
//! * Dropping the future of [`receive`](MnsClient::receive) does not end the request at the server,
//!   which hands the next message to nobody.
//! * Redirects are errors, and answers of more than 8 MiB, too.
//!
//! ```no_run
//! use std::time::Duration;
//! use eventlane_mns::{MnsConfig, client::{MnsClient, OutgoingMessage}};
//!
//! # async fn example() -> eventlane::Result<()> {
//! let config = MnsConfig::new("https://123456.mns.cn-hangzhou.aliyuncs.com", "orders");
//! let client = MnsClient::new(&config)?;
//! client.send(&OutgoingMessage::new("aGVsbG8=").with_group("customer-9")).await?;
//! for message in client.receive(16, Duration::from_secs(30)).await? {
//!     println!("{}", message.body);
//!     client.delete(&[message.handle]).await?;
//! }
//! # Ok(())
//! # }
//! ```

use std::{collections::HashMap, sync::Arc, time::Duration};

use eventlane::{Error, ErrorKind, Result};
use reqwest::Method;

use crate::{
    config::{LONGEST_WAIT, MnsConfig},
    error::{EMPTY, Refusal},
};

mod clock;
mod identity;
mod message;
mod request;
mod sign;
mod transport;
mod xml;

pub use message::{
    OutgoingMessage, Property, PropertyKind, QueueAttributes, ReceiptHandle, ReceivedMessage,
};
pub(crate) use xml::Element;

use request::Request;
use transport::{Failure, Transport};
use xml::Writer;

/// The most messages that a receive (`numOfMessages`) or a delete may be about.
pub const LARGEST_BATCH: usize = 16;
/// The shortest time that a lease can be set to: `visibilityTimeout` of ChangeMessageVisibility.
pub const SHORTEST_VISIBILITY: Duration = Duration::from_secs(1);
/// The longest time that a lease can be set to.
pub const LONGEST_VISIBILITY: Duration = Duration::from_secs(12 * 3600);

/// Talks to one queue. Cheap to clone; clones share connections, credentials and what is known of
/// the server's clock. Calls may overlap.
///
/// ```no_run
/// use std::time::Duration;
/// use eventlane_mns::{MnsConfig, client::MnsClient};
///
/// # async fn example(config: MnsConfig) -> eventlane::Result<()> {
/// let client = MnsClient::new(&config)?;
/// let lease = client.queue_attributes().await?.visibility_timeout;
/// println!("{} leases its messages for {lease:?}", client.queue());
/// for message in client.receive(1, Duration::ZERO).await? {
///     // Not now: somebody else may have it in a minute.
///     client.change_visibility(&message.handle, Duration::from_secs(60)).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MnsClient {
    transport: Arc<Transport>,
    queue: Arc<str>,
}

impl MnsClient {
    /// A client for the queue of a configuration. Nothing is sent yet.
    ///
    /// # Errors
    /// If the configuration can't work, or names no credentials and the environment has none.
    pub fn new(config: &MnsConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            transport: Arc::new(Transport::new(config)?),
            queue: config.queue.as_str().into(),
        })
    }

    /// The name of the queue.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// What is set for the queue (GetQueueAttributes).
    ///
    /// # Errors
    /// Of kind [`Config`](ErrorKind::Config) if there is no such queue.
    pub async fn queue_attributes(&self) -> Result<QueueAttributes> {
        let request = Request::new("read the queue's attributes", Method::GET, false);
        let answer = self.transport.call(&request).await?;
        let document = self.transport.document(&request, &answer)?;
        match document.name() {
            "Queue" => Ok(QueueAttributes::read(&document)),
            _ => Err(self
                .transport
                .confusing(&request, &answer, "it describes no queue")),
        }
    }

    /// Up to `max` messages, at most 16, waiting up to `wait`, at most 30 s, for the first
    /// (BatchReceiveMessage). None is no error.
    ///
    /// # Errors
    /// If nothing can be received. Messages may have been handed out all the same, when their
    /// answer was lost; those come again when their leases end.
    pub async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<ReceivedMessage>> {
        let wait = seconds(wait.min(LONGEST_WAIT));
        let mut request = Request::new("receive messages", Method::GET, true)
            .with_param("numOfMessages", max.clamp(1, LARGEST_BATCH).to_string())
            .with_param("waitseconds", wait.to_string());
        request.wait = Duration::from_secs(wait);
        let answer = match self.transport.call(&request).await {
            Err(Failure::Refused(refusal)) if refusal.code == EMPTY => return Ok(Vec::new()),
            answer => answer?,
        };
        if answer.is_empty() {
            return Ok(Vec::new());
        }
        let document = self.transport.document(&request, &answer)?;
        let read = |message| ReceivedMessage::read(message, answer.date);
        let messages: Vec<_> = match document.name() {
            "Messages" => document.all("Message").map(read).collect(),
            "Message" => vec![read(&document)],
            _ => {
                let reason = "it has no messages";
                return Err(self.transport.confusing(&request, &answer, reason));
            }
        };
        let count = messages.len();
        let whole: Vec<_> = messages.into_iter().flatten().collect();
        if whole.len() < count {
            let nameless = count - whole.len();
            tracing::warn!(
                queue = &*self.queue,
                nameless,
                "messages without id or handle came"
            );
        }
        Ok(whole)
    }

    /// Deletes messages, at most 16 (BatchDeleteMessage). One result for each, in order: of kind
    /// [`Fenced`](ErrorKind::Fenced) if its lease has ended. Without handles, no request is made.
    ///
    /// # Errors
    /// If nothing is known of any of them.
    pub async fn delete(&self, handles: &[ReceiptHandle]) -> Result<Vec<Result<()>>> {
        if handles.is_empty() {
            return Ok(Vec::new());
        }
        let mut body = Writer::new("ReceiptHandles");
        for handle in handles {
            body.element("ReceiptHandle", handle.as_str());
        }
        let request = Request::new("delete messages", Method::DELETE, true)
            .with_body(body.finish("ReceiptHandles"));
        match self.transport.call(&request).await {
            Ok(_) => Ok(handles.iter().map(|_| Ok(())).collect()),
            Err(Failure::Refused(refusal)) => partial(*refusal, handles),
            Err(Failure::Error(error)) => Err(error),
        }
    }

    /// Lets a lease end so long from now, from 1 s to 12 h in whole seconds
    /// (ChangeMessageVisibility). The handle is dead afterwards; the new one is returned. What is
    /// shorter or longer is brought within these bounds, and a fraction of a second rounded up.
    ///
    /// # Errors
    /// Of kind [`Fenced`](ErrorKind::Fenced) if the lease has ended.
    pub async fn change_visibility(
        &self,
        handle: &ReceiptHandle,
        visibility: Duration,
    ) -> Result<ReceiptHandle> {
        let visibility = visibility.clamp(SHORTEST_VISIBILITY, LONGEST_VISIBILITY);
        let request = Request::new("change a lease", Method::PUT, true)
            .with_param("receiptHandle", handle.as_str())
            .with_param("visibilityTimeout", seconds(visibility).to_string());
        let answer = self.transport.call(&request).await?;
        if answer.is_empty() {
            return Ok(handle.clone());
        }
        let document = self.transport.document(&request, &answer)?;
        // The root has more than one name in the documentation. A server that gives no new handle
        // has kept the old one.
        let changed = document.value("ReceiptHandle").map(Into::into);
        Ok(changed.unwrap_or_else(|| handle.clone()))
    }

    /// Sends a message and returns its id (SendMessage).
    ///
    /// # Errors
    /// Of kind [`Rejected`](ErrorKind::Rejected) if XML can't carry the message: it has control
    /// characters, and its body should be base64. After one of kind
    /// [`Unavailable`](ErrorKind::Unavailable) it may have been sent.
    pub async fn send(&self, message: &OutgoingMessage) -> Result<String> {
        const OPERATION: &str = "send a message";
        if !message.texts().all(xml::carries) {
            let reason = "it has characters that XML can't carry; encode the body as base64";
            return Err(Error::new(ErrorKind::Rejected, OPERATION, reason));
        }
        let request = Request::new(OPERATION, Method::POST, true).with_body(message.write());
        let answer = self.transport.call(&request).await?;
        let document = self.transport.document(&request, &answer)?;
        let id = document.value("MessageId").map(str::to_owned);
        id.ok_or_else(|| self.transport.confusing(&request, &answer, "it has no id"))
    }
}

/// What became of each message of a batch that was not deleted as a whole: those that are listed
/// failed, the others are deleted.
fn partial(refusal: Refusal, handles: &[ReceiptHandle]) -> Result<Vec<Result<()>>> {
    let Some(listed) = refusal.document.as_ref().filter(|it| it.name() == "Errors") else {
        // One error about them all.
        return match refusal.kind() {
            ErrorKind::Fenced => Ok(handles
                .iter()
                .map(|_| Err(refusal.clone().into()))
                .collect()),
            _ => Err(refusal.into()),
        };
    };
    let mut failed: HashMap<&str, Error> = HashMap::new();
    let mut strange = 0;
    for entry in listed.all("Error") {
        match entry.value("ReceiptHandle") {
            Some(handle) if handles.iter().any(|ours| ours.as_str() == handle) => {
                failed.entry(handle).or_insert_with(|| {
                    let code = entry.value("ErrorCode").unwrap_or_default();
                    let message = entry.value("ErrorMessage").unwrap_or_default();
                    refusal.entry(code, message).into()
                });
            }
            _ => strange += 1,
        }
    }
    if failed.is_empty() && strange == 0 {
        return Err(refusal.into());
    }
    let result = |handle: &ReceiptHandle| match failed.remove(handle.as_str()) {
        Some(error) => Err(error),
        None if strange == 0 => Ok(()),
        // One of those that are not listed failed, and nobody knows which. Trying all of them again
        // does no harm.
        None => Err(Error::new(
            ErrorKind::Unavailable,
            refusal.operation,
            "the answer does not say which message could not be deleted",
        )),
    };
    Ok(handles.iter().map(result).collect())
}

/// Reads an answer as each of the things that it may be.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_answer(document: &[u8]) {
    let Ok(document) = Element::parse(document) else {
        return;
    };
    for message in document.all("Message").chain([&document]) {
        if let Some(message) = ReceivedMessage::read(message, None) {
            crate::convert::fuzz_message(&message);
        }
    }
    QueueAttributes::read(&document);
    let refusal = Refusal {
        document: Some(document),
        ..Refusal::default()
    };
    let handles = ["a", "b"].map(ReceiptHandle::from);
    if let Ok(results) = partial(refusal, &handles) {
        assert_eq!(results.len(), handles.len());
    }
}

/// Whole seconds, rounded up: what is shorter would be no time at all.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
