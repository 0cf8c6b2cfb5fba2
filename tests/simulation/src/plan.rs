//! What a world is made of, drawn from its seed: records, lives, operations, settings. Plain data,
//! so that parts can be taken away.

use std::{collections::HashSet, time::Duration};

use eventlane::{BatchPolicy, Budgets, Growth, Keyless, OnExhausted, Ordering, Retry};

use crate::dice::{Choice, Dice, Site};

/// A world before it runs.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) seed: u64,
    pub(crate) family: Family,
    pub(crate) engine: EnginePlan,
    pub(crate) sink: SinkPlan,
    pub(crate) rates: [u32; Site::COUNT],
    /// By their number; parts that were taken away are missing.
    pub(crate) records: Vec<RecordPlan>,
    /// Of each consumer, the lives it leads one after the other.
    pub(crate) lives: Vec<Vec<LifePlan>>,
    pub(crate) operations: Vec<Operation>,
    /// Whether budgets are so wide that no blocked lane can hold up another.
    pub(crate) ample: bool,
    pub(crate) only: Option<HashSet<u64>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Family {
    Log(LogPlan),
    Queue(QueuePlan),
}

#[derive(Clone, Debug)]
pub(crate) struct LogPlan {
    pub(crate) partitions: u32,
    pub(crate) pause: bool,
    pub(crate) keeps_beyond: bool,
    pub(crate) max_poll: usize,
    /// Offsets without records at the ends of the partitions.
    pub(crate) tail: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueKind {
    Standard,
    /// Message groups: a group is held back while one of it is on lease.
    Groups,
    /// The whole queue is held back while one of it is on lease.
    Bound,
}

#[derive(Clone, Debug)]
pub(crate) struct QueuePlan {
    pub(crate) kind: QueueKind,
    pub(crate) lease: Duration,
    pub(crate) wait: Duration,
    pub(crate) receive: usize,
    pub(crate) batch: usize,
    pub(crate) receivers: usize,
    pub(crate) max_held: usize,
    pub(crate) linger: Duration,
    /// Dead handles are taken with a smile instead of refused.
    pub(crate) smiles: bool,
    /// A changed visibility makes a new handle.
    pub(crate) renames: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct EnginePlan {
    pub(crate) ordering: Ordering,
    pub(crate) keyless: Keyless,
    pub(crate) budgets: Budgets,
    pub(crate) batch: BatchPolicy,
    pub(crate) retry: Retry,
    pub(crate) policy: OnExhausted,
    pub(crate) commit_interval: Duration,
    pub(crate) grace: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct SinkPlan {
    pub(crate) per_event: bool,
    /// Answers without ever waiting, if nothing is wrong.
    pub(crate) instant: bool,
    /// Batches of more are too large.
    pub(crate) most_events: usize,
    pub(crate) most_bytes: usize,
    /// The longest it takes if nothing is wrong, in milliseconds.
    pub(crate) pace: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct RecordPlan {
    pub(crate) number: usize,
    pub(crate) at: u64,
    pub(crate) partition: u32,
    pub(crate) key: Option<u8>,
    pub(crate) size: usize,
    /// Offsets left out before it.
    pub(crate) gap: u64,
    /// Refused for good when alone.
    pub(crate) poison: bool,
    /// Claims to be a CloudEvent and is not.
    pub(crate) invalid: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct LifePlan {
    pub(crate) pause: u64,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// At a moment, or at the so many-th time that the pipeline waits, whatever comes first.
    Crash {
        at: u64,
        waits: u64,
    },
    Stop {
        at: u64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) at: u64,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Revoke {
        partition: u32,
        within: u64,
    },
    Lose {
        partition: u32,
        noticed: u64,
    },
    /// Everything the sink is asked within the time ends like that.
    Outage {
        kind: Outage,
        length: u64,
    },
    /// The broker forgets the lease of one message.
    LoseLease {
        pick: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    Retry,
    Throttle,
    Hold,
    Stall,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Plan {
    /// The world of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Dice::new(seed, [0; Site::COUNT], None).choose(Choice::Plan, &[]);
        let r = &mut random;
        let ample = r.u32(0..3) == 0;
        let family = match r.u32(0..10) {
            0..5 => Family::Log(log(r)),
            _ => Family::Queue(queue(r, ample)),
        };
        let engine = engine(r, &family, ample);
        let sink = SinkPlan {
            per_event: r.u32(0..3) == 0,
            instant: r.u32(0..5) == 0,
            most_events: if r.u32(0..3) == 0 {
                r.usize(1..5)
            } else {
                usize::MAX
            },
            most_bytes: if r.u32(0..4) == 0 {
                r.usize(300..3000)
            } else {
                usize::MAX
            },
            pace: *r.choice([&2, &20, &20, &100]).unwrap_or(&20),
        };
        let records = records(r, &family, &engine);
        let lives = lives(r);
        let operations = operations(r, &family);
        Self {
            seed,
            rates: rates(r, &family),
            family,
            engine,
            sink,
            records,
            lives,
            operations,
            ample,
            only: None,
        }
    }

    /// How much could still be taken away: records, lives, operations.
    pub fn size(&self) -> usize {
        let lives: usize = self.lives.iter().map(Vec::len).sum();
        self.records.len() + lives + self.operations.len()
    }
}

fn log(r: &mut fastrand::Rng) -> LogPlan {
    LogPlan {
        partitions: r.u32(1..5),
        pause: r.u32(0..3) > 0,
        keeps_beyond: r.bool(),
        max_poll: r.usize(1..20),
        tail: if r.u32(0..3) == 0 { r.u64(1..50) } else { 0 },
    }
}

fn queue(r: &mut fastrand::Rng, ample: bool) -> QueuePlan {
    let kinds = [
        QueueKind::Standard,
        QueueKind::Groups,
        QueueKind::Groups,
        QueueKind::Bound,
    ];
    QueuePlan {
        kind: *r.choice(kinds.iter()).unwrap_or(&QueueKind::Standard),
        lease: ms(*r.choice([&1000, &2000, &5000, &20_000]).unwrap_or(&5000)),
        wait: ms(*r.choice([&0, &500, &2000, &20_000]).unwrap_or(&2000)),
        receive: r.usize(1..11),
        batch: r.usize(1..11),
        receivers: r.usize(1..5),
        max_held: if ample { 1000 } else { r.usize(1..60) },
        linger: ms(r.u64(0..3) * 100),
        smiles: r.bool(),
        renames: r.bool(),
    }
}

fn engine(r: &mut fastrand::Rng, family: &Family, ample: bool) -> EnginePlan {
    let orderings = [
        Ordering::Key,
        Ordering::Key,
        Ordering::Partition,
        Ordering::None,
    ];
    let mut budgets = Budgets::default().with_requests(r.usize(1..12));
    if !ample {
        budgets = budgets.with_events(r.usize(1..60)).with_span(r.u64(1..40));
        if r.bool() {
            let most = if r.bool() { 20_000 } else { 2000 };
            budgets = budgets.with_bytes(r.usize(400..most));
        }
    }
    let batch = if r.bool() {
        BatchPolicy::new(r.usize(2..12), ms(r.u64(0..60))).with_bytes(r.usize(500..20_000))
    } else {
        BatchPolicy::default()
    };
    let growths = [
        Growth::Linear,
        Growth::Exponential,
        Growth::KnativeExponential,
    ];
    let growth = *r.choice(growths.iter()).unwrap_or(&Growth::Exponential);
    let initial = r.u64(5..100);
    let mut retry = Retry::default()
        .with_attempts(r.u32(1..6))
        .with_delays(ms(initial), ms(initial + r.u64(0..3000)))
        .with_growth(growth, r.f64())
        .with_timeout(ms(r.u64(120..2000)));
    match r.u32(0..6) {
        0 => retry = retry.without_limit(),
        1 => retry = retry.with_elapsed(ms(r.u64(0..2000))),
        _ => {}
    }
    let queue = matches!(family, Family::Queue(_));
    let policy = match r.u32(0..10) {
        0..3 => OnExhausted::Block,
        3..6 => OnExhausted::DeadLetter,
        6..=8 if queue => OnExhausted::Release {
            after: ms(r.u64(0..3) * 700),
        },
        9 => OnExhausted::Stop,
        _ => OnExhausted::Drop,
    };
    EnginePlan {
        ordering: *r.choice(orderings.iter()).unwrap_or(&Ordering::Key),
        keyless: if r.bool() {
            Keyless::Partition
        } else {
            Keyless::Unordered
        },
        budgets,
        batch,
        retry,
        policy,
        commit_interval: ms(r.u64(0..5) * 200),
        grace: ms(r.u64(200..6000)),
    }
}

fn records(r: &mut fastrand::Rng, family: &Family, engine: &EnginePlan) -> Vec<RecordPlan> {
    let count = if r.u32(0..3) == 0 {
        r.usize(1..8)
    } else {
        r.usize(5..60)
    };
    let keys = r.u8(1..7);
    let early = r.u32(20..100);
    let poison = *r.choice([&0, &0, &20, &150]).unwrap_or(&0);
    let gaps = r.u32(0..30);
    let keyless = *r.choice([&0, &10, &100]).unwrap_or(&0);
    let skips = matches!(engine.policy, OnExhausted::DeadLetter | OnExhausted::Drop);
    let partitions = match family {
        Family::Log(log) => log.partitions,
        Family::Queue(_) => 1,
    };
    let mut records: Vec<_> = (0..count)
        .map(|number| RecordPlan {
            number,
            at: if r.u32(0..100) < early {
                0
            } else {
                r.u64(0..4000)
            },
            partition: r.u32(0..partitions),
            key: (r.u32(0..100) >= keyless).then(|| r.u8(0..keys)),
            size: if r.u32(0..8) == 0 {
                r.usize(500..3000)
            } else {
                r.usize(0..200)
            },
            gap: if r.u32(0..100) < gaps {
                r.u64(1..1000)
            } else {
                0
            },
            poison: r.u32(0..1000) < poison,
            invalid: skips && r.u32(0..1000) < poison / 2,
        })
        .collect();
    records.sort_by_key(|record| record.at);
    for (number, record) in records.iter_mut().enumerate() {
        record.number = number;
    }
    records
}

fn lives(r: &mut fastrand::Rng) -> Vec<Vec<LifePlan>> {
    let slots = if r.u32(0..3) == 0 { 2 } else { 1 };
    let slot = |r: &mut fastrand::Rng| {
        let count = r.usize(0..4);
        (0..count)
            .map(|_| {
                let at = if r.bool() {
                    r.u64(0..400)
                } else {
                    r.u64(0..5000)
                };
                let end = match r.u32(0..5) {
                    0 => End::Crash {
                        at: at + 2000,
                        waits: r.u64(1..200),
                    },
                    1 => End::Crash {
                        at,
                        waits: u64::MAX,
                    },
                    _ => End::Stop { at },
                };
                LifePlan {
                    pause: r.u64(0..1500),
                    end,
                }
            })
            .collect()
    };
    (0..slots).map(|_| slot(r)).collect()
}

fn operations(r: &mut fastrand::Rng, family: &Family) -> Vec<Operation> {
    let count = r.usize(0..7);
    let mut operations: Vec<_> = (0..count)
        .map(|_| {
            let outages = [Outage::Retry, Outage::Throttle, Outage::Hold, Outage::Stall];
            let what = match (family, r.u32(0..3)) {
                (Family::Log(log), 0) => What::Revoke {
                    partition: r.u32(0..log.partitions),
                    within: if r.u32(0..4) == 0 {
                        r.u64(0..100)
                    } else {
                        r.u64(0..4000)
                    },
                },
                (Family::Log(log), 1) => What::Lose {
                    partition: r.u32(0..log.partitions),
                    noticed: r.u64(0..3) * 500,
                },
                (Family::Queue(_), 0 | 1) => What::LoseLease { pick: r.u64(..) },
                _ => What::Outage {
                    kind: *r.choice(outages.iter()).unwrap_or(&Outage::Retry),
                    length: r.u64(100..2500),
                },
            };
            Operation {
                at: r.u64(0..6000),
                what,
            }
        })
        .collect();
    operations.sort_by_key(|operation| operation.at);
    operations
}

/// Each kind of fault is seldom, frequent or absent, so that each is seen with and without the
/// others.
fn rates(r: &mut fastrand::Rng, family: &Family) -> [u32; Site::COUNT] {
    let mut rates = [0; Site::COUNT];
    let trouble = *r.choice([&0, &1, &1, &3]).unwrap_or(&1);
    for rate in &mut rates {
        *rate = trouble * [0, 0, 10, 40, 120][r.usize(0..5)];
    }
    // These cost a life, or half a minute, each time.
    for site in [
        Site::SinkGone,
        Site::PollFatal,
        Site::SettleHang,
        Site::LetterStall,
    ] {
        rates[site as usize] /= 8;
    }
    if matches!(family, Family::Queue(_)) {
        for site in [Site::PollFail, Site::PollFatal] {
            rates[site as usize] = 0;
        }
    }
    rates
}
