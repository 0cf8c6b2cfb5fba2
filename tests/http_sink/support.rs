//! Events, and shorthand for what sinks say.

use std::time::Duration;

use eventlane::{
    Event,
    event::{Data, EventBuilder},
    sink::{
        Batch, Failure, Outcome, Sink, Verdict,
        http::{HttpSink, HttpSinkConfig},
    },
};

/// Long enough never to matter, short enough to end a test that hangs.
pub(crate) const HANGS: Duration = Duration::from_secs(30);

pub(crate) fn builder() -> EventBuilder {
    Event::builder().id("1").source("/test").ty("test.event")
}

pub(crate) fn event() -> Event {
    builder()
        .data_content_type("application/json")
        .data(Data::json("{}").unwrap())
        .build()
        .unwrap()
}

pub(crate) fn config(url: &str) -> HttpSinkConfig {
    HttpSinkConfig::new(url)
}

pub(crate) fn sink(url: &str) -> HttpSink {
    HttpSink::new(config(url)).unwrap()
}

pub(crate) async fn send(sink: &impl Sink, event: Event) -> Verdict {
    match within(sink.send(Batch::one(event))).await {
        Outcome::All(verdict) => verdict,
        Outcome::Each(mut verdicts) => verdicts.pop().unwrap(),
    }
}

/// Sends an event and expects it to be taken.
pub(crate) async fn deliver(sink: &impl Sink, event: Event) {
    let verdict = send(sink, event).await;
    assert!(matches!(verdict, Verdict::Delivered), "{verdict:?}");
}

/// Sends an event and expects it to be tried again.
pub(crate) async fn retried(sink: &impl Sink, event: Event) -> Failure {
    match send(sink, event).await {
        Verdict::Retry(failure) => *failure,
        verdict => panic!("{verdict:?}"),
    }
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(HANGS, future).await.expect("it hangs")
}
