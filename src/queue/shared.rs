//! What the halves of a poller and its background tasks share.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{
    Limits, PollerOptions, QueueBackend, QueueMonitor, buffer::Waiting, deletes::Pending,
    held::Held, monitor::Count,
};
use crate::Result;

pub(super) struct Shared<B: QueueBackend> {
    pub(super) backend: B,
    pub(super) limits: Limits,
    pub(super) options: PollerOptions,
    pub(super) monitor: QueueMonitor,
    /// Told whenever a message came, a request about one ended or a receive ended.
    pub(super) changed: Notify,
    pub(super) closing: CancellationToken,
    /// Settlements that were accepted.
    pub(super) settling: TaskTracker,
    /// Whatever else goes on.
    pub(super) tasks: TaskTracker,
    state: Mutex<State<B::Handle>>,
}

pub(super) struct State<H> {
    pub(super) held: Held<H>,
    /// Received and not handed out yet.
    pub(super) buffer: VecDeque<Waiting>,
    /// What the last poll wanted and has not got.
    pub(super) room: usize,
    /// What the receives under way may bring.
    pub(super) asked: usize,
    pub(super) receivers: usize,
    pub(super) target: usize,
    pub(super) failures: u32,
    pub(super) hasty: u32,
    pub(super) deletes: Vec<Pending<H>>,
    pub(super) random: fastrand::Rng,
    pub(super) closed: bool,
}

impl<B: QueueBackend> Shared<B> {
    pub(super) fn new(backend: B, options: PollerOptions) -> Self {
        let limits = backend.limits();
        let state = State {
            held: Held::default(),
            buffer: VecDeque::new(),
            room: 0,
            asked: 0,
            receivers: 0,
            target: options.least(),
            failures: 0,
            hasty: 0,
            deletes: Vec::new(),
            random: fastrand::Rng::with_seed(options.seed),
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
        self.options.wait.min(self.limits.wait)
    }

    pub(super) fn clamp(&self, visibility: Duration) -> Duration {
        let Limits {
            min_visibility: min,
            max_visibility: max,
            ..
        } = self.limits;
        visibility.min(max).max(min)
    }

    /// No more receives; what they still bring is given back.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.closing.cancel();
        self.changed.notify_waiters();
    }

    /// Takes out what has run out, and what may not be handed out after that.
    pub(super) fn expire(self: &Arc<Self>) {
        let mut back = Vec::new();
        {
            let (mut state, now) = (self.state(), Instant::now());
            while let Some((number, entry)) = state.held.expire(now) {
                self.monitor.add(Count::Expired, 1);
                state.buffer.retain(|waiting| waiting.number != number);
                back.extend(state.take_behind(entry.binding.as_ref(), number));
            }
            self.monitor.set_held(state.held.len());
        }
        if !back.is_empty() {
            let shared = Arc::clone(self);
            self.tasks
                .spawn(async move { shared.give_back(back).await });
        }
    }

    /// Gives messages back at once that nobody here has in hand.
    pub(super) async fn give_back(&self, handles: Vec<B::Handle>) {
        let visibility = self.clamp(Duration::ZERO);
        for chunk in handles.chunks(self.limits.batch.max(1)) {
            let changes: Vec<_> = chunk
                .iter()
                .map(|handle| (handle.clone(), visibility))
                .collect();
            let failed = match self.backend.change_visibility(&changes).await {
                Ok(results) => results.into_iter().find_map(Result::err),
                Err(error) => Some(error),
            };
            if let Some(error) = failed {
                warn!(queue = %self.backend.name(), %error, "messages come again only when their leases end");
            }
        }
    }
}

impl<H> State<H> {
    /// Takes out of the buffer what is bound to a message and came after it.
    pub(super) fn take_behind(&mut self, binding: Option<&Bytes>, number: u64) -> Vec<H> {
        let Some(binding) = binding else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        let Self { held, buffer, .. } = self;
        buffer.retain(|waiting| {
            let behind = waiting.number > number
                && held
                    .get(waiting.number)
                    .is_some_and(|entry| entry.binding.as_ref() == Some(binding) && !entry.busy);
            if behind {
                taken.extend(held.remove(waiting.number).map(|entry| entry.handle));
            }
            !behind
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
