//! Connections, and what goes wrong with the calls on them.

use std::{convert::Infallible, net::TcpListener as StdListener, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    Fault, Kind, Shared, calls,
    grpc::{self, Body},
    pb, sessions,
};

pub(super) fn bind() -> StdListener {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

pub(super) async fn serve(shared: Arc<Shared>, broker: usize, listener: StdListener) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // A port that was given up could be another's by the time it is wanted again.
        if !shared.state().down.contains(&broker) {
            tokio::spawn(connection(Arc::clone(&shared), broker, stream));
        }
    }
}

async fn connection(shared: Arc<Shared>, broker: usize, stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut cut = shared.cut[broker].subscribe();
    let (reset, mut resets) = mpsc::unbounded_channel();
    let service = service_fn(|request| {
        let (shared, reset) = (Arc::clone(&shared), reset.clone());
        async move {
            let response = handle(shared, broker, request, reset).await;
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(1000)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        _ = cut.recv() => {}
        _ = resets.recv() => {}
    }
}

async fn handle(
    shared: Arc<Shared>,
    broker: usize,
    request: Request<Incoming>,
    reset: mpsc::UnboundedSender<()>,
) -> Response<Body> {
    let Some(kind) = Kind::of(request.uri().path()) else {
        return grpc::refused(12, "unknown method");
    };
    let fault = shared.faults.of(kind);
    let mut paused = shared.paused[broker].subscribe();
    drop(paused.wait_for(|hangs| !hangs).await);
    match fault {
        Some(Fault::Hang) => return std::future::pending().await,
        Some(Fault::Slow(time)) => sleep(time).await,
        Some(Fault::Reset) => {
            reset.send(()).unwrap();
            return std::future::pending().await;
        }
        Some(Fault::Code(code, text)) => return grpc::messages(&[calls::status(code, text)]),
        Some(Fault::Rpc(code, text)) => return grpc::refused(code, text),
        Some(Fault::Garbage) => return grpc::messages(&[Bytes::from_static(&[0xff; 20])]),
        Some(Fault::Nothing) => {
            // Of a unary call, an empty message.
            let one = matches!(kind, Kind::Receive | Kind::Telemetry);
            let nothing = [Bytes::new()];
            return grpc::messages(if one { &[] } else { &nothing });
        }
        Some(Fault::Html(status)) => return grpc::html(status),
        Some(Fault::Lost | Fault::Broken | Fault::Entries(..) | Fault::Silent(_)) | None => {}
    }
    let (head, mut body) = request.into_parts();
    let token = head.headers.get("x-mq-session-token");
    let demanded = shared.state().token.clone();
    if demanded.is_some_and(|it| token.is_none_or(|token| token.as_bytes() != it.as_bytes())) {
        let refused = "check signature failed: the security token is expired";
        return grpc::messages(&[calls::status(40100, refused)]);
    }
    let client = head.headers.get("x-mq-client-id");
    let client = client.map_or("", |id| id.to_str().unwrap()).to_owned();
    let patience = grpc::timeout(&head.headers);
    let mut rest = BytesMut::new();
    let Some(question) = grpc::next(&mut body, &mut rest).await else {
        return grpc::refused(13, "the request is empty");
    };
    if kind == Kind::Telemetry {
        return telemetry(&shared, broker, client, question, body, fault);
    }
    let call = calls::Call {
        shared: Arc::clone(&shared),
        broker,
        client,
        patience,
        fault,
    };
    // A client that goes away changes nothing.
    let answers = tokio::spawn(async move { call.perform(kind, question).await });
    let answers = match answers.await.expect("the fake does not panic") {
        Ok(answers) => answers,
        Err((code, text)) => vec![calls::status(code, &text)],
    };
    match fault {
        Some(Fault::Lost) => std::future::pending().await,
        Some(Fault::Broken) if kind == Kind::Receive => grpc::breaks_after(&answers, 2),
        Some(Fault::Broken) => grpc::breaks_after(&answers, 0),
        _ => grpc::messages(&answers),
    }
}

/// The session lasts as long as both its streams.
fn telemetry(
    shared: &Arc<Shared>,
    broker: usize,
    client: String,
    question: Bytes,
    mut incoming: Incoming,
    fault: Option<Fault>,
) -> Response<Body> {
    let settings = pb::TelemetryCommand::decode(question).ok();
    let Some(settings) = settings.and_then(|command| command.settings) else {
        return grpc::refused(3, "the first command has no settings");
    };
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let number = {
        let mut state = shared.state();
        let name = sessions::group_of(&settings).map(|group| group.name.clone());
        let group = name.as_ref().map(|name| state.groups.get(name).cloned());
        if matches!(group, Some(None)) || state.groups_lost {
            return grpc::refused(3, "group not found");
        }
        let told = sessions::merge(settings.clone(), group.flatten().as_ref());
        if !matches!(fault, Some(Fault::Lost)) {
            sender.send(grpc::frame(&told)).unwrap();
        }
        if matches!(fault, Some(Fault::Broken)) {
            sender.send(grpc::broken()).unwrap();
        }
        state.sessions[broker].begin(&client, settings, sender)
    };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let mut rest = BytesMut::new();
        while let Some(command) = grpc::next(&mut incoming, &mut rest).await {
            let command = pb::TelemetryCommand::decode(command);
            if let Some(settings) = command.ok().and_then(|command| command.settings) {
                let mut state = shared.state();
                let group = sessions::group_of(&settings).map(|group| group.name.clone());
                let group = group.and_then(|name| state.groups.get(&name).cloned());
                let group = group.filter(|_| !state.groups_lost);
                state.sessions[broker].change(&client, settings, group.as_ref());
            }
        }
        shared.state().sessions[broker].leave(&client, number);
    });
    // An end has to be the last part.
    let parts = stream::poll_fn(move |context| receiver.poll_recv(context));
    let mut ended = false;
    let parts = parts.take_while(move |part| {
        let goes_on = !ended;
        ended |= part.as_ref().is_ok_and(|frame| frame.is_trailers());
        std::future::ready(goes_on)
    });
    grpc::response(parts)
}

/// Waits for something to change, up to a time.
pub(super) async fn wait(changed: impl Future<Output = ()>, time: Duration) {
    // Either will do.
    drop(timeout(time, changed).await);
}
