//! A worker of the scoring service: a process of its own, which scores what it is asked about and
//! puts the result into its answer, as a CloudEvent.
//!
//! It tells its address on standard output once it is ready, and ends when its standard input does:
//! when it is to stop, and also when the program that started it is gone.

use std::{error::Error, io::Write, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use eventlane::event::{Data, Event, http};
use eventlane_example_room::crowd::Interaction;
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    time::{Instant, sleep, sleep_until},
};

use crate::scorer::{Score, score};

/// How long a worker takes until it is ready, as one does that loads a model.
const COLD_START: Duration = Duration::from_millis(600);
/// How many events it scores at a time. The front of the service sends no more.
pub(crate) const SLOTS: usize = 2;
/// How long it takes over one.
const TAKES: [Duration; 3] = [
    Duration::from_millis(8),
    Duration::from_millis(10),
    Duration::from_millis(12),
];

/// A result: the data of the event in the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scored {
    #[serde(flatten)]
    pub(crate) act: Interaction,
    #[serde(flatten)]
    pub(crate) score: Score,
    /// Which worker it was.
    pub(crate) worker: u32,
    /// When the interaction was sent, in milliseconds since 1970.
    pub(crate) sent: i64,
}

/// Is a worker until standard input ends.
pub(crate) async fn run(number: u32) -> Result<(), Box<dyn Error + Send + Sync>> {
    let ready = Instant::now() + COLD_START;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    sleep_until(ready).await;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", listener.local_addr()?)?;
    output.flush()?;
    drop(output);
    let router = Router::new()
        .route("/score", post(answer))
        .with_state(Arc::new(number));
    let stop = async {
        let mut input = tokio::io::stdin();
        while input.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
    };
    // The one who starts workers lets them finish before it ends their input.
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        () = stop => {}
    }
    Ok(())
}

async fn answer(State(number): State<Arc<u32>>, headers: HeaderMap, body: Bytes) -> Response {
    match reply(*number, &headers, body).await {
        Ok(reply) => {
            let mut headers = HeaderMap::new();
            let body = http::write_binary(&reply, &mut headers);
            (headers, body).into_response()
        }
        Err(why) => (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response(),
    }
}

async fn reply(
    number: u32,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Event, Box<dyn Error + Send + Sync>> {
    let http::Message::One(event) = http::read(headers, body)? else {
        return Err("not one CloudEvent".into());
    };
    let data = event.data().ok_or("the event has no data")?;
    let act: Interaction = serde_json::from_slice(data.as_bytes())?;
    let sent = event.time().ok_or("the event has no time")?.unix_millis();
    sleep(TAKES[act.seq as usize % TAKES.len()]).await;
    let viewer = act.viewer.clone();
    let scored = Scored {
        score: score(&act.kind),
        act,
        worker: number,
        sent,
    };
    // The same id whoever scores it, and however often: who cares can tell that it comes again. The
    // viewer as the key keeps the results in order, too.
    let reply = Event::builder()
        .id(format!("score:{}", event.id()))
        .source("/livestream/scorer")
        .ty("com.example.livestream.score")
        .data_content_type("application/json")
        .extension("partitionkey", viewer)
        .data(Data::json(serde_json::to_vec(&scored)?)?)
        .build()?;
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use eventlane::event::Timestamp;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_interaction_is_answered_by_its_score() {
        let data = r#"{"viewer":"calm-owl","seq":3,"kind":"comment","text":"what a goal"}"#;
        let event = Event::builder()
            .id("partition:1/offset:2")
            .source("/kafka")
            .ty("interaction")
            .time(Timestamp::from_unix_millis(5))
            .data(Data::json(data).unwrap())
            .build()
            .unwrap();
        let mut headers = HeaderMap::new();
        let body = http::write_binary(&event, &mut headers);
        let first = reply(7, &headers, body.clone()).await.unwrap();
        assert_eq!(first.id(), "score:partition:1/offset:2");
        assert_eq!(
            first.extension("partitionkey").unwrap().as_str(),
            "calm-owl"
        );
        let data = first.data().unwrap().as_bytes();
        let scored: Scored = serde_json::from_slice(data).unwrap();
        assert_eq!((scored.act.seq, scored.worker, scored.sent), (3, 7, 5));
        assert_eq!(scored.score.sentiment, 0.5);
        let second = reply(8, &headers, body).await.unwrap();
        assert_eq!(first.id(), second.id());
        assert!(reply(7, &headers, Bytes::new()).await.is_err());
    }
}
