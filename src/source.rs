//! The contract between a source and the engine.
//!
//! A source comes in two halves, so that a long poll never blocks an acknowledgement and neither
//! cancels the other: [`Source`] hands deliveries out, [`Settle`] is told what became of them.
//!
//! **Two families.** A *log* (Kafka) has a position for each partition and settles cumulatively; a
//! *queue* (SQS, MNS, RocketMQ) leases each message and settles one by one. [`Capability`] says
//! which, and the engine and the conformance suite (feature `conformance`) follow it.
//!
//! **Nothing is done until it is settled.** A delivery that is dropped, whose process dies or whose
//! partition is taken away comes again, from here or elsewhere. There is no destructor that
//! settles.
//!
//! # A source in forty lines
//!
//! A list of lines, whose first word is the key. A real one would write the position down where a
//! restart finds it.
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicU64, Ordering::Relaxed}};
//!
//! use async_trait::async_trait;
//! use eventlane::{Capability, Event, Pipeline, Result, Source, event::Data, sink::FunctionSink, source::*};
//!
//! struct Lines { lines: Vec<&'static str>, next: usize, assigned: bool, position: Arc<Position> }
//! struct Position(AtomicU64);
//!
//! #[async_trait]
//! impl Source for Lines {
//!     fn capability(&self) -> Capability {
//!         Capability::log().without_pause()
//!     }
//!
//!     fn settler(&self) -> Arc<dyn Settle> {
//!         self.position.clone()
//!     }
//!
//!     async fn poll(&mut self, demand: Demand) -> Result<Signal> {
//!         let (partition, epoch, seq) = (Partition(0), 1, self.next as u64);
//!         if !std::mem::replace(&mut self.assigned, true) {
//!             let assignment = Assignment { partition, epoch, name: "lines".into() };
//!             return Ok(Signal::Assigned(vec![assignment]));
//!         }
//!         let Some(line) = self.lines.get(self.next) else { return Ok(Signal::End) };
//!         if demand.is_none() {
//!             return std::future::pending().await; // the engine drops this future when it wants more
//!         }
//!         self.next += 1;
//!         let event = Event::builder().id(seq.to_string()).source("/lines").ty("line").data(Data::text(*line));
//!         let delivery = Delivery::new(Receipt { partition, epoch, seq }, event.build()?);
//!         let key = line.split(' ').next().unwrap_or_default();
//!         Ok(Signal::Deliveries(vec![delivery.with_key(key)]))
//!     }
//!
//!     async fn close(self: Box<Self>) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! #[async_trait]
//! impl Settle for Position {
//!     async fn settle(&self, batch: Vec<Settlement>) -> Result<Settled> {
//!         for Settlement { receipt, .. } in batch {
//!             self.0.store(receipt.seq, Relaxed); // everything below is done
//!         }
//!         Ok(Settled::default())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//! let position = Arc::new(Position(AtomicU64::new(0)));
//! let lines = vec!["ann hello", "bob hi", "ann bye"];
//! let source = Lines { lines, next: 0, assigned: false, position: Arc::clone(&position) };
//! let sink = FunctionSink::new(|event: Event| async move { println!("{event:?}") });
//! assert_eq!(Pipeline::new(source, sink).run().await?.delivered, 3);
//! assert_eq!(position.0.load(Relaxed), 3);
//! # Ok(())
//! # }
//! ```

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{sync::oneshot, time::Instant};

use crate::{Error, ErrorKind, Event, Result};

/// The unit that a source assigns, revokes and settles: a Kafka partition, a RocketMQ message
/// queue. A leased queue has one. A small number chosen by the source, the same for the same
/// partition as long as the source lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(pub u32);

/// Names one delivery. Plain data, 16 bytes; what the broker calls the message stays inside the
/// source.
///
/// `seq` rises within a partition: the offset in a log, a running number in a queue. `epoch` rises
/// whenever the partition is assigned anew, so that a late settlement of an earlier assignment is
/// recognised and does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receipt {
    /// The partition it came from.
    pub partition: Partition,
    /// The assignment of that partition under which it came.
    pub epoch: u32,
    /// Its place within the partition.
    pub seq: u64,
}

/// One message, handed out once.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names it when it is settled.
    pub receipt: Receipt,
    /// The ordering key: deliveries of one partition with equal keys form a lane under
    /// [`Ordering::Key`](crate::Ordering::Key). Without a key, the partition itself is the lane.
    pub key: Option<Bytes>,
    /// What is delivered.
    pub event: Event,
    /// How often the broker has handed this message out, this time included; 1 if it doesn't say.
    pub attempt: u32,
    /// When the lease runs out, if there is one. After that, somebody else may get the message.
    pub lease: Option<Instant>,
    /// Set when the message claims to be a CloudEvent and is not, and the source's policy is to
    /// reject such messages: why. The engine never sends it to the sink but treats it as rejected,
    /// in its turn within the lane.
    pub invalid: Option<Box<str>>,
}

impl Delivery {
    /// A first attempt without key, lease or fault.
    pub fn new(receipt: Receipt, event: Event) -> Self {
        Self {
            receipt,
            key: None,
            event,
            attempt: 1,
            lease: None,
            invalid: None,
        }
    }

    /// The same with an ordering key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// How much a poll may hand out.
///
/// A hard cap: a source never returns more than `records` deliveries, and never one that takes the
/// sum of [`Event::size`] over `bytes`, unless it is the first of the poll (or an event larger than
/// the whole budget could never pass). With `records` or `bytes` at 0 a source hands out none but
/// still reports everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// At most so many deliveries.
    pub records: usize,
    /// At most so many bytes.
    pub bytes: usize,
}

impl Demand {
    /// No deliveries now, only news.
    pub const NONE: Self = Self {
        records: 0,
        bytes: 0,
    };

    /// Whether no delivery is wanted.
    pub fn is_none(&self) -> bool {
        self.records == 0 || self.bytes == 0
    }
}

/// What a poll brings. News about partitions comes in band, in order with the deliveries.
#[derive(Debug)]
#[non_exhaustive]
pub enum Signal {
    /// Messages; within a partition in rising `seq`. A `seq` that is skipped between two deliveries
    /// of a partition will never be delivered and counts as done (compaction, transaction markers,
    /// what an earlier run had finished).
    Deliveries(Vec<Delivery>),
    /// These partitions are ours from now on. Deliveries of a partition come only between this and
    /// its end.
    Assigned(Vec<Assignment>),
    /// Everything of a partition below a position has been handed out or will never be: what was
    /// skipped at its end.
    Advanced(Vec<Position>),
    /// These partitions are about to go to somebody else. No further delivery of them follows.
    Revoking(Revocation),
    /// These partitions are gone already; nothing of them can be settled any more.
    Lost(Vec<Partition>),
    /// The source has nothing left and never will have. What is unsettled can still be settled.
    End,
}

/// A partition that became ours.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The partition.
    pub partition: Partition,
    /// Greater than in any earlier assignment of this partition by this source.
    pub epoch: u32,
    /// For logs and metrics: `orders/3`.
    pub name: Arc<str>,
}

/// A place in an assigned partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: Partition,
    /// Its assignment.
    pub epoch: u32,
    /// The first `seq` that can still be delivered.
    pub next: u64,
}

/// Partitions that are being taken away, and the time left for them.
///
/// The engine finishes what is in flight, settles it, and drops this value: *dropping it tells the
/// source that the engine has let go*, and only then does the source give the partitions up. Past
/// the deadline the source gives them up anyway.
#[derive(Debug)]
pub struct Revocation {
    /// What goes.
    pub partitions: Vec<Partition>,
    /// Until when the source can wait.
    pub deadline: Instant,
    // Dropping the sender is the message.
    _let_go: oneshot::Sender<()>,
}

impl Revocation {
    /// The revocation for the engine, and the future-like half with which the source learns that
    /// the engine has let go: it resolves (to an error, which means nothing) when the revocation is
    /// dropped.
    pub fn new(partitions: Vec<Partition>, deadline: Instant) -> (Self, oneshot::Receiver<()>) {
        let (let_go, gone) = oneshot::channel();
        (
            Self {
                partitions,
                deadline,
                _let_go: let_go,
            },
            gone,
        )
    }
}

/// How a source is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    /// By position: [`Action::DoneBelow`] only. A log.
    Cumulative,
    /// One by one: [`Action::Done`], and `Release` and `Extend` where [`Capability`] has them. A
    /// queue.
    Individual,
}

/// What a source can do. Constant over its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// How it is settled.
    pub settling: Settling,
    /// Whether it takes [`Action::Release`].
    pub release: bool,
    /// Whether it takes [`Action::Extend`].
    pub extend: bool,
    /// How long a lease lasts, if deliveries have one.
    pub lease: Option<Duration>,
    /// The most deliveries that one poll can return, whatever the demand.
    pub max_poll: usize,
    /// The most settlements that one call takes.
    pub max_settle: usize,
    /// Whether `pause` and `resume` work.
    pub pause: bool,
    /// Whether deliveries of a partition without a key have an order worth keeping. A log has; of a
    /// queue, messages without a key go out side by side, whatever [`Keyless`](crate::Keyless)
    /// says.
    pub ordered: bool,
}

impl Capability {
    /// A log that can be paused.
    pub fn log() -> Self {
        Self {
            settling: Settling::Cumulative,
            release: false,
            extend: false,
            lease: None,
            max_poll: usize::MAX,
            max_settle: usize::MAX,
            pause: true,
            ordered: true,
        }
    }

    /// The same without pausing: one slow partition then holds up the reading of all when its open
    /// span is used up.
    #[must_use]
    pub fn without_pause(mut self) -> Self {
        self.pause = false;
        self
    }

    /// A queue with leases of the given length that can be extended and released.
    pub fn queue(lease: Duration) -> Self {
        Self {
            settling: Settling::Individual,
            release: true,
            extend: true,
            lease: Some(lease),
            pause: false,
            ordered: false,
            ..Self::log()
        }
    }
}

/// Hands deliveries out.
///
/// * **Order.** Deliveries of one partition come in the order of their `seq`. Nothing is promised
///   between partitions.
/// * **Cancellation.** `poll` is cancel-safe: dropping its future loses no delivery and no news.
///   The engine does so whenever its demand changes.
/// * **Back-pressure.** [`Demand`] is a hard cap. The engine keeps polling even when it wants
///   nothing, for the news.
/// * **Errors.** A transient error ([`ErrorKind::is_transient`](crate::ErrorKind::is_transient)) is
///   followed by further polls, after a pause; any other ends the pipeline, after what it holds has
///   been drained.
/// * **Ownership.** What has been handed out and not settled still belongs to the broker.
#[async_trait]
pub trait Source: Send {
    /// What it can do.
    fn capability(&self) -> Capability;

    /// The other half. Every call returns a handle to the same one; it outlives the source's
    /// borrow, not its `close`.
    fn settler(&self) -> Arc<dyn Settle>;

    /// Waits for deliveries or news. Returns at once when there are any.
    async fn poll(&mut self, demand: Demand) -> Result<Signal>;

    /// Hands out nothing more of these partitions until they are resumed. Unassigned ones are
    /// ignored; an assignment begins resumed. Called only if [`Capability::pause`] is set.
    fn pause(&mut self, _partitions: &[Partition]) -> Result<()> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "pause",
            "this source can't pause partitions",
        ))
    }

    /// The opposite of `pause`.
    fn resume(&mut self, _partitions: &[Partition]) -> Result<()> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "resume",
            "this source can't pause partitions",
        ))
    }

    /// Nothing more will be wanted, and what is in hand is settled or given back by then: what nobody
    /// has in hand yet may go back to the broker now. Polls go on, without demand, for the news.
    /// Does not wait for anything.
    fn stop(&mut self, _by: Instant) {}

    /// When [`close`](Self::close) will have ended at the latest, if it has to wait for the broker:
    /// for a receive that is under way, say, since what it brings to nobody stays on lease. The
    /// pipeline waits for that even when its grace time is over.
    fn closes_by(&self) -> Option<Instant> {
        None
    }

    /// Gives everything unsettled back to the broker and lets go, in bounded time. Settlements that
    /// were accepted before are carried out; those that come later fail as fenced.
    async fn close(self: Box<Self>) -> Result<()>;
}

/// Learns what became of deliveries. Works while a poll waits.
#[async_trait]
pub trait Settle: Send + Sync {
    /// Carries out a batch of settlements, in order for one receipt, and lists those that failed.
    ///
    /// * Returns when the broker has confirmed, in bounded time. Dropping the future leaves it open
    ///   which were carried out.
    /// * A settlement of an assignment that is over, or of an expired lease, changes nothing at the
    ///   broker; it fails as [`Fenced`](crate::ErrorKind::Fenced).
    /// * `Err` means that all of them failed.
    /// * Calls may overlap. A source whose broker must not see an extension and another settlement
    ///   of one message at the same time keeps them apart itself.
    async fn settle(&self, batch: Vec<Settlement>) -> Result<Settled>;
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Which.
    pub receipt: Receipt,
    /// What.
    pub action: Action,
}

/// What to do with a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Delivered, or durably dead-lettered: take this one message away.
    Done,
    /// Every delivery of the partition whose `seq` is *below* the receipt's is done.
    DoneBelow {
        /// Done as well, above: rising, disjoint, not empty. A hint that a log may keep, so that a
        /// restart need not deliver them again.
        beyond: Vec<Range<u64>>,
    },
    /// Tried in vain: hand it out again after this time, to anybody. The attempt counts.
    Release {
        /// Zero means at once.
        after: Duration,
    },
    /// Not tried, or not to the end: hand it out again at once, to anybody. The attempt does not
    /// count, if the broker can tell.
    GiveBack,
    /// Still at work: the lease shall last so long from now.
    Extend {
        /// Counted from the moment the broker handles it.
        by: Duration,
    },
}

/// The result of a batch of settlements: all were carried out but these.
#[derive(Debug, Default)]
pub struct Settled {
    /// What failed, and why.
    pub failed: Vec<(Receipt, Error)>,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.partition.0, self.seq, self.epoch)
    }
}

const _: () = assert!(size_of::<Receipt>() == 16);
fn _object_safe(_: &dyn Source, _: &dyn Settle) {}
