//! A partitioned log with a consumer group: what the broker knows, and who holds what.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use eventlane::source::Revocation;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    dice::Choice,
    life::LifeId,
    plan::{Family, LogPlan, Plan},
    world::World,
};

#[derive(Debug, Default)]
pub(crate) struct LogState {
    pub(crate) partitions: Vec<Part>,
    pub(crate) members: BTreeMap<LifeId, Member>,
    pub(crate) finished: bool,
}

/// A partition as the broker sees it.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) records: Vec<(u64, usize)>,
    pub(crate) end: u64,
    pub(crate) committed: u64,
    pub(crate) beyond: Vec<Range<u64>>,
    pub(crate) epoch: u32,
    pub(crate) owner: Option<LifeId>,
}

/// A consumer as its client library sees it.
#[derive(Debug, Default)]
pub(crate) struct Member {
    pub(crate) news: VecDeque<News>,
    pub(crate) views: BTreeMap<u32, View>,
    pub(crate) polls: u64,
    pub(crate) settles: u64,
}

#[derive(Debug)]
pub(crate) struct View {
    pub(crate) epoch: u32,
    pub(crate) next: u64,
    /// Up to where the engine knows that it has everything.
    pub(crate) told: u64,
    pub(crate) skip: Vec<Range<u64>>,
    pub(crate) paused: bool,
    pub(crate) stopped: bool,
}

#[derive(Debug)]
pub(crate) enum News {
    Assigned(u32, u32),
    Revoking(Revocation, u32, u32),
    Lost(u32),
}

impl Part {
    /// Whether a restart would pass over it.
    pub(crate) fn has_recorded(&self, offset: u64) -> bool {
        offset < self.committed || self.beyond.iter().any(|range| range.contains(&offset))
    }
}

pub(crate) fn plan(plan: &Plan) -> &LogPlan {
    match &plan.family {
        Family::Log(log) => log,
        Family::Queue(_) => unreachable!("a queue has no partitions"),
    }
}

impl World {
    pub(crate) fn append(&self, event: usize, partition: u32, gap: u64) {
        {
            let mut log = self.log();
            let part = &mut log.partitions[partition as usize];
            let offset = part.end + gap;
            part.records.push((offset, event));
            part.end = offset + 1;
            let mut ledger = self.ledger();
            ledger.sent(event);
            ledger.note(|| format!("log: e{event} is p{partition}/{offset}"));
        }
        self.changed.notify_waiters();
    }

    /// Nothing more comes.
    pub(crate) fn finish_log(&self, tail: u64) {
        {
            let mut log = self.log();
            log.finished = true;
            for part in &mut log.partitions {
                part.end += tail;
            }
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn join(self: &Arc<Self>, life: LifeId) {
        self.log().members.insert(life, Member::default());
        self.distribute_soon(life as u64);
    }

    /// The broker learns that a consumer is gone.
    pub(crate) fn leave(self: &Arc<Self>, life: LifeId) {
        {
            let mut log = self.log();
            log.members.remove(&life);
            for part in &mut log.partitions {
                part.owner.take_if(|owner| *owner == life);
            }
        }
        self.distribute_soon(life as u64);
    }

    /// A consumer is gone without a word: the broker finds out later.
    pub(crate) fn vanish(self: &Arc<Self>, life: LifeId) {
        let member = self.log().members.remove(&life);
        // With it goes what it was told, and the locks may be taken by that.
        drop(member);
        let world = Arc::clone(self);
        let after = self
            .dice
            .choose(Choice::Coordinator, &[life as u64, 1])
            .u64(0..3000);
        tokio::spawn(async move {
            sleep(Duration::from_millis(after)).await;
            world.leave(life);
        });
    }

    fn distribute_soon(self: &Arc<Self>, id: u64) {
        let after = self.dice.choose(Choice::Coordinator, &[id, 2]).u64(0..200);
        let world = Arc::clone(self);
        tokio::spawn(async move {
            if after > 40 {
                sleep(Duration::from_millis(after)).await;
            }
            world.distribute();
        });
    }

    /// Gives what nobody holds to somebody.
    fn distribute(&self) {
        {
            let mut log = self.log();
            let members: Vec<_> = log.members.keys().copied().collect();
            for number in 0..log.partitions.len() {
                let part = &mut log.partitions[number];
                if part.owner.is_some() || members.is_empty() {
                    continue;
                }
                let ids = [number as u64, part.epoch.into(), 3];
                let at = self
                    .dice
                    .choose(Choice::Coordinator, &ids)
                    .usize(0..members.len());
                let life = members[at];
                part.epoch += 1;
                part.owner = Some(life);
                let (epoch, committed, beyond) = (part.epoch, part.committed, part.beyond.clone());
                let Some(member) = log.members.get_mut(&life) else {
                    continue;
                };
                let number = number as u32;
                if member.views.remove(&number).is_some() {
                    // It has not heard yet that it lost it.
                    member.news.push_back(News::Lost(number));
                }
                member.news.push_back(News::Assigned(number, epoch));
                let view = View {
                    epoch,
                    next: committed,
                    told: committed,
                    skip: beyond,
                    paused: false,
                    stopped: true,
                };
                member.views.insert(number, view);
            }
        }
        self.changed.notify_waiters();
    }

    /// Takes a partition away at once; its holder hears of it later.
    pub(crate) fn lose(self: &Arc<Self>, number: u32, noticed: u64) {
        let (life, epoch) = {
            let mut log = self.log();
            let part = &mut log.partitions[number as usize];
            let Some(life) = part.owner.take() else {
                return;
            };
            (life, part.epoch)
        };
        {
            let mut ledger = self.ledger();
            ledger.lives[life].robbed = true;
            ledger.note(|| format!("group: p{number}@{epoch} is lost"));
        }
        self.distribute_soon(u64::from(number) << 32 | u64::from(epoch));
        let world = Arc::clone(self);
        tokio::spawn(async move {
            sleep(Duration::from_millis(noticed)).await;
            if let Some(member) = world.log().members.get_mut(&life)
                && member
                    .views
                    .get(&number)
                    .is_some_and(|view| view.epoch == epoch)
            {
                member.views.remove(&number);
                member.news.push_back(News::Lost(number));
            }
            world.changed.notify_waiters();
        });
    }

    /// Begins to take a partition away.
    pub(crate) fn revoke(self: &Arc<Self>, number: u32, within: u64) {
        let deadline = Instant::now() + Duration::from_millis(within);
        let partition = eventlane::source::Partition(number);
        let (revocation, let_go) = Revocation::new(vec![partition], deadline);
        let (life, epoch) = {
            let mut log = self.log();
            let LogState {
                partitions,
                members,
                ..
            } = &mut *log;
            let part = &partitions[number as usize];
            let Some(life) = part.owner else { return };
            let Some(member) = members.get_mut(&life) else {
                return;
            };
            let already = member.news.iter().any(|news| match news {
                News::Revoking(_, of, epoch) => *of == number && *epoch == part.epoch,
                _ => false,
            });
            let held = member
                .views
                .get(&number)
                .is_some_and(|view| view.epoch == part.epoch);
            if already || !held || !self.ledger().begin_revoking(life, number, part.epoch) {
                return;
            }
            member
                .news
                .push_back(News::Revoking(revocation, number, part.epoch));
            (life, part.epoch)
        };
        self.ledger()
            .note(|| format!("group: p{number}@{epoch} is revoked within {within} ms"));
        self.changed.notify_waiters();
        tokio::spawn(Arc::clone(self).await_let_go(let_go, life, number, epoch, deadline));
    }

    async fn await_let_go(
        self: Arc<Self>,
        let_go: oneshot::Receiver<()>,
        life: LifeId,
        number: u32,
        epoch: u32,
        deadline: Instant,
    ) {
        let in_time = tokio::select! {
            biased;
            _ = let_go => Instant::now() < deadline,
            () = sleep_until(deadline) => false,
        };
        {
            let mut log = self.log();
            let LogState {
                partitions,
                members,
                ..
            } = &mut *log;
            let part = &mut partitions[number as usize];
            if part.owner != Some(life) || part.epoch != epoch {
                return;
            }
            let Some(member) = members.get_mut(&life) else {
                return;
            };
            if in_time {
                self.check_hand_over(part, life, number, epoch);
            } else {
                self.ledger().lives[life].robbed = true;
            }
            self.ledger().note(|| {
                let how = if in_time {
                    "has been let go"
                } else {
                    "is taken away"
                };
                format!("group: p{number}@{epoch} {how}")
            });
            member.views.remove(&number);
            part.owner = None;
        }
        self.distribute_soon(u64::from(number) << 32 | u64::from(epoch));
    }

    /// An engine that lets go in time has nothing in flight and has settled all it could.
    fn check_hand_over(&self, part: &Part, life: LifeId, number: u32, epoch: u32) {
        let mut ledger = self.ledger();
        let alive = &ledger.lives[life];
        if !alive.alive {
            return;
        }
        let flying = alive.hand.iter().find(|(receipt, entry)| {
            receipt.partition.0 == number && receipt.epoch == epoch && entry.flying.is_some()
        });
        let flying = flying.map(|(_, entry)| entry.event);
        let unsettled = unsettled(self, alive, part, number, epoch);
        let name = ledger.name(life);
        if let Some(event) = flying {
            ledger.violation(format!(
                "{name} let go of p{number} with e{event} in flight"
            ));
        }
        if !unsettled.is_empty() {
            let list = crate::ledger::list(&unsettled);
            ledger.violation(format!(
                "{name} let go of p{number} without settling {list}"
            ));
        }
    }

    /// What a consumer that closes has done and not settled.
    pub(crate) fn unsettled_at_close(&self, life: LifeId) -> usize {
        let log = self.log();
        let ledger = self.ledger();
        let parts = log.partitions.iter().enumerate();
        parts
            .filter(|(_, part)| part.owner == Some(life))
            .map(|(number, part)| {
                unsettled(self, &ledger.lives[life], part, number as u32, part.epoch).len()
            })
            .sum()
    }
}

/// What was well answered under an assignment and could be settled, but is not.
fn unsettled(
    world: &World,
    life: &crate::life::Life,
    part: &Part,
    number: u32,
    epoch: u32,
) -> Vec<usize> {
    let Some(view) = life
        .partitions
        .get(&number)
        .filter(|view| view.epoch == epoch)
    else {
        return Vec::new();
    };
    let offset = |event: usize| {
        let found = part.records.iter().find(|(_, other)| *other == event);
        found.map_or(0, |(offset, _)| *offset)
    };
    let answered: Vec<u64> = view.answered.iter().map(|&event| offset(event)).collect();
    let open = view
        .handed
        .iter()
        .filter(|seq| !answered.contains(seq))
        .min();
    let keeps = plan(&world.plan).keeps_beyond;
    let able = |offset: u64| keeps || open.is_none_or(|&open| offset < open);
    view.answered
        .iter()
        .copied()
        .filter(|&event| able(offset(event)) && !part.has_recorded(offset(event)))
        .collect()
}
