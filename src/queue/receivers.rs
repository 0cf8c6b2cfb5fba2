//! Receives: how many, when, and what they bring.
//!
//! A receive is a task of its own that nothing cancels, since the broker would hand the next
//! message to a request that nobody listens to. Closing waits for those under way and gives back
//! what they bring.
//!
//! * **How many**: [`PollerOptions::receivers`](super::PollerOptions::receivers). The number
//!   doubles with every full answer, and falls back to the least after one that is empty or an
//!   error.
//! * **For how much**: never more than the engine has room for, less what is buffered and what
//!   others under way may bring; never beyond
//!   [`PollerOptions::max_held`](super::PollerOptions::max_held) leases. No broker can be asked for
//!   so many bytes: none begins when what is buffered has as many as there is room for, so those
//!   under way are all that can be too much.
//! * **Pauses** are spent in the receive's place ([`Slot`]): while it pauses, no other begins in
//!   it, so that a pause really means fewer requests.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::{
    Message, QueueBackend,
    buffer::Waiting,
    monitor::Count,
    shared::{FOREVER, Shared, State},
};
use crate::{Error, ErrorKind, Retry};

/// Pauses after an empty answer that came too early: some brokers (MNS) answer at once when too
/// many wait, and a loop would cost a fortune. These and the others: the first and the longest;
/// each one in a row is twice as long as the one before, less a random part.
const HASTY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(20));
/// Pauses after an error that says nothing of how much is asked for, such as a broker that restarts:
/// as long as the last of them, nobody notices that it is back.
const AWAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// Pauses after one that does.
const THROTTLED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Pauses after one that somebody has to mend.
const LASTING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60));

/// No broker may ask for more.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// Our clock starts when the answer is here, the broker's when it was sent. So much is taken off
/// every lease, or a tenth of it if that is less; an answer that takes longer on its way leaves us
/// believing in a lease that is over.
const MARGIN: Duration = Duration::from_millis(500);

/// A receive under way. However it ends, its place is free again.
struct Slot<B: QueueBackend> {
    shared: Arc<Shared<B>>,
    /// What it may still bring, as counted in `State::asked`; 0 once the answer is there.
    asked: usize,
    /// When it will have ended, as long as it waits for its answer: one of `State::waits`.
    ends: Option<Instant>,
}

impl<B: QueueBackend> Slot<B> {
    /// There is an answer, or never will be.
    fn waited(&mut self) {
        if let Some(ends) = self.ends.take() {
            let mut state = self.shared.state();
            if let Some(at) = state.waits.iter().position(|end| *end == ends) {
                state.waits.swap_remove(at);
            }
            drop(state);
            self.shared.changed.notify_waiters();
        }
    }

    /// What the answer brought is taken in.
    fn answered(&mut self) {
        self.shared.state().asked -= std::mem::take(&mut self.asked);
    }
}

impl<B: QueueBackend> Drop for Slot<B> {
    /// Starts nothing: a runtime that is shut down drops tasks while others are being started.
    fn drop(&mut self) {
        self.waited();
        {
            let mut state = self.shared.state();
            state.asked -= self.asked;
            state.receivers -= 1;
        }
        self.shared.changed.notify_waiters();
    }
}

impl<B: QueueBackend> Shared<B> {
    /// Starts as many receives as there is reason for. Called whenever that may have changed: at a
    /// poll, after settlements, when a receive or a lease ends. Does not wait for anything.
    pub(super) fn launch(self: &Arc<Self>) {
        let mut slots = Vec::new();
        let end = Instant::now() + self.wait();
        {
            let mut state = self.state();
            while let Some(asked) = self.next_receive(&state) {
                state.asked += asked;
                state.receivers += 1;
                state.waits.push(end);
                slots.push(Slot {
                    shared: Arc::clone(self),
                    asked,
                    ends: Some(end),
                });
            }
        }
        // Without the lock: a runtime that is shut down drops the task at once.
        for slot in slots {
            self.tasks.spawn(slot.receive());
        }
    }

    /// How much another receive would ask for, if there is reason for one.
    fn next_receive(&self, state: &State<B::Handle>) -> Option<usize> {
        if state.closed || state.stopping.is_some() || state.receivers >= state.target {
            return None;
        }
        let most = self.limits.receive.max(1);
        let max_held = self.options.max_held.max(1);
        let room = state.room.records;
        let room = room.saturating_sub(state.buffer.len() + state.asked);
        let allowed = max_held.saturating_sub(state.held.len() + state.asked);
        // Near the limit, many small receives would fetch what one can fetch a moment later.
        let worth = most.min(max_held / 8).max(1);
        (room > 0 && allowed >= worth && state.has_room_for_bytes())
            .then(|| most.min(room).min(allowed))
    }
}

impl<B: QueueBackend> Slot<B> {
    /// One receive, what it brings, and the pause after it. A close cuts the pause short, not the
    /// receive.
    async fn receive(mut self) {
        let (began, asked) = (Instant::now(), self.asked);
        let shared = Arc::clone(&self.shared);
        let answer = shared.receive(asked).await;
        self.waited();
        let took = Instant::now().saturating_duration_since(began);
        let pause = match answer {
            Ok(messages) if messages.is_empty() => shared.came_empty(took),
            Ok(messages) => {
                shared.came(messages, asked).await;
                None
            }
            Err(error) => Some(shared.came_not(&error)),
        };
        self.answered();
        if let Some(pause) = pause {
            tokio::select! {
                () = sleep(pause) => {}
                () = shared.closing.cancelled() => {}
            }
        }
        drop(self);
        shared.launch();
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
        state.failures.end();
        state.hasty.end();
        if full {
            state.target = state.target.saturating_mul(2).min(self.options.most());
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Puts messages into the buffer; returns what has to go back: those that came too late, and what
    /// waited behind one that went back and has come again. One that is on lease here
    /// already is not handed out twice: it only has a new handle and lease.
    fn take_in(self: &Arc<Self>, messages: Vec<Message<B::Handle>>) -> Vec<B::Handle> {
        self.expire();
        let mut state = self.state();
        if state.closed {
            return messages.into_iter().map(|message| message.handle).collect();
        }
        let (now, mut back) = (Instant::now(), Vec::new());
        // Before anything new is there: a group that comes again as a whole is in order, and of it
        // nothing goes back.
        let came = |id: &str| messages.iter().any(|message| &*message.id == id);
        for message in &messages {
            if let Some((number, gone)) = state.held.take_leaving(&message.id) {
                back.extend(state.take_behind_but(&gone, number, now, came));
            }
        }
        for message in messages {
            let lease = message.lease.unwrap_or(self.limits.lease).min(FOREVER);
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
            // Whoever has it in hand may finish it; what nobody has, nobody shall have here.
            if state.stopping.is_some() && !state.held.has(&id) {
                back.push(handle);
                continue;
            }
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
        back
    }

    /// The pause after an empty answer; `None` if the broker held the request for nine tenths of
    /// its wait at least. Without a wait there is a pause after each.
    fn came_empty(&self, took: Duration) -> Option<Duration> {
        self.monitor.answered();
        self.monitor.add(Count::Receives, 1);
        self.monitor.add(Count::Empty, 1);
        self.monitor.nothing_waits();
        let mut state = self.state();
        let state = &mut *state;
        state.failures.end();
        state.target = self.options.least();
        let wait = self.wait();
        if !wait.is_zero() && took >= wait.mul_f64(0.9) {
            state.hasty.end();
            return None;
        }
        self.monitor.add(Count::Hasty, 1);
        let random = &mut state.random;
        Some(state.hasty.again(|times| delay(HASTY, times, random)))
    }

    /// The pause after an error: what the broker asks for (`retry_after`) up to [`LONGEST_REST`],
    /// or more.
    fn came_not(&self, error: &Error) -> Duration {
        self.monitor.failed(error);
        let pace = match error.kind() {
            ErrorKind::Unavailable => AWAY,
            ErrorKind::Throttled => THROTTLED,
            _ => LASTING,
        };
        let asked = error.retry_after().unwrap_or_default();
        let pause = {
            let mut state = self.state();
            let state = &mut *state;
            state.target = self.options.least();
            let random = &mut state.random;
            let pause = state.failures.again(|times| delay(pace, times, random));
            pause.max(asked.min(LONGEST_REST))
        };
        warn!(queue = %self.backend.name(), %error, ?pause, "receiving failed; trying again");
        pause
    }

    /// Asks how much waits in the queue, every half a minute, as long as the broker can say. An
    /// error is no trouble: it is a metric that is out of date.
    pub(super) async fn watch_depth(self: Arc<Self>) {
        const PACE: Duration = Duration::from_secs(30);
        loop {
            match self.depth().await {
                Ok(Some(depth)) => self.monitor.set_depth(depth),
                Ok(None) => return,
                Err(error) => {
                    debug!(queue = %self.backend.name(), %error, "the queue's depth is unknown");
                }
            }
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return,
                () = sleep(PACE) => {}
            }
        }
    }
}

fn delay((initial, max): (Duration, Duration), times: u32, random: &mut fastrand::Rng) -> Duration {
    Retry::default()
        .with_delays(initial, max)
        .delay(times, random)
}
