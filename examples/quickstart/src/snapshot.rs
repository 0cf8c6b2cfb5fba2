//! What there is to see: snapshots of everything, five a second, however many events there are.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use eventlane::{HeldLane, Progress, Report};
use eventlane_example_room::{faults::Behaviour, live_stream::LiveStream};
use serde::Serialize;
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::endpoint::{Arrival, Counts, Endpoint, Sample};

const EVERY: Duration = Duration::from_millis(200);
/// Rates are taken over so many snapshots: a second.
const RATE_OVER: usize = 5;
/// How many seconds of rates are kept for the chart.
const HISTORY: usize = 60;
/// How many of the busiest viewers are always shown.
const BUSIEST: usize = 12;
/// How many viewers are shown at most, those that are held included.
const SHOWN: usize = 24;

/// Everything there is to see, at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) phase: Phase,
    /// Seconds since the start.
    uptime: f64,
    pub(crate) stream: StreamPart,
    pub(crate) lanes: LanesPart,
    pub(crate) endpoint: EndpointPart,
    pub(crate) history: History,
    viewers: Vec<ViewerRow>,
    events: Vec<Arrival>,
    sample: Option<Sample>,
    report: Option<Report>,
}

/// Where in its life the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// The consumer group forms; Kafka takes a few seconds for that.
    Joining,
    Live,
    /// The stream has ended; what it sent is being delivered.
    Draining,
    Ended,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct StreamPart {
    pub(crate) sent: u64,
    pub(crate) rate: u64,
    viewers: usize,
    /// In the topic and not yet read.
    pub(crate) unread: u64,
    pub(crate) surging: bool,
    waiting: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct LanesPart {
    pub(crate) received: u64,
    pub(crate) delivered: u64,
    pub(crate) retried: u64,
    dead_lettered: u64,
    in_flight: u64,
    pub(crate) in_hand: u64,
    bytes: u64,
    pub(crate) held: u64,
    /// The first of the lanes that are held.
    #[serde(skip)]
    pub(crate) first_held: Option<HeldLane>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct EndpointPart {
    behaviour: Behaviour,
    pub(crate) rate: u64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
    age: Option<(u64, u64)>,
}

/// Events per second, second by second, the oldest first.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct History {
    sent: VecDeque<u64>,
    pub(crate) accepted: VecDeque<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct ViewerRow {
    name: String,
    last: u64,
    /// Sent and not yet taken.
    waiting: u64,
    violations: u64,
    held: Option<HeldLane>,
}

/// Takes the snapshots.
#[derive(Debug)]
pub(crate) struct Observer {
    stream: Arc<LiveStream>,
    endpoint: Arc<Endpoint>,
    progress: Arc<Progress>,
    start: Instant,
    recent: VecDeque<Point>,
    /// Where the next second of the history begins.
    second: Point,
    history: History,
}

/// Counts at a time.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: Instant,
    sent: u64,
    accepted: u64,
}

impl Observer {
    pub(crate) fn new(
        stream: Arc<LiveStream>,
        endpoint: Arc<Endpoint>,
        progress: Arc<Progress>,
    ) -> Self {
        let start = Instant::now();
        let zero = Point {
            at: start,
            sent: 0,
            accepted: 0,
        };
        Self {
            stream,
            endpoint,
            progress,
            start,
            recent: VecDeque::from([zero]),
            second: zero,
            history: History::default(),
        }
    }

    /// Takes snapshots until `report` comes, and a last one with it. The other end of `to` sees its
    /// end then.
    pub(crate) async fn run(
        mut self,
        to: watch::Sender<Arc<Snapshot>>,
        draining: CancellationToken,
        mut report: oneshot::Receiver<Report>,
    ) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    to.send_replace(Arc::new(self.look(draining.is_cancelled())));
                }
                report = &mut report => {
                    let mut last = self.look(true);
                    last.phase = Phase::Ended;
                    (last.stream.rate, last.endpoint.rate) = (0, 0);
                    last.report = report.ok();
                    to.send_replace(Arc::new(last));
                    return;
                }
            }
        }
    }

    /// Takes a snapshot.
    pub(crate) fn look(&mut self, draining: bool) -> Snapshot {
        let (progress, stream) = (Arc::clone(&self.progress), Arc::clone(&self.stream));
        let viewers = stream.audience.viewers();
        // What is behind is read first: no number of the snapshot then exceeds one that it follows
        // from.
        let held: HashMap<_, _> = progress
            .held()
            .into_iter()
            .filter_map(|lane| Some((lane.key.clone()?, lane)))
            .collect();
        let view = self
            .endpoint
            .view(viewers.iter().map(|viewer| viewer.name.as_str()));
        let (delivered, received) = (progress.delivered(), progress.received());
        let sent = stream.audience.sent();

        let rate = self.rates(sent, view.counts.accepted);
        let chosen = match &view.behaviour {
            Behaviour::Failing { viewer } => Some(viewer.as_str()),
            _ => None,
        };
        let rows = viewers
            .iter()
            .zip(&view.records)
            .enumerate()
            .filter(|(rank, (viewer, _))| {
                let name = viewer.name.as_str();
                *rank < BUSIEST || chosen == Some(name) || held.contains_key(name)
            })
            .take(SHOWN)
            .map(|(_, (viewer, record))| ViewerRow {
                name: viewer.name.clone(),
                last: record.last,
                waiting: viewer.sent().saturating_sub(record.last),
                violations: record.violations,
                held: held.get(&viewer.name).cloned(),
            });
        Snapshot {
            phase: match (draining, received) {
                (true, _) => Phase::Draining,
                (false, 0) => Phase::Joining,
                (false, _) => Phase::Live,
            },
            uptime: self.start.elapsed().as_secs_f64(),
            viewers: rows.collect(),
            stream: StreamPart {
                sent,
                rate: rate.0,
                viewers: viewers.len(),
                unread: sent.saturating_sub(received),
                surging: stream.is_surging(),
                waiting: stream.is_waiting(),
            },
            lanes: LanesPart {
                received,
                delivered,
                retried: progress.retried(),
                dead_lettered: progress.dead_lettered(),
                in_flight: progress.in_flight(),
                in_hand: progress.buffered_events(),
                bytes: progress.buffered_bytes(),
                held: progress.held_lanes(),
                first_held: held.into_values().max_by_key(|lane| lane.attempts),
            },
            endpoint: EndpointPart {
                behaviour: view.behaviour,
                rate: rate.1,
                counts: view.counts,
                age: view.age,
            },
            history: self.history.clone(),
            events: view.newest,
            sample: view.sample,
            report: None,
        }
    }

    /// Events per second, sent and accepted; takes the history forward.
    fn rates(&mut self, sent: u64, accepted: u64) -> (u64, u64) {
        let now = Point {
            at: Instant::now(),
            sent,
            accepted,
        };
        if now.at.saturating_duration_since(self.second.at) >= Duration::from_secs(1) {
            let (sent, accepted) = now.rate_since(&self.second);
            for (values, value) in [
                (&mut self.history.sent, sent),
                (&mut self.history.accepted, accepted),
            ] {
                if values.len() == HISTORY {
                    values.pop_front();
                }
                values.push_back(value);
            }
            self.second = now;
        }
        self.recent.push_back(now);
        if self.recent.len() > RATE_OVER + 1 {
            self.recent.pop_front();
        }
        self.recent
            .front()
            .map_or((0, 0), |since| now.rate_since(since))
    }
}

impl Point {
    fn rate_since(&self, earlier: &Self) -> (u64, u64) {
        let seconds = self.at.saturating_duration_since(earlier.at).as_secs_f64();
        let rate = |now: u64, then: u64| {
            (now.saturating_sub(then) as f64 / seconds.max(0.1)).round() as u64
        };
        (
            rate(self.sent, earlier.sent),
            rate(self.accepted, earlier.accepted),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rates_are_per_second() {
        let stream = LiveStream::new(3);
        let mut observer = Observer::new(stream, Endpoint::new(1.0), Arc::default());
        let mut rates = (0, 0);
        for n in 1..=10 {
            tokio::time::advance(EVERY).await;
            rates = observer.rates(20 * n, 10 * n);
        }
        assert_eq!(rates, (100, 50));
        assert_eq!(observer.history.sent, [100, 100]);
        assert_eq!(observer.history.accepted, [50, 50]);
    }

    #[tokio::test(start_paused = true)]
    async fn shows_the_busiest_viewers_and_the_one_that_fails() {
        let stream = LiveStream::new(100);
        let last = stream.audience.viewers()[99].name.clone();
        let endpoint = Endpoint::new(1.0);
        endpoint.behave(Behaviour::Failing {
            viewer: last.clone(),
        });
        let snapshot = Observer::new(stream, endpoint, Arc::default()).look(false);
        assert_eq!(snapshot.phase, Phase::Joining);
        assert_eq!(snapshot.viewers.len(), BUSIEST + 1);
        assert_eq!(snapshot.viewers[BUSIEST].name, last);
        let json = serde_json::to_value(&snapshot).unwrap();
        assert_eq!(json["endpoint"]["behaviour"]["mode"], "failing");
        assert_eq!(json["endpoint"]["order_violations"], 0);
    }
}
