//! Sessions that end, and servers that forget.

use super::*;

/// Waits for a client to be known again.
async fn known(fake: &Fake) {
    let began = Instant::now();
    while fake.clients(0) == 0 {
        assert!(began.elapsed() < 15 * SECOND);
        sleep(SECOND / 50).await;
    }
}

#[tokio::test]
async fn a_stream_that_ends_is_opened_again() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    let reconnect = pb::TelemetryCommand {
        reconnect: Some(pb::ReconnectEndpoints::default()),
        ..Default::default()
    };
    let refused = pb::TelemetryCommand {
        status: Some(pb::Status {
            code: 50001,
            message: "not any more".to_owned(),
        }),
        ..Default::default()
    };
    let ends: &[&dyn Fn()] = &[
        &|| fake.end_sessions(true),
        &|| fake.end_sessions(false),
        &|| fake.command(&reconnect),
        &|| fake.command(&refused),
        &|| fake.command_raw(&bytes::Bytes::from_static(&[0xff; 9])),
        &|| fake.cut(0),
    ];
    for (number, end) in ends.iter().enumerate() {
        let opened = fake.faults().calls(Kind::Telemetry);
        end();
        let began = Instant::now();
        while fake.faults().calls(Kind::Telemetry) == opened {
            assert!(began.elapsed() < 2 * SECOND, "{number}");
            sleep(SECOND / 100).await;
        }
        known(&fake).await;
        put(&fake, 0..1);
        let message = receive(&consumer, 1).await;
        ack(&consumer, &message).await;
        assert!(
            fake.faults().calls(Kind::Telemetry) <= opened + 2,
            "{number}"
        );
    }
}

#[tokio::test]
async fn commands_that_are_new_are_no_harm() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    let opened = fake.faults().calls(Kind::Telemetry);
    fake.command(&pb::TelemetryCommand::default());
    // Field 4, a request to print the threads, and one that has yet to be invented.
    for raw in [&[0x22, 3, 0x0a, 1, b'n'][..], &[0xfa, 0x07, 1, b'x']] {
        fake.command_raw(&bytes::Bytes::copy_from_slice(raw));
    }
    put(&fake, 0..1);
    receive(&consumer, 1).await;
    assert_eq!(fake.faults().calls(Kind::Telemetry), opened);
}

#[tokio::test]
async fn a_client_that_is_not_known_any_more_sends_its_settings_again() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    put(&fake, 0..1);
    fake.forget_clients();
    let opened = fake.faults().calls(Kind::Telemetry);
    let message = consumer.receive(32, SECOND).await.unwrap();
    assert_eq!(message.len(), 1, "the caller is not told");
    assert_eq!(fake.faults().calls(Kind::Telemetry), opened + 1);
    // Many at once need one session.
    fake.forget_clients();
    let polls = (0..8).map(|_| consumer.receive(32, SECOND));
    for outcome in futures_util::future::join_all(polls).await {
        outcome.unwrap();
    }
    assert_eq!(fake.faults().calls(Kind::Telemetry), opened + 2);
    // Acknowledgements need none.
    fake.forget_clients();
    ack(&consumer, &message).await;
    assert_eq!(fake.left("g", "t"), 0);
}

#[tokio::test]
async fn a_heartbeat_finds_out_that_nobody_knows_us() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    fake.forget_clients();
    assert_eq!(fake.clients(0), 0);
    // They come every 10 s.
    known(&fake).await;
    assert_eq!(fake.faults().calls(Kind::Heartbeat), 1);
    drop(consumer);
    let began = Instant::now();
    while fake.clients(0) > 0 {
        assert!(began.elapsed() < 2 * SECOND, "it says goodbye");
        sleep(SECOND / 50).await;
    }
}

#[tokio::test]
async fn a_server_that_knows_nobody_is_not_stormed() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    let (opened, polled) = (
        fake.faults().calls(Kind::Telemetry),
        fake.faults().calls(Kind::Receive),
    );
    let null = Fault::Code(50001, "because \"settings\" is null");
    fake.faults().always(Kind::Receive, null);
    let began = Instant::now();
    while began.elapsed() < SECOND {
        let error = consumer.receive(32, SECOND).await.unwrap_err();
        assert_line(&error, ErrorKind::Unavailable, "null");
    }
    // Two for each session, which has a pause before it.
    let opened = fake.faults().calls(Kind::Telemetry) - opened;
    let polled = fake.faults().calls(Kind::Receive) - polled;
    assert!(
        opened <= 20 && polled <= 2 * opened + 2,
        "{opened} {polled}"
    );
}
