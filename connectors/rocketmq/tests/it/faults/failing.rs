//! Calls that fail, hang, or are answered with something else.

use super::*;

/// What each fault means, and what is said of it.
const FAULTS: &[(Fault, ErrorKind, &str)] = &[
    (
        Fault::Code(42900, "polling\nfull"),
        ErrorKind::Throttled,
        "polling full",
    ),
    (Fault::Code(50001, ""), ErrorKind::Unavailable, "50001"),
    (
        Fault::Code(50400, "proxy timeout"),
        ErrorKind::Unavailable,
        "proxy timeout",
    ),
    (
        Fault::Code(40100, "no permission"),
        ErrorKind::Unauthorized,
        "credentials",
    ),
    (Fault::Code(40402, "gone"), ErrorKind::Unavailable, "gone"),
    (Fault::Code(49999, "news"), ErrorKind::Rejected, "news"),
    (
        Fault::Code(7, ""),
        ErrorKind::Unexpected,
        "without a reason",
    ),
    (
        Fault::Rpc(14, "name\nserver"),
        ErrorKind::Unavailable,
        "name server",
    ),
    (
        Fault::Rpc(16, "who"),
        ErrorKind::Unauthorized,
        "credentials",
    ),
    (Fault::Reset, ErrorKind::Unavailable, "endpoint: "),
    (Fault::Html(502), ErrorKind::Unavailable, "gRPC proxy"),
    (Fault::Garbage, ErrorKind::Unavailable, "decode"),
    (Fault::Nothing, ErrorKind::Unexpected, "no status"),
    (Fault::Hang, ErrorKind::Unavailable, "expired"),
];

#[tokio::test]
async fn receives_say_why_in_one_line() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    for (fault, kind, part) in FAULTS {
        // It would take as long as a poll.
        if matches!(fault, Fault::Hang) {
            continue;
        }
        fake.faults().next(Kind::Receive, *fault);
        let error = consumer.receive(32, SECOND).await.unwrap_err();
        assert_line(&error, *kind, part);
        assert_line(&error, *kind, "topic: t");
    }
    put(&fake, 0..1);
    assert_eq!(receive(&consumer, 1).await.len(), 1);
}

#[tokio::test]
async fn settlements_say_why_in_one_line() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    put(&fake, 0..2);
    let messages = receive(&consumer, 2).await;
    let handles: Vec<_> = messages.iter().map(|it| it.handle.clone()).collect();
    for (fault, kind, part) in FAULTS {
        let began = Instant::now();
        fake.faults().next(Kind::Ack, *fault);
        fake.faults().next(Kind::Change, *fault);
        fake.faults().next(Kind::Forward, *fault);
        let (acks, change, forward) = tokio::join!(
            consumer.ack(&handles),
            consumer.change_invisible(&handles[0], LEASE, false),
            consumer.dead_letter(&handles[0]),
        );
        let acks = acks.unwrap();
        assert_eq!(acks.len(), 2);
        let errors = acks.into_iter().map(Result::unwrap_err);
        let others = [change.unwrap_err(), forward.unwrap_err()];
        for error in errors.chain(others) {
            assert_line(&error, *kind, part);
        }
        assert!(began.elapsed() < 2 * SECOND, "{fault:?}");
    }
    assert!(fake.dead("g").is_empty());
}

#[tokio::test]
async fn connecting_ends_in_time_whatever_is_answered() {
    let fake = normal();
    let later: &[(Fault, ErrorKind)] = &[
        (Fault::Hang, ErrorKind::Unavailable),
        (Fault::Reset, ErrorKind::Unavailable),
        (Fault::Html(404), ErrorKind::Unavailable),
        (Fault::Rpc(12, "unknown method"), ErrorKind::Config),
        (Fault::Garbage, ErrorKind::Unavailable),
        (Fault::Code(40100, "who?"), ErrorKind::Unauthorized),
        (Fault::Code(40402, "no route"), ErrorKind::Config),
        (Fault::Code(42900, "slow down"), ErrorKind::Throttled),
    ];
    for kind in [Kind::Telemetry, Kind::Route] {
        for (fault, meaning) in later {
            fake.faults().next(kind, *fault);
            let began = Instant::now();
            let error = RocketMqQueue::connect(config(&fake)).await.unwrap_err();
            assert_line(&error, *meaning, "");
            assert!(began.elapsed() < 2 * SECOND, "{kind:?} {fault:?}");
        }
    }
    // Settings are awaited, since a receive that overtakes them fails.
    fake.faults().next(Kind::Telemetry, Fault::Lost);
    let error = RocketMqQueue::connect(config(&fake)).await.unwrap_err();
    assert_line(&error, ErrorKind::Unavailable, "open a session");
    // What is merely slow is waited for, and of probes only what is about us matters.
    fake.faults().next(Kind::Telemetry, Fault::Slow(SECOND / 5));
    fake.faults().next(Kind::Route, Fault::Slow(SECOND / 5));
    fake.faults().next(Kind::Receive, Fault::Rpc(14, "not yet"));
    RocketMqQueue::connect(config(&fake)).await.unwrap();
    fake.faults()
        .next(Kind::Receive, Fault::Code(40300, "forbidden"));
    let error = RocketMqQueue::connect(config(&fake)).await.unwrap_err();
    assert_line(&error, ErrorKind::Unauthorized, "topic: t");
}

#[tokio::test]
async fn a_receive_that_hangs_is_given_up() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    fake.faults().next(Kind::Receive, Fault::Hang);
    let began = Instant::now();
    let error = consumer.receive(32, SECOND).await.unwrap_err();
    assert_line(&error, ErrorKind::Unavailable, "topic: t");
    // The server may hold it for 5 s, and has half a second more.
    assert!(began.elapsed() < 7 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_broken_receive_brings_what_came_before() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    put(&fake, 0..3);
    fake.faults().next(Kind::Receive, Fault::Broken);
    let first = consumer.receive(32, SECOND).await.unwrap();
    assert_eq!(bodies(&first), ["0".to_owned()].into());
    ack(&consumer, &first).await;
    // The others are on lease, and nobody has their handles.
    let others = receive(&consumer, 2).await;
    assert_eq!(bodies(&others), ["1".to_owned(), "2".to_owned()].into());
    ack(&consumer, &others).await;
    assert_eq!(fake.left("g", "t"), 0);
}

#[tokio::test]
async fn acknowledgements_are_told_one_by_one() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    put(&fake, 0..4);
    let messages = receive(&consumer, 4).await;
    let handles: Vec<_> = messages.iter().map(|it| it.handle.clone()).collect();
    fake.faults().next(Kind::Ack, Fault::Entries(2, 50001));
    let [one, two, three, four] = consumer.ack(&handles).await.unwrap().try_into().unwrap();
    for failed in [one, two] {
        assert_line(&failed.unwrap_err(), ErrorKind::Unavailable, "50001");
    }
    three.unwrap();
    four.unwrap();
    assert_eq!(fake.left("g", "t"), 2);
    // Done, and not mentioned: nothing is known of it.
    fake.faults().next(Kind::Ack, Fault::Silent(1));
    let outcomes = consumer.ack(&handles[..2]).await.unwrap();
    let [one, two] = outcomes.try_into().unwrap();
    one.unwrap();
    assert_line(
        &two.unwrap_err(),
        ErrorKind::Unavailable,
        "does not mention",
    );
    assert_eq!(fake.left("g", "t"), 0);
}

#[tokio::test]
async fn sent_or_not_is_not_known_without_an_answer() {
    let fake = normal();
    let producer = Producer::connect(&config(&fake), &["t"]).await.unwrap();
    let message = OutgoingMessage::new("x");
    fake.faults().next(Kind::Send, Fault::Lost);
    let error = producer.send("t", &message).await.unwrap_err();
    assert_line(&error, ErrorKind::Unavailable, "topic: t");
    assert_eq!(fake.left("g", "t"), 1);
    assert_eq!(
        fake.faults().calls(Kind::Send),
        1,
        "it is not ours to repeat"
    );
}

#[tokio::test]
async fn a_receive_that_is_dropped_takes_messages_with_it() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    drop(timeout(SECOND / 5, consumer.receive(32, SECOND)).await);
    put(&fake, 0..1);
    let began = Instant::now();
    let message = receive(&consumer, 1).await;
    // Why the poller never does that.
    assert!(began.elapsed() > SECOND, "{:?}", began.elapsed());
    assert_eq!(bodies(&message).len(), 1);
}
