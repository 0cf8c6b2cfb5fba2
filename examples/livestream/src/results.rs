//! Where the results end: the page's own endpoint. It checks their order once more, and how long
//! they took.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use eventlane::event::http;
use eventlane_example_room::{
    latency::{Latest, since},
    ledger::{Ledger, Taken},
};
use serde::Serialize;

use crate::{scorer::Moderation, worker::Scored};

/// How many of the newest results are kept.
const NEWEST: usize = 30;
/// From how many results latencies are told: of everybody, and of one viewer.
const OF_ALL: usize = 1000;
const OF_ONE: usize = 100;

/// The endpoint.
#[derive(Debug)]
pub(crate) struct Results(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    counts: Counts,
    ledger: Ledger,
    latency: Latest,
    viewers: HashMap<String, Latest>,
    newest: VecDeque<Arrival>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// Results that came, each counted once.
    pub(crate) arrived: u64,
    /// Results that came again.
    pub(crate) repeated: u64,
    pub(crate) hidden: u64,
    pub(crate) highlights: u64,
    /// Requests that were no result.
    pub(crate) invalid: u64,
    /// Results that overtook another of their viewer.
    pub(crate) order_violations: u64,
}

/// A result that came.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Arrival {
    /// Counts arrivals from 1.
    n: u64,
    viewer: String,
    seq: u64,
    kind: &'static str,
    text: String,
    sentiment: f64,
    hidden: bool,
    highlight: Option<String>,
    worker: u32,
    /// From Kafka's time of the interaction on, in milliseconds.
    ms: u64,
}

/// What is known of a viewer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Back {
    pub(crate) last: u64,
    pub(crate) violations: u64,
    pub(crate) latency: Option<(u64, u64)>,
}

/// What there is to see.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) counts: Counts,
    pub(crate) latency: Option<(u64, u64)>,
    pub(crate) newest: Vec<Arrival>,
}

impl Results {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner {
            counts: Counts::default(),
            ledger: Ledger::default(),
            latency: Latest::new(OF_ALL),
            viewers: HashMap::new(),
            newest: VecDeque::with_capacity(NEWEST),
        })))
    }

    /// Takes a result.
    pub(crate) fn receive(&self, headers: &HeaderMap, body: Bytes) -> Response {
        match read(headers, body) {
            Ok(scored) => {
                self.lock().take(scored);
                StatusCode::NO_CONTENT.into_response()
            }
            Err(why) => {
                self.lock().counts.invalid += 1;
                (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response()
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub(crate) fn view(&self) -> View {
        let inner = self.lock();
        View {
            counts: inner.counts,
            latency: inner.latency.percentiles(),
            newest: inner.newest.iter().cloned().collect(),
        }
    }

    pub(crate) fn of(&self, viewer: &str) -> Back {
        let inner = self.lock();
        let record = inner.ledger.of(viewer);
        Back {
            last: record.last,
            violations: record.violations,
            latency: inner.viewers.get(viewer).and_then(Latest::percentiles),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(&mut self, scored: Scored) {
        let Scored {
            act, score, worker, ..
        } = scored;
        match self.ledger.take(&act.viewer, act.seq) {
            Taken::Again => {
                self.counts.repeated += 1;
                return;
            }
            Taken::TooEarly => self.counts.order_violations += 1,
            Taken::InOrder => {}
        }
        self.counts.arrived += 1;
        let hidden = score.moderation == Moderation::Hide;
        self.counts.hidden += u64::from(hidden);
        self.counts.highlights += u64::from(score.highlight.is_some());
        let ms = since(scored.sent).unwrap_or(0);
        self.latency.push(ms);
        self.viewers
            .entry(act.viewer.clone())
            .or_insert_with(|| Latest::new(OF_ONE))
            .push(ms);
        if self.newest.len() == NEWEST {
            self.newest.pop_front();
        }
        self.newest.push_back(Arrival {
            n: self.counts.arrived,
            seq: act.seq,
            kind: act.kind.name(),
            text: act.kind.to_string(),
            viewer: act.viewer,
            sentiment: score.sentiment,
            hidden,
            highlight: score.highlight,
            worker,
            ms,
        });
    }
}

fn read(headers: &HeaderMap, body: Bytes) -> Result<Scored, String> {
    let event = match http::read(headers, body).map_err(|error| error.to_string())? {
        http::Message::One(event) => event,
        _ => return Err("not one CloudEvent".to_owned()),
    };
    let data = event.data().ok_or("the event has no data")?;
    serde_json::from_slice(data.as_bytes())
        .map_err(|error| format!("the data is no result: {error}"))
}

#[cfg(test)]
mod tests {
    use eventlane::event::{Data, Event};
    use eventlane_example_room::latency::now;
    use serde_json::json;

    use super::*;

    fn send(results: &Results, viewer: &str, seq: u64, moderation: &str) -> StatusCode {
        let data = json!({
            "viewer": viewer, "seq": seq, "kind": "like", "sentiment": 0.5,
            "moderation": moderation, "highlight": null, "worker": 1, "sent": now() - 50,
        });
        let event = Event::builder()
            .id("1")
            .source("/scorer")
            .ty("score")
            .data(Data::json(data.to_string()).unwrap())
            .build()
            .unwrap();
        let mut headers = HeaderMap::new();
        let body = http::write_binary(&event, &mut headers);
        results.receive(&headers, body).status()
    }

    #[test]
    fn results_are_counted_once_and_their_order_is_checked() {
        let results = Results::new();
        for (viewer, seq) in [("a", 1), ("b", 1), ("a", 2), ("a", 2), ("a", 4)] {
            assert_eq!(send(&results, viewer, seq, "show"), 204);
        }
        send(&results, "b", 2, "hide");
        let counts = results.counts();
        assert_eq!((counts.arrived, counts.repeated), (5, 1));
        assert_eq!((counts.order_violations, counts.hidden), (1, 1));
        let (p50, _) = results.of("a").latency.unwrap();
        assert!((50..5000).contains(&p50), "{p50}");
        assert_eq!(results.of("nobody").latency, None);
        assert_eq!(results.view().newest.len(), 5);
        let answer = results.receive(&HeaderMap::new(), Bytes::from_static(b"hi"));
        assert_eq!(
            (answer.status(), results.counts().invalid),
            (StatusCode::BAD_REQUEST, 1)
        );
    }
}
