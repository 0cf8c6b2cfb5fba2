//! The protocol: JSON 1.0, with the codes of the older one in a header.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    Fault, KEY, Kind, Shared,
    queue::{Refusal, Request},
};

pub(super) fn start(shared: Arc<Shared>) -> (SocketAddr, JoinHandle<()>) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let app = Router::new().fallback(handle).with_state(shared);
    let server = tokio::spawn(async move {
        axum::serve(listener, app).await.unwrap();
    });
    (address, server)
}

async fn handle(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let target = text("x-amz-target").unwrap_or_default();
    let action = target.rsplit('.').next().unwrap_or_default().to_owned();
    let Some(kind) = kind(&action) else {
        return refuse(&("UnknownOperationException", action));
    };
    let signed_by_us = text(AUTHORIZATION.as_str())
        .is_some_and(|value| value.contains(&format!("Credential={KEY}/")));
    if !signed_by_us {
        let text = "The security token included in the request is invalid.".to_owned();
        return refuse(&("UnrecognizedClientException", text));
    }
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return refuse(&("SerializationException", String::new()));
    };
    if let Some(attempt) = body["ReceiveRequestAttemptId"].as_str() {
        shared.queues().attempts.push(attempt.to_owned());
    }
    let fault = shared.faults.of(kind);
    match fault {
        Some(Fault::Hang) => return std::future::pending().await,
        Some(Fault::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap();
            return (status, "<html><body>oops</body></html>").into_response();
        }
        Some(Fault::Code(code)) => return refuse(&(code, "As you wish.".to_owned())),
        Some(Fault::Empty) => return answer(&json!({})),
        Some(Fault::Lost | Fault::Malformed | Fault::Entries(..)) | None => {}
    }
    // Of its own, so that it goes on when nobody waits for it any more.
    let failing = fault.clone();
    let work = tokio::spawn(async move { act(&shared, &action, &body, failing).await });
    let result = work.await.unwrap();
    match (result, fault) {
        (_, Some(Fault::Lost)) => std::future::pending().await,
        (_, Some(Fault::Malformed)) => "{\"Messages\":[{".into_response(),
        (Ok(value), _) => answer(&value),
        (Err(refusal), _) => refuse(&refusal),
    }
}

fn kind(action: &str) -> Option<Kind> {
    Some(match action {
        "ReceiveMessage" => Kind::Receive,
        "DeleteMessageBatch" => Kind::Delete,
        "ChangeMessageVisibilityBatch" => Kind::Change,
        "GetQueueAttributes" => Kind::Attributes,
        "SendMessage" | "CreateQueue" => Kind::Send,
        _ => return None,
    })
}

async fn act(
    shared: &Shared,
    action: &str,
    body: &Value,
    fault: Option<Fault>,
) -> Result<Value, Refusal> {
    let url = body["QueueUrl"].as_str().unwrap_or_default();
    let name = url.rsplit('/').next().unwrap_or_default();
    match action {
        "ReceiveMessage" => receive(shared, name, body).await,
        "DeleteMessageBatch" => batch(body, fault.as_ref(), |entry| {
            let handle = entry["ReceiptHandle"].as_str().unwrap_or_default();
            let done = shared.queues().delete(name, handle);
            shared.changed.notify_waiters();
            done
        }),
        "ChangeMessageVisibilityBatch" => batch(body, fault.as_ref(), |entry| {
            let handle = entry["ReceiptHandle"].as_str().unwrap_or_default();
            let after = Duration::from_secs(entry["VisibilityTimeout"].as_u64().unwrap());
            let done = shared.queues().change(name, handle, after);
            shared.changed.notify_waiters();
            done
        }),
        "GetQueueAttributes" => {
            let attributes = shared.queues().attributes(name)?;
            Ok(json!({ "Attributes": attributes }))
        }
        "SendMessage" => {
            let (text, group) = (
                body["MessageBody"].as_str(),
                body["MessageGroupId"].as_str(),
            );
            let attributes = body["MessageAttributes"].as_object().cloned();
            let mut queues = shared.queues();
            let id = queues.send_with(
                name,
                text.unwrap_or_default(),
                group,
                attributes.unwrap_or_default(),
            )?;
            shared.changed.notify_waiters();
            Ok(json!({ "MessageId": id, "MD5OfMessageBody": "" }))
        }
        "CreateQueue" => {
            let name = body["QueueName"].as_str().unwrap_or_default();
            let mut queues = shared.queues();
            queues.create(name);
            for (attribute, value) in body["Attributes"].as_object().unwrap_or(&Map::new()) {
                queues.set(name, attribute, value.as_str().unwrap_or_default())?;
            }
            Ok(json!({ "QueueUrl": format!("http://fake/000000000000/{name}") }))
        }
        _ => Err(("UnknownOperationException", action.to_owned())),
    }
}

async fn receive(shared: &Shared, name: &str, body: &Value) -> Result<Value, Refusal> {
    let all = |list: &str| {
        let names = body[list].as_array().map_or(&[][..], Vec::as_slice);
        names.iter().any(|name| name == "All")
    };
    let request = Request {
        max: body["MaxNumberOfMessages"].as_u64().unwrap_or(1) as usize,
        visibility: body["VisibilityTimeout"].as_u64().map(Duration::from_secs),
        attempt: body["ReceiveRequestAttemptId"].as_str(),
        system: all("MessageSystemAttributeNames"),
        attributes: all("MessageAttributeNames"),
        fifo: false,
    };
    let wait = body["WaitTimeSeconds"].as_u64().unwrap_or_default();
    if !(1..=10).contains(&request.max) || wait > 20 {
        return Err(("InvalidParameterValue", "out of range".to_owned()));
    }
    let end = Instant::now() + Duration::from_secs(wait);
    loop {
        let changed = shared.changed.notified();
        let (messages, soonest) = shared.queues().receive(name, request.clone())?;
        if !messages.is_empty() || Instant::now() >= end {
            return Ok(json!({ "Messages": messages }));
        }
        tokio::select! {
            () = changed => {}
            () = sleep_until(soonest.unwrap_or(end).min(end)) => {}
        }
    }
}

fn batch(
    body: &Value,
    fault: Option<&Fault>,
    mut each: impl FnMut(&Value) -> Result<(), Refusal>,
) -> Result<Value, Refusal> {
    let entries = body["Entries"].as_array().map_or(&[][..], Vec::as_slice);
    let mut ids: Vec<_> = entries
        .iter()
        .filter_map(|entry| entry["Id"].as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    if entries.is_empty() {
        return Err(("EmptyBatchRequest", String::new()));
    }
    if entries.len() > 10 {
        return Err(("TooManyEntriesInBatchRequest", String::new()));
    }
    if ids.len() < entries.len() {
        return Err(("BatchEntryIdsNotDistinct", String::new()));
    }
    let (count, code) = match fault {
        Some(Fault::Entries(count, code)) => (*count, *code),
        _ => (0, ""),
    };
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (at, entry) in entries.iter().enumerate() {
        let id = &entry["Id"];
        if at < count {
            failed.push(json!({ "Id": id, "SenderFault": false, "Code": code }));
            continue;
        }
        match each(entry) {
            Ok(()) => done.push(json!({ "Id": id })),
            Err((code, message)) => {
                let fault =
                    json!({ "Id": id, "SenderFault": true, "Code": code, "Message": message });
                failed.push(fault);
            }
        }
    }
    Ok(json!({ "Successful": done, "Failed": failed }))
}

fn answer(value: &Value) -> Response {
    let headers = [
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amzn-requestid", "fake-request"),
    ];
    (headers, value.to_string()).into_response()
}

/// As SQS does: a code of the JSON protocol in the body, and that of the older protocol in a header
/// where it differs.
fn refuse((code, message): &Refusal) -> Response {
    let (status, place) = match *code {
        "UnrecognizedClientException" | "AccessDeniedException" | "ExpiredTokenException" => {
            (403, "com.amazon.coral.service")
        }
        "UnknownOperationException" | "SerializationException" => (400, "com.amazon.coral.service"),
        "InternalError" | "ServiceUnavailable" => (500, "com.amazonaws.sqs"),
        _ => (400, "com.amazonaws.sqs"),
    };
    let older = match *code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue",
        "EmptyBatchRequest" => "AWS.SimpleQueueService.EmptyBatchRequest",
        "BatchEntryIdsNotDistinct" => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        other => other,
    };
    let body = json!({ "__type": format!("{place}#{code}"), "message": message });
    let headers = [
        ("content-type", "application/x-amz-json-1.0".to_owned()),
        ("x-amzn-query-error", format!("{older};Sender")),
        ("x-amzn-requestid", "fake-request".to_owned()),
    ];
    (
        StatusCode::from_u16(status).unwrap(),
        headers,
        body.to_string(),
    )
        .into_response()
}
