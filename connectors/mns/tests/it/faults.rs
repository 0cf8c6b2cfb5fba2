//! When the server, or what is in between, does not do what it should.

use std::time::Duration;

use eventlane::{Error, ErrorKind};
use eventlane_mns::{
    MnsQueue,
    client::{MnsClient, OutgoingMessage},
};
use tokio::{net::TcpListener, time::Instant};

use crate::fake::{Fake, FakeOptions, Fault, Kind};

const SECOND: Duration = Duration::from_secs(1);

async fn fake() -> (Fake, MnsClient) {
    let fake = Fake::start(FakeOptions::default()).await;
    fake.send("orders", "a", None);
    let config = fake.config("orders").with_request_timeout(SECOND);
    let client = MnsClient::new(&config).unwrap();
    (fake, client)
}

/// What a receive says that meets a fault once.
async fn meets(fault: Fault) -> Error {
    let (fake, client) = fake().await;
    fake.faults().inject(Kind::Receive, fault, 1);
    let error = client.receive(16, SECOND).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("receive messages: "), "{text}");
    assert!(text.contains("/queues/orders"), "{text}");
    assert!(!text.contains('\n') && text.len() < 600, "{text}");
    assert_eq!(fake.requests(Kind::Receive), 1, "{text}");
    error
}

#[tokio::test]
async fn throttling_is_said_to_be_that() {
    for fault in [
        Fault::Throttle,
        Fault::Refuse(400, "QpsLimitExceeded"),
        Fault::Answer(403, "denied by cluster flow limiter".to_owned()),
    ] {
        let error = meets(fault).await;
        assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
        assert!(error.to_string().contains("request id: 65F1"), "{error}");
    }
}

#[tokio::test]
async fn trouble_passes() {
    for fault in [
        Fault::Fail,
        Fault::LostAnswer,
        Fault::Disconnect,
        Fault::Answer(502, "<html><body>Bad Gateway</body></html>".to_owned()),
        Fault::Answer(503, String::new()),
    ] {
        let error = meets(fault).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}

#[tokio::test]
async fn the_next_request_is_a_new_one() {
    let (fake, client) = fake().await;
    fake.faults().inject(Kind::Receive, Fault::Fail, usize::MAX);
    for _ in 0..3 {
        client.receive(16, SECOND).await.unwrap_err();
    }
    fake.faults().clear();
    assert_eq!(client.receive(16, SECOND).await.unwrap().len(), 1);
    assert_eq!(fake.requests(Kind::Receive), 4);
}

#[tokio::test]
async fn answers_that_are_garbled_may_be_better_next_time() {
    for fault in [
        Fault::Malformed,
        Fault::Answer(200, String::new()),
        Fault::Answer(200, "<Messages><Message></Messages>".to_owned()),
        Fault::Answer(200, "<a>".repeat(100_000)),
    ] {
        let error = meets(fault).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("endpoint"), "{error}");
    }
}

#[tokio::test]
async fn answers_that_say_something_else_are_errors() {
    for fault in [
        Fault::Answer(200, "<html></html>".to_owned()),
        Fault::Answer(200, "<Error><Code>x</Code></Error>".to_owned()),
        Fault::Answer(200, format!("<Messages>{}</Messages>", " ".repeat(9 << 20))),
    ] {
        let error = meets(fault).await;
        assert_eq!(error.kind(), ErrorKind::Unexpected, "{error}");
        assert!(error.to_string().contains("endpoint"), "{error}");
    }
}

#[tokio::test]
async fn odd_answers_are_understood() {
    let (fake, client) = fake().await;
    for (status, body, count) in [
        (200, "<Messages/>", 0),
        (200, "<Messages><New/></Messages>", 0),
        (204, "", 0),
        (404, "<Error><Code>MessageNotExist</Code></Error>", 0),
        // Neither can be settled.
        (
            200,
            "<Messages><Message><MessageId>1</MessageId></Message></Messages>",
            0,
        ),
        (
            200,
            "<Message><MessageId>1</MessageId><ReceiptHandle>h</ReceiptHandle></Message>",
            1,
        ),
        (
            200,
            "<x:Messages xmlns:x='y'><x:Message><x:MessageId><![CDATA[1]]></x:MessageId><x:ReceiptHandle>h</x:ReceiptHandle>\
             </x:Message></x:Messages>",
            1,
        ),
    ] {
        let fault = Fault::Answer(status, body.to_owned());
        fake.faults().inject(Kind::Receive, fault, 1);
        let messages = client.receive(16, SECOND).await.unwrap();
        assert_eq!(messages.len(), count, "{body}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let (fake, client) = fake().await;
    fake.faults().inject(Kind::Receive, Fault::Hang, 1);
    let start = Instant::now();
    let error = client.receive(16, SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("no answer within 2s"), "{error}");
    assert!((2..4).contains(&start.elapsed().as_secs()));
    assert_eq!(client.receive(16, SECOND).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_there_is_said_in_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (fake, _) = fake().await;
    let mut config = fake.config("orders");
    config.endpoint = endpoint;
    let error = MnsQueue::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(
        text.contains("refused") && text.contains("endpoint"),
        "{text}"
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let error = meets(Fault::Redirect).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("elsewhere.invalid"), "{error}");
}

#[tokio::test]
async fn deletes_that_fail_are_told_one_by_one() {
    let (fake, client) = fake().await;
    let messages = client.receive(16, SECOND).await.unwrap();
    let handles: Vec<_> = messages.into_iter().map(|message| message.handle).collect();
    fake.faults().inject(Kind::Delete, Fault::DeleteNone, 1);
    let results = client.delete(&handles).await.unwrap();
    let error = results[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");

    // All of it failed, and nobody knows of any.
    fake.faults().inject(Kind::Delete, Fault::LostAnswer, 1);
    let error = client.delete(&handles).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    // It was deleted all the same.
    let results = client.delete(&handles).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::Fenced);
}

#[tokio::test]
async fn sent_or_not_is_not_known_without_an_answer() {
    let (fake, client) = fake().await;
    fake.faults().inject(Kind::Send, Fault::LostAnswer, 1);
    let error = client.send(&OutgoingMessage::new("b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!((fake.len("orders"), fake.requests(Kind::Send)), (2, 1));
}

#[tokio::test]
async fn a_receive_that_is_dropped_takes_messages_with_it() {
    let (fake, client) = fake().await;
    drop(client.receive(1, SECOND).await.unwrap());
    let receive = client.receive(1, 5 * SECOND);
    drop(tokio::time::timeout(SECOND / 2, receive).await);
    fake.send("orders", "b", None);
    tokio::time::sleep(SECOND / 2).await;
    // Why the poller never does that.
    assert_eq!(fake.in_flight("orders"), 2);
}
