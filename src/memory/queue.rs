use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use super::{Faults, MemoryQueueSource, Record, leases::Leases};
use crate::{Event, source::Capability};

/// A queue in memory, whose messages are leased: what an SQS queue is to its consumers, without the
/// service.
///
/// A handle; clones are the same queue.
///
/// * **Leases.** A message that is handed out belongs to whoever received it until the lease runs
///   out; then it is handed out again, with `attempt` one higher. A settlement counts only while
///   the lease lasts, and only through the source that has it. Whatever source polls first gets a
///   message.
/// * **Order.** Messages are handed out in the order in which they were sent, but what comes back
///   comes again as soon as it is ready. Only [`with_groups`](Self::with_groups) keeps an order
///   through that.
/// * **Settling.** [`Done`](crate::source::Action::Done),
///   [`Release`](crate::source::Action::Release) and [`Extend`](crate::source::Action::Extend); no
///   pausing. A source that is closed gives back what it has; what a dropped one had comes again
///   when the lease is over.
#[derive(Clone)]
pub struct MemoryQueue {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Arc<Notify>,
    faults: Faults,
}

pub(super) struct State {
    pub(super) leases: Leases,
    pub(super) capability: Capability,
    pub(super) lease: Duration,
    pub(super) finished: bool,
    next_holder: u32,
}

impl MemoryQueue {
    /// An empty queue with leases of this length.
    pub fn new(lease: Duration) -> Self {
        let changed = Arc::new(Notify::new());
        let state = State {
            leases: Leases::default(),
            capability: Capability::queue(lease),
            lease,
            finished: false,
            next_holder: 1,
        };
        let faults = Faults::new(Arc::clone(&changed));
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changed,
                faults,
            }),
        }
    }

    /// Makes messages with equal keys a group, of which one message at a time is out: the next
    /// follows when it is done. Holds for messages sent from now on.
    #[must_use]
    pub fn with_groups(self) -> Self {
        self.state().leases.with_groups();
        self
    }

    /// Sets how many deliveries a poll returns at most, and how many settlements a call takes;
    /// without a limit otherwise. Holds for sources opened from now on.
    #[must_use]
    pub fn with_limits(self, max_poll: usize, max_settle: usize) -> Self {
        {
            let capability = &mut self.state().capability;
            capability.max_poll = max_poll;
            capability.max_settle = max_settle;
        }
        self
    }

    /// Sends an event, perhaps with an ordering key.
    pub fn send(&self, event: Event, key: Option<&str>) {
        let key = key.map(|key| Bytes::copy_from_slice(key.as_bytes()));
        self.send_all([Record {
            key,
            ..event.into()
        }]);
    }

    /// Sends records side by side.
    pub fn send_all(&self, records: impl IntoIterator<Item = Record>) {
        {
            let mut state = self.state();
            for record in records {
                state.leases.send(record);
            }
        }
        self.shared.changed.notify_waiters();
    }

    /// Nothing more is going to be sent: sources end with
    /// [`Signal::End`](crate::source::Signal::End) as soon as every message is done.
    pub fn finish(&self) {
        self.state().finished = true;
        self.shared.changed.notify_waiters();
    }

    /// Opens a source.
    pub fn source(&self) -> MemoryQueueSource {
        let (capability, holder) = {
            let mut state = self.state();
            state.next_holder += 1;
            (state.capability, state.next_holder - 1)
        };
        MemoryQueueSource::new(self.clone(), holder, capability)
    }

    /// How many messages are not done.
    pub fn len(&self) -> usize {
        self.state().leases.len()
    }

    /// Whether every message is done.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages are on lease.
    pub fn leased(&self) -> usize {
        self.state().leases.leased(Instant::now())
    }

    /// The events that are not done, in the order in which they were sent.
    pub fn events(&self) -> Vec<Event> {
        self.state().leases.events()
    }

    /// Makes sources fail.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.shared.changed
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryQueue")
            .field("len", &state.leases.len())
            .field("lease", &state.lease)
            .finish()
    }
}
