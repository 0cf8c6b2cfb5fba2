//! The HTTP endpoint that receives the events. It can be made to misbehave, and checks that no
//! viewer's events come out of order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use eventlane::event::{Event, http};
use eventlane_example_room::{
    crowd::Interaction,
    faults::{Behaviour, Faults, REST, Refusal},
    latency::{Latest, since},
    ledger::{Ledger, Record, Taken},
};
use serde::Serialize;
use tokio::time::Instant;

/// How many of the newest events are kept.
const NEWEST: usize = 30;
/// From how many arrivals their age is told.
const AGES: usize = 1000;
/// The endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    faults: Faults,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    counts: Counts,
    ledger: Ledger,
    newest: VecDeque<Arrival>,
    ages: Latest,
    sample: Option<(Instant, Sample)>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// Events taken.
    pub(crate) accepted: u64,
    /// Of these, taken before.
    pub(crate) repeated: u64,
    /// Requests answered with 429.
    pub(crate) throttled: u64,
    /// Requests answered with 503.
    pub(crate) failed: u64,
    /// Requests that were no event of a live stream.
    pub(crate) invalid: u64,
    /// Events that overtook another of their viewer, or came together with it.
    pub(crate) order_violations: u64,
}

/// An event that was taken.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Arrival {
    /// Counts arrivals from 1.
    n: u64,
    viewer: String,
    seq: u64,
    kind: &'static str,
    text: String,
}

/// A request as it came.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    headers: Vec<(String, String)>,
    body: String,
}

/// What there is to see, at one moment.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) behaviour: Behaviour,
    pub(crate) counts: Counts,
    pub(crate) newest: Vec<Arrival>,
    /// The median and the 99th percentile of how old recent events were when they arrived, from
    /// Kafka's time on, in ms.
    pub(crate) age: Option<(u64, u64)>,
    pub(crate) sample: Option<Sample>,
    /// Of the viewers asked for, in their order.
    pub(crate) records: Vec<Record>,
}

impl Endpoint {
    /// An endpoint that takes `quota` events a second when it throttles.
    pub(crate) fn new(quota: f64) -> Arc<Self> {
        let inner = Inner {
            counts: Counts::default(),
            ledger: Ledger::default(),
            newest: VecDeque::with_capacity(NEWEST),
            ages: Latest::new(AGES),
            sample: None,
        };
        Arc::new(Self {
            faults: Faults::new(quota),
            inner: Mutex::new(inner),
        })
    }

    /// Makes it behave like that from the next request on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.faults.behave(behaviour);
    }

    pub(crate) fn view<'a>(&self, viewers: impl Iterator<Item = &'a str>) -> View {
        let behaviour = self.faults.behaviour();
        let inner = self.lock();
        View {
            behaviour,
            counts: inner.counts,
            newest: inner.newest.iter().cloned().collect(),
            age: inner.ages.percentiles(),
            sample: inner.sample.as_ref().map(|(_, sample)| sample.clone()),
            records: viewers.map(|viewer| inner.ledger.of(viewer)).collect(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Answers one request.
    pub(crate) async fn receive(&self, headers: &HeaderMap, body: Bytes) -> Response {
        let (event, act) = match read(headers, body) {
            Ok(read) => read,
            Err(why) => {
                self.lock().counts.invalid += 1;
                return (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response();
            }
        };
        let _at_work = AtWork::new(self, &act.viewer);
        let met = self.faults.meet(&act.viewer).await;
        let mut inner = self.lock();
        match met {
            Err(Refusal::Throttled) => {
                inner.counts.throttled += 1;
                let after = REST.as_secs().to_string();
                (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, after)]).into_response()
            }
            Err(Refusal::Failing) => {
                inner.counts.failed += 1;
                (StatusCode::SERVICE_UNAVAILABLE, "not this viewer\n").into_response()
            }
            Ok(()) => {
                inner.accept(headers, &event, &act);
                StatusCode::NO_CONTENT.into_response()
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn accept(&mut self, headers: &HeaderMap, event: &Event, act: &Interaction) {
        self.counts.accepted += 1;
        match self.ledger.take(&act.viewer, act.seq) {
            Taken::InOrder => {}
            Taken::Again => self.counts.repeated += 1,
            Taken::TooEarly => self.counts.order_violations += 1,
        }
        let arrival = Arrival {
            n: self.counts.accepted,
            viewer: act.viewer.clone(),
            seq: act.seq,
            kind: act.kind.name(),
            text: act.kind.to_string(),
        };
        push(&mut self.newest, NEWEST, arrival);
        if let Some(age) = event.time().and_then(|time| since(time.unix_millis())) {
            self.ages.push(age);
        }
        let now = Instant::now();
        let fresh = |at: Instant| now.saturating_duration_since(at) < Duration::from_secs(1);
        if !self.sample.as_ref().is_some_and(|(at, _)| fresh(*at)) {
            self.sample = Some((now, Sample::new(headers, event)));
        }
    }
}

/// A request being answered, also if it goes away before it is.
struct AtWork<'a> {
    endpoint: &'a Endpoint,
    viewer: &'a str,
}

impl<'a> AtWork<'a> {
    fn new(endpoint: &'a Endpoint, viewer: &'a str) -> Self {
        let mut inner = endpoint.lock();
        let alone = inner.ledger.begin(viewer);
        inner.counts.order_violations += u64::from(!alone);
        Self { endpoint, viewer }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.endpoint.lock().ledger.end(self.viewer);
    }
}

impl Sample {
    fn new(headers: &HeaderMap, event: &Event) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect();
        headers.sort();
        Self {
            headers,
            body: event
                .data()
                .map_or_else(String::new, |data| text(data.as_bytes())),
        }
    }
}

fn read(headers: &HeaderMap, body: Bytes) -> Result<(Event, Interaction), String> {
    let event = match http::read(headers, body).map_err(|error| error.to_string())? {
        http::Message::One(event) => event,
        _ => return Err("not one CloudEvent".to_owned()),
    };
    let data = event.data().ok_or("the event has no data")?;
    let act = serde_json::from_slice(data.as_bytes())
        .map_err(|error| format!("the data is no interaction of a viewer: {error}"))?;
    Ok((event, act))
}

fn push<T>(queue: &mut VecDeque<T>, most: usize, value: T) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(value);
}

#[cfg(test)]
mod tests {
    use eventlane::event::{Data, Timestamp};

    use super::*;

    fn request(viewer: &str, seq: u64) -> (HeaderMap, Bytes) {
        let data = format!(r#"{{"viewer":"{viewer}","seq":{seq},"kind":"like"}}"#);
        let event = Event::builder()
            .id(format!("{viewer}/{seq}"))
            .source("/test")
            .ty("test")
            .time(Timestamp::now())
            .data(Data::json(data).unwrap())
            .build()
            .unwrap();
        let mut headers = HeaderMap::new();
        let body = http::write_binary(&event, &mut headers);
        (headers, body)
    }

    async fn send(endpoint: &Endpoint, viewer: &str, seq: u64) -> Response {
        let (headers, body) = request(viewer, seq);
        endpoint.receive(&headers, body).await
    }

    fn behaving(behaviour: Behaviour) -> Arc<Endpoint> {
        let endpoint = Endpoint::new(5.0);
        endpoint.behave(behaviour);
        endpoint
    }

    #[tokio::test(start_paused = true)]
    async fn fails_for_one_viewer_only() {
        let viewer = "a".to_owned();
        let endpoint = behaving(Behaviour::Failing { viewer });
        assert_eq!(send(&endpoint, "a", 1).await.status(), 503);
        assert_eq!(send(&endpoint, "b", 1).await.status(), 204);
        endpoint.behave(Behaviour::Normal);
        assert_eq!(send(&endpoint, "a", 1).await.status(), 204);
        let view = endpoint.view(["a", "b"].into_iter());
        assert_eq!((view.records[0].last, view.records[1].last), (1, 1));
        assert_eq!((view.counts.accepted, view.counts.failed), (2, 1));
        assert_eq!(view.counts.order_violations, 0);
        assert_eq!(view.newest.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn throttles_beyond_its_quota_and_says_for_how_long() {
        let endpoint = behaving(Behaviour::Throttled);
        for seq in 1..=10 {
            assert_eq!(send(&endpoint, "a", seq).await.status(), 204);
        }
        let refused = send(&endpoint, "a", 11).await;
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()[RETRY_AFTER], "2");
        tokio::time::advance(REST).await;
        assert_eq!(send(&endpoint, "a", 11).await.status(), 204);
    }

    #[tokio::test(start_paused = true)]
    async fn is_as_slow_as_it_was_told() {
        let endpoint = behaving(Behaviour::Slow { ms: 300 });
        let start = Instant::now();
        assert_eq!(send(&endpoint, "a", 1).await.status(), 204);
        assert_eq!(start.elapsed().as_millis(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn notices_two_of_a_viewer_at_once_and_one_that_overtakes() {
        let endpoint = behaving(Behaviour::Slow { ms: 10 });
        tokio::join!(send(&endpoint, "a", 1), send(&endpoint, "b", 1));
        assert_eq!(endpoint.counts().order_violations, 0);
        tokio::join!(send(&endpoint, "a", 2), send(&endpoint, "a", 3));
        let together = endpoint.counts().order_violations;
        assert!(together > 0);
        send(&endpoint, "a", 5).await;
        assert_eq!(endpoint.counts().order_violations, together + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_goes_away_is_over() {
        let endpoint = behaving(Behaviour::Slow { ms: 60_000 });
        let gone = tokio::time::timeout(Duration::from_millis(1), send(&endpoint, "a", 1));
        assert!(gone.await.is_err());
        endpoint.behave(Behaviour::Normal);
        send(&endpoint, "a", 1).await;
        assert_eq!(endpoint.counts().order_violations, 0);
    }

    #[tokio::test]
    async fn says_what_is_wrong_with_a_request() {
        let endpoint = behaving(Behaviour::Normal);
        let answer = endpoint
            .receive(&HeaderMap::new(), Bytes::from_static(b"hi"))
            .await;
        assert_eq!(answer.status(), 400);
        assert_eq!(endpoint.counts().invalid, 1);
    }
}
