//! Queues whose messages are leased: a [`QueueBackend`] says how to talk to one, and [`Poller`]
//! makes it a [`Source`](crate::Source).
//!
//! What such queues share, and what goes wrong with most of their consumers, is the poller's:
//!
//! * **Long polls** run side by side in the background and are never cancelled, since a broker
//!   hands the next message to a request that nobody listens to any more. More of them run while
//!   there is more to fetch; an idle queue has one.
//! * **Demand** is known before a request is made: nothing is leased that there is no room for.
//! * **Leases** are watched from the receive on. What is in hand is extended at half its life, in
//!   batches; a lease that has run out is fenced here, because brokers accept dead handles with a
//!   smile. The broker counts for itself: see [`Limits::lease`].
//! * **Deletes** wait a little for company, and are tried again one by one where they failed.
//! * **Message groups** ([`Message::binding`]) are deleted without delay and given back as a whole,
//!   so that no message overtakes one that went back.
//! * **Errors** and empty answers that come too early are followed by pauses that grow. A queue
//!   that is missing or refuses the credentials is [unhealthy](QueueMonitor::is_healthy) and asked
//!   seldom; it does not end the pipeline.
//! * **At the end** everything that is not done is given back at once, what waits here when the stop
//!   begins, and what is in hand when its time is over; after the receives under way, if those end
//!   within a second, since they would take it again.
//!
//! # A queue of your own
//!
//! ```
//! use std::{collections::VecDeque, sync::Mutex, time::Duration};
//!
//! use async_trait::async_trait;
//! use eventlane::{
//!     Event, Pipeline, Result,
//!     queue::{Limits, Message, Poller, QueueBackend},
//!     sink::FunctionSink,
//! };
//!
//! /// Jobs in this process. A real queue would remember what is on lease.
//! struct Jobs(Mutex<VecDeque<String>>);
//!
//! #[async_trait]
//! impl QueueBackend for Jobs {
//!     type Handle = String;
//!
//!     fn name(&self) -> &str {
//!         "jobs"
//!     }
//!
//!     fn limits(&self) -> Limits {
//!         Limits::default().with_wait(Duration::from_secs(1))
//!     }
//!
//!     async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message<String>>> {
//!         let jobs: Vec<String> = {
//!             let mut jobs = self.0.lock().unwrap();
//!             let count = max.min(jobs.len());
//!             jobs.drain(..count).collect()
//!         };
//!         if jobs.is_empty() {
//!             tokio::time::sleep(wait).await;
//!         }
//!         jobs.into_iter()
//!             .map(|job| {
//!                 let event = Event::builder().id(job.as_str()).source("/jobs").ty("job");
//!                 let event = event.build()?;
//!                 Ok(Message::new(job.clone(), job, event))
//!             })
//!             .collect()
//!     }
//!
//!     async fn delete(&self, handles: &[String]) -> Result<Vec<Result<()>>> {
//!         Ok(handles.iter().map(|_| Ok(())).collect())
//!     }
//!
//!     async fn change_visibility(
//!         &self,
//!         changes: &[(String, Duration)],
//!     ) -> Result<Vec<Result<String>>> {
//!         Ok(changes.iter().map(|(handle, _)| Ok(handle.clone())).collect())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//! let jobs = Jobs(Mutex::new(["resize", "upload"].map(String::from).into()));
//! let sink = FunctionSink::new(|event: Event| async move { println!("{}", event.id()) });
//! let pipeline = Pipeline::new(Poller::new(jobs), sink);
//! let report = pipeline.with_idle_timeout(Duration::from_millis(100)).run().await?;
//! assert_eq!(report.delivered, 2);
//! # Ok(())
//! # }
//! ```

mod backend;
mod buffer;
mod deletes;
mod held;
mod letters;
mod monitor;
mod options;
mod poller;
mod receivers;
mod requests;
mod settle;
mod shared;

pub use backend::{Limits, Message, QueueBackend};
pub use letters::BrokerDeadLetters;
pub use monitor::QueueMonitor;
pub use options::PollerOptions;
pub use poller::Poller;
