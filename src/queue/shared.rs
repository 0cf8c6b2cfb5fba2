//! What the halves of a poller and its background tasks share.
//!
//! Settings are fixed; whatever changes is in [`State`], behind one lock that is never held across
//! an `await`. Whoever changes what a poll or a settlement may wait for tells `changed` after it
//! has let go of the lock; whoever waits makes its `notified()` before it looks at the state.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{
    Limits, PollerOptions, QueueBackend, QueueMonitor,
    buffer::Waiting,
    deletes::Pending,
    held::{Entry, Held},
    monitor::Count,
};
use crate::{Result, source::Demand};

/// A lease or wait beyond it is one without an end.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 86_400);
const SHORTEST_LEASE: Duration = Duration::from_millis(10);

/// As long as a delete waits for company, its lease runs.
const LONGEST_LINGER: Duration = Duration::from_secs(1);

/// So long, what is given back at the end may wait for receives to end first; less if leases are
/// short, since nobody extends them meanwhile.
const SOON: Duration = Duration::from_secs(1);

/// Requests side by side when much is given back.
pub(super) const AT_ONCE: usize = 8;

/// One for each poller; the poller, its settler and all tasks have it in common.
pub(super) struct Shared<B: QueueBackend> {
    pub(super) backend: B,
    pub(super) limits: Limits,
    pub(super) options: PollerOptions,
    pub(super) monitor: QueueMonitor,
    /// Told whenever a message came, a request about one ended or a receive ended.
    pub(super) changed: Notify,
    /// Cuts pauses and waits short. No request is cancelled.
    pub(super) closing: CancellationToken,
    /// Settlements that were accepted; the first that a close waits for.
    pub(super) settling: TaskTracker,
    /// Whatever else goes on: receives, deletes, extensions, what is given back.
    pub(super) tasks: TaskTracker,
    state: Mutex<State<B::Handle>>,
}

pub(super) struct State<H> {
    pub(super) held: Held<H>,
    /// Received and not handed out yet.
    pub(super) buffer: VecDeque<Waiting>,
    /// What the last poll wanted and has not got.
    pub(super) room: Demand,
    /// What the receives under way may bring.
    pub(super) asked: usize,
    /// Receives under way, those that pause included.
    pub(super) receivers: usize,
    /// When those of them will have ended that wait for an answer.
    pub(super) waits: Vec<Instant>,
    /// How many there may be at present.
    pub(super) target: usize,
    /// Receives that failed in a row.
    pub(super) failures: Streak,
    /// Empty answers that came too early, in a row.
    pub(super) hasty: Streak,
    /// Deletes that wait for company; see `deletes`.
    pub(super) deletes: Vec<Pending<H>>,
    pub(super) random: fastrand::Rng,
    /// Nothing new is received any more, and what is not done is to be given back by then.
    pub(super) stopping: Option<Instant>,
    /// Nothing new is received or settled any more.
    pub(super) closed: bool,
}

/// How often in a row something went wrong, whoever met with it.
///
/// Receives that were under way together fail together when a connection is lost. That is one time:
/// counted one by one, sixteen of them would make the next pause the longest.
#[derive(Debug, Default)]
pub(super) struct Streak {
    times: u32,
    /// What happens before this is the same time.
    until: Option<Instant>,
}

impl Streak {
    /// It has happened again; returns the pause that follows, of so many times.
    pub(super) fn again(&mut self, pause: impl FnOnce(u32) -> Duration) -> Duration {
        let now = Instant::now();
        if self.until.is_some_and(|until| now < until) {
            return pause(self.times);
        }
        self.times = self.times.saturating_add(1);
        let pause = pause(self.times);
        self.until = Some(now + pause);
        pause
    }

    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

impl<H> State<H> {
    /// Whether what is buffered leaves room for more bytes. Looks at no more of it than it has to.
    pub(super) fn has_room_for_bytes(&self) -> bool {
        let mut room = self.room.bytes;
        let mut buffer = self.buffer.iter();
        room > 0
            && buffer.all(|waiting| {
                room = room.saturating_sub(waiting.event.size());
                room > 0
            })
    }
}

impl<B: QueueBackend> Shared<B> {
    pub(super) fn new(backend: B, options: PollerOptions) -> Self {
        let mut limits = backend.limits();
        // Long enough for anything, short enough to be added to an instant.
        limits.lease = limits.lease.clamp(SHORTEST_LEASE, FOREVER);
        limits.max_visibility = limits.max_visibility.min(FOREVER);
        let state = State {
            held: Held::default(),
            buffer: VecDeque::new(),
            room: Demand::NONE,
            asked: 0,
            receivers: 0,
            waits: Vec::new(),
            target: options.least(),
            failures: Streak::default(),
            hasty: Streak::default(),
            deletes: Vec::new(),
            random: fastrand::Rng::with_seed(options.seed),
            stopping: None,
            closed: false,
        };
        Self {
            monitor: QueueMonitor::new(backend.name()),
            backend,
            limits,
            options,
            changed: Notify::new(),
            closing: CancellationToken::new(),
            settling: TaskTracker::new(),
            tasks: TaskTracker::new(),
            state: Mutex::new(state),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State<B::Handle>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait(&self) -> Duration {
        self.options.wait.min(self.limits.wait).min(FOREVER)
    }

    pub(super) fn linger(&self) -> Duration {
        self.options.linger.min(LONGEST_LINGER)
    }

    pub(super) fn clamp(&self, visibility: Duration) -> Duration {
        let Limits {
            min_visibility: min,
            max_visibility: max,
            ..
        } = self.limits;
        visibility.min(max).max(min)
    }

    /// No more receives; what they still bring is given back, and so is what nobody has in hand.
    pub(super) fn stop(self: &Arc<Self>, by: Instant) {
        let mut back = Vec::new();
        {
            let mut state = self.state();
            if state.stopping.is_some() {
                return;
            }
            state.stopping = Some(by);
            for waiting in std::mem::take(&mut state.buffer) {
                let entry = state.held.get(waiting.number);
                match entry.filter(|entry| entry.busy) {
                    Some(entry) => entry.goes_back = true,
                    None => back.extend(state.held.remove(waiting.number)),
                }
            }
            self.monitor.set_held(state.held.len());
        }
        self.give_back_later(back.into_iter().map(|entry| entry.handle).collect());
    }

    /// Before messages are given back at the end: waits for the receives under way, if they end so
    /// soon that nobody minds. They would take the messages again, at the cost of an attempt or of
    /// the broker's own delay, and nothing can be done about a receive that is under way.
    pub(super) async fn receives_end_soon(&self) {
        let soon = Instant::now() + SOON.min(self.limits.lease / 8);
        loop {
            let changed = self.changed.notified();
            {
                let state = self.state();
                let ends = state.closed || state.stopping.is_some();
                let has_time = state.stopping.is_none_or(|by| soon <= by);
                let wait = !state.waits.is_empty() && state.waits.iter().all(|end| *end <= soon);
                if !(ends && has_time && wait) {
                    return;
                }
            }
            if timeout_at(soon, changed).await.is_err() {
                return;
            }
        }
    }

    /// No more receives and settlements.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.closing.cancel();
        self.changed.notify_waiters();
    }

    /// Takes out all that is on lease and not busy.
    pub(super) fn take_left(&self) -> Vec<B::Handle> {
        let mut state = self.state();
        state.buffer.clear();
        state.held.take_idle()
    }

    /// Takes out what has run out, and what may not be handed out after that: the rest of its group
    /// in the buffer, which goes back in the background. What was taken out makes room.
    pub(super) fn expire(self: &Arc<Self>) {
        let mut back = Vec::new();
        let expired = {
            let (mut state, now) = (self.state(), Instant::now());
            let mut expired = 0;
            while let Some((number, entry)) = state.held.expire(now) {
                expired += 1;
                state.buffer.retain(|waiting| waiting.number != number);
                back.extend(state.take_behind(&entry, number, now));
            }
            self.monitor.set_held(state.held.len());
            expired
        };
        if expired > 0 {
            self.monitor.add(Count::Expired, expired);
            self.give_back_later(back);
            self.launch();
            self.changed.notify_waiters();
        }
    }

    pub(super) fn give_back_later(self: &Arc<Self>, handles: Vec<B::Handle>) {
        if !handles.is_empty() {
            let shared = Arc::clone(self);
            self.tasks
                .spawn(async move { shared.give_back(handles).await });
        }
    }

    /// Gives messages back at once that nobody here has in hand. They have to be out of [`Held`]
    /// already. What can't be given back is logged and comes again when its lease ends: it is not
    /// tried twice.
    pub(super) async fn give_back(&self, handles: Vec<B::Handle>) {
        if handles.is_empty() {
            return;
        }
        self.receives_end_soon().await;
        let chunks = handles.chunks(self.limits.batch.max(1));
        let requests: Vec<_> = chunks.map(|chunk| self.give_back_now(chunk)).collect();
        let mut requests = stream::iter(requests).buffer_unordered(AT_ONCE);
        while let Some(results) = requests.next().await {
            if let Some(error) = results.into_iter().find_map(Result::err) {
                warn!(queue = %self.backend.name(), %error, "messages come again only when their leases end");
            }
        }
    }
}

impl<H> State<H> {
    /// Takes out of the buffer what is bound to a message and came after it, which is all of its
    /// group if it was handed out. The handles are the caller's to give back; what is busy goes back
    /// when it no longer is, and what has run out needs not.
    pub(super) fn take_behind(&mut self, gone: &Entry<H>, number: u64, now: Instant) -> Vec<H> {
        self.take_behind_but(gone, number, now, |_| false)
    }

    /// The same; but those that have come again, by their ids, are only forgotten here: they are new
    /// ones.
    pub(super) fn take_behind_but(
        &mut self,
        gone: &Entry<H>,
        number: u64,
        now: Instant,
        came: impl Fn(&str) -> bool,
    ) -> Vec<H> {
        let Some(binding) = &gone.binding else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        let Self { held, buffer, .. } = self;
        buffer.retain(|waiting| {
            let entry = held.get(waiting.number);
            let Some(entry) = entry.filter(|entry| {
                (gone.out || waiting.number > number) && entry.binding.as_ref() == Some(binding)
            }) else {
                return true;
            };
            if came(&entry.id) {
                held.remove(waiting.number);
                return false;
            }
            let (busy, over) = (entry.busy, entry.until <= now);
            entry.goes_back = true;
            if !busy {
                let entry = held.remove(waiting.number).filter(|_| !over);
                taken.extend(entry.map(|entry| entry.handle));
            }
            false
        });
        taken
    }
}

impl<B: QueueBackend> fmt::Debug for Shared<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("queue", &self.backend.name())
            .field("limits", &self.limits)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
