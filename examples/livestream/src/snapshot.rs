//! What there is to see: snapshots of everything, five a second, however many events there are.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use eventlane::{HeldLane, Progress};
use eventlane_example_room::{faults::Behaviour, live_stream::LiveStream};
use serde::Serialize;
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::{self, Fleet},
    front::{self, Front},
    report::Summary,
    results::{self, Arrival, Results},
};

const EVERY: Duration = Duration::from_millis(200);
/// How many seconds of the chart are kept.
const HISTORY: usize = 60;
/// How many of the busiest viewers are always shown.
const BUSIEST: usize = 12;
/// How many viewers are shown at most, those that are held included.
const SHOWN: usize = 24;

/// All that can be looked at.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) stream: Arc<LiveStream>,
    pub(crate) scoring: Arc<Progress>,
    pub(crate) front: Arc<Front>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) returning: Arc<Progress>,
    pub(crate) results: Arc<Results>,
}

/// Everything there is to see, at one moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) phase: Phase,
    /// Seconds since the start.
    uptime: f64,
    stream: StreamPart,
    lanes: LanesPart,
    service: ServicePart,
    results: ResultsPart,
    history: History,
    viewers: Vec<ViewerRow>,
    events: Vec<Arrival>,
    report: Option<Summary>,
}

/// Where in its life the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// The consumer groups form; Kafka takes a few seconds for that.
    Joining,
    Live,
    /// The stream has ended; what it sent is being scored and brought back.
    Draining,
    Ended,
}

#[derive(Clone, Debug, Serialize)]
struct StreamPart {
    sent: u64,
    rate: u64,
    viewers: usize,
    /// In the topic and not yet read.
    unread: u64,
    surging: bool,
    waiting: bool,
}

#[derive(Clone, Debug, Serialize)]
struct LanesPart {
    received: u64,
    delivered: u64,
    retried: u64,
    in_flight: u64,
    in_hand: u64,
    held: u64,
}

#[derive(Clone, Debug, Serialize)]
struct ServicePart {
    behaviour: Behaviour,
    #[serde(flatten)]
    counts: front::Counts,
    fleet: fleet::View,
}

#[derive(Clone, Debug, Serialize)]
struct ResultsPart {
    rate: u64,
    /// In the topic of the results and not yet here.
    on_the_way: u64,
    latency: Option<(u64, u64)>,
    #[serde(flatten)]
    counts: results::Counts,
}

/// Second by second, the oldest first.
#[derive(Clone, Debug, Default, Serialize)]
struct History {
    sent: VecDeque<u64>,
    back: VecDeque<u64>,
    workers: VecDeque<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct ViewerRow {
    name: String,
    /// The last one whose result is back.
    last: u64,
    /// Sent, and not back yet.
    waiting: u64,
    violations: u64,
    latency: Option<(u64, u64)>,
    held: Option<HeldLane>,
}

/// Takes the snapshots.
#[derive(Debug)]
pub(crate) struct Observer {
    scene: Scene,
    start: Instant,
    /// A second's worth of counts: when, sent, back.
    recent: VecDeque<(Instant, u64, u64)>,
    history: History,
    second: Instant,
}

impl Observer {
    pub(crate) fn new(scene: Scene) -> Self {
        let start = Instant::now();
        Self {
            scene,
            start,
            recent: VecDeque::from([(start, 0, 0)]),
            history: History::default(),
            second: start,
        }
    }

    /// Takes snapshots until `report` comes, and a last one with it.
    pub(crate) async fn run(
        mut self,
        to: watch::Sender<Arc<Snapshot>>,
        draining: CancellationToken,
        mut report: oneshot::Receiver<Summary>,
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
                    (last.stream.rate, last.results.rate) = (0, 0);
                    last.report = report.ok();
                    to.send_replace(Arc::new(last));
                    return;
                }
            }
        }
    }

    /// Takes a snapshot.
    pub(crate) fn look(&mut self, draining: bool) -> Snapshot {
        let Scene {
            stream,
            scoring,
            front,
            fleet,
            returning,
            results,
        } = self.scene.clone();
        // What is behind is read first: no number of the snapshot then exceeds one that it follows
        // from.
        let held = scoring.held().into_iter();
        let held: HashMap<_, _> = held
            .filter_map(|lane| Some((lane.key.clone()?, lane)))
            .collect();
        let back = results.view();
        let (fleet, behaviour) = (fleet.view(), front.faults.behaviour());
        let delivered = scoring.delivered();
        let (received, sent) = (scoring.received(), stream.audience.sent());
        let (sent_rate, back_rate) = self.rates(sent, back.counts.arrived, fleet.workers.len());
        Snapshot {
            phase: match (draining, back.counts.arrived) {
                (true, _) => Phase::Draining,
                (false, 0) => Phase::Joining,
                (false, _) => Phase::Live,
            },
            uptime: self.start.elapsed().as_secs_f64(),
            viewers: self.viewers(&held, &behaviour),
            stream: StreamPart {
                sent,
                rate: sent_rate,
                viewers: stream.audience.viewers().len(),
                unread: sent.saturating_sub(received),
                surging: stream.is_surging(),
                waiting: stream.is_waiting(),
            },
            lanes: LanesPart {
                received,
                delivered,
                retried: scoring.retried(),
                in_flight: scoring.in_flight(),
                in_hand: scoring.buffered_events(),
                held: scoring.held_lanes(),
            },
            service: ServicePart {
                behaviour,
                counts: front.counts(),
                fleet,
            },
            results: ResultsPart {
                rate: back_rate,
                on_the_way: delivered.saturating_sub(returning.delivered()),
                latency: back.latency,
                counts: back.counts,
            },
            history: self.history.clone(),
            events: back.newest,
            report: None,
        }
    }

    fn viewers(&self, held: &HashMap<String, HeldLane>, behaviour: &Behaviour) -> Vec<ViewerRow> {
        let chosen = match behaviour {
            Behaviour::Failing { viewer } => Some(viewer.as_str()),
            _ => None,
        };
        let viewers = self.scene.stream.audience.viewers().iter().enumerate();
        let shown = viewers.filter(|(rank, viewer)| {
            let name = viewer.name.as_str();
            *rank < BUSIEST || chosen == Some(name) || held.contains_key(name)
        });
        let rows = shown.take(SHOWN).map(|(_, viewer)| {
            let back = self.scene.results.of(&viewer.name);
            ViewerRow {
                name: viewer.name.clone(),
                last: back.last,
                waiting: viewer.sent().saturating_sub(back.last),
                violations: back.violations,
                latency: back.latency,
                held: held.get(&viewer.name).cloned(),
            }
        });
        rows.collect()
    }

    /// Events per second, sent and back; takes the history forward.
    fn rates(&mut self, sent: u64, back: u64, workers: usize) -> (u64, u64) {
        let now = Instant::now();
        let (then, sent_then, back_then) = self.recent.front().copied().unwrap_or((now, 0, 0));
        let seconds = now.saturating_duration_since(then).as_secs_f64().max(0.1);
        let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds).round() as u64;
        let rates = (rate(sent, sent_then), rate(back, back_then));
        self.recent.push_back((now, sent, back));
        if self.recent.len() as u32 > 1_000 / EVERY.as_millis() as u32 {
            self.recent.pop_front();
        }
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            let History {
                sent,
                back,
                workers: many,
            } = &mut self.history;
            for (values, value) in [(sent, rates.0), (back, rates.1), (many, workers as u64)] {
                if values.len() == HISTORY {
                    values.pop_front();
                }
                values.push_back(value);
            }
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observer() -> Observer {
        let fleet = Fleet::new();
        Observer::new(Scene {
            stream: LiveStream::new(100),
            scoring: Arc::default(),
            front: Front::new(Arc::clone(&fleet), 1.0),
            fleet,
            returning: Arc::default(),
            results: Results::new(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_per_second() {
        let mut observer = observer();
        let mut rates = (0, 0);
        for n in 1..=10 {
            tokio::time::advance(EVERY).await;
            rates = observer.rates(20 * n, 10 * n, 3);
        }
        assert_eq!(rates, (100, 50));
        assert_eq!(observer.history.sent, [100, 100]);
        assert_eq!(observer.history.back, [50, 50]);
        assert_eq!(observer.history.workers, [3, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn shows_the_busiest_viewers_and_the_one_that_fails() {
        let mut observer = observer();
        let viewer = observer.scene.stream.audience.viewers()[99].name.clone();
        let failing = Behaviour::Failing {
            viewer: viewer.clone(),
        };
        observer.scene.front.faults.behave(failing);
        let snapshot = observer.look(false);
        assert_eq!(snapshot.phase, Phase::Joining);
        assert_eq!(snapshot.viewers.len(), BUSIEST + 1);
        assert_eq!(snapshot.viewers[BUSIEST].name, viewer);
        let json = serde_json::to_value(&snapshot).unwrap();
        assert_eq!(json["service"]["behaviour"]["mode"], "failing");
        assert_eq!(json["results"]["order_violations"], 0);
    }
}
