//! What becomes of replies, and of what they are the replies to.

use std::time::Duration;

use eventlane::{
    Event,
    event::http::write_batched,
    metrics as names,
    sink::{
        Batch, FunctionSink, HttpSink, HttpSinkConfig, Sink, Verdict, Verdicts,
        http::{HttpDeadLetter, Replies, Undecodable},
    },
};
use http::{HeaderMap, Response};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::{Kept, answer, asking, full, reply, structured};
use crate::{
    server::Hyper,
    support::{builder, deliver, event, retried, send},
};

async fn batch(replies: &'static [(&'static str, &'static str)]) -> Hyper {
    Hyper::start(move |_| {
        let events: Vec<_> = replies
            .iter()
            .map(|(id, key)| reply(id, (!key.is_empty()).then_some(key)))
            .collect();
        let mut headers = HeaderMap::new();
        let body = write_batched(&events, &mut headers);
        answer(200, headers, &body)
    })
    .await
}

#[tokio::test]
async fn a_reply_goes_to_another_endpoint() {
    let mut scores = Hyper::start(|_| Response::new(String::new())).await;
    let scorer = Hyper::start(|_| structured(&reply("1", Some("ann")))).await;
    let sink = HttpSink::new(HttpSinkConfig::new(scorer.url()))
        .unwrap()
        .with_replies_to(HttpSink::new(HttpSinkConfig::new(scores.url())).unwrap());
    deliver(&sink, event()).await;
    let posted = scores.request().await;
    for (name, value) in [
        ("ce-id", "1"),
        ("ce-source", "/scores"),
        ("ce-partitionkey", "ann"),
        ("ce-eventlanehops", "1"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(posted.headers()[name], value);
    }
    assert_eq!(posted.body(), "7");
}

#[tokio::test]
async fn while_the_reply_is_not_taken_it_is_handed_over_again_and_nobody_is_asked_again() {
    let mut scorer = Hyper::start(|_| structured(&reply("1", None))).await;
    let failures = (0..3).map(|_| Verdict::Retry(full()));
    let kept = Kept::saying(Verdicts::PerEvent, failures);
    deliver(&asking(&scorer.url(), Replies::default(), &kept), event()).await;
    assert_eq!((kept.ids().len(), kept.calls().len()), (1, 4));
    scorer.request().await;
    assert_eq!(scorer.accepts(), 1);
}

#[tokio::test]
async fn a_reply_that_is_never_taken_is_no_delivery() {
    let scorer = Hyper::start(|_| structured(&reply("1", None))).await;
    let replies = Replies::default().with_timeout(Duration::from_millis(300));
    let failures = (0..100).map(|_| Verdict::Retry(full()));
    let kept = Kept::saying(Verdicts::Whole, failures);
    let failure = retried(&asking(&scorer.url(), replies, &kept), event()).await;
    assert_eq!(failure.reason, "reply_full");
    let expected = format!(
        "the reply of POST {} can't be handed over to kept: no room",
        scorer.url()
    );
    assert_eq!(failure.message, expected);
    assert!((2..10).contains(&kept.calls().len()), "{:?}", kept.calls());

    let hangs = FunctionSink::new(|_: Event| std::future::pending::<()>());
    let config = HttpSinkConfig::new(scorer.url()).with_replies(replies);
    let sink = HttpSink::new(config).unwrap().with_replies_to(hangs);
    assert_eq!(retried(&sink, event()).await.reason, "reply_timeout");

    // A rest that is longer than there is time is the engine's business.
    let mut throttled = full();
    throttled.retry_after = Some(Duration::from_secs(60));
    let kept = Kept::saying(Verdicts::Whole, [Verdict::Retry(throttled)]);
    let failure = retried(&asking(&scorer.url(), replies, &kept), event()).await;
    assert_eq!(failure.retry_after, Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn what_is_said_of_the_reply_is_said_of_the_event() {
    let scorer = Hyper::start(|_| structured(&reply("1", None))).await;
    let too_large = Verdict::TooLarge(full());
    for said in [
        Verdict::Hold(full()),
        Verdict::Stop(full()),
        Verdict::Reject(full()),
        too_large,
    ] {
        let kept = Kept::saying(Verdicts::PerEvent, [said.clone()]);
        let sink = asking(&scorer.url(), Replies::default(), &kept);
        let verdict = send(&sink, event()).await;
        let as_expected = match said {
            Verdict::Hold(_) => matches!(verdict, Verdict::Hold(_)),
            Verdict::Stop(_) => matches!(verdict, Verdict::Stop(_)),
            // Also for too large: a smaller batch would not make the reply smaller.
            _ => matches!(verdict, Verdict::Reject(_)),
        };
        assert!(as_expected, "{said:?}: {verdict:?}");
        assert_eq!(verdict.failure().unwrap().reason, "reply_full");
        assert_eq!(kept.calls().len(), 1);
    }
}

#[tokio::test]
async fn a_sink_that_answers_for_each_gets_no_two_replies_of_a_key_at_once() {
    const REPLIES: &[(&str, &str)] = &[
        ("1", "ann"),
        ("2", "bob"),
        ("3", "ann"),
        ("4", ""),
        ("5", ""),
        ("6", "bob"),
    ];
    let scorer = batch(REPLIES).await;
    let ask = |kept: &Kept| asking(&scorer.url(), Replies::default(), kept);

    // Of the first two, the first is not taken at once: only that one goes again.
    let kept = Kept::saying(Verdicts::PerEvent, [Verdict::Retry(full())]);
    deliver(&ask(&kept), event()).await;
    assert_eq!(
        kept.calls(),
        [vec!["1", "2"], vec!["1"], vec!["3", "4"], vec!["5", "6"]]
    );

    let kept = Kept::saying(Verdicts::Whole, []);
    deliver(&ask(&kept), event()).await;
    assert_eq!(kept.calls(), [["1", "2", "3", "4", "5", "6"]]);

    // Nothing is handed over behind what is refused.
    let refused = [Verdict::Delivered, Verdict::Reject(full())];
    let kept = Kept::saying(Verdicts::PerEvent, refused);
    let verdict = send(&ask(&kept), event()).await;
    assert!(matches!(verdict, Verdict::Reject(_)), "{verdict:?}");
    assert_eq!(kept.ids(), ["1"]);
}

#[tokio::test]
async fn replies_to_a_batch_are_replies_to_all_of_it() {
    let scorer = batch(&[("1", "ann"), ("2", "bob")]).await;
    let config = HttpSinkConfig::new(scorer.url()).with_mode(eventlane::event::http::Mode::Batched);
    let kept = Kept::new();
    let sink = HttpSink::new(config).unwrap().with_replies_to(kept.clone());
    // One of them is a reply itself.
    let second = builder().id("b").extension("eventlanehops", "4");
    let events = [event(), second.build().unwrap()];
    let outcome = sink.send(Batch::new(events)).await;
    assert!(matches!(
        outcome,
        eventlane::sink::Outcome::All(Verdict::Delivered)
    ));
    assert_eq!(kept.ids(), ["1", "2"]);
    for reply in kept.events() {
        assert_eq!(reply.extension("eventlanehops").unwrap().as_str(), "5");
    }
}

#[tokio::test]
async fn whatever_a_producer_says_of_hops_is_harmless() {
    let scorer = Hyper::start(|_| structured(&reply("1", None))).await;
    for (said, taken) in [
        ("-1", true),
        ("many", true),
        ("15", true),
        ("16", false),
        ("4294967295", false),
        ("99999999999", true),
    ] {
        let kept = Kept::new();
        let event = builder().extension("eventlanehops", said).build().unwrap();
        let sink = asking(&scorer.url(), Replies::default(), &kept);
        let verdict = send(&sink, event).await;
        assert_eq!(matches!(verdict, Verdict::Delivered), taken, "{said}");
        if !taken {
            assert_eq!(verdict.failure().unwrap().reason, "reply_loop");
        }
    }
}

#[tokio::test]
async fn mistakes_are_named() {
    let config = || HttpSinkConfig::new("http://localhost");
    for (replies, hint) in [
        (Replies::default().with_timeout(Duration::ZERO), "timeout"),
        (Replies::default().with_max_hops(0), "max_hops"),
    ] {
        let error = HttpSink::new(config().with_replies(replies)).unwrap_err();
        assert!(error.to_string().contains(hint), "{error}");
    }
    let replying = HttpSink::new(config())
        .unwrap()
        .with_replies_to(Kept::new());
    let error = HttpDeadLetter::try_from(replying).unwrap_err();
    assert!(error.to_string().contains("no replies"), "{error}");
    // Longer than a timer can be set.
    let forever = Replies::default().with_timeout(Duration::MAX);
    let scorer = Hyper::start(|_| structured(&reply("1", None))).await;
    deliver(&asking(&scorer.url(), forever, &Kept::new()), event()).await;
}

#[test]
fn replies_are_measured_under_documented_names() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let run = async {
        let scorer = Hyper::start(|request| match request.headers()["ce-id"].to_str() {
            Ok("ok") => Response::new("ok".to_owned()),
            _ => structured(&reply("1", None)),
        })
        .await;
        let kept = Kept::saying(Verdicts::PerEvent, [Verdict::Retry(full())]);
        let replies = Replies::default().with_undecodable(Undecodable::Ignore);
        let sink = asking(&format!("{}?key=secret", scorer.url()), replies, &kept);
        deliver(&sink, event()).await;
        deliver(&sink, event()).await;
        deliver(&sink, builder().id("ok").build().unwrap()).await;
        format!("{}?...", scorer.url())
    };
    // Without the query, which may hold a secret.
    let url = metrics::with_local_recorder(&recorder, || runtime.block_on(run));
    let mut found = Vec::new();
    for (key, _, _, value) in snapshots.snapshot().into_vec() {
        let key = key.key();
        let label = |name| {
            let label = key.labels().find(|label| label.key() == name);
            label.map(|label| label.value().to_owned())
        };
        assert_eq!(label("destination").as_ref(), Some(&url));
        found.push((key.name().to_owned(), label("reason"), value));
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let count = DebugValue::Counter;
    assert_eq!(
        found,
        [
            (names::REPLIES.to_owned(), None, count(2)),
            (
                names::REPLY_FAILED.to_owned(),
                Some("full".into()),
                count(1)
            ),
            (
                names::REPLY_UNDECODABLE.to_owned(),
                Some("reply_not_event".into()),
                count(1)
            ),
        ]
    );
}
