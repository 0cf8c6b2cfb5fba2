//! Keys, tokens, regions and clocks.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{Error, ErrorKind, Result};
use eventlane_mns::{
    Credentials, CredentialsProvider, MnsConfig, MnsQueue, Signing, client::MnsClient,
};
use futures_util::future::join_all;

use crate::fake::{Fake, FakeOptions, Fault, Kind};

const SECOND: Duration = Duration::from_secs(1);

async fn refused(config: MnsConfig) -> Error {
    let error = MnsQueue::connect(config).await.unwrap_err();
    let text = error.to_string();
    assert!(
        !text.contains('\n') && !text.contains("fake-secret"),
        "{text}"
    );
    assert!(!format!("{error:?}").contains("fake-secret"));
    error
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let fake = Fake::start(FakeOptions::default()).await;
    let config = || fake.config("orders");
    let (id, secret) = FakeOptions::default().key;
    let v2 = config().with_signing(Signing::V2);
    let mut nowhere = config();
    nowhere.queue = "nowhere".to_owned();
    let mut prefixed = config();
    prefixed.endpoint.push_str("/no/such/path");
    let token = Credentials::new(&*id, &*secret).with_security_token("t");
    for (config, kind, part) in [
        (
            config().with_credentials(Credentials::new("nobody", &*secret)),
            ErrorKind::Unauthorized,
            "InvalidAccessKeyId",
        ),
        (
            config().with_credentials(Credentials::new(&*id, "wrong")),
            ErrorKind::Unauthorized,
            "check the secret",
        ),
        (
            v2.with_credentials(Credentials::new(id, "wrong")),
            ErrorKind::Unauthorized,
            "SignatureDoesNotMatch",
        ),
        (
            config().with_credentials(token),
            ErrorKind::Unauthorized,
            "InvalidSecurityToken",
        ),
        (
            config().with_region("eu-central-1"),
            ErrorKind::Unauthorized,
            "the region",
        ),
        (
            config().with_signing(Signing::ApsaraV4),
            ErrorKind::Unauthorized,
            "SignatureDoesNotMatch",
        ),
        (nowhere, ErrorKind::Config, "create the queue"),
        (prefixed, ErrorKind::Config, "check the endpoint's path"),
        (config().with_wait(31 * SECOND), ErrorKind::Config, "30 s"),
    ] {
        let error = refused(config).await;
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(part), "{text}");
        assert!(
            kind == ErrorKind::Config || text.contains("request id: "),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected() {
    for skew in [3600, -7200] {
        let fake = Fake::start(FakeOptions {
            skew,
            ..FakeOptions::default()
        })
        .await;
        fake.send("orders", "a", None);
        for signing in [Signing::V2, Signing::V4] {
            let config = fake.config("orders").with_signing(signing);
            let before = fake.requests(Kind::Attributes);
            let client = MnsClient::new(&config).unwrap();
            client.queue_attributes().await.unwrap();
            client.queue_attributes().await.unwrap();
            // Once with the wrong date, and from then on with the right one.
            assert_eq!(fake.requests(Kind::Attributes) - before, 3, "{skew}");
        }
        // A clock that is set right is noticed, too.
        let client = MnsClient::new(&fake.config("orders")).unwrap();
        client.queue_attributes().await.unwrap();
        fake.reconfigure(|options| options.skew = 0);
        let messages = client.receive(1, SECOND).await.unwrap();
        assert_eq!(messages.len(), 1);
    }
}

#[tokio::test]
async fn a_clock_that_is_a_little_off_is_left_alone() {
    let fake = Fake::start(FakeOptions {
        skew: 600,
        ..FakeOptions::default()
    })
    .await;
    fake.send("orders", "a", None);
    let client = MnsClient::new(&fake.config("orders")).unwrap();
    let message = client.receive(1, SECOND).await.unwrap().remove(0);
    // Leases go by the server's clock.
    let lease = message.lease.unwrap().as_secs_f64();
    assert!((29.0..=31.0).contains(&lease), "{lease}");
    assert_eq!(fake.requests(Kind::Receive), 1);
}

#[tokio::test]
async fn a_date_that_is_never_right_is_an_error_that_says_by_how_much() {
    let fake = Fake::start(FakeOptions {
        skew: 3600,
        ..FakeOptions::default()
    })
    .await;
    for (status, code) in [(408, "TimeExpired"), (400, "InvalidDateHeader")] {
        let before = fake.requests(Kind::Attributes);
        let fault = Fault::Refuse(status, code);
        fake.faults().inject(Kind::Attributes, fault, 2);
        let error = refused(fake.config("orders")).await;
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Config, "{text}");
        let about = text.contains("is 3600 s behind") || text.contains("is 3599 s behind");
        assert!(about && text.contains("set it"), "{text}");
        assert_eq!(fake.requests(Kind::Attributes) - before, 2);
    }
}

/// Gives what it has, and counts.
struct Vault {
    credentials: Mutex<Credentials>,
    asked: AtomicUsize,
}

impl Vault {
    fn new(credentials: Credentials) -> Arc<Self> {
        Arc::new(Self {
            credentials: Mutex::new(credentials),
            asked: AtomicUsize::new(0),
        })
    }

    fn put(&self, credentials: Credentials) {
        *self.credentials.lock().unwrap() = credentials;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl CredentialsProvider for Vault {
    async fn credentials(&self) -> Result<Credentials> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.credentials.lock().unwrap().clone())
    }
}

fn issue(number: u32) -> (FakeOptions, Credentials) {
    let (id, secret) = (format!("STS.{number}"), format!("secret{number}"));
    let token = format!("token+/{number}==");
    let credentials = Credentials::new(&*id, &*secret).with_security_token(&*token);
    let options = FakeOptions {
        key: (id, secret),
        token: Some(token),
        ..FakeOptions::default()
    };
    (options, credentials)
}

#[tokio::test]
async fn tokens_are_sent_and_renewed() {
    for signing in [Signing::V2, Signing::V4] {
        let (options, credentials) = issue(1);
        let fake = Fake::start(options).await;
        let vault = Vault::new(credentials);
        let config = fake
            .config("orders")
            .with_signing(signing)
            .with_credentials_provider(Arc::clone(&vault));
        let client = MnsClient::new(&config).unwrap();
        assert_eq!(vault.asked(), 0);
        client.queue_attributes().await.unwrap();
        client.queue_attributes().await.unwrap();
        assert_eq!(vault.asked(), 1);

        // The token expires; the provider has a new one, which all who were refused share.
        let (options, credentials) = issue(2);
        vault.put(credentials);
        fake.reconfigure(|old| *old = options);
        let results = join_all((0..8).map(|_| client.queue_attributes())).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(vault.asked(), 2);
        assert!(fake.requests(Kind::Attributes) <= 2 + 16);
    }
}

#[tokio::test]
async fn a_provider_that_has_nothing_better_is_asked_once_for_each_request() {
    let (options, credentials) = issue(1);
    let fake = Fake::start(options).await;
    let vault = Vault::new(credentials);
    let config = fake
        .config("orders")
        .with_credentials_provider(Arc::clone(&vault));
    let client = MnsClient::new(&config).unwrap();
    fake.reconfigure(|options| *options = issue(2).0);
    for round in 1..=3 {
        let error = client.queue_attributes().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert_eq!(vault.asked(), 1 + round);
        assert_eq!(fake.requests(Kind::Attributes), 2 * round);
    }
}

#[tokio::test]
async fn each_refusal_of_credentials_is_one_to_renew_them_for() {
    for code in [
        "AccessDenied",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
    ] {
        let (options, credentials) = issue(1);
        let fake = Fake::start(options).await;
        let vault = Vault::new(credentials);
        let config = fake
            .config("orders")
            .with_credentials_provider(Arc::clone(&vault));
        let fault = Fault::Refuse(403, code);
        fake.faults().inject(Kind::Attributes, fault, 1);
        MnsQueue::connect(config).await.unwrap();
        assert_eq!(vault.asked(), 2, "{code}");
    }
}

struct Broken;

#[async_trait]
impl CredentialsProvider for Broken {
    async fn credentials(&self) -> Result<Credentials> {
        let reason = "the role can't be assumed";
        Err(Error::new(ErrorKind::Unauthorized, "ask STS", reason))
    }
}

#[tokio::test]
async fn what_a_provider_says_is_passed_on() {
    let fake = Fake::start(FakeOptions::default()).await;
    let config = fake.config("orders").with_credentials_provider(Broken);
    let error = refused(config).await;
    assert_eq!(error.to_string(), "ask STS: the role can't be assumed");
    assert_eq!(fake.requests(Kind::Attributes), 0);
}
