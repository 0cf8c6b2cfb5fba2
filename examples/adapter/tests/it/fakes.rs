//! Servers that speak as much of SQS and MNS as a pipeline asks of them.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex},
    thread,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
};

use crate::fake_mns::{Fake, FakeOptions};

/// A router on a free port, on a thread of its own, for as long as the process lives.
pub(crate) fn serve(router: Router) -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    address
}

/// A queue of SQS, `orders`, and what was deleted from it. The key `AKIAGOOD` may use it. Leases end
/// by being given back, not by themselves.
#[derive(Clone, Default)]
pub(crate) struct FakeSqs {
    messages: Arc<Mutex<VecDeque<(String, String)>>>,
    leased: Arc<Mutex<HashMap<String, String>>>,
    pub(crate) deleted: Arc<Mutex<Vec<String>>>,
    keys: Arc<Mutex<Vec<String>>>,
}

impl FakeSqs {
    pub(crate) fn start() -> (Self, String) {
        let fake = Self::default();
        fake.accept(&["AKIAGOOD"]);
        let router = Router::new()
            .fallback(Self::handle)
            .with_state(fake.clone());
        (fake, format!("http://{}", serve(router)))
    }

    pub(crate) fn send(&self, id: &str, body: &str) {
        let message = (id.to_owned(), body.to_owned());
        self.messages.lock().unwrap().push_back(message);
    }

    /// Lets these keys in, and no others.
    pub(crate) fn accept(&self, keys: &[&str]) {
        *self.keys.lock().unwrap() = keys
            .iter()
            .map(|key| format!("Credential={key}/"))
            .collect();
    }

    async fn handle(
        State(fake): State<Self>,
        headers: HeaderMap,
        body: axum::body::Bytes,
    ) -> Response {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let keys = fake.keys.lock().unwrap().clone();
        let is_known = |it: &str| keys.iter().any(|key| it.contains(key));
        if !text("authorization").is_some_and(is_known) {
            return refuse("InvalidClientTokenId");
        }
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !body["QueueUrl"]
            .as_str()
            .is_some_and(|url| url.ends_with("/orders"))
        {
            return refuse("QueueDoesNotExist");
        }
        let entries = body["Entries"].as_array().cloned().unwrap_or_default();
        let all_done = entries.iter().map(|entry| json!({"Id": entry["Id"]}));
        let all_done = json!({"Successful": Vec::from_iter(all_done), "Failed": []});
        match text("x-amz-target").and_then(|it| it.rsplit('.').next()) {
            Some("GetQueueAttributes") => answer(json!({"Attributes": {
                "VisibilityTimeout": "30",
                "QueueArn": "arn:aws:sqs:eu-west-1:000000000000:orders",
                "ApproximateNumberOfMessages": "0",
            }})),
            Some("ReceiveMessage") => {
                let message = fake.messages.lock().unwrap().pop_front();
                let Some((id, text)) = message else {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    return answer(json!({}));
                };
                fake.leased.lock().unwrap().insert(id.clone(), text.clone());
                answer(json!({"Messages": [
                    {"MessageId": id, "ReceiptHandle": id, "Body": text, "Attributes": {}}
                ]}))
            }
            Some(action @ ("DeleteMessageBatch" | "ChangeMessageVisibilityBatch")) => {
                for entry in &entries {
                    let handle = entry["ReceiptHandle"].as_str().unwrap_or_default();
                    let mut leased = fake.leased.lock().unwrap();
                    if action.starts_with("Delete") {
                        leased.remove(handle);
                        fake.deleted.lock().unwrap().push(handle.to_owned());
                    } else if entry["VisibilityTimeout"] == 0
                        && let Some(text) = leased.remove(handle)
                    {
                        fake.send(handle, &text);
                    }
                }
                answer(all_done)
            }
            _ => answer(all_done),
        }
    }
}

fn answer(value: Value) -> Response {
    (
        [("content-type", "application/x-amz-json-1.0")],
        Json(value),
    )
        .into_response()
}

fn refuse(code: &str) -> Response {
    let body = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": "as it is"});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// An MNS with the queue `orders`, which the key `LTAIGOOD` with the secret `hush` may use.
pub(crate) fn mns() -> Fake {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    });
    let options = FakeOptions {
        key: ("LTAIGOOD".to_owned(), "hush".to_owned()),
        ..FakeOptions::default()
    };
    let fake = RUNTIME.block_on(Fake::start(options));
    fake.config("orders");
    fake
}
