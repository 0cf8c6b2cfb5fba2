//! Credentials that change while we run.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use eventlane_rocketmq::{Credentials, CredentialsProvider};

use super::*;

/// Another token each time it is asked: `token1`, `token2`, ….
#[derive(Debug, Default)]
struct Tokens {
    asked: AtomicU32,
    last: Option<Duration>,
}

impl Tokens {
    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl CredentialsProvider for Tokens {
    async fn credentials(&self) -> Result<Credentials, Error> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let token = format!("token{number}");
        let credentials = Credentials::new("STS.key", "hush").with_session_token(token);
        Ok(match self.last {
            Some(last) => credentials.with_expiry(std::time::SystemTime::now() + last),
            None => credentials,
        })
    }
}

async fn connect(fake: &Fake, last: Option<Duration>) -> (Arc<Tokens>, Consumer) {
    let tokens = Tokens {
        last,
        ..Tokens::default()
    };
    let tokens = Arc::new(tokens);
    fake.demand_token("token1");
    let config = config(fake).with_credentials_provider(Arc::clone(&tokens));
    (tokens, Consumer::connect(&config).await.unwrap())
}

#[tokio::test]
async fn that_are_refused_are_asked_for_again_and_nothing_fails() {
    let fake = normal();
    let (tokens, consumer) = connect(&fake, None).await;
    put(&fake, 0..3);
    // Whatever meets with it first.
    fake.demand_token("token2");
    let messages = receive(&consumer, 3).await;
    fake.demand_token("token3");
    ack(&consumer, &messages[..1]).await;
    fake.demand_token("token4");
    let handle = &messages[1].handle;
    let handle = consumer
        .change_invisible(handle, LEASE, false)
        .await
        .unwrap();
    fake.demand_token("token5");
    consumer.dead_letter(&handle).await.unwrap();
    // A session, too, which would rest for 20 s otherwise.
    fake.demand_token("token6");
    fake.end_sessions(false);
    let began = Instant::now();
    put(&fake, 3..4);
    while !bodies(&receive(&consumer, 1).await).contains("3") {}
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
    assert_eq!(tokens.asked(), 6);
}

#[tokio::test]
async fn are_asked_for_before_they_expire() {
    let fake = normal();
    let (tokens, consumer) = connect(&fake, Some(2 * SECOND)).await;
    put(&fake, 0..1);
    let messages = receive(&consumer, 1).await;
    assert_eq!(tokens.asked(), 1);
    // A server that refuses nothing any more: what it sees is the new one.
    sleep(8 * SECOND / 5).await;
    fake.demand_token("token2");
    let refused = consumer.ack(&[messages[0].handle.clone()]).await.unwrap();
    drop(refused);
    assert_eq!(tokens.asked(), 2);
}

#[tokio::test]
async fn that_stay_wrong_are_an_error_without_a_loop() {
    let fake = normal();
    fake.demand_token("of somebody else");
    let tokens = Arc::new(Tokens::default());
    let config = config(&fake).with_credentials_provider(Arc::clone(&tokens));
    let error = Consumer::connect(&config).await.unwrap_err();
    assert_line(&error, ErrorKind::Unauthorized, "credentials");
    assert!(!error.to_string().contains("token1") && !format!("{error:?}").contains("hush"));
    sleep(SECOND / 2).await;
    assert!(tokens.asked() <= 4, "{}", tokens.asked());
}
