//! KafkaSources on a real Kafka: every field does what it says. Side by side in few adapters, since
//! they mostly wait.

use std::{fs, time::Duration};

use eventlane_testkit::eventually;

use super::{
    gateway::{Answer, Request},
    real::Stage,
};
use crate::support::LIMIT;

/// The times between requests.
fn gaps(requests: &[Request]) -> Vec<Duration> {
    let at = requests.windows(2);
    at.map(|two| two[1].at.saturating_duration_since(two[0].at))
        .collect()
}

/// Nothing is early; how late it is, is the machine's business, within reason.
fn assert_gaps(requests: &[Request], least: &[u64]) {
    let gaps = gaps(requests);
    assert_eq!(gaps.len(), least.len(), "{gaps:?}");
    for (gap, least) in gaps.iter().zip(least) {
        let least = Duration::from_millis(*least);
        let range = least..least + Duration::from_secs(8);
        assert!(
            range.contains(gap),
            "{gap:?} is not in {range:?} of {gaps:?}"
        );
    }
}

#[test]
fn retries_delays_timeouts_and_dead_letters_are_as_delivery_says() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    let retry = |policy: &str, delay: &str, count: u32, letters: &str| {
        let letters = match letters {
            "" => String::new(),
            path => format!("\n  deadLetterSink: {{uri: \"GATEWAY{path}\"}}"),
        };
        format!(
            "delivery:\n  retry: {count}\n  backoffPolicy: {policy}\n  \
             backoffDelay: {delay}{letters}"
        )
    };
    stage.source(
        "linear",
        1,
        "",
        &retry("linear", "PT0.2S", 3, "/linear/letters"),
    );
    stage.gateway.answer("/linear", down);
    stage.source(
        "exponential",
        1,
        "",
        &retry("exponential", "PT0.1S", 3, "/exponential/letters"),
    );
    stage.gateway.answer("/exponential", down);
    stage.source(
        "rejected",
        1,
        "",
        &retry("linear", "PT0.2S", 5, "/rejected/letters"),
    );
    stage.gateway.answer("/rejected", |_, _| Answer::new(400));
    // Neither has the pipeline stop or rest, as they do without Knative's contract.
    stage.source(
        "gone",
        1,
        "",
        &retry("linear", "PT0.1S", 1, "/gone/letters"),
    );
    stage.gateway.answer("/gone", |_, _| Answer::new(410));
    stage.source(
        "unimplemented",
        1,
        "",
        &retry("linear", "PT0.1S", 1, "/unimplemented/letters"),
    );
    stage
        .gateway
        .answer("/unimplemented", |_, _| Answer::new(501));
    // Without `retry`, the first failure is the last.
    stage.source(
        "letters-only",
        1,
        "",
        "delivery: {deadLetterSink: {uri: GATEWAY/only/letters}}",
    );
    stage.gateway.answer("/letters-only", down);
    // A letter that is not taken is not lost.
    stage.source(
        "letters-down",
        1,
        "",
        &retry("linear", "PT0.05S", 0, "/letters-down/letters"),
    );
    stage.gateway.answer("/letters-down", down);
    stage
        .gateway
        .answer("/letters-down/letters", |number, _: &str| match number {
            0 => Answer::new(503),
            _ => Answer::new(204),
        });
    stage.source(
        "timeout",
        1,
        "",
        "delivery: {retry: 1, backoffDelay: PT0.05S, timeout: PT0.5S}",
    );
    stage
        .gateway
        .answer("/timeout", |number, _: &str| match number {
            0 => Answer::new(204).after(LIMIT),
            _ => Answer::new(204),
        });
    let annotations = "annotations:\n  k8s.aliyun.com/req-timeout: \"1\"\n  \
                       k8s.aliyun.com/retry-count: \"1\"\n  k8s.aliyun.com/retry-interval: \"0.2\"";
    stage.source("req-timeout", 1, annotations, "");
    stage
        .gateway
        .answer("/req-timeout", |number, _: &str| match number {
            0 => Answer::never(),
            _ => Answer::new(204),
        });
    let spec = "delivery: {retry: 1, backoffDelay: PT0.05S, retryAfterMax: PT1S}";
    stage.source("retry-after", 1, "", spec);
    stage.gateway.answer("/retry-after", later);
    let spec = "delivery: {retry: 1, backoffDelay: PT0.05S, retryAfterMax: PT0S}";
    stage.source("retry-after-not", 1, "", spec);
    stage.gateway.answer("/retry-after-not", later);
    // Nowhere to go: it is not lost, and nothing of its partition passes it.
    stage.source("blocked", 1, "", &retry("linear", "PT0.05S", 1, ""));
    stage.gateway.answer("/blocked", down);

    let names = [
        "linear",
        "exponential",
        "rejected",
        "gone",
        "unimplemented",
        "letters-only",
        "letters-down",
        "timeout",
        "req-timeout",
        "retry-after",
        "retry-after-not",
        "blocked",
    ];
    for name in names {
        let records: &[(&[u8], &str)] = match name {
            "blocked" => &[(b"a", "1"), (b"b", "2")],
            _ => &[(b"a", "1")],
        };
        stage.produce(name, 0, records);
    }
    let adapter = stage.start();
    let gateway = &stage.gateway;

    for (name, least) in [
        ("linear", [200, 400, 600]),
        ("exponential", [200, 400, 800]),
    ] {
        let letters = gateway.wait(&format!("/{name}/letters"), 1);
        let attempts = gateway.requests(&format!("/{name}"));
        assert_eq!(attempts.len(), 4);
        assert_gaps(&attempts, &least);
        let letter = &letters[0];
        assert_eq!(
            letter.header("ce-knativeerrordest"),
            gateway.url(&format!("/{name}"))
        );
        assert_eq!(letter.header("ce-knativeerrorcode"), "503");
        assert_eq!(letter.header("ce-knativeerrordata"), encoded());
        assert_eq!(letter.header("ce-reason"), "busy");
        assert!(!letter.headers.keys().any(|name| name.contains("bad_name")));
        for name in ["ce-id", "ce-source", "ce-type", "ce-subject", "ce-key"] {
            assert_eq!(letter.header(name), attempts[0].header(name));
        }
        assert_eq!(letter.body, "1");
    }
    for (name, attempts) in [("rejected", 1), ("gone", 1), ("unimplemented", 2)] {
        gateway.wait(&format!("/{name}/letters"), 1);
        assert_eq!(
            gateway.requests(&format!("/{name}")).len(),
            attempts,
            "{name}"
        );
    }
    gateway.wait("/only/letters", 1);
    assert_eq!(gateway.requests("/letters-only").len(), 1);
    gateway.wait("/letters-down/letters", 2);
    assert_gaps(&gateway.wait("/timeout", 2), &[550]);
    let hanging = gateway.wait("/req-timeout", 2);
    assert_gaps(&hanging, &[1100]);
    let given_up = hanging[0].given_up.expect("the connection is closed");
    let waited = given_up.saturating_duration_since(hanging[0].at);
    let second = Duration::from_millis(900)..Duration::from_secs(5);
    assert!(second.contains(&waited), "{waited:?}");
    assert_gaps(&gateway.wait("/retry-after", 2), &[1000]);
    assert_gaps(&gateway.wait("/retry-after-not", 2), &[100]);
    let blocked = gateway.wait("/blocked", 2);
    assert!(
        blocked.iter().all(|request| request.body == "1"),
        "{blocked:?}"
    );

    adapter.signal("TERM");
    let (_, log) = adapter.wait(LIMIT);
    for name in names {
        let expected = (name != "blocked").then_some(1);
        let committed = stage.kafka.committed(name, name)[0].filter(|offset| *offset > 0);
        assert_eq!(committed, expected, "{name}\n{log}");
    }
}

const BODY: &[u8] = &[b'x'; 1500];

fn later(number: usize, _: &str) -> Answer {
    match number {
        0 => Answer::new(429).with("retry-after: 300\r\n", b""),
        _ => Answer::new(204),
    }
}

fn down(_: usize, _: &str) -> Answer {
    Answer::new(503).with("kne-reason: busy\r\nkne-bad_name: x\r\n", BODY)
}

/// The first 1024 bytes of [`BODY`] in base64.
fn encoded() -> String {
    // 1023 bytes are 341 groups of "xxx", one is left.
    format!("{}eA==", "eHh4".repeat(341))
}

#[test]
fn events_are_what_the_resource_makes_of_records() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    // Of the livestream, but for its addresses.
    let livestream = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../livestream/kafkasource.yaml"
    );
    let livestream = fs::read_to_string(livestream).unwrap();
    let livestream = livestream.replace("${KAFKA:-127.0.0.1:9092}", &stage.kafka.bootstrap());
    let livestream = livestream.replace(
        "${GATEWAY:-http://127.0.0.1:8080}",
        &stage.gateway.url("/gateway"),
    );
    assert!(!livestream.contains("${"), "an address is left");
    stage.kafka.create_topic("livestream", 1, &[]);
    stage.resource(&livestream);
    stage.gateway.answer("/gateway", |number, _| match number {
        0 => Answer::new(503),
        _ => Answer::new(204),
    });

    let spec = "ceOverrides: {extensions: {tenant: shop, kafkaheadera: mine}}\n\
                delivery: {deadLetterSink: {uri: GATEWAY/overrides/letters}}";
    stage.source("overrides", 1, "", spec);
    stage.gateway.answer("/overrides", |_, _| Answer::new(400));
    let key_type = |ty| format!("labels: {{kafkasources.sources.knative.dev/key-type: {ty}}}");
    stage.source("key-int", 1, &key_type("int"), "");
    stage.source("key-float", 1, &key_type("float"), "");
    stage.source("key-bytes", 1, &key_type("byte-array"), "");
    stage.source("structured", 1, "", "delivery: {retry: 1, format: json}");
    stage.source("lists", 1, "", "topics: \"lists, key-int\"");
    let slow = "delivery: {retry: 1, backoffPolicy: linear, backoffDelay: PT1.5S}";
    stage.source("ordered", 1, "", slow);
    stage.source("unordered", 1, "", &format!("ordering: unordered\n{slow}"));
    stage.source(
        "by-key",
        1,
        "annotations: {eventlane.dev/ordering: key}",
        slow,
    );
    // The first attempt of a1 fails: alone, beside that of b1, beside those of all.
    for (name, beside) in [("ordered", 1), ("by-key", 2), ("unordered", 3)] {
        stage
            .gateway
            .answer(&format!("/{name}"), move |number, body| {
                Answer::new(if body == "a1" && number < beside {
                    503
                } else {
                    204
                })
            });
        stage.produce(name, 0, &[(b"a", "a1"), (b"b", "b1"), (b"a", "a2")]);
    }
    stage.source("latest", 1, "", "initialOffset: latest");
    stage.produce("latest", 0, &[(b"a", "old")]);
    stage.source("consumers", 4, "", "consumers: 3");
    for (key, value) in [
        ("user", "alice\n"),
        ("password", "alice-secret"),
        ("type", "SCRAM-SHA-512"),
    ] {
        stage.secret("kafka", key, value.as_bytes());
    }
    stage.secret(
        "kafka",
        "ca.crt",
        &fs::read(stage.kafka.tls_file("ca.pem")).unwrap(),
    );
    let secret = |key| format!("{{secretKeyRef: {{name: kafka, key: {key}}}}}");
    let spec = format!(
        "bootstrapServers: [\"{}\"]\nnet:\n  sasl: {{enable: true, user: {}, password: {}, \
         type: {}}}\n  tls: {{enable: true, caCert: {}}}",
        stage.kafka.sasl_tls_bootstrap(),
        secret("user"),
        secret("password"),
        secret("type"),
        secret("ca.crt")
    );
    stage.source("secrets", 1, "", &spec);

    stage.produce("overrides", 0, &[(b"a", "1")]);
    stage.produce("key-int", 0, &[(&[0, 0, 1, 2], "1")]);
    stage.produce("key-float", 0, &[(&1.5f64.to_be_bytes(), "1")]);
    stage.produce("key-bytes", 0, &[(&[0xff, 0], "1")]);
    stage.produce("structured", 0, &[(b"a", "{\"a\": 1}")]);
    stage.produce("lists", 0, &[(b"a", "1")]);
    for partition in 0..4 {
        stage.produce("consumers", partition, &[(b"a", "1")]);
    }
    stage.produce("secrets", 0, &[(b"a", "1")]);
    let adapter = stage.start();
    let gateway = &stage.gateway;

    for request in gateway
        .wait("/overrides", 1)
        .iter()
        .chain(&gateway.wait("/overrides/letters", 1))
    {
        assert_eq!(request.header("ce-tenant"), "shop");
        assert_eq!(request.header("ce-kafkaheadera"), "mine");
        let source = "/apis/v1/namespaces/default/kafkasources/overrides#overrides";
        assert_eq!(request.header("ce-source"), source);
        assert_eq!(request.header("ce-type"), "dev.knative.kafka.event");
        assert_eq!(request.header("ce-id"), "partition:0/offset:0");
        assert_eq!(request.header("ce-subject"), "partition:0#0");
        assert_eq!(request.header("ce-key"), "a");
        assert!(!request.header("ce-time").is_empty());
    }
    for (name, key) in [
        ("key-int", "258"),
        ("key-float", "1.5"),
        ("key-bytes", "/wA="),
    ] {
        let request = &gateway.wait(&format!("/{name}"), 1)[0];
        assert_eq!(request.header("ce-key"), key, "{name}");
        assert_eq!(request.header("ce-partitionkey"), key, "{name}");
    }
    let structured = &gateway.wait("/structured", 1)[0];
    assert!(
        structured
            .header("content-type")
            .starts_with("application/cloudevents+json")
    );
    gateway.wait("/lists", 2);
    gateway.wait("/secrets", 1);

    let bodies = |name: &str| {
        let requests = gateway.wait(&format!("/{name}"), 4).into_iter();
        requests.map(|request| request.body).collect::<Vec<_>>()
    };
    for (name, beside, then) in [
        ("ordered", 1, &["a1", "b1", "a2"][..]),
        ("by-key", 2, &["a1", "a2"]),
        ("unordered", 3, &["a1"]),
    ] {
        let bodies = bodies(name);
        assert!(
            bodies[..beside].contains(&"a1".to_owned()),
            "{name}: {bodies:?}"
        );
        assert_eq!(bodies[beside..], *then, "{name}: {bodies:?}");
    }

    gateway.wait("/consumers", 4);
    eventually(LIMIT, "three members", || {
        (stage.members("consumers") == 3).then_some(())
    });

    // What comes from now on, and all of it.
    let mut sent = 0;
    let first = eventually(LIMIT, "something of the latest", || {
        stage.produce("latest", 0, &[(b"a", &format!("new {sent}"))]);
        sent += 1;
        gateway.requests("/latest").first().cloned()
    });
    assert!(first.body.starts_with("new"), "{first:?}");
    let first: usize = first.body[4..].parse().unwrap();
    gateway.wait("/latest", sent - first);

    stage.produce("livestream", 0, &[(b"viewer-1", "{\"text\": \"hello\"}")]);
    let live = eventually(LIMIT, "the livestream", || {
        let live = gateway.requests("/gateway");
        if live.is_empty() {
            stage.produce("livestream", 0, &[(b"viewer-1", "{\"text\": \"hello\"}")]);
        }
        (live.len() >= 2).then_some(live)
    });
    assert!(
        live.iter()
            .all(|request| request.header("host") == "scoring.default.example.com")
    );
    assert_eq!(live[0].header("ce-partitionkey"), "viewer-1");
    assert_eq!(live[1].header("ce-id"), live[0].header("ce-id"));
    assert_gaps(&live[..2], &[2000]);

    adapter.signal("TERM");
    adapter.succeed(LIMIT);
}

/// As a container of a ContainerSource, with a configuration and with a resource.
#[test]
fn a_bound_adapter_sends_to_its_sink() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    let sink = "sink: {ref: {apiVersion: v1, kind: Service, name: scoring}}";
    stage.source("bound", 1, "", sink);
    stage.kafka.create_topic("bound-too", 1, &[]);
    let bootstrap = stage.kafka.bootstrap();
    stage.resource(&format!(
        "pipelines:\n  bound-too:\n    source:\n      kafka: {{bootstrap_servers: \"{bootstrap}\", \
         group: bound-too, topics: [bound-too]}}\n"
    ));
    stage.produce("bound", 0, &[(b"a", "1")]);
    stage.produce("bound-too", 0, &[(b"a", "2")]);
    let url = stage.gateway.url("/broker");
    let overrides = "{\"extensions\":{\"tenant\":\"shop\"}}";
    let adapter = stage.start_with(&[], &[("K_SINK", &url), ("K_CE_OVERRIDES", overrides)]);
    let mut requests = stage.gateway.wait("/broker", 2);
    requests.sort_by(|a, b| a.body.cmp(&b.body));
    for (request, body) in requests.iter().zip(["1", "2"]) {
        assert_eq!(
            (request.body.as_str(), request.header("ce-tenant")),
            (body, "shop")
        );
    }
    adapter.signal("TERM");
    adapter.succeed(LIMIT);
}
