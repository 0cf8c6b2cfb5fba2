//! The queue, as the poller uses it.
//!
//! Each method is one request of the SQS API; when and for how much is the poller's. A batch is
//! answered with HTTP status 200 even if entries of it failed, so the list of those that failed
//! is read, and what is in neither list is not taken for done.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_sqs::{
    error::{BuildError, ProvideErrorMetadata},
    types::{
        self, BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry,
        DeleteMessageBatchRequestEntry, MessageSystemAttributeName as System, QueueAttributeName,
    },
};
use bytes::Bytes;
use eventlane::{
    Error, ErrorKind, Result,
    queue::{Limits, Message, QueueBackend},
};
use tokio::time::timeout;

use crate::{
    attempts::Attempts,
    config::{Address, LONGEST_VISIBILITY, SqsConfig},
    connect::{self, Clients, Facts},
    convert::{Converter, Input},
    error, metrics as names,
};

const RECEIVE: &str = "receive messages";
const DELETE: &str = "delete messages";
const CHANGE: &str = "change the visibility of messages";
const DEPTH: &str = "count messages";
/// Of one request, whatever it does: `MaxNumberOfMessages`, and the entries of a batch.
const MOST_MESSAGES: usize = 10;

/// A standard or FIFO queue of Amazon SQS.
///
/// * **Order**: a FIFO queue's message group is key and binding of its messages. On a standard
///   queue, where a message group is a tenant to be treated fairly, there is neither.
/// * **Leases** last for [`visibility`](field@SqsConfig::visibility), or as long as the queue says.
///   The handle of a message stays the same however often its lease is changed.
/// * **Receives** are made once; the other requests are tried three times within twice
///   [`request_timeout`](field@SqsConfig::request_timeout). On a FIFO queue, a receive whose answer
///   was lost is made again under the same id, so that the messages it held are not held up.
/// * **Limits** of SQS: 10 messages a request, 20 s of waiting, leases of up to 12 hours in all,
///   counted from the receive.
/// * **Errors** of kind `Fenced` are about a message: its handle is not taken any more. `Throttled`
///   is also that the queue has as many messages in flight as it may have.
#[derive(Debug)]
pub struct SqsQueue {
    clients: Clients,
    url: String,
    /// The last part of the URL, for logs and metrics.
    name: String,
    facts: Facts,
    limits: Limits,
    request_timeout: Duration,
    converter: Converter,
    /// Used for FIFO queues only.
    attempts: Attempts,
}

impl SqsQueue {
    /// Finds credentials and reads the queue's attributes, so that what can't work is said here.
    /// Nothing is received.
    ///
    /// # Errors
    /// * `Config`: a setting is wrong, or there is no such queue in that region.
    /// * `Unauthorized`: there are no credentials, or they are refused. Not being allowed to read
    ///   the attributes is only logged; the lease is taken to be 30 s then, and asked for.
    /// * `Unavailable`: nobody answers.
    pub async fn connect(config: SqsConfig) -> Result<Self> {
        config.validate()?;
        let clients = Box::pin(connect::clients(&config)).await?;
        let facts = Box::pin(connect::facts(&config, &clients)).await?;
        let limits = Limits::default()
            .with_batches(MOST_MESSAGES, MOST_MESSAGES)
            .with_wait(config.wait)
            .with_lease(facts.lease)
            .with_visibility(Duration::ZERO, LONGEST_VISIBILITY);
        Ok(Self {
            clients,
            name: Address::parse(&config.queue_url)?.name.to_owned(),
            limits,
            request_timeout: config.request_timeout,
            converter: Converter::new(&config.event, &facts.source),
            attempts: Attempts::new(facts.lease),
            facts,
            url: config.queue_url,
        })
    }

    /// Whether it is a FIFO queue: by its attribute `FifoQueue`, or by its name if that can't be
    /// read.
    pub fn is_fifo(&self) -> bool {
        self.facts.fifo
    }

    /// The source of its events: its ARN, unless configured otherwise.
    pub fn source(&self) -> &str {
        &self.facts.source
    }

    /// `None`, after a line in the log and a count, if nothing can be made of a message: it comes
    /// again when its lease ends, and in the end goes where the redrive policy sends it.
    fn message(&self, message: types::Message) -> Option<Message<Arc<str>>> {
        let unusable = |reason: &str| {
            tracing::error!(queue = %self.name, "a message is left alone: {reason}");
            metrics::counter!(names::UNUSABLE, "queue" => self.name.clone()).increment(1);
        };
        let (Some(id), Some(handle)) = (message.message_id, message.receipt_handle) else {
            unusable("it has no id, or no receipt handle");
            return None;
        };
        let system = message.attributes.unwrap_or_default();
        let attempt = system.get(&System::ApproximateReceiveCount);
        let attempt = attempt.and_then(|count| count.parse().ok()).unwrap_or(1);
        let group = system.get(&System::MessageGroupId);
        let group = group.filter(|_| self.facts.fifo).cloned();
        let input = Input {
            id: id.clone(),
            body: message.body,
            system,
            attributes: message.message_attributes.unwrap_or_default(),
        };
        let converted = match self.converter.convert(input) {
            Ok(converted) => converted,
            Err(error) => {
                unusable(&error.to_string());
                return None;
            }
        };
        if converted.broken {
            metrics::counter!(names::INVALID, "queue" => self.name.clone()).increment(1);
        }
        let mut message =
            Message::new(Arc::from(handle), id, converted.event).with_attempt(attempt);
        if let Some(group) = group {
            message = message.with_group(Bytes::from(group));
        }
        message.invalid = converted.invalid;
        Some(message)
    }

    /// The answer to a batch, one result for each entry. What it does not mention is unknown, and
    /// tried again. The ids of entries are their places in the batch.
    fn results<'a>(
        &self,
        operation: &'static str,
        entries: usize,
        done: impl Iterator<Item = &'a str>,
        failed: &[BatchResultErrorEntry],
    ) -> Vec<Result<()>> {
        let unknown = || {
            let reason = "the answer does not mention the message";
            Err(Error::new(ErrorKind::Unavailable, operation, reason)
                .with_context("queue", &self.url))
        };
        let mut results: Vec<_> = (0..entries).map(|_| unknown()).collect();
        let mut set = |id: &str, result| {
            let place = id.parse().ok().and_then(|at: usize| results.get_mut(at));
            if let Some(place) = place {
                *place = result;
            }
        };
        for id in done {
            set(id, Ok(()));
        }
        for entry in failed {
            set(
                entry.id(),
                Err(error::from_entry(operation, &self.url, entry)),
            );
        }
        results
    }
}

#[async_trait]
impl QueueBackend for SqsQueue {
    type Handle = Arc<str>;

    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message<Arc<str>>>> {
        let max = max.clamp(1, MOST_MESSAGES);
        let wait = Duration::from_secs(seconds(wait.min(self.limits.wait)).into());
        let attempt = self.facts.fifo.then(|| self.attempts.begin(max));
        let max = attempt.as_ref().map_or(max, |attempt| attempt.max);
        let visibility = self.facts.visibility;
        let request = self
            .clients
            .receiver
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(max as i32)
            .wait_time_seconds(seconds(wait) as i32)
            .set_visibility_timeout(visibility.map(|visibility| seconds(visibility) as i32))
            .message_system_attribute_names(System::All)
            .message_attribute_names("All")
            .set_receive_request_attempt_id(attempt.as_ref().map(|attempt| attempt.id.clone()));
        let lost = |error| {
            if let Some(attempt) = attempt {
                self.attempts.lose(attempt);
            }
            error
        };
        let answer = match timeout(wait + self.request_timeout, Box::pin(request.send())).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => {
                let error = error::from_sdk(RECEIVE, &self.url, &failure);
                // The server may have answered it, with messages.
                return Err(match error::is_lost(&failure) {
                    true => lost(error),
                    false => error,
                });
            }
            Err(_) => return Err(lost(error::late(RECEIVE, &self.url))),
        };
        let messages = answer.messages.unwrap_or_default().into_iter();
        Ok(messages
            .filter_map(|message| self.message(message))
            .collect())
    }

    async fn delete(&self, handles: &[Arc<str>]) -> Result<Vec<Result<()>>> {
        if handles.is_empty() {
            return Ok(Vec::new());
        }
        let entries = handles.iter().enumerate().map(|(id, handle)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(id.to_string())
                .receipt_handle(&**handle)
                .build()
        });
        let entries: Result<_, BuildError> = entries.collect();
        let request = self
            .clients
            .other
            .delete_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries.map_err(|error| defect(DELETE, error))?));
        let answer = Box::pin(request.send()).await;
        let answer = answer.map_err(|error| error::from_sdk(DELETE, &self.url, &error))?;
        let done = answer.successful().iter().map(|entry| entry.id());
        Ok(self.results(DELETE, handles.len(), done, answer.failed()))
    }

    async fn change_visibility(
        &self,
        changes: &[(Arc<str>, Duration)],
    ) -> Result<Vec<Result<Arc<str>>>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let entries = changes.iter().enumerate().map(|(id, (handle, after))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(id.to_string())
                .receipt_handle(&**handle)
                .visibility_timeout(seconds(*after) as i32)
                .build()
        });
        let entries: Result<_, BuildError> = entries.collect();
        let request = self
            .clients
            .other
            .change_message_visibility_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries.map_err(|error| defect(CHANGE, error))?));
        let answer = Box::pin(request.send()).await;
        let answer = answer.map_err(|error| error::from_sdk(CHANGE, &self.url, &error))?;
        let done = answer.successful().iter().map(|entry| entry.id());
        let results = self.results(CHANGE, changes.len(), done, answer.failed());
        let handles = changes.iter().map(|(handle, _)| Arc::clone(handle));
        Ok(results
            .into_iter()
            .zip(handles)
            .map(|(result, handle)| result.map(|()| handle))
            .collect())
    }

    async fn depth(&self) -> Result<Option<u64>> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let request = self
            .clients
            .other
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(name.clone());
        let answer = match Box::pin(request.send()).await {
            Ok(answer) => answer,
            Err(error) if connect::may_not(error.code()) => return Ok(None),
            Err(error) => return Err(error::from_sdk(DEPTH, &self.url, &error)),
        };
        let count = answer
            .attributes()
            .and_then(|attributes| attributes.get(&name));
        Ok(count.and_then(|count| count.parse().ok()))
    }
}

/// Whole seconds as far as SQS goes, rounded up: a lease may last longer than thought, not shorter.
fn seconds(duration: Duration) -> u16 {
    let duration = duration.min(LONGEST_VISIBILITY);
    let up = u64::from(duration.subsec_nanos() > 0);
    u16::try_from(duration.as_secs() + up).unwrap_or(u16::MAX)
}

/// A request that the SDK refuses to build: never about the message.
fn defect(operation: &'static str, error: BuildError) -> Error {
    Error::new(ErrorKind::Unexpected, operation, error.to_string()).with_source(error)
}
