//! Credentials, and how they are renewed.

use std::{
    fs,
    sync::{Arc, RwLock},
};

use eventlane::{
    ErrorKind,
    sink::{
        Verdict,
        http::{Credentials, HttpSink, Protocol, Secret},
    },
};

use crate::{
    server::Hyper,
    support::{config, deliver, event, send},
};

async fn guarded(accepted: &Arc<RwLock<String>>) -> Hyper {
    let accepted = Arc::clone(accepted);
    Hyper::start(move |request| {
        let given = request
            .headers()
            .get("authorization")
            .map(|value| value.to_str().unwrap());
        let status = if given == Some(accepted.read().unwrap().as_str()) {
            200
        } else {
            401
        };
        http::Response::builder()
            .status(status)
            .body(String::new())
            .unwrap()
    })
    .await
}

fn accepted(header: &str) -> Arc<RwLock<String>> {
    Arc::new(RwLock::new(header.to_owned()))
}

#[tokio::test]
async fn basic() {
    let server = guarded(&accepted("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")).await;
    let right = config(&server.url()).with_auth(Credentials::basic("Aladdin", "open sesame"));
    deliver(&HttpSink::new(right).unwrap(), event()).await;

    let wrong = config(&server.url()).with_auth(Credentials::basic("Aladdin", "swordfish"));
    match send(&HttpSink::new(wrong).unwrap(), event()).await {
        Verdict::Hold(failure) => {
            assert_eq!(
                (failure.status, &*failure.reason),
                (Some(401), "status_401")
            );
            assert!(
                failure.message.contains("check the credentials"),
                "{}",
                failure.message
            );
            assert!(!failure.message.contains("swordfish"));
        }
        verdict => panic!("{verdict:?}"),
    }
}

#[tokio::test]
async fn bearer_over_both_versions() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let server = guarded(&accepted("Bearer s3cret")).await;
        let config = config(&server.url())
            .with_auth(Credentials::bearer("s3cret"))
            .with_protocol(protocol);
        deliver(&HttpSink::new(config).unwrap(), event()).await;
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_read_again_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    fs::write(&path, "first\n").unwrap();
    let accepted = accepted("Bearer first");
    let mut server = guarded(&accepted).await;
    let config = config(&server.url()).with_auth(Credentials::bearer_file(&path));
    let sink = HttpSink::new(config).unwrap();
    deliver(&sink, event()).await;

    // Of the same length and within a second: only the refusal can reveal it.
    fs::write(&path, "other\n").unwrap();
    *accepted.write().unwrap() = "Bearer other".into();
    deliver(&sink, event()).await;
    let sent = [
        server.request().await,
        server.request().await,
        server.request().await,
    ];
    let sent = sent.map(|request| {
        request.headers()["authorization"]
            .to_str()
            .unwrap()
            .to_owned()
    });
    assert_eq!(sent, ["Bearer first", "Bearer first", "Bearer other"]);

    // Refused and unchanged: no second request.
    *accepted.write().unwrap() = "Bearer third".into();
    assert!(matches!(send(&sink, event()).await, Verdict::Hold(_)));
    // Unreadable: the last one is used on.
    fs::remove_file(&path).unwrap();
    assert!(matches!(send(&sink, event()).await, Verdict::Hold(_)));
    *accepted.write().unwrap() = "Bearer other".into();
    deliver(&sink, event()).await;
    for _ in 0..3 {
        assert_eq!(
            server.request().await.headers()["authorization"],
            "Bearer other"
        );
    }
}

#[tokio::test]
async fn a_file_that_changes_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    fs::write(&path, "a").unwrap();
    // Takes anything, so that no refusal helps.
    let mut server = Hyper::start(|_| http::Response::new(String::new())).await;
    let credentials = Credentials::basic("u", Secret::file(&path));
    let sink = HttpSink::new(config(&server.url()).with_auth(credentials)).unwrap();
    fs::write(&path, "bb").unwrap();
    // It has not been looked at since it was first read, so this request looks.
    deliver(&sink, event()).await;
    assert_eq!(
        server.request().await.headers()["authorization"],
        "Basic dTpiYg=="
    );
}

#[tokio::test]
async fn mistakes_are_told_without_the_secret() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    fs::write(&empty, "\n").unwrap();
    for (credentials, hint) in [
        (
            Credentials::bearer_file(directory.path().join("none")),
            "can't be read",
        ),
        (Credentials::bearer_file(&empty), "is empty"),
        (Credentials::bearer(""), "is empty"),
        (Credentials::bearer("hunter2\nx"), "one line"),
        (Credentials::basic("a:b", "hunter2"), "colon"),
    ] {
        let error = HttpSink::new(config("http://localhost").with_auth(credentials)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(
            text.contains(hint) && !text.contains("hunter2") && !text.contains('\n'),
            "{text}"
        );
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
