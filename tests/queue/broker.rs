//! A broker with leases in memory, as strict as brokers are by their documentation: handles die with
//! every receive and every change of visibility, a message group is locked while one of its messages
//! is on lease, and a receive that is abandoned swallows what comes next.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Error, ErrorKind, Event, Result,
    event::Data,
    queue::{Limits, Message, QueueBackend},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};

pub(crate) const LEASE: Duration = Duration::from_secs(5);
const FOREVER: Duration = Duration::from_secs(400 * 86_400);
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// A handle; clones are the same broker.
#[derive(Clone)]
pub(crate) struct Broker(Arc<Inner>);

struct Inner {
    limits: Limits,
    state: Mutex<State>,
    changed: Notify,
    pub(crate) receives: AtomicUsize,
    abandoned: AtomicUsize,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
}

#[derive(Default)]
struct State {
    messages: BTreeMap<u64, Stored>,
    next: u64,
    handles: u64,
    deletes: Vec<usize>,
    changes: Vec<Vec<(String, Duration)>>,
    dead: Vec<String>,
    script: Script,
}

struct Stored {
    id: String,
    body: String,
    group: Option<String>,
    visible: Instant,
    handle: u64,
    count: u32,
}

/// What goes wrong.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) receive_errors: VecDeque<Error>,
    /// Empty answers come at once.
    pub(crate) hasty: bool,
    pub(crate) delete_errors: VecDeque<Error>,
    pub(crate) dead_letter_errors: VecDeque<Error>,
    /// Entries of deletes that fail, by message id, once.
    pub(crate) undeletable: HashSet<String>,
    /// Entries of extensions that fail as if the lease were over, by message id, always.
    pub(crate) unextendable: HashSet<String>,
    /// Before settlements are carried out.
    pub(crate) settle_delay: Duration,
    /// Between that and the answer, for changes of visibility.
    pub(crate) answer_delay: Duration,
    /// So many of the next requests panic.
    pub(crate) panics: usize,
}

impl Script {
    fn panic(&mut self) {
        if let Some(left) = self.panics.checked_sub(1) {
            self.panics = left;
            std::panic::resume_unwind(Box::new("told to"));
        }
    }
}

impl Broker {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default().with_lease(LEASE).with_wait(WAIT))
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            limits,
            state: Mutex::default(),
            changed: Notify::new(),
            receives: AtomicUsize::new(0),
            abandoned: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            most_waiting: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn send(&self, group: Option<&str>, ids: impl IntoIterator<Item = String>) {
        for id in ids {
            self.send_body(group, &id, &id);
        }
    }

    pub(crate) fn send_body(&self, group: Option<&str>, id: &str, body: &str) {
        {
            let mut state = self.state();
            let number = state.next;
            state.next += 1;
            let stored = Stored {
                id: id.to_owned(),
                body: body.to_owned(),
                group: group.map(str::to_owned),
                visible: Instant::now(),
                handle: 0,
                count: 0,
            };
            state.messages.insert(number, stored);
        }
        self.0.changed.notify_waiters();
    }

    pub(crate) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.state().script);
    }

    /// Lets receives under way look at the script.
    pub(crate) fn wake(&self) {
        self.0.changed.notify_waiters();
    }

    /// Messages that are not deleted.
    pub(crate) fn len(&self) -> usize {
        self.state().messages.len()
    }

    /// Those of them that are on lease, or released for later.
    pub(crate) fn invisible(&self) -> usize {
        let now = Instant::now();
        let state = self.state();
        state
            .messages
            .values()
            .filter(|one| one.visible > now)
            .count()
    }

    /// All leases end at once.
    pub(crate) fn forget_leases(&self) {
        for stored in self.state().messages.values_mut() {
            stored.visible = Instant::now();
        }
        self.0.changed.notify_waiters();
    }

    pub(crate) fn count(&self, id: &str) -> u32 {
        let state = self.state();
        let found = state.messages.values().find(|one| one.id == id);
        found.map_or(0, |one| one.count)
    }

    pub(crate) fn receives(&self) -> usize {
        self.0.receives.load(SeqCst)
    }

    /// Receives whose future was dropped: each has cost a message its lease.
    pub(crate) fn abandoned(&self) -> usize {
        self.0.abandoned.load(SeqCst)
    }

    pub(crate) fn most_waiting(&self) -> usize {
        self.0.most_waiting.load(SeqCst)
    }

    /// The sizes of the deletes so far.
    pub(crate) fn deletes(&self) -> Vec<usize> {
        self.state().deletes.clone()
    }

    /// The changes of visibility so far, by request: message ids and durations.
    pub(crate) fn changes(&self) -> Vec<Vec<(String, Duration)>> {
        self.state().changes.clone()
    }

    /// The ids of those of which dead letters were made.
    pub(crate) fn dead(&self) -> Vec<String> {
        self.state().dead.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, max: usize) -> Vec<Message<String>> {
        let now = Instant::now();
        let mut state = self.state();
        let state = &mut *state;
        let mut locked: HashSet<String> = state
            .messages
            .values()
            .filter(|one| one.visible > now)
            .filter_map(|one| one.group.clone())
            .collect();
        let mut taken = Vec::new();
        for (number, stored) in &mut state.messages {
            if taken.len() == max {
                break;
            }
            if stored.visible > now || stored.group.as_ref().is_some_and(|of| locked.contains(of)) {
                locked.extend(stored.group.clone());
                continue;
            }
            state.handles += 1;
            (stored.handle, stored.count) = (state.handles, stored.count + 1);
            stored.visible = now + self.0.limits.lease.min(FOREVER);
            let event = Event::builder()
                .id(stored.id.as_str())
                .source("/broker")
                .ty("test");
            let event = event
                .data(Data::text(stored.body.as_str()))
                .build()
                .unwrap();
            let handle = format!("{number}:{}", stored.handle);
            let message =
                Message::new(handle, stored.id.as_str(), event).with_attempt(stored.count);
            taken.push(match &stored.group {
                Some(group) => message.with_group(group.clone()),
                None => message,
            });
        }
        taken
    }

    /// The message that a handle is valid for.
    fn of<'s>(state: &'s mut State, handle: &str) -> Result<(u64, &'s mut Stored)> {
        let gone = || Error::new(ErrorKind::Fenced, "test", "the handle is not valid");
        let (number, generation) = handle.split_once(':').ok_or_else(gone)?;
        let number = number.parse().map_err(|_| gone())?;
        let stored = state.messages.get_mut(&number).ok_or_else(gone)?;
        let valid = stored.handle.to_string() == generation && stored.visible > Instant::now();
        valid.then_some((number, stored)).ok_or_else(gone)
    }
}

/// Notices when it is dropped before its time.
struct Receiving<'a>(&'a Inner, bool);

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
        self.0.abandoned.fetch_add(usize::from(!self.1), SeqCst);
    }
}

#[async_trait]
impl QueueBackend for Broker {
    type Handle = String;

    fn name(&self) -> &str {
        "test"
    }

    fn limits(&self) -> Limits {
        self.0.limits
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message<String>>> {
        assert!((1..=self.0.limits.receive).contains(&max), "{max}");
        self.0.receives.fetch_add(1, SeqCst);
        let waiting = self.0.waiting.fetch_add(1, SeqCst) + 1;
        self.0.most_waiting.fetch_max(waiting, SeqCst);
        let mut receiving = Receiving(&self.0, false);
        let until = Instant::now() + wait;
        sleep(Duration::from_millis(5)).await;
        receiving.1 = true;
        self.state().script.panic();
        receiving.1 = false;
        let answer = loop {
            let changed = self.0.changed.notified();
            if let Some(error) = self.state().script.receive_errors.pop_front() {
                break Err(error);
            }
            let taken = self.take(max);
            let hasty = self.state().script.hasty;
            if !taken.is_empty() || hasty || Instant::now() >= until {
                break Ok(taken);
            }
            let now = Instant::now();
            let next = {
                let state = self.state();
                let all = state.messages.values().map(|one| one.visible);
                all.filter(|&visible| visible > now).min()
            };
            drop(timeout_at(next.unwrap_or(until).min(until), changed).await);
        };
        receiving.1 = true;
        answer
    }

    async fn delete(&self, handles: &[String]) -> Result<Vec<Result<()>>> {
        assert!((1..=self.0.limits.batch).contains(&handles.len()));
        assert_eq!(handles.iter().collect::<HashSet<_>>().len(), handles.len());
        let delay = self.state().script.settle_delay;
        sleep(delay).await;
        let mut state = self.state();
        state.script.panic();
        if let Some(error) = state.script.delete_errors.pop_front() {
            return Err(error);
        }
        state.deletes.push(handles.len());
        let results = handles.iter().map(|handle| {
            let (number, stored) = Self::of(&mut state, handle)?;
            let id = stored.id.clone();
            if state.script.undeletable.remove(&id) {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "delete",
                    "from the test",
                ));
            }
            state.messages.remove(&number);
            Ok(())
        });
        let results = results.collect();
        drop(state);
        self.0.changed.notify_waiters();
        Ok(results)
    }

    async fn change_visibility(
        &self,
        changes: &[(String, Duration)],
    ) -> Result<Vec<Result<String>>> {
        assert!((1..=self.0.limits.batch).contains(&changes.len()));
        let delay = self.state().script.settle_delay;
        sleep(delay).await;
        let (results, delay) = {
            let mut state = self.state();
            state.script.panic();
            let mut named = Vec::new();
            let results = changes.iter().map(|(handle, by)| {
                assert!((self.0.limits.min_visibility..=self.0.limits.max_visibility).contains(by));
                state.handles += 1;
                let fresh = state.handles;
                let refused = {
                    let (_, stored) = Self::of(&mut state, handle)?;
                    named.push((stored.id.clone(), *by));
                    stored.id.clone()
                };
                if state.script.unextendable.contains(&refused) && !by.is_zero() {
                    return Err(Error::new(ErrorKind::Fenced, "extend", "from the test"));
                }
                let (number, stored) = Self::of(&mut state, handle)?;
                (stored.handle, stored.visible) = (fresh, Instant::now() + (*by).min(FOREVER));
                Ok(format!("{number}:{fresh}"))
            });
            let results: Vec<_> = results.collect();
            state.changes.push(named);
            (results, state.script.answer_delay)
        };
        self.0.changed.notify_waiters();
        sleep(delay).await;
        Ok(results)
    }

    async fn dead_letter(&self, handle: &String) -> Result<()> {
        let delay = self.state().script.settle_delay;
        sleep(delay).await;
        let mut state = self.state();
        if let Some(error) = state.script.dead_letter_errors.pop_front() {
            return Err(error);
        }
        let (number, _) = Self::of(&mut state, handle)?;
        let dead = state.messages.remove(&number).map(|one| one.id);
        state.dead.extend(dead);
        drop(state);
        self.0.changed.notify_waiters();
        Ok(())
    }

    async fn depth(&self) -> Result<Option<u64>> {
        Ok(Some(self.len() as u64))
    }
}
