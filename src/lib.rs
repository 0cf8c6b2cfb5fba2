//! Carries messages from message systems to HTTP endpoints as CloudEvents, in order, and loses
//! none.
//!
//! A [`Source`] hands out deliveries, a [`Pipeline`] carries them through lanes, budgets and
//! retries to a [`Sink`], and settles at the source what is done. Connectors are crates of their
//! own: `eventlane-kafka`.
//!
//! * **Order.** Events with equal keys go out one after the other, also through retries; others go
//!   side by side ([`Ordering`]).
//! * **No loss.** A message is settled only after the sink took its event or a dead-letter sink
//!   kept it durably. What is not settled comes again: delivery is at least once.
//! * **Bounds.** Requests, events and bytes in hand are bounded ([`Budgets`]).
//!
//! # A function as the sink
//!
//! ```
//! use eventlane::{Event, Pipeline, memory::MemoryLog, sink::FunctionSink};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let log = MemoryLog::new(4);
//! for (partition, viewer) in [(0, "ann"), (1, "bob"), (0, "ann")] {
//!     let event = Event::builder().id(viewer).source("/live").ty("like").build()?;
//!     log.append(partition, event, Some(viewer));
//! }
//! log.finish();
//!
//! let sink = FunctionSink::new(|event: Event| async move {
//!     println!("{} likes it", event.id());
//!     Ok::<(), std::io::Error>(()) // an error: try this one again, and hold its key meanwhile
//! });
//! let report = Pipeline::new(log.source("printer"), sink).run().await?;
//! assert_eq!(report.delivered, 3);
//! # Ok(())
//! # }
//! ```
//!
//! # An HTTP endpoint as the sink
//!
//! ```no_run
//! use eventlane::{Pipeline, memory::MemoryLog, sink::{HttpSink, HttpSinkConfig}};
//!
//! # async fn example(log: MemoryLog) -> Result<(), Box<dyn std::error::Error>> {
//! let sink = HttpSink::new(HttpSinkConfig::new("https://example.com/events"))?;
//! let stop = async { drop(tokio::signal::ctrl_c().await) };
//! let report = Pipeline::new(log.source("adapter"), sink).run_until(stop).await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! # A source of one's own
//!
//! Implement [`Source`] and [`source::Settle`]: [the contract](source) is short and has an example
//! of forty lines, [`memory`] is the reference, and the `conformance` feature has the suite that
//! tells whether it is right.
#![warn(missing_docs)]

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod duration;
mod engine;
mod error;
pub mod event;
pub mod memory;
pub mod metrics;
pub mod queue;
pub mod redacted;
pub mod sink;
pub mod source;

pub use engine::{
    BatchPolicy, Budgets, Control, Growth, HeldLane, Keyless, LiveSettings, OnExhausted, Ordering,
    Pipeline, PipelineError, Progress, Report, Retry,
};
pub use error::{Error, ErrorKind, Result};
pub use event::Event;
pub use sink::Sink;
pub use source::{Capability, Source};
