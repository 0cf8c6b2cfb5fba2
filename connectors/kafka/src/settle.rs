//! The engine's way to commit.
//!
//!
//! Only a message to the consumer's thread and the wait for its answer: the thread owns the ledger.

use std::{sync::mpsc::Sender, thread::Thread, time::Duration};

use async_trait::async_trait;
use eventlane::{
    Error, ErrorKind, Result,
    source::{Settle, Settled, Settlement},
};
use tokio::{sync::oneshot, time::timeout};

use crate::worker::Command;

/// The way to the consumer's thread.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) commands: Sender<Command>,
    pub(crate) thread: Thread,
}

impl Link {
    /// Whether somebody is still there to do it.
    pub(crate) fn send(&self, command: Command) -> bool {
        let sent = self.commands.send(command).is_ok();
        self.thread.unpark();
        sent
    }
}

/// Commits positions.
///
/// Calls that overlap are coalesced: while a commit is on its way, what comes in waits, and of each
/// partition only the newest position is sent next, all partitions in one request.
///
/// * **Done** means that the broker has stored the position, not that it was sent.
/// * **Errors.** After `settle_timeout` (`limit`) all of the call fail as `Unavailable`; the commit
///   may still go through, and a repeated position does no harm. After the end of the consumer, as
///   `Fenced`.
/// * **Cancellation.** Dropping the future changes nothing: the position is committed all the same.
#[derive(Debug)]
pub(crate) struct KafkaSettle {
    link: Link,
    limit: Duration,
}

impl KafkaSettle {
    pub(crate) fn new(link: Link, limit: Duration) -> Self {
        Self { link, limit }
    }
}

#[async_trait]
impl Settle for KafkaSettle {
    async fn settle(&self, batch: Vec<Settlement>) -> Result<Settled> {
        let (reply, answer) = oneshot::channel();
        self.link.send(Command::Settle(batch, reply));
        match timeout(self.limit, answer).await {
            Ok(Ok(settled)) => Ok(settled),
            // The thread has ended, before or after it was told.
            Ok(Err(_)) => Err(Error::new(
                ErrorKind::Fenced,
                "commit",
                "the consumer is closed",
            )),
            Err(_) => {
                let message = format!(
                    "the broker has not confirmed within {} s; it may still do so",
                    self.limit.as_secs_f64(),
                );
                Err(Error::new(ErrorKind::Unavailable, "commit", message))
            }
        }
    }
}
