//! Receives: how many, when, and what they bring.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::{Message, QueueBackend, buffer::Waiting, monitor::Count, shared::Shared};
use crate::{Error, Retry};

/// Pauses after an empty answer that came too early: some brokers answer at once when too many
/// wait, and a loop would cost a fortune.
const HASTY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(20));
/// Pauses after an error that may pass by itself.
const TRANSIENT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Pauses after one that somebody has to mend.
const LASTING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60));

/// Our clock starts when the answer is here, the broker's when it was sent.
const MARGIN: Duration = Duration::from_millis(500);

/// A receive under way. However it ends, its place is free again.
struct Slot<B: QueueBackend> {
    shared: Arc<Shared<B>>,
    asked: usize,
}

impl<B: QueueBackend> Slot<B> {
    /// The answer is there.
    fn answered(&mut self) {
        self.shared.state().asked -= std::mem::take(&mut self.asked);
    }
}

impl<B: QueueBackend> Drop for Slot<B> {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.asked -= self.asked;
            state.receivers -= 1;
        }
        self.shared.launch();
        self.shared.changed.notify_waiters();
    }
}

impl<B: QueueBackend> Shared<B> {
    /// Starts as many receives as there is reason for.
    pub(super) fn launch(self: &Arc<Self>) {
        let most = self.limits.receive.max(1);
        let mut state = self.state();
        while !state.closed && state.receivers < state.target {
            let room = state.room.saturating_sub(state.buffer.len() + state.asked);
            let allowed = self
                .options
                .max_held
                .max(1)
                .saturating_sub(state.held.len() + state.asked);
            // Near the limit, many small receives would fetch what one can fetch a moment later.
            let worth = most.min(self.options.max_held / 8).max(1);
            if room == 0 || allowed < worth {
                return;
            }
            let asked = most.min(room).min(allowed);
            state.asked += asked;
            state.receivers += 1;
            let slot = Slot {
                shared: Arc::clone(self),
                asked,
            };
            self.tasks.spawn(slot.receive());
        }
    }
}

impl<B: QueueBackend> Slot<B> {
    async fn receive(mut self) {
        let began = Instant::now();
        let wait = self.shared.wait();
        let asked = self.asked;
        let answer = self.shared.backend.receive(asked, wait).await;
        self.answered();
        let took = Instant::now().saturating_duration_since(began);
        let shared = Arc::clone(&self.shared);
        let pause = match answer {
            Ok(messages) if messages.is_empty() => shared.came_empty(took),
            Ok(messages) => {
                shared.came(messages, asked).await;
                None
            }
            Err(error) => Some(shared.came_not(&error)),
        };
        if let Some(pause) = pause {
            tokio::select! {
                () = sleep(pause) => {}
                () = shared.closing.cancelled() => {}
            }
        }
    }
}

impl<B: QueueBackend> Shared<B> {
    async fn came(self: &Arc<Self>, messages: Vec<Message<B::Handle>>, asked: usize) {
        self.monitor.answered();
        self.monitor.add(Count::Receives, 1);
        if let Some(sent) = messages
            .iter()
            .filter_map(|message| message.event.time())
            .min_by_key(|time| time.unix_millis())
        {
            self.monitor.set_oldest(sent);
        }
        let full = messages.len() >= asked;
        let late = self.take_in(messages);
        self.give_back(late).await;
        let mut state = self.state();
        (state.failures, state.hasty) = (0, 0);
        if full {
            state.target = (state.target * 2).min(self.options.most());
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Puts messages into the buffer; returns those that came too late.
    fn take_in(self: &Arc<Self>, messages: Vec<Message<B::Handle>>) -> Vec<B::Handle> {
        self.expire();
        let mut state = self.state();
        if state.closed {
            return messages.into_iter().map(|message| message.handle).collect();
        }
        let now = Instant::now();
        for message in messages {
            let lease = message.lease.unwrap_or(self.limits.lease);
            let until = now + lease.saturating_sub(MARGIN.min(lease / 10));
            let Message {
                handle,
                id,
                event,
                key,
                binding,
                attempt,
                invalid,
                ..
            } = message;
            let Some(number) = state.held.insert(id, handle, binding, until) else {
                debug!(queue = %self.backend.name(), event = %event.id(), "handed out again while in hand here");
                continue;
            };
            state.buffer.push_back(Waiting {
                number,
                event,
                key,
                attempt,
                invalid,
            });
        }
        self.monitor.set_held(state.held.len());
        Vec::new()
    }

    fn came_empty(&self, took: Duration) -> Option<Duration> {
        self.monitor.answered();
        self.monitor.add(Count::Receives, 1);
        self.monitor.add(Count::Empty, 1);
        let mut state = self.state();
        state.failures = 0;
        state.target = self.options.least();
        let wait = self.wait();
        if !wait.is_zero() && took >= wait.mul_f64(0.9) {
            state.hasty = 0;
            return None;
        }
        self.monitor.add(Count::Hasty, 1);
        state.hasty = state.hasty.saturating_add(1);
        let hasty = state.hasty;
        Some(delay(HASTY, hasty, &mut state.random))
    }

    fn came_not(&self, error: &Error) -> Duration {
        self.monitor.failed(error);
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        state.target = self.options.least();
        let (pace, failures) = match error.kind().is_transient() {
            true => (TRANSIENT, state.failures),
            false => (LASTING, 1),
        };
        let pause =
            delay(pace, failures, &mut state.random).max(error.retry_after().unwrap_or_default());
        drop(state);
        warn!(queue = %self.backend.name(), %error, ?pause, "receiving failed; trying again");
        pause
    }

    /// Asks how much waits in the queue, now and then, as long as the broker can say.
    pub(super) async fn watch_depth(self: Arc<Self>) {
        const PACE: Duration = Duration::from_secs(30);
        loop {
            match self.backend.depth().await {
                Ok(Some(depth)) => self.monitor.set_depth(depth),
                Ok(None) => return,
                Err(error) => {
                    debug!(queue = %self.backend.name(), %error, "the queue's depth is unknown");
                }
            }
            tokio::select! {
                () = sleep(PACE) => {}
                () = self.closing.cancelled() => return,
            }
        }
    }
}

fn delay((initial, max): (Duration, Duration), times: u32, random: &mut fastrand::Rng) -> Duration {
    Retry::default()
        .with_delays(initial, max)
        .delay(times, random)
}
