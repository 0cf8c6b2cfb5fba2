//! A queue whose messages are leased, as strict as brokers are by their documentation, or as lax.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Error, ErrorKind, Result,
    queue::{Limits, Message, QueueBackend},
};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    dice::{Choice, Site},
    life::LifeId,
    plan::{Family, Plan, QueueKind, QueuePlan, RecordPlan},
    settle::{self, Trouble},
    world::World,
};

#[derive(Debug, Default)]
pub(crate) struct QueueState {
    /// By their number, which is their order; deleted ones are gone.
    pub(crate) messages: BTreeMap<u64, Stored>,
    next: u64,
    handles: u64,
}

#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) event: usize,
    visible: Instant,
    handle: u64,
    count: u32,
    lease: Option<Lease>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    life: LifeId,
    since: Instant,
    /// The broker forgot it.
    lost: bool,
}

pub(crate) fn plan(plan: &Plan) -> &QueuePlan {
    match &plan.family {
        Family::Queue(queue) => queue,
        Family::Log(_) => unreachable!("a log has no leases"),
    }
}

/// The queue as one consumer sees it.
pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) life: LifeId,
    /// Requests so far: receives, others.
    counts: [std::sync::atomic::AtomicU64; 2],
}

type Handle = (u64, u64);

impl Client {
    pub(crate) fn new(world: Arc<World>, life: LifeId) -> Self {
        Self {
            world,
            life,
            counts: Default::default(),
        }
    }

    fn next(&self, kind: usize) -> [u64; 3] {
        let number = self.counts[kind].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        [self.life as u64, kind as u64, number]
    }

    /// A process that is dead does nothing any more.
    async fn must_live(&self) {
        if !self.world.ledger().lives[self.life].alive {
            std::future::pending::<()>().await;
        }
    }
}

impl World {
    pub(crate) fn send(&self, event: usize) {
        {
            let mut queue = self.queue();
            let number = queue.next;
            queue.next += 1;
            let stored = Stored {
                event,
                visible: Instant::now(),
                handle: 0,
                count: 0,
                lease: None,
            };
            queue.messages.insert(number, stored);
            let mut ledger = self.ledger();
            ledger.sent(event);
            ledger.note(|| format!("queue: e{event} is there"));
        }
        self.changed.notify_waiters();
    }

    /// The broker forgets the lease of one message.
    pub(crate) fn lose_lease(&self, pick: u64) {
        {
            let (mut queue, now) = (self.queue(), Instant::now());
            let mut leased: Vec<_> = queue
                .messages
                .values_mut()
                .filter(|one| one.visible > now && one.lease.is_some())
                .collect();
            if leased.is_empty() {
                return;
            }
            let at = (pick % leased.len() as u64) as usize;
            let stored = &mut leased[at];
            stored.visible = now;
            stored.lease.iter_mut().for_each(|lease| lease.lost = true);
            let event = stored.event;
            self.ledger()
                .note(|| format!("queue: forgets the lease of e{event}"));
        }
        self.changed.notify_waiters();
    }

    /// Whether a lease may have run out: the message is visible again and nobody gave it back.
    fn check_expired(&self, stored: &Stored) {
        let Some(lease) = stored.lease else { return };
        let mut ledger = self.ledger();
        let life = &ledger.lives[lease.life];
        let over = !life.alive || life.ended;
        if !lease.lost && !over && !ledger.settles_badly(lease.life, lease.since) {
            let (name, event) = (ledger.name(lease.life), stored.event);
            ledger.violation(format!("{name} let the lease of e{event} run out"));
        }
    }

    fn take(&self, life: LifeId, max: usize, ids: &[u64]) -> Vec<Message<Handle>> {
        let now = Instant::now();
        let plan = plan(&self.plan);
        let mut queue = self.queue();
        let QueueState {
            messages, handles, ..
        } = &mut *queue;
        let group = |stored: &Stored| self.group(stored.event);
        let mut locked: BTreeSet<Option<u8>> = messages
            .values()
            .filter(|one| one.visible > now)
            .filter_map(group)
            .collect();
        let most = match self.dice.choose(Choice::ReceiveCount, ids).u32(0..4) {
            0 => self
                .dice
                .choose(Choice::ReceiveCount, ids)
                .usize(1..max + 1),
            _ => max,
        };
        let mut taken = Vec::new();
        for (&number, stored) in messages {
            if taken.len() == most {
                break;
            }
            let group = self.group(stored.event);
            let held = stored.visible > now;
            let twice = held && group.is_none() && stored.lease.is_some() && {
                let mut ids = ids.to_vec();
                ids.push(stored.event as u64);
                self.dice.fault(Site::ReceiveTwice, &ids).is_some()
            };
            if (held && !twice) || group.is_some_and(|group| locked.contains(&group)) {
                locked.extend(group);
                continue;
            }
            if !held {
                self.check_expired(stored);
            }
            *handles += 1;
            (stored.handle, stored.count) = (*handles, stored.count + 1);
            stored.visible = now + plan.lease;
            // An answer that is overtaken by the next one leaves a consumer with a dead handle.
            let again = stored
                .lease
                .is_some_and(|lease| lease.lost && lease.life == life);
            stored.lease = Some(Lease {
                life,
                since: now,
                lost: twice || again,
            });
            let record = self.record(stored.event);
            let id = format!("m{number}");
            let mut message = Message::new((number, *handles), id, self.event(stored.event))
                .with_attempt(stored.count);
            message.key = record.key.map(|key| vec![b'k', key].into());
            message.binding = match (plan.kind, record.key) {
                (QueueKind::Groups, Some(_)) => message.key.clone(),
                (QueueKind::Bound, _) => Some(b"queue"[..].into()),
                _ => None,
            };
            message.invalid = record.invalid.then(|| "so it was planned".into());
            taken.push(message);
        }
        if !taken.is_empty() {
            let events: Vec<_> = taken
                .iter()
                .map(|one| crate::world::number(&one.event))
                .collect();
            let mut ledger = self.ledger();
            let name = ledger.name(life);
            ledger.note(|| format!("queue: leases {} to {name}", crate::ledger::list(&events)));
        }
        taken
    }

    /// Whether the broker holds one record back while the other is on lease.
    pub(crate) fn held_together(&self, one: &RecordPlan, other: &RecordPlan) -> bool {
        match &self.plan.family {
            Family::Queue(_) => {
                let group = self.group(one.number);
                group.is_some() && group == self.group(other.number)
            }
            Family::Log(_) => false,
        }
    }

    /// What the broker holds back together.
    fn group(&self, event: usize) -> Option<Option<u8>> {
        let key = self.record(event).key;
        match plan(&self.plan).kind {
            QueueKind::Standard => None,
            QueueKind::Groups => key.map(Some),
            QueueKind::Bound => Some(None),
        }
    }

    fn change(&self, life: LifeId, handle: Handle, by: Option<Duration>) -> Result<Handle> {
        let now = Instant::now();
        let plan = plan(&self.plan);
        let mut queue = self.queue();
        let QueueState {
            messages, handles, ..
        } = &mut *queue;
        let dead = || match plan.smiles {
            true => Ok(handle),
            false => Err(Error::new(
                ErrorKind::Fenced,
                "change",
                "the handle is not valid",
            )),
        };
        let mut ledger = self.ledger();
        let Some(stored) = messages.get_mut(&handle.0) else {
            ledger.note(|| format!("queue: m{} is gone", handle.0));
            return dead();
        };
        let event = stored.event;
        if stored.handle != handle.1 {
            ledger.note(|| format!("queue: a handle of e{event} is dead"));
            if plan.smiles {
                // Whoever asked believes what is not so.
                stored.lease.iter_mut().for_each(|lease| lease.lost = true);
            }
            return dead();
        }
        // A lax broker takes the newest handle even when its lease is over.
        if stored.visible <= now && !(plan.smiles && by.is_none()) {
            ledger.note(|| format!("queue: refuses a handle of e{event}, whose lease is over"));
            return dead();
        }
        let Some(by) = by else {
            if !ledger.is_resolved(event) {
                ledger.violation(format!("lost: e{event} was deleted, which is not done"));
            }
            ledger.note(|| format!("queue: deletes e{event}"));
            messages.remove(&handle.0);
            return Ok(handle);
        };
        if by.is_zero() || by != plan.lease {
            ledger.note(|| format!("queue: gives e{event} back, for {} ms", by.as_millis()));
            if let Some(lease) = stored.lease.filter(|lease| !lease.lost) {
                ledger.given_back(life, event, lease.since);
            }
            stored.lease = None;
        } else {
            ledger.note(|| format!("queue: extends the lease of e{event}"));
        }
        stored.visible = now + by;
        if plan.renames {
            *handles += 1;
            stored.handle = *handles;
        }
        Ok((handle.0, stored.handle))
    }

    /// At the end of the world everything must be gone.
    pub(crate) fn left(&self) -> Vec<usize> {
        self.queue()
            .messages
            .values()
            .map(|stored| stored.event)
            .collect()
    }
}

#[async_trait]
impl QueueBackend for Client {
    type Handle = Handle;

    fn name(&self) -> &str {
        "queue"
    }

    fn limits(&self) -> Limits {
        let plan = plan(&self.world.plan);
        Limits::default()
            .with_batches(plan.receive, plan.batch)
            .with_wait(plan.wait)
            .with_lease(plan.lease)
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message<Handle>>> {
        self.must_live().await;
        let ids = self.next(0);
        let world = &self.world;
        let mut pace = world.dice.choose(Choice::ReceivePace, &ids);
        let most = world.settle_pace() + 1;
        sleep(Duration::from_millis(pace.u64(0..most))).await;
        if let Some(mut random) = world.dice.fault(Site::ReceiveFail, &ids) {
            world.ledger().note(|| "queue: a receive fails".to_owned());
            return Err(settle::passing(&mut random, "receive"));
        }
        let hasty = world.dice.fault(Site::ReceiveHasty, &ids).is_some();
        let until = Instant::now() + wait;
        let taken = loop {
            let changed = world.changed.notified();
            self.must_live().await;
            let taken = world.take(self.life, max, &ids);
            if !taken.is_empty() || hasty || Instant::now() >= until {
                break taken;
            }
            let now = Instant::now();
            let next = {
                let queue = world.queue();
                queue
                    .messages
                    .values()
                    .map(|one| one.visible)
                    .filter(|&at| at > now)
                    .min()
            };
            drop(timeout_at(next.unwrap_or(until).min(until), changed).await);
        };
        if !taken.is_empty() && world.dice.fault(Site::ReceiveLostAnswer, &ids).is_some() {
            let mut queue = world.queue();
            for message in &taken {
                if let Some(stored) = queue.messages.get_mut(&message.handle.0) {
                    stored.lease.iter_mut().for_each(|lease| lease.lost = true);
                }
            }
            world
                .ledger()
                .note(|| "queue: the answer to a receive is lost".to_owned());
            return Err(Error::new(
                ErrorKind::Unavailable,
                "receive",
                "the answer was lost",
            ));
        }
        sleep(Duration::from_millis(pace.u64(0..most))).await;
        self.must_live().await;
        Ok(taken)
    }

    async fn delete(&self, handles: &[Handle]) -> Result<Vec<Result<()>>> {
        let handles = handles.iter().map(|&handle| (handle, None)).collect();
        let results = self.ask(handles).await?;
        Ok(results.into_iter().map(|result| result.map(drop)).collect())
    }

    async fn change_visibility(
        &self,
        changes: &[(Handle, Duration)],
    ) -> Result<Vec<Result<Handle>>> {
        self.ask(
            changes
                .iter()
                .map(|&(handle, by)| (handle, Some(by)))
                .collect(),
        )
        .await
    }
}

impl Client {
    async fn ask(&self, changes: Vec<(Handle, Option<Duration>)>) -> Result<Vec<Result<Handle>>> {
        self.must_live().await;
        let most = plan(&self.world.plan).batch;
        if changes.is_empty() || changes.len() > most {
            let wrong = format!("a request about {} messages of {most}", changes.len());
            self.world.ledger().violation(wrong);
        }
        let ids = self.next(1);
        let trouble = Trouble::draw(&self.world, self.life, &ids);
        let (world, life) = (Arc::clone(&self.world), self.life);
        settle::call(&self.world, life, trouble, &ids, move |failing| {
            let changes = changes.iter().enumerate();
            changes
                .map(|(at, &(handle, by))| match failing(at) {
                    Some(error) => Err(error),
                    None => world.change(life, handle, by),
                })
                .collect()
        })
        .await
    }
}
