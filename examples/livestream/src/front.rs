//! The scoring service as others see it: one URL, behind which there are as many workers as are
//! needed. It can be made to misbehave, and checks that no viewer's events come out of order.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    http::{HeaderMap, Request, StatusCode, Uri, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use eventlane::event::http;
use eventlane_example_room::{
    crowd::Interaction,
    faults::{Faults, REST, Refusal},
    ledger::{Ledger, Taken},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Serialize;
use tokio::time::timeout;

use crate::fleet::{Fleet, Slot};

/// How long an event may wait for a worker.
const PATIENCE: Duration = Duration::from_secs(10);

/// The front of the service.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) faults: Faults,
    fleet: Arc<Fleet>,
    client: Client<HttpConnector, Full<Bytes>>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    counts: Counts,
    ledger: Ledger,
}

/// How requests ended.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// Scored.
    pub(crate) scored: u64,
    /// Of these, scored before.
    pub(crate) repeated: u64,
    /// Answered with 429.
    pub(crate) throttled: u64,
    /// Answered with 503, as they were to be.
    pub(crate) failed: u64,
    /// Answered with 503 because there was no worker, or it was killed.
    pub(crate) broken: u64,
    /// Were no event of a live room.
    pub(crate) invalid: u64,
    /// Overtook another event of their viewer, or came together with it.
    pub(crate) order_violations: u64,
}

impl Front {
    /// A service that takes `quota` events a second when it throttles.
    pub(crate) fn new(fleet: Arc<Fleet>, quota: f64) -> Arc<Self> {
        Arc::new(Self {
            faults: Faults::new(quota),
            fleet,
            client: Client::builder(TokioExecutor::new()).build_http(),
            inner: Mutex::default(),
        })
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Answers one request.
    pub(crate) async fn receive(&self, headers: HeaderMap, body: Bytes) -> Response {
        let act = match read(&headers, &body) {
            Ok(act) => act,
            Err(why) => {
                self.lock().counts.invalid += 1;
                return (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response();
            }
        };
        let _at_work = AtWork::new(self, &act.viewer);
        match self.faults.admit(&act.viewer) {
            Ok(()) => {}
            Err(Refusal::Throttled) => {
                self.lock().counts.throttled += 1;
                let after = REST.as_secs().to_string();
                return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, after)]).into_response();
            }
            Err(Refusal::Failing) => {
                self.lock().counts.failed += 1;
                return unavailable("not this viewer\n");
            }
        }
        let Ok(slot) = timeout(PATIENCE, self.fleet.slot()).await else {
            self.lock().counts.broken += 1;
            return unavailable("no worker has time\n");
        };
        // A slow service is one whose workers are slow: they are busy meanwhile.
        self.faults.delay().await;
        match self.ask(&slot, headers, body).await {
            Ok(response) => {
                if response.status().is_success() {
                    slot.scored();
                    self.lock().take(&act);
                }
                response
            }
            Err(_) => {
                self.lock().counts.broken += 1;
                unavailable("the worker is gone\n")
            }
        }
    }

    /// Asks a worker, and answers as it does.
    async fn ask(
        &self,
        slot: &Slot<'_>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(slot.address.to_string())
            .path_and_query("/score")
            .build()?;
        let mut request = Request::post(uri).body(Full::new(body))?;
        let forwarded = headers
            .into_iter()
            .filter_map(|(name, value)| Some((name?, value)));
        let forwarded = forwarded.filter(|(name, _)| is_of_event(name.as_str()));
        request.headers_mut().extend(forwarded);
        let (head, body) = self.client.request(request).await?.into_parts();
        let mut response = Response::new(body.collect().await?.to_bytes().into());
        *response.status_mut() = head.status;
        let of_event = head
            .headers
            .iter()
            .filter(|(name, _)| is_of_event(name.as_str()));
        let of_event = of_event.map(|(name, value)| (name.clone(), value.clone()));
        response.headers_mut().extend(of_event);
        Ok(response)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(&mut self, act: &Interaction) {
        self.counts.scored += 1;
        match self.ledger.take(&act.viewer, act.seq) {
            Taken::InOrder => {}
            Taken::Again => self.counts.repeated += 1,
            Taken::TooEarly => self.counts.order_violations += 1,
        }
    }
}

/// A request being answered, also if it goes away before it is.
struct AtWork<'a> {
    front: &'a Front,
    viewer: &'a str,
}

impl<'a> AtWork<'a> {
    fn new(front: &'a Front, viewer: &'a str) -> Self {
        let mut inner = front.lock();
        let alone = inner.ledger.begin(viewer);
        inner.counts.order_violations += u64::from(!alone);
        Self { front, viewer }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.front.lock().ledger.end(self.viewer);
    }
}

fn unavailable(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

fn is_of_event(header: &str) -> bool {
    header.starts_with("ce-") || header == "content-type"
}

fn read(headers: &HeaderMap, body: &Bytes) -> Result<Interaction, String> {
    let event = match http::read(headers, body.clone()).map_err(|error| error.to_string())? {
        http::Message::One(event) => event,
        _ => return Err("not one CloudEvent".to_owned()),
    };
    let data = event.data().ok_or("the event has no data")?;
    serde_json::from_slice(data.as_bytes())
        .map_err(|error| format!("the data is no interaction of a viewer: {error}"))
}
