use std::{
    borrow::Cow,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Event, Pipeline, Report, Result, Sink, Source,
    queue::{Poller, PollerOptions, QueueMonitor},
    sink::{Batch, DeadLetter, DeadLetterSink, Failure, Outcome, Verdict},
    source::{Action, Delivery, Demand, Settlement, Signal},
};
use tokio::time::{Instant, sleep, timeout};

use crate::broker::Broker;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const PLENTY: Demand = Demand {
    records: 1000,
    bytes: 1 << 20,
};

pub(crate) fn ids(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    let prefix = prefix.to_owned();
    (0..count).map(move |number| format!("{prefix}{number}"))
}

pub(crate) fn options() -> PollerOptions {
    PollerOptions::default().with_seed(7)
}

type Rule = dyn Fn(&Event, usize) -> (Duration, Verdict) + Send + Sync;

/// Does as its rule says, which is asked with the number of times it has seen the event, from 1;
/// remembers what it took.
#[derive(Clone)]
pub(crate) struct Rules {
    rule: Arc<Rule>,
    seen: Arc<Mutex<Vec<String>>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Rules {
    pub(crate) fn new(
        rule: impl Fn(&Event, usize) -> (Duration, Verdict) + Send + Sync + 'static,
    ) -> Self {
        Self {
            rule: Arc::new(rule),
            seen: Arc::default(),
            taken: Arc::default(),
        }
    }

    pub(crate) fn taking(after: Duration) -> Self {
        Self::new(move |_, _| (after, Verdict::Delivered))
    }

    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    /// What was taken of those whose id begins so.
    pub(crate) fn taken_of(&self, prefix: &str) -> Vec<String> {
        let mut taken = self.taken();
        taken.retain(|id| id.starts_with(prefix));
        taken
    }
}

#[async_trait]
impl Sink for Rules {
    async fn send(&self, batch: Batch) -> Outcome {
        let event = &batch.events[0];
        let times = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(event.id().to_owned());
            seen.iter().filter(|id| *id == event.id()).count()
        };
        let (after, verdict) = (self.rule)(event, times);
        sleep(after).await;
        if matches!(verdict, Verdict::Delivered) {
            self.taken.lock().unwrap().push(event.id().to_owned());
        }
        Outcome::All(verdict)
    }

    fn destination(&self) -> Cow<'_, str> {
        "rules:".into()
    }
}

pub(crate) fn retry() -> Verdict {
    Verdict::Retry(Box::new(Failure::new("status_503", "503 from the test")))
}

/// Carries what there is, until nothing has come for a minute.
pub(crate) async fn carry(broker: &Broker, sink: &Rules) -> (Report, QueueMonitor) {
    carry_by(broker, |source| {
        Pipeline::new(source, sink.clone()).with_idle_timeout(60 * SECOND)
    })
    .await
}

pub(crate) async fn carry_by(
    broker: &Broker,
    pipeline: impl FnOnce(Poller<Broker>) -> Pipeline,
) -> (Report, QueueMonitor) {
    let source = Poller::with_options(broker.clone(), options());
    let monitor = source.monitor();
    let report = pipeline(source)
        .with_grace(120 * SECOND)
        .run()
        .await
        .unwrap();
    assert_eq!(broker.abandoned(), 0, "no receive is ever cancelled");
    (report, monitor)
}

/// A source that is polled by hand.
pub(crate) struct Hand(pub(crate) Box<Poller<Broker>>);

impl Hand {
    pub(crate) async fn open(broker: &Broker, options: PollerOptions) -> Self {
        let mut source = Poller::with_options(broker.clone(), options);
        let signal = source.poll(Demand::NONE).await.unwrap();
        assert!(matches!(signal, Signal::Assigned(_)));
        Self(Box::new(source))
    }

    pub(crate) async fn read(&mut self, demand: Demand, within: Duration) -> Vec<Delivery> {
        match timeout(within, self.0.poll(demand))
            .await
            .map(Result::unwrap)
        {
            Ok(Signal::Deliveries(deliveries)) => deliveries,
            Ok(other) => panic!("{other:?}"),
            Err(_) => Vec::new(),
        }
    }

    /// Reads until so many have come.
    pub(crate) async fn read_all(&mut self, count: usize) -> Vec<Delivery> {
        let (mut read, end) = (Vec::new(), Instant::now() + 60 * SECOND);
        while read.len() < count {
            assert!(Instant::now() < end, "only {}", read.len());
            let demand = Demand {
                records: count - read.len(),
                ..PLENTY
            };
            read.extend(self.read(demand, SECOND).await);
        }
        read
    }

    pub(crate) async fn settle(
        &self,
        settlements: impl IntoIterator<Item = (&Delivery, Action)>,
    ) -> Vec<eventlane::ErrorKind> {
        let batch = settlements
            .into_iter()
            .map(|(delivery, action)| Settlement {
                receipt: delivery.receipt,
                action,
            });
        let settled = self.0.settler().settle(batch.collect()).await.unwrap();
        settled
            .failed
            .iter()
            .map(|(_, error)| error.kind())
            .collect()
    }
}

pub(crate) fn names(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|one| one.event.id()).collect()
}

/// Keeps letters in memory.
#[derive(Clone, Default)]
pub(crate) struct Letters(pub(crate) Arc<Mutex<Vec<DeadLetter>>>);

#[async_trait]
impl DeadLetterSink for Letters {
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>> {
        self.0.lock().unwrap().extend(letters.iter().cloned());
        letters.iter().map(|_| Ok(())).collect()
    }

    fn destination(&self) -> Cow<'_, str> {
        "memory:".into()
    }
}
