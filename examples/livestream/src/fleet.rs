//! The workers of the scoring service: started, drained, killed.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{autoscale::Autoscaler, worker::SLOTS};

/// How often is looked at whether there are enough.
const LOOK: Duration = Duration::from_millis(200);
/// How long a worker may take to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long one that is gone is still shown.
const SHOWN: Duration = Duration::from_secs(3);

/// All workers, and what waits for one.
#[derive(Debug)]
pub(crate) struct Fleet {
    inner: Mutex<Inner>,
    /// A slot has become free.
    free: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    workers: BTreeMap<u32, Worker>,
    waiting: usize,
    counts: Counts,
}

/// What has happened to workers so far.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) started: u32,
    pub(crate) drained: u32,
    pub(crate) killed: u32,
    /// The most that there were at a time.
    pub(crate) most: u32,
}

#[derive(Debug)]
struct Worker {
    state: State,
    address: Option<SocketAddr>,
    busy: usize,
    scored: u64,
    order: mpsc::UnboundedSender<Order>,
    gone: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Starting,
    Ready,
    /// Gets nothing new, and ends when it has nothing left.
    Draining,
    Drained,
    Killed,
}

#[derive(Debug)]
enum Order {
    Drain,
    Kill,
}

/// A worker as it is shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    number: u32,
    pub(crate) state: State,
    busy: usize,
    slots: usize,
    scored: u64,
}

/// What there is to see.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct View {
    pub(crate) workers: Vec<Shown>,
    /// Events that wait for a free slot.
    pub(crate) waiting: usize,
    pub(crate) busy: usize,
    pub(crate) counts: Counts,
}

/// A slot of a worker, as long as it is held.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    fleet: &'a Fleet,
    number: u32,
    pub(crate) address: SocketAddr,
}

impl Fleet {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            free: Notify::new(),
        })
    }

    /// Keeps as many workers as are needed, one at least and `most` at most, until `stop`; then
    /// lets all of them end.
    pub(crate) async fn run(self: Arc<Self>, most: usize, stop: CancellationToken) {
        let mut scaler = Autoscaler::new(most);
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let (load, workers) = self.lock().load();
            let wanted = scaler.wanted(load, workers, Instant::now());
            for _ in workers..wanted {
                self.start();
            }
            if wanted < workers {
                self.drain_one();
            }
        }
        while self.lock().load().1 > 0 {
            self.drain_one();
        }
        while !self.lock().workers.is_empty() {
            sleep(LOOK / 4).await;
            self.lock()
                .workers
                .retain(|_, worker| worker.gone.is_none());
        }
    }

    /// A slot of the least busy worker, as soon as there is one.
    pub(crate) async fn slot(&self) -> Slot<'_> {
        let _waiting = Waiting::new(self);
        loop {
            let freed = self.free.notified();
            if let Some((number, address)) = self.lock().take() {
                return Slot {
                    fleet: self,
                    number,
                    address,
                };
            }
            freed.await;
        }
    }

    /// Kills the busiest worker that is ready.
    pub(crate) fn kill_one(&self) {
        let inner = self.lock();
        let ready = inner
            .workers
            .values()
            .filter(|worker| worker.state == State::Ready);
        if let Some(worker) = ready.max_by_key(|worker| worker.busy) {
            // If it has ended by itself, it is as dead as it can be.
            worker.order.send(Order::Kill).ok();
        }
    }

    pub(crate) fn view(&self) -> View {
        let inner = self.lock();
        View {
            workers: inner
                .workers
                .iter()
                .map(|(number, worker)| Shown {
                    number: *number,
                    state: worker.state,
                    busy: worker.busy,
                    slots: SLOTS,
                    scored: worker.scored,
                })
                .collect(),
            waiting: inner.waiting,
            busy: inner.workers.values().map(|worker| worker.busy).sum(),
            counts: inner.counts,
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    fn start(self: &Arc<Self>) {
        let (order, orders) = mpsc::unbounded_channel();
        let mut inner = self.lock();
        inner.counts.started += 1;
        let number = inner.counts.started;
        let worker = Worker {
            state: State::Starting,
            address: None,
            busy: 0,
            scored: 0,
            order,
            gone: None,
        };
        inner.workers.insert(number, worker);
        let now = inner.load().1 as u32;
        inner.counts.most = inner.counts.most.max(now);
        drop(inner);
        let fleet = Arc::clone(self);
        tokio::spawn(async move {
            let state = match fleet.life(number, orders).await {
                Ok(state) => state,
                Err(error) => {
                    tracing::warn!(number, %error, "a worker can't be started");
                    State::Killed
                }
            };
            fleet.ended(number, state).await;
        });
    }

    /// The newest one: others have warmed up.
    fn drain_one(&self) {
        let mut inner = self.lock();
        let alive = inner.workers.values_mut().rev();
        let mut alive = alive.filter(|worker| worker.is_wanted());
        if let Some(worker) = alive.next() {
            worker.state = State::Draining;
            worker.order.send(Order::Drain).ok();
        }
    }

    /// A worker from its start to its end.
    async fn life(
        &self,
        number: u32,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) -> io::Result<State> {
        let mut child = spawn(number)?;
        let output = child.stdout.take().map(BufReader::new);
        let mut lines = output
            .ok_or_else(|| io::Error::other("it has no output"))?
            .lines();
        let mut input = child.stdin.take();
        loop {
            tokio::select! {
                line = lines.next_line(), if self.is_starting(number) => {
                    let line = line?.ok_or_else(|| io::Error::other("it ended before it was ready"))?;
                    let address = line.parse().map_err(io::Error::other)?;
                    self.ready(number, address);
                }
                order = orders.recv() => match order {
                    Some(Order::Kill) | None => child.start_kill()?,
                    Some(Order::Drain) => {
                        while self.busy(number) > 0 {
                            sleep(Duration::from_millis(5)).await;
                        }
                        drop(input.take());
                        if timeout(FAREWELL, child.wait()).await.is_err() {
                            child.kill().await?;
                        }
                        return Ok(State::Drained);
                    }
                },
                _ = child.wait() => return Ok(State::Killed),
            }
        }
    }

    async fn ended(&self, number: u32, state: State) {
        {
            let mut inner = self.lock();
            match state {
                State::Drained => inner.counts.drained += 1,
                _ => inner.counts.killed += 1,
            }
            if let Some(worker) = inner.workers.get_mut(&number) {
                worker.state = state;
                worker.gone = Some(Instant::now());
            }
        }
        sleep(SHOWN).await;
        self.lock().workers.remove(&number);
    }

    fn ready(&self, number: u32, address: SocketAddr) {
        if let Some(worker) = self.lock().workers.get_mut(&number) {
            worker.address = Some(address);
            if worker.state == State::Starting {
                worker.state = State::Ready;
            }
        }
        self.free.notify_waiters();
    }

    fn is_starting(&self, number: u32) -> bool {
        let inner = self.lock();
        let worker = inner.workers.get(&number);
        worker.is_some_and(|worker| worker.address.is_none())
    }

    fn busy(&self, number: u32) -> usize {
        self.lock()
            .workers
            .get(&number)
            .map_or(0, |worker| worker.busy)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What the autoscaler goes by.
    fn load(&self) -> (usize, usize) {
        let busy: usize = self.workers.values().map(|worker| worker.busy).sum();
        let wanted = self.workers.values().filter(|worker| worker.is_wanted());
        (busy + self.waiting, wanted.count())
    }

    fn take(&mut self) -> Option<(u32, SocketAddr)> {
        let ready = self
            .workers
            .iter_mut()
            .filter(|(_, worker)| worker.state == State::Ready && worker.busy < SLOTS);
        let (number, worker) = ready.min_by_key(|(_, worker)| worker.busy)?;
        worker.busy += 1;
        Some((*number, worker.address?))
    }
}

impl Worker {
    fn is_wanted(&self) -> bool {
        matches!(self.state, State::Starting | State::Ready)
    }
}

impl Slot<'_> {
    /// Notes that the worker has scored an event.
    pub(crate) fn scored(&self) {
        if let Some(worker) = self.fleet.lock().workers.get_mut(&self.number) {
            worker.scored += 1;
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(worker) = self.fleet.lock().workers.get_mut(&self.number) {
            worker.busy = worker.busy.saturating_sub(1);
        }
        self.fleet.free.notify_waiters();
    }
}

/// An event that waits for a slot, also if it goes away before it has one.
struct Waiting<'a>(&'a Fleet);

impl<'a> Waiting<'a> {
    fn new(fleet: &'a Fleet) -> Self {
        fleet.lock().waiting += 1;
        Self(fleet)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

fn spawn(number: u32) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["worker", "--number", &number.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C is for the program, which then lets its workers end.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}
