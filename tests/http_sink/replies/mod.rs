//! Events in answers, and where they go.

use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use eventlane::{
    Event, Sink,
    event::{Data, http::write_structured},
    sink::{
        Batch, Failure, HttpSink, Outcome, Verdict, Verdicts,
        http::{HttpSinkConfig, Replies},
    },
};
use http::{HeaderMap, Response};

mod handing_over;
mod pipeline;
mod reading;

/// Takes replies, or not.
#[derive(Clone)]
struct Kept(Arc<Inner>);

struct Inner {
    events: Mutex<Vec<Event>>,
    /// The ids of each call.
    calls: Mutex<Vec<Vec<String>>>,
    /// What is said of the next events that come; then that they are taken.
    next: Mutex<VecDeque<Verdict>>,
    failures: AtomicUsize,
    verdicts: Verdicts,
}

impl Kept {
    fn new() -> Self {
        Self::saying(Verdicts::PerEvent, [])
    }

    fn saying(verdicts: Verdicts, next: impl IntoIterator<Item = Verdict>) -> Self {
        Self(Arc::new(Inner {
            events: Mutex::default(),
            calls: Mutex::default(),
            next: Mutex::new(next.into_iter().collect()),
            failures: AtomicUsize::new(0),
            verdicts,
        }))
    }

    fn events(&self) -> Vec<Event> {
        self.0.events.lock().unwrap().clone()
    }

    fn ids(&self) -> Vec<String> {
        let events = self.events();
        events.iter().map(|event| event.id().to_owned()).collect()
    }

    fn calls(&self) -> Vec<Vec<String>> {
        self.0.calls.lock().unwrap().clone()
    }
}

#[async_trait]
impl Sink for Kept {
    async fn send(&self, batch: Batch) -> Outcome {
        let ids = batch.events.iter().map(|event| event.id().to_owned());
        self.0.calls.lock().unwrap().push(ids.collect());
        let say = |event: Option<&Event>| {
            let next = self.0.next.lock().unwrap().pop_front();
            let verdict = next.unwrap_or(Verdict::Delivered);
            match verdict {
                Verdict::Delivered => self.0.events.lock().unwrap().extend(event.cloned()),
                _ => drop(self.0.failures.fetch_add(1, SeqCst)),
            }
            verdict
        };
        match self.0.verdicts {
            Verdicts::PerEvent => {
                let each = batch.events.iter().map(|event| say(Some(event)));
                Outcome::Each(each.collect())
            }
            Verdicts::Whole => {
                let verdict = say(None);
                if matches!(verdict, Verdict::Delivered) {
                    self.0.events.lock().unwrap().extend(batch.events);
                }
                Outcome::All(verdict)
            }
        }
    }

    fn verdicts(&self) -> Verdicts {
        self.0.verdicts
    }

    fn destination(&self) -> Cow<'_, str> {
        "kept".into()
    }
}

fn full() -> Box<Failure> {
    Box::new(Failure::new("full", "no room"))
}

fn asking(url: &str, replies: Replies, to: &Kept) -> HttpSink {
    HttpSink::new(HttpSinkConfig::new(url).with_replies(replies))
        .unwrap()
        .with_replies_to(to.clone())
}

fn reply(id: &str, key: Option<&str>) -> Event {
    let reply = Event::builder()
        .id(id)
        .source("/scores")
        .ty("score")
        .data_content_type("application/json")
        .data(Data::json("7").unwrap());
    match key {
        Some(key) => reply.extension("partitionkey", key),
        None => reply,
    }
    .build()
    .unwrap()
}

fn structured(event: &Event) -> Response<String> {
    let mut headers = HeaderMap::new();
    let body = write_structured(event, &mut headers);
    answer(200, headers, &body)
}

fn answer(status: u16, headers: HeaderMap, body: &[u8]) -> Response<String> {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let mut response = Response::builder().status(status).body(body).unwrap();
    *response.headers_mut() = headers;
    response
}
