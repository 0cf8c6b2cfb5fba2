//! What is asked, and the answers.

use std::{
    collections::HashMap,
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State as Extract},
    http::{Method, Response, Uri, response::Builder},
};
use futures_util::stream;
use tokio::time::{Instant, sleep};

use super::{Fault, Kind, State, auth, lock, store::Outgoing, store::Queue, wire};

/// Status and body, or status and code of a refusal.
type Outcome = Result<(u16, String), (u16, &'static str)>;

struct Asked {
    kind: Kind,
    queue: String,
    /// Names in lower case.
    params: HashMap<String, String>,
    body: String,
}

/// Answers a request.
pub(super) async fn handle(
    Extract(state): Extract<Arc<State>>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let prefix = lock(&state.options).prefix.clone();
    let Some(asked) = Asked::read(&prefix, &head.method, &head.uri, &body) else {
        return respond(&state, Err((400, "InvalidRequestURL")));
    };
    *lock(&state.requests).entry(asked.kind).or_default() += 1;
    let fault = state.faults.next(asked.kind);
    let early = match &fault {
        Some(Fault::Throttle) => Err((429, "TooManyRequests")),
        Some(Fault::Fail) => Err((500, "InternalError")),
        Some(Fault::Refuse(status, code)) => Err((*status, *code)),
        Some(Fault::Answer(status, body)) => Ok((*status, body.clone())),
        Some(Fault::EarlyEmpty) => Err((404, "MessageNotExist")),
        Some(Fault::Hang) => pending().await,
        Some(Fault::Disconnect) => return broken(&state),
        Some(Fault::Redirect) => return redirect(&state),
        Some(Fault::DeleteNone) => {
            let handles = wire::texts(&asked.body, "ReceiptHandle");
            let failed = handles.into_iter().map(|handle| ("InternalError", handle));
            Ok((404, wire::errors(&failed.collect::<Vec<_>>())))
        }
        Some(Fault::Malformed | Fault::LostAnswer) | None => {
            let options = lock(&state.options).clone();
            let time = state.time();
            match auth::check(&options, time, &head.method, &head.uri, &head.headers) {
                Err(refused) => Err(refused),
                Ok(()) => {
                    // A client that goes away changes nothing.
                    let work = tokio::spawn(perform(Arc::clone(&state), asked));
                    work.await.expect("the fake does not panic")
                }
            }
        }
    };
    let outcome = match (fault, early) {
        (Some(Fault::LostAnswer), Ok(_)) => Err((500, "InternalError")),
        (Some(Fault::Malformed), Ok((status, body))) => {
            let half: String = body.chars().take(body.chars().count() / 2).collect();
            Ok((if status == 204 { 200 } else { status }, half))
        }
        (_, outcome) => outcome,
    };
    respond(&state, outcome)
}

impl Asked {
    fn read(prefix: &str, method: &Method, uri: &Uri, body: &Bytes) -> Option<Self> {
        let path = auth::decode(uri.path());
        let path = path.strip_prefix(prefix)?.strip_prefix("/queues/")?;
        let (queue, messages) = match path.split_once('/') {
            None => (path, false),
            Some((queue, "messages")) => (queue, true),
            Some(_) => return None,
        };
        let kind = match (method.as_str(), messages) {
            ("GET", false) => Kind::Attributes,
            ("GET", true) => Kind::Receive,
            ("DELETE", true) => Kind::Delete,
            ("PUT", true) => Kind::ChangeVisibility,
            ("POST", true) => Kind::Send,
            _ => return None,
        };
        let params = uri.query().unwrap_or_default().split('&');
        let params = params.filter_map(|param| param.split_once('='));
        Some(Self {
            kind,
            queue: queue.to_owned(),
            params: params
                .map(|(name, value)| (name.to_lowercase(), auth::decode(value)))
                .collect(),
            body: String::from_utf8(body.to_vec()).ok()?,
        })
    }

    fn number(&self, name: &str, least: u64, most: u64) -> Result<u64, (u16, &'static str)> {
        let number = self.params.get(name).and_then(|value| value.parse().ok());
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or((400, "InvalidArgument"))
    }
}

async fn perform(state: Arc<State>, asked: Asked) -> Outcome {
    match asked.kind {
        Kind::Attributes => state.existing(&asked, |queue| {
            let body = wire::attributes(&asked.queue, queue.lease.as_secs());
            Ok((200, body))
        }),
        Kind::Receive => receive(&state, &asked).await,
        Kind::Delete => delete(&state, &asked),
        Kind::ChangeVisibility => {
            let lease = asked.number("visibilitytimeout", 1, 43_200)?;
            let handle = asked.params.get("receipthandle");
            let handle = handle.ok_or((400, "InvalidArgument"))?;
            let now = state.now();
            state.existing(&asked, |queue| {
                let changed = queue.change_visibility(handle, Duration::from_secs(lease), now);
                let (handle, next_visible) = changed.map_err(with_status)?;
                Ok((200, wire::changed(&handle, next_visible)))
            })
        }
        Kind::Send => send(&state, &asked),
    }
}

async fn receive(state: &State, asked: &Asked) -> Outcome {
    let most = asked.number("numofmessages", 1, 16)?;
    let most = usize::try_from(most).expect("it fits");
    let wait = asked.number("waitseconds", 0, 30)?;
    let until = Instant::now() + Duration::from_secs(wait);
    let allowed = lock(&state.options).long_polls;
    {
        *lock(&state.polling) += 1;
    }
    let outcome = loop {
        let now = state.now();
        let taken = state.existing(asked, |queue| Ok(queue.receive(most, now)));
        match taken {
            Err(refused) => break Err(refused),
            Ok(taken) if !taken.is_empty() => break Ok((200, wire::messages(&taken))),
            Ok(_) if Instant::now() >= until || *lock(&state.polling) > allowed => {
                break Err((404, "MessageNotExist"));
            }
            Ok(_) => sleep(Duration::from_millis(10)).await,
        }
    };
    *lock(&state.polling) -= 1;
    outcome
}

fn delete(state: &State, asked: &Asked) -> Outcome {
    let now = state.now();
    if let Some(handle) = asked.params.get("receipthandle") {
        return state.existing(asked, |queue| {
            queue.delete(handle, now).map_err(with_status)?;
            Ok((204, String::new()))
        });
    }
    let handles = wire::texts(&asked.body, "ReceiptHandle");
    if handles.is_empty() || handles.len() > 16 {
        return Err((400, "MalformedXML"));
    }
    state.existing(asked, |queue| {
        let failed: Vec<_> = handles
            .into_iter()
            .filter_map(|handle| Some((queue.delete(&handle, now).err()?, handle)))
            .collect();
        match failed.is_empty() {
            true => Ok((204, String::new())),
            false => Ok((404, wire::errors(&failed))),
        }
    })
}

fn send(state: &State, asked: &Asked) -> Outcome {
    let first = |name| wire::texts(&asked.body, name).into_iter().next();
    let number = |name| first(name).map(|text| text.parse::<u64>());
    let number = |name| number(name).transpose().map_err(|_| (400, "MalformedXML"));
    let priority = number("Priority")?;
    let delay = number("DelaySeconds")?.unwrap_or_default();
    let body = first("MessageBody").ok_or((400, "MalformedXML"))?;
    if !priority.is_none_or(|it| (1..=16).contains(&it)) || delay > 604_800 || body.len() > 65_536 {
        return Err((400, "InvalidArgument"));
    }
    let properties = ["UserProperties", "SystemProperties"];
    let properties = properties.map(|name| wire::element(&asked.body, name).unwrap_or_default());
    let message = Outgoing {
        body,
        group: first("MessageGroupId").filter(|group| !group.is_empty()),
        delay: Duration::from_secs(delay),
        priority: priority.and_then(|it| u8::try_from(it).ok()),
        properties: properties.concat(),
    };
    let now = state.now();
    state.existing(asked, |queue| {
        Ok((201, wire::sent(&queue.send(message, now))))
    })
}

impl State {
    fn existing<R>(
        &self,
        asked: &Asked,
        f: impl FnOnce(&mut Queue) -> Result<R, (u16, &'static str)>,
    ) -> Result<R, (u16, &'static str)> {
        match lock(&self.queues).get_mut(&asked.queue) {
            Some(queue) => f(queue),
            None => Err((404, "QueueNotExist")),
        }
    }
}

fn with_status(code: &'static str) -> (u16, &'static str) {
    match code {
        "MessageNotExist" => (404, code),
        _ => (400, code),
    }
}

fn head(state: &State, status: u16) -> (Builder, String) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let id = format!("65F1{:08X}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let builder = Response::builder()
        .status(status)
        .header("Date", httpdate::fmt_http_date(state.time()))
        .header("Content-Type", "text/xml;charset=UTF-8")
        .header("x-mns-version", "2015-06-06")
        .header("x-mns-request-id", &id);
    (builder, id)
}

fn respond(state: &State, outcome: Outcome) -> Response<Body> {
    let (Ok((status, _)) | Err((status, _))) = outcome;
    let (builder, id) = head(state, status);
    let body = match outcome {
        Ok((_, body)) => body,
        Err((_, code)) => wire::error(code, &id),
    };
    builder.body(Body::from(body)).expect("a response")
}

fn broken(state: &State) -> Response<Body> {
    let parts = [
        Ok("<?xml version=\"1.0\"?><Messages>"),
        Err(io::Error::other("cut")),
    ];
    let (builder, _) = head(state, 200);
    let body = Body::from_stream(stream::iter(parts));
    builder.body(body).expect("a response")
}

fn redirect(state: &State) -> Response<Body> {
    let (builder, _) = head(state, 302);
    let builder = builder.header("Location", "http://elsewhere.invalid/queues");
    builder.body(Body::empty()).expect("a response")
}
